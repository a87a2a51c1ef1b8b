"""How the memory of a build grows with the number of files and passages. Prints tables, and one JSON line last.

    .venv/bin/python -m benchmarks.building [--sizes 20000 100000 400000] [--per-file 1 2000]
    .venv/bin/python -m benchmarks.building --words 3000000

Each size is built in a process of its own, by an encoder that costs nothing, of files that are made before: what is
measured is the build. Then the index is brought up to date with nothing changed, and with 1 % of the files. Memory is
what the process has to itself; pages of mapped files are the system's to take. Before that a few files are built, so
that libraries and the classifier of languages are loaded.

``left_mb`` is what the process still has after the last of them, as a server would. Under each shape of files stands
what memory grew by for each passage and each file from a size to the next; up to 40 MB of that are tantivy's, which
gathers 24 before it writes a segment and needs half as much again to write it.

With ``--words`` only the index of words is written, of so many passages of forty words, and the most memory is said for
each eighth of them: it grows while segments are merged.
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
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.build.update import SilentListener, update
from qa.index.index import COLUMNS, filter_columns
from qa.index.lexical import LexicalRow, LexicalWriter
from qa.protocols import Encoder
from qa.settings import Settings
from qa.types import Document, FileReport, Source
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.types import Vectors

DIMENSION = 64
STEPS = ("build", "same", "changed")


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
    # A passage holds three to four of them.
    parts = passages if passages == 1 else round(3.5 * passages)
    sentences = (
        f"Part {part} of file {number}, version {version}, speaks of {number * part}." for part in range(parts)
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
    """Build an index of so many passages, and bring it up to date with nothing and then with 1 % of its files changed.

    Memory is in MB, above what the process had before.
    """
    with tempfile.TemporaryDirectory() as place:
        few, folder = Path(place) / "few", Path(place) / "documents"
        few.mkdir()
        folder.mkdir()
        for number in range(10):
            write(few, number, 10, 1)
        files = max(1, size // per_file)
        for number in range(files):
            write(folder, number, per_file, 1)
        settings = Settings(indexes=Path(place) / "indexes", name="bench")
        update(settings.model_copy(update={"name": "few"}), [few], SilentListener(), make=make, read=read)
        time.sleep(2.5)  # files of the last two seconds are read again
        result: dict[str, Any] = {"files": files}
        before = resident()
        for step in STEPS:
            if step == "changed":
                for number in range(0, files, 100):
                    write(folder, number, per_file, 2)
                time.sleep(2.5)
            with Peak() as peak:
                used = time.process_time()
                made = update(settings, [folder], SilentListener(), make=make, read=read)
                result[f"{step}_cpu_s"] = time.process_time() - used
            result[f"{step}_mb"] = peak.most - before
        result["left_mb"] = resident() - before
        return result | {"passages": made.counts.passages, "before_mb": before}


def measure_apart(size: int, per_file: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.building", "--sizes", str(size), "--per-file", str(per_file), "--one"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_growth(smaller: dict[str, Any], larger: dict[str, Any]) -> None:
    """Say what each step's memory grew by for each passage and each file."""
    for of in ("passages", "files"):
        more = max(1, larger[of] - smaller[of])
        grown = (f"{step} {1e6 * (larger[f'{step}_mb'] - smaller[f'{step}_mb']) / more:,.0f}" for step in STEPS)
        print(f"from {smaller[of]:,} to {larger[of]:,} {of}, bytes for each: {', '.join(grown)}", flush=True)


def write_words(passages: int) -> None:
    """Write an index of words, and print the most memory in MB of each eighth of its passages, and of its end."""
    drawn = np.random.default_rng(1)
    part = max(1, passages // 8)
    with tempfile.TemporaryDirectory() as place, LexicalWriter(Path(place), COLUMNS) as lexical:
        before = resident()
        print("| passages | most_mb |\n|---|---|", flush=True)
        for start in range(0, passages, part):
            with Peak() as peak:
                for number in range(start, min(start + part, passages)):
                    # As words of texts: few of them are often, and most are rare.
                    words = " ".join(f"w{rank}" for rank in np.minimum(drawn.zipf(1.2, 40), 200_000).tolist())
                    key = int(drawn.integers(0, 1 << 63))
                    columns = filter_columns(f"{number // 1000:04}/{number}.txt", ())
                    lexical.add([LexicalRow(key, words, "en", columns)])
            print(f"| {min(start + part, passages):,} | {peak.most - before:,.1f} |", flush=True)
        with Peak() as peak:
            lexical.finish()
        print(f"| finished | {peak.most - before:,.1f} |")


def main() -> None:
    """Measure each size of each shape apart, and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[20_000, 100_000, 400_000], help="passages, about")
    parser.add_argument("--per-file", nargs="+", type=int, default=[1, 2_000], help="passages in a file, about")
    parser.add_argument("--words", type=int, metavar="N", help="write an index of words alone, of so many passages")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.words:
        write_words(given.words)
        return
    if given.one:
        print(json.dumps(measure(given.sizes[0], given.per_file[0])))
        return
    rows = []
    for per_file in given.per_file:
        columns = [*(f"{step}_mb" for step in STEPS), "left_mb"] + [f"{step}_cpu_s" for step in STEPS]
        print(f"\n| files | passages | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}", flush=True)
        of_shape: list[dict[str, Any]] = []
        for size in given.sizes:
            row = measure_apart(size, per_file)
            cells = " | ".join(f"{row[column]:,.1f}" for column in columns)
            print(f"| {row['files']:,} | {row['passages']:,} | {cells} |", flush=True)
            of_shape.append(row)
        print(flush=True)
        for smaller, larger in pairwise(of_shape):
            print_growth(smaller, larger)
        rows += of_shape
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
