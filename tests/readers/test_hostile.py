"""Hostile and broken files: each is bounded in time and memory and reported, and the file beside it is read.

Whether a file is read, skipped or failed is its reader's affair, and tested there.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from qa.readers.composition import LONGEST_HEADING
from qa.readers.discovery import discover
from qa.readers.isolation import IsolatedReader, ReadingLimits
from qa.types import Document, FileReport, Source
from tests.support import hostile_files
from tests.support.texts import a_name_of_any_bytes
from tests.support.waiting import AT_MOST

pytestmark = pytest.mark.slow

LIMITS = ReadingLimits(seconds=60, memory_bytes=1_000_000_000, max_characters=10_000_000)
# The limit and, against hanging alone, what a busy machine needs to start a process besides.
_PATIENCE = LIMITS.seconds + AT_MOST


@pytest.fixture(scope="module")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader(LIMITS) as reader:
        yield reader


def _read(reader: IsolatedReader, folder: Path) -> tuple[Document | None, FileReport]:
    """Read a hostile file, and the good one put beside it, as a run would."""
    (folder / "zz good.txt").write_text("Good words.")
    results = {}
    for found in discover([folder]):
        started = time.monotonic()
        results[found.id] = reader.read(found) if isinstance(found, Source) else (None, found)
        assert time.monotonic() - started < _PATIENCE
    good, report = results.pop("zz good.txt")
    assert good is not None
    assert (good.text, report.status) == ("Good words.", "read")
    [(document, report)] = results.values()
    _check_report(document, report)
    return document, report


def _check_report(document: Document | None, report: FileReport) -> None:
    assert (document is not None) == (report.status in {"read", "partial"})
    assert bool(report.reason) == (report.status != "read")
    assert len(report.reason.splitlines()) <= 1
    assert len(report.reason) < 500
    if document is not None:
        assert len(document.text) <= LIMITS.max_characters
        spans = [(span.start, span.end) for span in document.sections] + [
            (page.start, page.end) for page in document.pages
        ]
        assert all(0 <= start <= end <= len(document.text) for start, end in spans)


@pytest.mark.parametrize(("name", "write"), [pytest.param(*given, id=given[0]) for given in hostile_files.archives()])
def test_archives_that_unpack_without_end(
    tmp_path: Path, reader: IsolatedReader, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 20_000_000
    document, _ = _read(reader, tmp_path)
    assert document is None or not name.startswith("bomb")


def _names(files: Iterable[str]) -> list[str]:
    return sorted(files)


@pytest.mark.parametrize("name", _names(hostile_files.entities(Path("/secret"))))
def test_entities(tmp_path: Path, reader: IsolatedReader, name: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(hostile_files.SECRET)
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / name).write_bytes(hostile_files.entities(secret)[name])
    document, _ = _read(reader, folder)
    assert document is None or hostile_files.SECRET not in document.text
    assert document is None or len(document.text) < 100_000


@pytest.mark.parametrize("name", _names(hostile_files.depths()))
def test_nesting(tmp_path: Path, reader: IsolatedReader, name: str) -> None:
    (tmp_path / name).write_text(hostile_files.depths()[name])
    _read(reader, tmp_path)


@pytest.mark.parametrize("name", _names(hostile_files.pdfs()))
def test_pdfs(tmp_path: Path, reader: IsolatedReader, name: str) -> None:
    (tmp_path / name).write_bytes(hostile_files.pdfs()[name])
    document, _ = _read(reader, tmp_path)
    assert document is None or len(document.pages) < 10_000


@pytest.mark.parametrize(
    "suffix",
    "txt md html pdf docx xlsx epub csv odt pptx xls ods rtf eml mbox ipynb json jsonl srt vtt rst adoc org".split(),
)
@pytest.mark.parametrize(
    "data", [b"", b"a\0b", bytes(100_000), b"PK\3\4", b"%PDF-1.4", b"\xff\xfe", b"<", b"\xef\xbb\xbf"]
)
def test_scraps(tmp_path: Path, reader: IsolatedReader, suffix: str, data: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(data)
    document, _ = _read(reader, tmp_path)
    assert document is None or "\0" not in document.text


@pytest.mark.parametrize("suffix", ["txt", "md"])
def test_one_line_of_a_hundred_megabytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"line.{suffix}"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"many words, " * 83_334)
    with IsolatedReader(ReadingLimits(seconds=AT_MOST)) as reader:
        document, report = reader.read(Source(path.name, path, path.stat().st_size))
    assert document is not None
    # White space at its end is no text of Markdown.
    assert report.characters == len(document.text) >= path.stat().st_size - 1 > 100_000_000


@pytest.mark.parametrize("name", [b"a\nb.txt", b"caf\xe9.txt", b"\x1b[2J.txt", "a\u2028b.txt".encode()])
def test_names_that_no_document_can_have(tmp_path: Path, reader: IsolatedReader, name: bytes) -> None:
    with a_name_of_any_bytes():
        Path(os.fsdecode(tmp_path / os.fsdecode(name))).write_text("Words.")
    document, report = _read(reader, tmp_path)
    assert document is None
    assert (report.status, report.id.isprintable()) == ("skipped", True)
    assert report.reason.endswith("; rename it")


def test_a_folder_named_like_a_file_is_a_folder(tmp_path: Path, reader: IsolatedReader) -> None:
    (tmp_path / "x.pdf").mkdir()
    (tmp_path / "x.pdf" / "a.txt").write_text("Words.")
    document, _ = _read(reader, tmp_path)
    assert document is not None
    assert document.id == "x.pdf/a.txt"


def test_a_folder_that_takes_the_place_of_a_file_fails(tmp_path: Path, reader: IsolatedReader) -> None:
    (tmp_path / "a.txt").mkdir()
    _, report = reader.read(Source("a.txt", tmp_path / "a.txt", 1))
    assert (report.status, report.reason) == ("failed", "is no longer a regular file")


def test_a_file_that_is_replaced_while_it_is_read_is_one_or_the_other(tmp_path: Path, reader: IsolatedReader) -> None:
    versions = [letter * 3_000_000 for letter in "ab"]
    path = tmp_path / "a.txt"
    path.write_text(versions[0])
    done = threading.Event()

    def replace() -> None:
        number = 0
        while not done.is_set():
            number += 1
            (tmp_path / "new").write_text(versions[number % 2])
            (tmp_path / "new").replace(path)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        documents = [reader.read(Source("a.txt", path, 3_000_000))[0] for _ in range(30)]
    finally:
        done.set()
        replacing.join()
    for document in documents:
        assert document is not None
        assert document.text in versions
        assert document.source_sha256 == hashlib.sha256(document.text.encode()).hexdigest()


@pytest.mark.parametrize(("name", "text"), [("a.html", "<h1>{}</h1><p>Words.</p>"), ("a.md", "# {}\n\nWords.\n")])
def test_a_heading_without_end_is_no_path_of_every_passage(
    tmp_path: Path, reader: IsolatedReader, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text.format("endless " * 100_000))
    document, _ = _read(reader, tmp_path)
    assert document is not None
    assert "Words." in document.text
    assert all(len(section.title) <= LONGEST_HEADING for section in document.sections)
    assert len(document.title) <= LONGEST_HEADING
