"""What a filter costs in either leg, beside the same search without one. Prints a row a filter, milliseconds (medians).

    .venv/bin/python -m benchmarks.filters
    .venv/bin/python -m benchmarks.filters --rows 10000000

100,000 passages of 10,000 documents, with three windows of 384 dimensions each, are made up: 90 words of 30,000 that
are as frequent as words are (Zipf, 1935), in 20 departments of 10 teams, by 500 authors, with dates and four keywords
of 3,000 each. The index is kept in the folder that QA_BENCHMARK_INDEX names, if it is set.

With ``--rows`` only a column of so many rows is made, of which half have one of 200,000 values, and what FAISS is given
for a condition on it is made: the first time, and from what is kept.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from qa.index.bitmaps import count
from qa.index.catalog import CATALOG_FILE, Catalog
from qa.index.derived import derive_files
from qa.index.fields import Fields
from qa.index.index import DOCUMENT_COLUMN
from qa.index.lexical import LexicalIndex, LexicalRow, LexicalWriter
from qa.index.relations import open_relations
from qa.index.schema import DOCUMENTS_FILE, passage_key, window_key
from qa.index.store import Store
from qa.index.store_writer import StoreWriter
from qa.index.vectors.columns import CodedColumn, Columns
from qa.index.vectors.engines import FaissVectors
from qa.index.vectors.exact import VECTORS_FILE, FaissFlat
from qa.index.vectors.values import ColumnValues
from qa.protocols import And, VectorRows
from qa.search.filters import parse_filter
from qa.types import Condition, Document, Eq, In, Passage, Property, Range, Window

DOCUMENTS, PASSAGES = 10_000, 10
# Of the column of many rows.
VALUES = 200_000
WORDS, DIMENSION, DEPTH = 30_000, 384, 100
TERMS = [("w3",), ("w20",), ("w100",), ("w700",), ("w5000",)]
READERS = ("pdf", "docx", "text", "html")
FILTERS = (
    ["folder=dept3"],
    ["folder=dept3/team3"],
    ["type=pdf"],
    ["language=en"],
    ["author=person 7"],
    ["author=person 1", "author=person 2", "date<=2020"],
    ["keyword=word5"],
    ["date>=2012"],
    ["date>=2020", "type=pdf"],
)


def documents() -> Iterator[tuple[Document, list[Passage]]]:
    """Make up the documents, each with its passages."""
    chance = random.Random(1)
    words = [f"w{number}" for number in range(WORDS)]
    frequencies = list(itertools.accumulate(1 / (number + 1) for number in range(WORDS)))
    for number in range(DOCUMENTS):
        texts = [" ".join(chance.choices(words, cum_weights=frequencies, k=90)) for _ in range(PASSAGES)]
        text = "\n".join(texts)
        day = f"20{chance.randrange(10, 25)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"
        said = [("author", f"Person {chance.randrange(500)}"), ("modified", f"{day}T10:{chance.randrange(60):02d}:00Z")]
        said += [("keyword", f"word{chance.randrange(3000)}") for _ in range(4)]
        document = Document(
            f"dept{number % 20}/team{number % 200}/{number:06d}",
            f"Document {number}",
            text,
            "0" * 64,
            "text/plain",
            f"{READERS[number % 4]}/1",
            language="de" if number % 10 == 0 else "en",
            metadata=tuple(Property(name, value, 0, len(text)) for name, value in said),
        )
        passages, at = [], 0
        for part in texts:
            third = len(part) // 3
            windows = tuple(Window(at + start, at + start + third) for start in (0, third, 2 * third))
            id = f"{chance.getrandbits(62):016x}"
            passages.append(Passage(id, document.id, at, at + len(part), part, windows=windows))
            at += len(part) + 1
        yield document, passages


def build(folder: Path) -> None:
    """Write store, words and vectors into ``folder``."""
    keys: list[int] = []
    with StoreWriter(folder / DOCUMENTS_FILE) as store, LexicalWriter(folder, [DOCUMENT_COLUMN]) as words:
        for document, passages in documents():
            number = store.add_document(document)
            store.add_passages((number, passage) for passage in passages)
            columns = {DOCUMENT_COLUMN: document.id}
            words.add(LexicalRow(passage_key(each.id), each.text, "en", columns) for each in passages)
            keys += [window_key(passage, window) for passage in passages for window in passage.windows]
        words.finish()
    vectors = np.random.default_rng(0).standard_normal((len(keys), DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = FaissVectors(folder, DIMENSION, [], exact_up_to=len(keys))
    index.upsert(VectorRows(np.array(keys, np.int64), vectors))
    index.save(folder)
    derive_files(folder, index.describe())


def milliseconds(work: Callable[[], object], times: int = 15) -> float:
    """Return the median time of some work, after a first time that is not counted."""
    work()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def measure(folder: Path) -> None:
    """Open the index in ``folder``, and print what each filter costs."""
    store, words, vectors = Store(folder / DOCUMENTS_FILE), LexicalIndex(folder), FaissFlat(folder)
    relations, catalog = open_relations(folder), Catalog(folder / CATALOG_FILE)
    started = time.perf_counter()
    fields = Fields("benchmark", folder, store, catalog, relations, vectors.ids())
    question = vectors.rows(vectors.ids()[:1])
    print(f"reading the columns: {time.perf_counter() - started:.1f} s")

    def print_row(name: str, conditions: tuple[Condition, ...]) -> None:
        rows, filters = fields.limits(conditions) if conditions else (None, ())
        within = And(filters) if filters else None
        found = len(relations.passages) if rows is None else count(rows.bits) // 3
        spent = [
            milliseconds(lambda: fields.limits.__wrapped__(conditions)),
            milliseconds(lambda: vectors.search(question, 3 * DEPTH, rows)),
            milliseconds(lambda: words.search(TERMS, DEPTH, within)),
            milliseconds(lambda: fields.facets.__wrapped__(conditions, 20)),
        ]
        print(f"{name:<50}{found:>9,}" + "".join(f"{each:>9.2f}" for each in spent))

    print(f"{'filter':<50}{'passages':>9}{'mask':>9}{'dense':>9}{'words':>9}{'facets':>9}")
    print_row("none", ())
    for texts in FILTERS:
        print_row(" ".join(texts), parse_filter(texts))


def measure_column(folder: Path, rows: int) -> None:
    """Write a column of so many rows, and print what conditions on it cost: milliseconds of the processor, medians."""
    generator = np.random.default_rng(0)
    values = ColumnValues(folder / "values")
    numbers = values.number([f"d{number:08d}" for number in range(VALUES)])
    of_rows = numbers[np.where(generator.random(rows) < 0.5, 7, generator.integers(0, VALUES, rows))]
    CodedColumn(of_rows.astype(np.int32), values).write(folder, DOCUMENT_COLUMN)
    values.close()
    ids = np.arange(rows)
    conditions: dict[str, Eq | In | Range] = {
        "half of the rows": Eq(DOCUMENT_COLUMN, "d00000007"),
        "one value": Eq(DOCUMENT_COLUMN, f"d{VALUES // 2:08d}"),
        "100 values": In(DOCUMENT_COLUMN, tuple(f"d{17 * number:08d}" for number in range(100))),
        "a third of the values": Range(DOCUMENT_COLUMN, f"d{VALUES // 3:08d}", f"d{2 * VALUES // 3:08d}"),
    }
    print(f"{'condition':<30}{'rows':>12}{'first':>9}{'again':>9}")
    for name, condition in conditions.items():
        first: list[float] = []
        again: list[float] = []
        for _ in range(9):
            columns = Columns(folder, rows)
            for spent in (first, again):
                started = time.process_time()
                found = count(columns.bits(condition, ids))
                spent.append(1000 * (time.process_time() - started))
        print(f"{name:<30}{found:>12,}{statistics.median(first):>9.2f}{statistics.median(again):>9.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if given.rows:
            measure_column(Path(temporary), given.rows)
            raise SystemExit
        kept = Path(os.environ.get("QA_BENCHMARK_INDEX") or temporary)
        if not (kept / VECTORS_FILE).exists():
            build(kept)
        measure(kept)
