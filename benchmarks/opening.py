"""What it costs to open a snapshot and to ask its first questions. Prints one line of JSON last.

    .venv/bin/python -m benchmarks.opening --passages 1000000 --folder FOLDER

Passages of 25 words of 50,000, which are as frequent as words are (Zipf, 1935), ten to a document, are made up with
their files' metadata; their vectors are random. The snapshot is built in the folder unless it is there. What is
measured runs in a process of its own: seconds of the clock, seconds of the processor, and megabytes of resident
memory, of which ``anonymous`` is what the system cannot take back, and the rest are mapped files.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from qa.errors import IndexNotFound
from qa.index.index import COLUMNS, Index, filter_columns
from qa.index.lexical import LexicalRow, LexicalWriter
from qa.index.schema import DOCUMENTS_FILE, passage_key, window_key
from qa.index.snapshots import Provenance, Snapshots
from qa.index.store_writer import StoreWriter
from qa.index.vectors.engines import new_vectors
from qa.protocols import VectorRows
from qa.search.filters import parse_filter
from qa.search.retriever import Retriever
from qa.types import Document, FileReport, Limits, Passage, Property, Query, Window
from tests.support.hashing import HashingEncoder

WORDS, LENGTH, PASSAGES = 50_000, 25, 10
_AT_ONCE = 8192
QUESTIONS = ("Which w3 has a w20 and w700?", "Where is w5000 of w100 kept?", "Who wrote w40000 for w12?")


def documents(count: int) -> Iterator[tuple[Document, list[Passage]]]:
    """Make up ``count`` documents, each with its passages."""
    chance = random.Random(1)
    words = [f"w{number}" for number in range(WORDS)]
    frequencies = list(itertools.accumulate(1 / (number + 1) for number in range(WORDS)))
    for number in range(count):
        drawn = chance.choices(words, cum_weights=frequencies, k=LENGTH * PASSAGES)
        texts = [" ".join(drawn[at : at + LENGTH]) for at in range(0, len(drawn), LENGTH)]
        text = "\n".join(texts)
        said = [("author", f"Person {chance.randrange(500)}"), ("keyword", f"word{chance.randrange(3000)}")]
        said.append(("modified", f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}T10:00:00Z"))
        id = f"dept{number % 20}/team{number % 200}/{number:08d}.txt"
        metadata = tuple(Property(name, value, 0, len(text)) for name, value in said)
        sums = f"{number:064x}"
        document = Document(id, f"Document {number}", text, sums, "text/plain", "text/1", metadata=metadata)
        passages: list[Passage] = []
        at = 0
        for part in texts:
            name = f"{chance.getrandbits(62):016x}"
            end = at + len(part)
            path = (f"Heading {number % 1000}", f"Part {len(passages)}")
            passages.append(Passage(name, id, at, end, part, path=path, windows=(Window(at, end),)))
            at = end + 1
        yield document, passages


def build(snapshots: Snapshots, passages: int, dimension: int) -> None:
    """Build and publish a snapshot of so many passages."""
    encoder = HashingEncoder(dimension)
    chance = np.random.default_rng(0)
    with snapshots.writing() as writer, writer.staging() as folder:
        vectors = new_vectors(folder, dimension, COLUMNS)
        with StoreWriter(folder / DOCUMENTS_FILE) as store, LexicalWriter(folder, COLUMNS) as words:
            made = documents(passages // PASSAGES)
            while batch := list(itertools.islice(made, _AT_ONCE // PASSAGES)):
                rows = []
                for document, own in batch:
                    number = store.add_document(document)
                    store.add_passages((number, passage) for passage in own)
                    size = len(document.text)
                    store.add_report(FileReport(document.id, "read", size=size, characters=size, passages=len(own)))
                    words.add(
                        LexicalRow(passage_key(p.id), p.text, "", filter_columns(p.document, p.path)) for p in own
                    )
                    rows += own
                drawn = chance.standard_normal((len(rows), dimension)).astype(np.float32)
                drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
                keys = np.array([window_key(passage, passage.windows[0]) for passage in rows], np.int64)
                columns = {
                    name: [filter_columns(passage.document, passage.path)[name] for passage in rows] for name in COLUMNS
                }
                vectors.upsert(VectorRows(keys, drawn, columns))
            words.finish()
        vectors.save(folder)
        fingerprint = {"encoder": dict(encoder.fingerprint), "splitter": {}, "readers": {}}
        provenance = Provenance("hashing", fingerprint, ("/made-up",), vectors.describe())
        writer.publish(folder, provenance, store.documents, store.passages)


def memory() -> dict[str, int]:
    """Return the resident memory of this process in megabytes, and how much of it is anonymous."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    values = {
        name: int(rest.split()[0]) // 1024 for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }
    return {"resident": values["VmRSS"], "anonymous": values["RssAnon"], "peak": values["VmHWM"]}


def measure(snapshots: Snapshots) -> dict[str, object]:
    """Open the active snapshot and ask; every step with its seconds, and the memory after it."""
    found: dict[str, object] = {"before": memory()}

    def step(name: str, work: Callable[[], Any]) -> Any:
        used, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        result = work()
        spent, now = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        found[name] = {"seconds": round(spent, 3), "processor": round(processor, 3), **memory()}
        return result

    index: Index = step("open", snapshots.open)
    encoder = HashingEncoder(len(index.vectors.rows(index.vectors.ids()[:1])[0]))
    retriever = step("retriever", lambda: Retriever(index, encoder, Limits(2000, 100, 100)))
    step("first question", lambda: retriever.find([Query(QUESTIONS[0])]))
    step("more questions", lambda: [retriever.find([Query(question)]) for question in QUESTIONS * 10])
    step("glob", lambda: retriever.find([Query(QUESTIONS[0], documents=("dept3/team3/*",))]))
    step("wild glob", lambda: retriever.find([Query(QUESTIONS[0], documents=("*7?.txt",))]))
    step("sections", lambda: retriever.find([Query(QUESTIONS[0], sections=("heading 7",))]))
    step("first facets", lambda: retriever.fields.facets((), 20))
    step("filter", lambda: retriever.find([Query(QUESTIONS[0], filter=parse_filter(["author=person 7"]))]))
    step("list", lambda: index.store.summaries(index.manifest.documents // 2, 50))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    snapshots = Snapshots(given.folder, f"opening-{given.passages}-{given.dimension}")
    if given.measure:
        print(json.dumps(measure(snapshots)))
        return
    with suppress(IndexNotFound):
        snapshots.current()
    if snapshots.current_or_none() is None:
        started = time.perf_counter()
        build(snapshots, given.passages, given.dimension)
        print(f"built in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    size = sum(path.stat().st_size for path in snapshots.path(snapshots.current()).rglob("*") if path.is_file())
    command = [sys.executable, "-m", "benchmarks.opening", *sys.argv[1:], "--measure"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(json.dumps({"passages": given.passages, "megabytes": size // 10**6, **found}))


if __name__ == "__main__":
    main()
