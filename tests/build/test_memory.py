"""What a build holds in memory does not grow with the number of documents: four times as many take hardly more."""

from __future__ import annotations

import gc
import platform
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qa.build import found
from qa.build.update import SilentListener, update
from qa.index import arrays, field_writer, fields, index, lexical, relations, schema
from qa.index.snapshots import Snapshots
from qa.index.vectors import columns, exact, spool, table, values
from qa.readers.isolation import ReadSource
from qa.readers.registry import read_source
from qa.settings import Settings
from qa.types import Document, FileReport, Source
from tests.conftest import hashing_encoder

FEW = 200
# Bytes, of Python's objects and numpy's arrays, that a document with its one passage may add to the most that is held
# at a time. It is 50 to 100 with so few documents, as caches fill and two batches may or may not be held at once; each
# of what was held for every document or passage took 200 to 500.
A_PASSAGE = 200
WORDS = "nought one two three four five six seven eight nine".split()


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks so small that some hundred documents fill many: a block that is not full yet looks like growth."""
    for module in (arrays, relations, field_writer):
        monkeypatch.setattr(module, "BLOCK", 32)
    # The interpreter's table of interned texts, to which paths add their parts, grows by megabytes at a time.
    monkeypatch.setattr(sys, "intern", str)
    monkeypatch.setattr(found, "_BLOCK", 32)
    monkeypatch.setattr(values, "_HELD", 32)
    monkeypatch.setattr(arrays, "_PART", 64)
    monkeypatch.setattr(lexical, "_KEYS_AT_ONCE", 64)
    monkeypatch.setattr("qa.build.builder._BATCH", 16)
    for module in (columns, exact, fields, index, spool, table):
        monkeypatch.setattr(module, "_AT_ONCE", 64)


@contextmanager
def most_held() -> Iterator[Callable[[], int]]:
    """Trace what is allocated; gives a function that returns the most bytes that were held since."""
    schema.parse_titles.cache_clear()
    # Garbage is looked for when there is a quarter more than what stays: what the test runner has must not count.
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def own_memory() -> float:
    """Return what of the memory of this process is its own, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def peaks(place: Path, documents: int) -> dict[str, int]:
    """Build so many small documents, with nothing changed and with some changed, and verify; the most held in each."""
    folder = place / "documents"
    settings = Settings(indexes=place / "indexes", name="memory")
    folder.mkdir(parents=True)
    for number in range(documents):
        below = folder / f"{number // 50}"
        below.mkdir(exist_ok=True)
        # No two are the same, and none has a word of its own: forms of words are kept as well, up to a bound.
        words = " ".join(WORDS[int(digit)] for digit in f"{number}")
        (below / f"{number}.txt").write_text(f"The file {words} speaks of {words}.\n", encoding="utf-8")

    def bring_up_to_date() -> None:
        made = update(settings, [folder], SilentListener(), make=hashing_encoder, read=read_source)
        assert made.counts.documents == made.counts.passages == documents

    def change() -> None:
        for number in range(0, documents, 100):
            (folder / f"{number // 50}" / f"{number}.txt").write_text(f"It was {number}.\n", encoding="utf-8")
        bring_up_to_date()

    steps: dict[str, Callable[[], object]] = {
        "build": bring_up_to_date,
        "same": bring_up_to_date,
        "changed": change,
        "verify": lambda: Snapshots.of(settings).verify(),
    }
    held = {}
    for name, step in steps.items():
        with most_held() as most:
            step()
            held[name] = most()
    return held


def test_four_times_as_many_documents_take_hardly_more_memory(tmp_path: Path) -> None:
    peaks(tmp_path / "first", FEW)  # what is imported and compiled once is not of the documents
    few = peaks(tmp_path / "few", FEW)
    many = peaks(tmp_path / "many", 4 * FEW)
    grown = {name: (many[name] - few[name]) / (3 * FEW) for name in few}
    assert max(grown.values()) < A_PASSAGE, grown


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's C library keeps what was freed")
def test_what_was_needed_for_a_moment_is_given_back(tmp_path: Path) -> None:
    """A server brings its index up to date again and again, beside answering."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("Apples are red.\n", encoding="utf-8")
    kept: list[bytes] = []

    def read_at_great_cost(source: Source) -> tuple[Document | None, FileReport]:
        needed = [bytes(1000) for _ in range(60_000)]
        # What lies above it in memory is still used, so that the library cannot give it back by itself.
        kept.append(bytes(1000))
        del needed
        return read_source(source)

    def bring_up_to_date(name: str, read: ReadSource) -> float:
        settings = Settings(indexes=tmp_path / "indexes", name=name)
        update(settings, [tmp_path / "documents"], SilentListener(), make=hashing_encoder, read=read)
        return own_memory()

    before = bring_up_to_date("first", read_source)
    assert bring_up_to_date("second", read_at_great_cost) - before < 20
