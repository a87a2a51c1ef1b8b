"""What files say of themselves: the same names in every format, dates that sort, and bounds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from qa.readers.metadata import LONGEST_VALUE, bounded, describe, iso_date, keep_metadata
from qa.readers.registry import read_source
from qa.types import Document, Property, Source
from tests.support.pdfs import lines, pdf
from tests.support.reader_samples import SAMPLES, zipped


def _read(folder: Path, name: str, data: bytes) -> Document:
    (folder / name).write_bytes(data)
    document, report = read_source(Source(name, folder / name, len(data)))
    assert document is not None, report
    return document


def _whole(document: Document) -> dict[str, str]:
    return {each.name: each.value for each in document.metadata if each.end - each.start == len(document.text)}


@pytest.mark.parametrize(
    ("given", "iso"),
    [
        ("Mon, 6 May 2024 10:00:00 +0200", "2024-05-06T08:00:00Z"),
        ("2024-05-06T10:00:00Z", "2024-05-06T10:00:00Z"),
        ("2024-05-06T10:00:00.5+02:00", "2024-05-06T08:00:00Z"),
        ("2024-05-06 10:00:00", "2024-05-06T10:00:00"),
        ("2024-05-06", "2024-05-06"),
        ("2024", "2024"),
        ("D:20240506100000+02'00'", "2024-05-06T08:00:00Z"),
        ("D:20240506100000", "2024-05-06T10:00:00"),
        ("D:202405", "2024-05"),
        ("D:20249999999999", ""),
        ("yesterday", ""),
        ("", ""),
        ("9" * 10_000, ""),
    ],
)
def test_dates_of_every_format_sort_as_text(given: str, iso: str) -> None:
    assert iso_date(given) == iso


def test_names_of_every_format_are_the_same_few() -> None:
    pairs = [
        ("Creator", "Ann; Bob"),
        ("keywords", "rope, oar"),
        ("date", "2024-05-06"),
        ("generator", "x"),
        ("a", None),
    ]
    assert bounded(describe(pairs)) == (
        ("author", "Ann"), ("author", "Bob"), ("keyword", "rope"), ("keyword", "oar"), ("created", "2024-05-06")
    )  # fmt: skip


def test_no_file_can_exceed_the_bounds() -> None:
    kept = bounded((("author", "x" * 10**6), ("author", " a\nb\u202e "), *(("keyword", str(n)) for n in range(10**4))))
    assert kept[0] == ("author", "x" * LONGEST_VALUE)
    assert kept[1] == ("author", "a b")
    assert len(kept) == 22


def test_parts_end_where_the_next_begins() -> None:
    parts = keep_metadata([(0, (("author", "Ann"),)), (0, (("sheet", "A"),)), (4, (("sheet", "B"),))], 9)
    assert parts == (Property("author", "Ann", 0, 9), Property("sheet", "A", 0, 4), Property("sheet", "B", 4, 9))


def _office(document: Any) -> bytes:
    properties = document.core_properties
    properties.author, properties.keywords = "Ann; Bob", "rope, oar"
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_the_properties_of_word_documents_and_presentations_are_kept(tmp_path: Path) -> None:
    import docx
    import pptx

    word = docx.Document()
    word.add_paragraph("Ropes are spliced.")
    slides = pptx.Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "Ropes"
    for name, document in (("a.docx", word), ("a.pptx", slides)):
        kept = {(each.name, each.value) for each in _read(tmp_path, name, _office(document)).metadata}
        assert {("author", "Ann"), ("author", "Bob"), ("keyword", "rope"), ("keyword", "oar")} <= kept


def test_a_workbook_says_which_sheet_a_text_is_of(tmp_path: Path) -> None:
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.active.append(("Rope", 9))
    workbook.create_sheet("Oars").append(("Oar", 4))
    workbook.properties.creator = "Ann"
    buffer = io.BytesIO()
    workbook.save(buffer)
    document = _read(tmp_path, "a.xlsx", buffer.getvalue())
    sheets = {each.value: document.text[each.start : each.end] for each in document.metadata if each.name == "sheet"}
    assert sheets.keys() == {"Sheet", "Oars"}
    assert "Oar | 4" in sheets["Oars"]
    assert "Oar | 4" not in sheets["Sheet"]
    assert _whole(document)["author"] == "Ann"


def test_a_book_says_its_language_and_author(tmp_path: Path) -> None:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>T</dc:title><dc:creator>Ann</dc:creator><dc:language>de-AT</dc:language></metadata><manifest>"
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
        "</package>"
    )
    container = '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
    data = zipped(
        {"META-INF/container.xml": container, "p.opf": package, "a.xhtml": "<html><body><p>x</p></body></html>"}
    )
    document = _read(tmp_path, "a.epub", data)
    assert _whole(document) == {"author": "Ann"}
    assert document.language == "de"


def test_an_opendocument_text_says_who_wrote_it_first_and_when_it_was_changed(tmp_path: Path) -> None:
    content = (
        '<o:document-content xmlns:o="urn:o" xmlns:t="urn:t"><o:body><o:text><t:p>Ropes.</t:p></o:text></o:body>'
        "</o:document-content>"
    )
    meta = (
        '<o:document-meta xmlns:o="urn:o" xmlns:m="urn:m" xmlns:dc="urn:dc"><o:meta><m:initial-creator>Ann'
        "</m:initial-creator><dc:creator>Bob</dc:creator><m:creation-date>2024-05-06T10:00:00</m:creation-date>"
        "<dc:date>2024-06-07</dc:date></o:meta></o:document-meta>"
    )
    kind = "application/vnd.oasis.opendocument.text"
    document = _read(tmp_path, "a.odt", zipped({"mimetype": kind, "content.xml": content, "meta.xml": meta}))
    assert _whole(document) == {"author": "Ann", "created": "2024-05-06T10:00:00", "modified": "2024-06-07"}


def test_the_head_of_a_page_says_who_wrote_it_and_in_which_language(tmp_path: Path) -> None:
    head = (
        "<html lang='de-AT'><head><meta name=author content='Ann &amp; Bob'>"
        '<meta content="rope, oar" name="keywords">'
        "<META property=article:published_time content=2024-05-06T10:00:00+02:00><meta name=generator content=x>"
        "<meta charset=utf-8></head><body><p>Kurz.</p>"
    )
    document = _read(tmp_path, "a.html", head.encode())
    kept = [(each.name, each.value) for each in document.metadata]
    assert kept == [
        ("author", "Ann & Bob"), ("keyword", "rope"), ("keyword", "oar"), ("created", "2024-05-06T08:00:00Z")
    ]  # fmt: skip
    assert document.language == "de"


def test_a_pdf_says_who_wrote_it_and_when(tmp_path: Path) -> None:
    title = b"/Title (" + b"x" * 99 + b")"
    said = b"/Author (Ann) /Creator (Writer) /CreationDate (D:20240506100000+02'00')"
    data = pdf(lines("Ropes are spliced."), title="x" * 99).replace(title, said.ljust(len(title)))
    assert _whole(_read(tmp_path, "a.pdf", data)) == {"author": "Ann", "created": "2024-05-06T08:00:00Z"}


@pytest.mark.parametrize("name", SAMPLES)
def test_metadata_lies_within_the_text_of_every_format(tmp_path: Path, name: str) -> None:
    document = _read(tmp_path, name, SAMPLES[name]())
    assert all(0 <= each.start < each.end <= len(document.text) for each in document.metadata)
