"""How the memory of a build grows with the number of files and passages. Prints a table, and one JSON line last.

    .venv/bin/python -m benchmarks.building [--sizes 20000 100000 300000] [--per-file 10]

Each size is built in a process of its own, by an encoder that costs nothing, of files that are made while the build
reads them: what is measured is the build. Then 1 % of the files are changed, and the index is brought up to date.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.build.update import SilentListener, update
from qa.protocols import Encoder
from qa.settings import Settings
from qa.types import Document, FileReport, Source
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.types import Vectors

DIMENSION = 64


class InstantEncoder(HashingEncoder):
    """Draws a vector for each text; it takes a few microseconds."""

    def __init__(self) -> None:
        super().__init__(DIMENSION)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) // 5 + 2 for text in texts]

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        seed = int.from_bytes(hashlib.blake2b("".join(texts).encode(), digest_size=8).digest())
        rows = np.random.default_rng(seed).standard_normal((len(texts), DIMENSION)).astype(np.float32)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def make(settings: Settings, *, threads: int) -> Encoder:
    return InstantEncoder()


def read(source: Source) -> tuple[Document | None, FileReport]:
    """Read a file in this process: the other one's memory is bounded by its own limit."""
    text = source.path.read_text(encoding="utf-8")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    document = Document(source.id, source.id, text, sha256, "text/plain", "text", language="en")
    return document, FileReport(source.id, "read", size=source.size, characters=len(text))


def write(folder: Path, number: int, passages: int, version: int) -> None:
    """Write a file that makes about so many passages."""
    place = folder / f"{number // 1000:04}"
    place.mkdir(exist_ok=True)
    sentences = (
        f"Part {part} of file {number}, version {version}, speaks of {number * part}." for part in range(passages)
    )
    text = "\n\n".join(f"{sentence} {'It is said again in other words here. ' * 5}" for sentence in sentences)
    (place / f"{number}.txt").write_text(text, encoding="utf-8")


class Peak:
    """The most memory, in MB, that this process has had resident while the context lasts, and at its start."""

    def __enter__(self) -> Peak:
        self.before = self.most = resident()
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            self.most = max(self.most, resident())


def resident() -> float:
    """Return the memory of this process that is its own, in MB: pages of mapped files are the system's to take."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def measure(size: int, per_file: int) -> dict[str, Any]:
    """Build an index of so many passages, and bring it up to date after 1 % of its files changed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "documents"
        folder.mkdir()
        files = size // per_file
        for number in range(files):
            write(folder, number, per_file, 1)
        settings = Settings(indexes=Path(place) / "indexes", name="bench")
        time.sleep(2.5)  # files of the last two seconds are read again
        with Peak() as full:
            started, used = time.perf_counter(), time.process_time()
            made = update(settings, [folder], SilentListener(), make=make, read=read)
            seconds, processor = time.perf_counter() - started, time.process_time() - used
        for number in range(0, files, 100):
            write(folder, number, per_file, 2)
        time.sleep(2.5)
        with Peak() as again:
            used = time.process_time()
            update(settings, [folder], SilentListener(), make=make, read=read)
            updated = time.process_time() - used
    return {
        "files": files,
        "passages": made.counts.passages,
        "build_s": seconds,
        "build_cpu_s": processor,
        "before_mb": full.before,
        "build_mb": full.most,
        "update_mb": again.most,
        "update_cpu_s": updated,
    }


def main() -> None:
    """Measure each size apart, and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[20_000, 100_000, 300_000])
    parser.add_argument("--per-file", type=int, default=10)
    parser.add_argument("--one", type=int)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.per_file)))
        return
    rows = []
    columns = ("build_cpu_s", "before_mb", "build_mb", "update_mb", "update_cpu_s")
    print(f"| files | passages | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}", flush=True)
    for size in given.sizes:
        command = [sys.executable, "-m", "benchmarks.building", "--one", str(size), "--per-file", str(given.per_file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {row['files']:,} | {row['passages']:,} | {' | '.join(f'{row[c]:,.1f}' for c in columns)} |", flush=True
        )
        rows.append(row)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
