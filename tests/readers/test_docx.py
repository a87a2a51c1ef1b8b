from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

from qa.errors import UnreadableDocument
from qa.readers.archive import parse_xml
from qa.readers.docx.document import DocxReader
from qa.readers.docx.styles import Numbering
from qa.readers.registry import read_document
from qa.types import Document, Source
from tests.support import reader_samples as samples

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def _read(folder: Path, body: str) -> Document:
    """Read a document with ``body`` in place of its own."""
    with zipfile.ZipFile(io.BytesIO(samples.docx())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = members["word/document.xml"].decode()
    start = re.search(r"<w:body>", document)
    assert start is not None
    members["word/document.xml"] = f"{document[: start.end()]}{body}</w:body></w:document>".encode()
    path = folder / "a.docx"
    path.write_bytes(samples.zipped(members))
    return read_document(DocxReader(), Source("docs/a.docx", path, path.stat().st_size))


def _p(runs: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>"


def _r(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (_p(_r("a") + _r("b")), "ab"),
        (_p(f"<w:ins>{_r('in')}</w:ins><w:del><w:r><w:delText>out</w:delText></w:r></w:del>"), "in"),
        (_p(f"<w:hyperlink>{_r('link')}</w:hyperlink>"), "link"),
        (_p(_r("a") + _r("no", "<w:vanish/>") + _r("b", '<w:vanish w:val="0"/>')), "ab"),
        (_p(_r("10") + _r("3", '<w:vertAlign w:val="superscript"/>')), "10³"),
        (_p("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>"), "a b\nc"),
        (_p("<w:r><w:instrText>PAGE</w:instrText></w:r>" + _r("7")), "7"),
        (f"<w:sdt><w:sdtContent>{_p(_r('control'))}</w:sdtContent></w:sdt>", "control"),
        (_p(_r("one"), '<w:pStyle w:val="ListBullet"/>') * 2, "• one\n• one"),
        (_p(_r("one"), '<w:pStyle w:val="ListNumber"/>') * 2, "1. one\n2. one"),
        (
            "<w:tbl>" + f"<w:tr><w:tc>{_p(_r('a')) + _p(_r('b'))}</w:tc><w:tc>{_p(_r('c'))}</w:tc></w:tr>" + "</w:tbl>",
            "a; b | c",
        ),
        (f"<w:tbl><w:tr><w:tc>{_p(_r('a')) + _p(_r('b'))}</w:tc></w:tr></w:tbl>", "a\n\nb"),
        (
            f'<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{_p(_r("a"))}</w:tc><w:tc>{_p(_r("b"))}</w:tc>'
            f"</w:tr><w:tr>{''.join(f'<w:tc>{_p(_r(x))}</w:tc>' for x in 'cde')}</w:tr></w:tbl>",
            "a | | b\nc | d | e",
        ),
        (
            f'<w:tbl><w:tr><w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr>{_p(_r("a"))}</w:tc><w:tc>{_p(_r("b"))}'
            f"</w:tc></w:tr><w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr>{_p('')}</w:tc><w:tc>{_p(_r('c'))}</w:tc></w:tr>"
            "</w:tbl>",
            "a | b\na | c",
        ),
        (
            _p(_r("a") + f"<w:r><w:pict><w:txbxContent>{_p(_r('box'))}</w:txbxContent></w:pict></w:r>" + _r("b")),
            "ab\n\nbox",
        ),
        (
            "<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj></w:sdtPr>"
            f"<w:sdtContent>{_p(_r('a … 1'))}</w:sdtContent></w:sdt>" + _p(_r("b")),
            "b",
        ),
    ],
)
def test_the_body_reads_as_word_shows_it(tmp_path: Path, body: str, text: str) -> None:
    assert _read(tmp_path, body).text == text


def test_headings_by_style_and_by_outline_level(tmp_path: Path) -> None:
    body = (
        _p(_r("T"), '<w:pStyle w:val="Title"/>')
        + _p(_r("A"), '<w:pStyle w:val="Heading2"/>')
        + _p(_r("B"), '<w:outlineLvl w:val="2"/>')
        + _p(_r("words"), '<w:pStyle w:val="Heading1"/><w:outlineLvl w:val="9"/>')
    )
    document = _read(tmp_path, body)
    assert [(section.title, section.level) for section in document.sections] == [("T", 1), ("A", 2), ("B", 3)]
    assert document.title == "T"


def test_footnotes_stand_at_the_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(samples.docx())) as archive:
        members = {name: archive.read(name).decode("utf-8", "surrogateescape") for name in archive.namelist()}
    notes = (
        f'<w:footnotes {_W}><w:footnote w:type="separator" w:id="-1">{_p(_r("line"))}</w:footnote>'
        f'<w:footnote w:id="2">{_p(_r("So they say."))}</w:footnote></w:footnotes>'
    )
    relation = '<Relationship Id="rId99" Type="http://x/relationships/footnotes" Target="footnotes.xml"/>'
    rels = "word/_rels/document.xml.rels"
    members["word/footnotes.xml"] = notes
    members[rels] = members[rels].replace("</Relationships>", f"{relation}</Relationships>")
    members["word/document.xml"] = re.sub(
        r"(<w:t>The heron.*?</w:r>)", r'\1<w:r><w:footnoteReference w:id="2"/></w:r>', members["word/document.xml"]
    )
    path = tmp_path / "a.docx"
    path.write_bytes(samples.zipped({n: c.encode("utf-8", "surrogateescape") for n, c in members.items()}))
    text = read_document(DocxReader(), Source("a.docx", path, 1)).text
    assert f"{samples.SENTENCES[0]}[1]" in text
    assert text.endswith("\n\n[1] So they say.")
    assert "line" not in text


def test_numbers_are_counted_as_word_counts_them() -> None:
    from lxml import etree

    levels = (
        '<w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl>'
    )
    root = etree.fromstring(
        f'<w:numbering {_W}><w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
    )
    numbering = Numbering(root)
    assert [numbering.label("1", level) for level in (0, 1, 1, 0, 1)] == ["III.", "III.a)", "III.b)", "IV.", "IV.a)"]
    assert numbering.label("2", 0) == ""


def test_a_part_that_declares_entities_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(samples.docx())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["word/document.xml"] = b'<!DOCTYPE x [<!ENTITY a "b">]>' + members["word/document.xml"]
    path = tmp_path / "a.docx"
    path.write_bytes(samples.zipped(members))
    with pytest.raises(UnreadableDocument, match="declares entities"):
        read_document(DocxReader(), Source("a.docx", path, 1))


def test_tables_in_tables_have_an_end(tmp_path: Path) -> None:
    deep = _p(_r("deep"))
    for _ in range(60):
        deep = f"<w:tbl><w:tr><w:tc>{deep}</w:tc></w:tr></w:tbl>"
    assert _read(tmp_path, _p(_r("a")) + deep).text == "a\n\ndeep"


@pytest.mark.parametrize("level", ["9", "12", "-1", "99999999999", "x"])
def test_numbering_that_overrides_a_level_that_no_list_has(level: str) -> None:
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    numbering = Numbering(
        parse_xml(
            f'<w:numbering xmlns:w="{word}"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/>'
            '<w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl></w:abstractNum><w:num w:numId="1">'
            f'<w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="{level}"><w:startOverride w:val="4"/></w:lvlOverride>'
            "</w:num></w:numbering>".encode()
        )
    )
    assert [numbering.label("1", 0) for _ in range(2)] == ["1.", "2."]


def test_a_text_box_in_a_cell_is_read_once(tmp_path: Path) -> None:
    content = f"<w:txbxContent>{_p(_r('box'))}</w:txbxContent>"
    box = (
        f'<w:r><mc:AlternateContent xmlns:mc="urn:mc"><mc:Choice>{content}</mc:Choice>'
        f"<mc:Fallback><w:pict>{content}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    row = f"<w:tr><w:tc>{_p(_r('a') + box)}{_p(_r('b'))}</w:tc><w:tc>{_p(_r('c'))}</w:tc></w:tr>"
    assert _read(tmp_path, f"<w:tbl>{row}</w:tbl>").text == "a; box; b | c"


def test_a_heading_of_a_million_characters_is_running_text(tmp_path: Path) -> None:
    body = _p(_r("words " * 200_000), '<w:pStyle w:val="Heading1"/>') + _p(_r("after"))
    document = _read(tmp_path, body)
    assert document.sections == ()
    assert document.text.endswith("words\n\nafter")
    assert len(document.title) <= 200
