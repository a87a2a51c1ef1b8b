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


_CHECKED = "<w:ffData><w:checkBox><w:default w:val='0'/>{}</w:checkBox></w:ffData>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (_p(_r("a ") + _r("b", "<w:strike/>") + _r("c", "<w:dstrike w:val='1'/>") + _r("d")), "a d"),
        (_p("<w:r><w:sym w:font='Wingdings' w:char='F0FE'/></w:r>" + _r(" yes")), "☑ yes"),
        (_p("<w:r><w:sym w:font='Symbol' w:char='F06D'/><w:sym w:font='Odd' w:char='zz'/></w:r>" + _r("m")), "μm"),
        (_p(f"<w:r><w:fldChar>{_CHECKED.format('<w:checked/>')}</w:fldChar></w:r>" + _r(" yes")), "☒ yes"),
        (_p(f"<w:r><w:fldChar>{_CHECKED.format('')}</w:fldChar></w:r>" + _r(" yes")), "☐ yes"),
        (
            _p(
                "<w:r><w:fldChar><w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='Red'/>"
                "<w:listEntry w:val='Blue'/></w:ddList></w:ffData></w:fldChar></w:r>"
            ),
            "Blue",
        ),
        (
            _p("<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>" + _r("Choose.") + "</w:sdtContent></w:sdt>")
            + _p(_r("b")),
            "b",
        ),
        (_p(_r("N"), "<w:framePr w:dropCap='drop'/>") + _p(_r("avigation lights")), "Navigation lights"),
        (
            "<w:tbl>"
            + f"<w:tr>{''.join(f'<w:tc>{_p(_r(x))}</w:tc>' for x in ('Post', 'Summer', 'Winter'))}</w:tr>"
            + "<w:tr><w:trPr><w:gridBefore w:val='1'/></w:trPr>"
            + f"{''.join(f'<w:tc>{_p(_r(x))}</w:tc>' for x in ('7 am', '9 am'))}</w:tr></w:tbl>",
            "Post | Summer | Winter\nSummer: 7 am | Winter: 9 am",
        ),
        (
            "<w:tbl><w:tr><w:trPr><w:tblHeader/></w:trPr>"
            + f"{''.join(f'<w:tc>{_p(_r(x))}</w:tc>' for x in ('A', 'B', 'C'))}</w:tr>"
            + f"<w:tr>{''.join(f'<w:tc>{_p(_r(x))}</w:tc>' for x in ('x', 'y', 'z'))}</w:tr></w:tbl>",
            "A | B | C\nA: x | B: y | C: z",
        ),
    ],
)
def test_forms_frames_and_tables_read_as_word_shows_them(tmp_path: Path, body: str, text: str) -> None:
    assert _read(tmp_path, body).text == text


_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _with_parts(folder: Path, body: str, parts: dict[str, tuple[str, bytes]]) -> Document:
    """Read a document with ``body`` and with parts: the id and kind of each relation, by the name of the part."""
    relations = "".join(
        f'<Relationship Id="{kind}" Type="{_RELATIONS}/{kind}" Target="{name}"/>' for name, (kind, _) in parts.items()
    )
    members: dict[str, str | bytes] = {
        "_rels/.rels": f'<Relationships><Relationship Id="r" Type="{_RELATIONS}/officeDocument" Target="word/a.xml"/>'
        f'<Relationship Id="t" Type="{_RELATIONS}/thumbnail" Target="missing.jpeg"/></Relationships>',
        "word/_rels/a.xml.rels": f"<Relationships>{relations}</Relationships>",
        "word/a.xml": f'<w:document {_W} xmlns:r="{_RELATIONS}"><w:body>{body}</w:body></w:document>',
    }
    path = folder / "a.docx"
    written = {f"word/{name}": data for name, (_, data) in parts.items() if data}
    path.write_bytes(samples.zipped({**members, **written}))
    return read_document(DocxReader(), Source("a.docx", path, 1))


_CHART = (
    b"<c:chartSpace xmlns:c='urn:c' xmlns:a='urn:a'><c:chart><c:title><a:t>Landings</a:t></c:title><c:ser><c:tx>"
    b"<c:v>2023</c:v></c:tx><c:cat><c:pt idx='0'><c:v>May</c:v></c:pt><c:pt idx='1'><c:v>June</c:v></c:pt></c:cat>"
    b"<c:val><c:pt idx='0'><c:v>4.0</c:v></c:pt><c:pt idx='1'><c:v>0.30000000000000004</c:v></c:pt></c:val></c:ser>"
    b"</c:chart></c:chartSpace>"
)
_MHT = (
    b'MIME-Version: 1.0\nContent-Type: multipart/related; boundary="x"\n\n--x\nContent-Type: text/html\n'
    b"Content-Transfer-Encoding: quoted-printable\n\n<p>The slipway =\nis closed.</p>\n--x--\n"
)


@pytest.mark.parametrize(
    ("body", "kind", "data", "text"),
    [
        ("<w:altChunk r:id='aFChunk'/>", "aFChunk", b"<p>The slipway<p>is closed.", "The slipway\n\nis closed."),
        ("<w:altChunk r:id='aFChunk'/>", "aFChunk", b"The slipway\nis closed.", "The slipway\nis closed."),
        ("<w:altChunk r:id='aFChunk'/>", "aFChunk", _MHT, "The slipway is closed."),
        (
            _p("<w:r><c:chart xmlns:c='urn:c' r:id='chart'/></w:r>"),
            "chart",
            _CHART,
            "Landings\n\n2023\nMay | 2023: 4\nJune | 2023: 0.3",
        ),
        (
            _p("<w:r><d:relIds xmlns:d='urn:d' r:dm='diagram'/></w:r>"),
            "diagram",
            b"<d xmlns:a='urn:a'><a:p><a:t>Night </a:t><a:t>watch</a:t></a:p><a:p><a:t>Day</a:t></a:p></d>",
            "• Night watch\n• Day",
        ),
        (
            _p(_r("The mast is 14 metres.")),
            "comments",
            f"<w:comments {_W}><w:comment>{_p(_r('13.6 metres'))}</w:comment></w:comments>".encode(),
            "The mast is 14 metres.\n\nComment: 13.6 metres",
        ),
        (
            _p(_r("a")),
            "header",
            f"<w:hdr {_W}>{_p(_r('Contract 7 of May'))}</w:hdr>".encode(),
            "Contract 7 of May\n\na",
        ),
        (_p(_r("a")), "footer", f"<w:ftr {_W}>{_p(_r('Page 2 of 3'))}</w:ftr>".encode(), "a"),
        (_p(_r("a")), "styles", b"", "a"),
        (_p(_r("a")) + "<w:altChunk r:id='gone'/>", "styles", b"<broken", "a"),
    ],
)
def test_parts_stand_where_they_are_referred_to(tmp_path: Path, body: str, kind: str, data: bytes, text: str) -> None:
    assert _with_parts(tmp_path, body, {"part": (kind, data)}).text == text


def test_a_word_document_within_a_word_document_has_an_end(tmp_path: Path) -> None:
    document = _with_parts(tmp_path, _p(_r("inner")), {})
    for level in range(6):
        data = (tmp_path / "a.docx").read_bytes()
        document = _with_parts(
            tmp_path, _p(_r(f"level {level}")) + "<w:altChunk r:id='aFChunk'/>", {"b": ("aFChunk", data)}
        )
    assert document.text == "level 5\n\nlevel 4\n\nlevel 3\n\nlevel 2"


def test_a_strict_document_is_read(tmp_path: Path) -> None:
    strict = "http://purl.oclc.org/ooxml/officeDocument/relationships"
    path = tmp_path / "a.docx"
    path.write_bytes(
        samples.zipped(
            {
                "_rels/.rels": f"<Relationships><Relationship Id='r' Type='{strict}/officeDocument' "
                "Target='/word/d.xml'/></Relationships>",
                "word/d.xml": "<w:document xmlns:w='http://purl.oclc.org/ooxml/wordprocessingml/main'><w:body>"
                f"{_p(_r('Half tide.'))}</w:body></w:document>",
            }
        )
    )
    assert read_document(DocxReader(), Source("a.docx", path, 1)).text == "Half tide."


def test_text_in_a_style_that_hides_it_is_not_read(tmp_path: Path) -> None:
    styles = (
        f"<w:styles {_W}><w:style w:type='character' w:styleId='Old'><w:rPr><w:strike/></w:rPr></w:style>"
        "<w:style w:type='character' w:styleId='New'><w:rPr><w:strike w:val='0'/></w:rPr></w:style></w:styles>"
    )
    body = _p(_r("a") + _r("b", "<w:rStyle w:val='Old'/>") + _r("c", "<w:rStyle w:val='New'/>"))
    assert _with_parts(tmp_path, body, {"styles.xml": ("styles", styles.encode())}).text == "ac"
