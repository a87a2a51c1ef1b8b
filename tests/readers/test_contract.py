"""What every reader promises: exact spans of a clean text, the same every time."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from qa.readers.discovery import discover
from qa.readers.registry import read_source, reader_versions
from qa.types import Document, FileReport, Source
from tests.support.reader_samples import SAMPLES, SENTENCES
from tests.support.texts import shared

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TEXT_AS_IT_STANDS = ("text/",)


def _read(folder: Path, name: str) -> Document:
    path = folder / name
    path.write_bytes(SAMPLES[name]())
    document, report = read_source(Source(f"docs/{name}", path, path.stat().st_size))
    assert document is not None, report
    assert (report.status, report.reason) == ("read", "")
    return document


def _check(document: Document) -> None:
    """Spans are within the text, in order, and nested; titles are fit to be shown."""
    length, open_ends = len(document.text), [len(document.text)]
    last_start = 0
    for section in document.sections:
        assert last_start <= section.start <= section.body <= section.end <= length
        while section.start >= open_ends[-1] and len(open_ends) > 1:
            open_ends.pop()
        assert section.end <= open_ends[-1]
        open_ends.append(section.end)
        last_start = section.start
        assert section.title == " ".join(section.title.split()) != ""
        assert section.level >= 1
    last_end = 0
    for number, page in enumerate(document.pages, 1):
        assert page.number == number
        assert last_end <= page.start <= page.end <= length
        last_end = page.end
    assert 0 < len(document.title) <= 500
    assert "\n" not in document.title
    if not document.reader.startswith(_TEXT_AS_IT_STANDS):
        assert not _CONTROL.search(document.text)


@pytest.mark.parametrize("name", SAMPLES)
def test_spans_are_exact_and_nested(tmp_path: Path, name: str) -> None:
    document = _read(tmp_path, name)
    _check(document)
    name_and_version = document.reader.split("/")
    assert reader_versions()[name_and_version[0]] == name_and_version[1]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sentence_is_in_the_text_once(tmp_path: Path, name: str) -> None:
    text = _read(tmp_path, name).text
    sentences = SENTENCES[:1] if name == "a.pdf" else SENTENCES
    assert [text.count(sentence) for sentence in sentences] == [1] * len(sentences)


@pytest.mark.parametrize("name", ["a.md", "a.html", "a.docx", "a.pptx", "a.odt", "a.epub"])
def test_headings_are_sections(tmp_path: Path, name: str) -> None:
    document = _read(tmp_path, name)
    assert [section.title for section in document.sections] == ["River", "Banks"]
    river, banks = document.sections
    assert document.text[river.start : river.body].endswith("River")
    assert SENTENCES[0] in document.text[river.body : banks.start]
    assert SENTENCES[2] in document.text[banks.body : banks.end]


@pytest.mark.parametrize("name", SAMPLES)
def test_reading_twice_gives_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(SAMPLES[name]())
    source = Source(name, path, path.stat().st_size)
    assert read_source(source)[0] == read_source(source)[0]


@pytest.mark.parametrize(
    "name", [name for name in SAMPLES if name not in {"a.txt", "a.md", "a.csv", "a.rtf", "a.eml", "a.srt"}]
)
def test_a_file_cut_off_or_garbled_is_reported_and_never_raises(tmp_path: Path, name: str) -> None:
    data = SAMPLES[name]()
    for at, bad in enumerate((data[: len(data) // 2], data[:64], data[:200] + b"\0\xff" * 200 + data[600:])):
        path = tmp_path / f"{at}{name}"
        path.write_bytes(bad)
        document, report = read_source(Source(path.name, path, len(bad)))
        assert report.reason or document is not None
        assert "Error" not in report.reason


@pytest.mark.slow
def test_every_shared_file_becomes_something_sensible() -> None:
    folder = shared()
    statuses: Counter[tuple[str, str]] = Counter()
    for found in discover([folder]):
        document, report = (None, found) if isinstance(found, FileReport) else read_source(found)
        if document is not None:
            _check(document)
        assert report.reason or report.status == "read"
        assert "Error" not in report.reason
        statuses[Path(report.id).suffix, report.status] += 1
    assert sum(statuses.values()) == sum(path.is_file() for path in folder.rglob("*"))
    for suffix, read in ((".docx", 17), (".xlsx", 10), (".pptx", 7), (".html", 5), (".csv", 4), (".epub", 1)):
        assert statuses[suffix, "read"] == read
