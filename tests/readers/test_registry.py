from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from qa.readers.composition import Content
from qa.readers.registry import ReadingOptions, read_source, reader_versions, readers_by_name
from qa.readers.text import TextReader
from qa.types import FileReport, Source
from tests.conftest import REPOSITORY


def _source(folder: Path, name: str, data: bytes) -> Source:
    path = folder / name
    path.write_bytes(data)
    return Source(f"docs/{name}", path, len(data))


def _status(report: FileReport) -> tuple[str, str]:
    return report.status, report.reason


def test_a_file_that_is_read_whole(tmp_path: Path) -> None:
    source = _source(tmp_path, "a.txt", "naïve\r\n".encode())
    document, report = read_source(source)
    assert document is not None
    assert (document.id, document.text, document.media_type) == ("docs/a.txt", "naïve\n", "text/plain")
    assert document.source_sha256 == hashlib.sha256(source.path.read_bytes()).hexdigest()
    assert report == FileReport("docs/a.txt", "read", size=8, characters=6, seconds=report.seconds)
    assert 0 < report.seconds < 5


@pytest.mark.parametrize(("name", "reader"), [("a.txt", "text"), ("README", "text"), ("a.md", "markdown")])
def test_the_reader_is_named_with_its_version(tmp_path: Path, name: str, reader: str) -> None:
    document, _ = read_source(_source(tmp_path, name, b"Words."))
    assert document is not None
    assert document.reader == f"{reader}/{reader_versions()[reader]}"


def test_what_the_content_says_comes_before_the_name(tmp_path: Path) -> None:
    document, report = read_source(_source(tmp_path, "a.pdf", b"<!DOCTYPE html><title>T</title><p>Words."))
    assert document is not None
    assert (document.text, document.title, _status(report)) == ("Words.", "T", ("read", ""))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("questions.jsonl", b'{"question": "Why?", "answers": []}', "a question file, not a document"),
        ("a.PNG", b"\x89PNG\r\n\x1a\n\0", "a PNG image; OCR is off (QA_OCR)"),
        ("a.xyz", b"Words.", "no reader for .xyz files"),
    ],
)
def test_a_kind_that_nobody_reads_is_skipped(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    document, report = read_source(_source(tmp_path, name, data))
    assert document is None
    assert _status(report) == ("skipped", reason)


def test_a_protected_file_fails(tmp_path: Path) -> None:
    ole2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    _, report = read_source(_source(tmp_path, "a.docx", ole2))
    assert _status(report) == ("failed", "it is protected by a password; save it without one")


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_a_file_without_text_is_skipped(tmp_path: Path, data: bytes) -> None:
    document, report = read_source(_source(tmp_path, "a.txt", data))
    assert document is None
    assert _status(report) == ("skipped", "no text")


def test_what_is_not_text_fails_with_what_to_do(tmp_path: Path) -> None:
    document, report = read_source(_source(tmp_path, "a.txt", b"\0\1\2"))
    assert document is None
    reason = "it looks binary, not like text; remove it or give it its right suffix"
    assert report == FileReport("docs/a.txt", "failed", reason, size=3, seconds=report.seconds)


def test_a_damaged_file_is_read_in_part(tmp_path: Path) -> None:
    document, report = read_source(_source(tmp_path, "a.txt", ("Ещё немного слов. " * 9).encode() + b"\xff"))
    assert document is not None
    assert _status(report) == ("partial", document.problems[0])


def test_a_file_that_is_gone_fails(tmp_path: Path) -> None:
    source = _source(tmp_path, "a.txt", b"Words.")
    source.path.unlink()
    document, report = read_source(source)
    assert document is None
    assert _status(report) == ("failed", "no such file or directory")


def test_a_bug_in_a_reader_loses_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(TextReader):
        def read(self, data: bytes) -> Content:
            raise IndexError(f"no page\nin {len(data)} bytes")

    monkeypatch.setitem(readers_by_name(ReadingOptions(), None), "text", Broken())
    document, report = read_source(_source(tmp_path, "a.txt", b"Words."))
    assert document is None
    assert _status(report) == ("failed", "IndexError: no page")


def test_to_read_a_text_nothing_is_imported_that_other_formats_need(tmp_path: Path) -> None:
    source = _source(tmp_path, "a.txt", b"Words.")
    code = (
        "import sys\n"
        "import qa.readers.worker\n"
        "from pathlib import Path\n"
        "from qa.readers.registry import read_source\n"
        "from qa.types import Source\n"
        f"print(read_source(Source('a.txt', Path({str(source.path)!r}), 6))[1].status)\n"
        "formats = {f'qa.readers.{name}' for name in ('pdf.document', 'html.page', 'docx.document', 'sheets')}\n"
        "print({'numpy', 'lxml', *formats} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "read\nset()\n"


def test_every_reader_has_the_name_by_which_it_is_found() -> None:
    readers = readers_by_name(ReadingOptions())
    assert [readers[name].name for name in readers.names] == [*readers.names]
