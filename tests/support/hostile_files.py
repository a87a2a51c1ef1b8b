"""Files made to harm a program that reads them: small on the disk, and each bad in one way."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

SECRET = "a secret that lies beside the documents"
# Beyond what tests let a reader have, and made by the megabyte.
_BOMB_MEGABYTES = 600
_DEEP = 100_000

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_LAUGHTER = f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>'
_DOCX = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>',
    "</w:t></w:r></w:p></w:body></w:document>",
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_MAIN_PARTS = {"docx": "word/document.xml", "xlsx": "xl/worksheets/sheet1.xml", "epub": "text.xhtml"}


def archives() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield the names of archives and what writes each: members that unpack to far too much, or are far too many."""
    for kind in _MAIN_PARTS:
        yield f"bomb.{kind}", partial(_bomb, kind)
        yield f"nested.{kind}", partial(_nested, kind)
        yield f"members.{kind}", partial(_many_members, kind)


def _package(archive: zipfile.ZipFile, kind: str, main: str) -> None:
    """Write the parts without which a reader would not look at the main one."""
    if kind == "epub":
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr(
            "META-INF/container.xml",
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
            'full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        archive.writestr(
            "c.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest><item id="t" '
            f'href="{main}" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="t"/></spine>'
            "</package>",
        )
        return
    content = {"docx": "wordprocessingml.document.main", "xlsx": "spreadsheetml.sheet.main"}[kind]
    first = "xl/workbook.xml" if kind == "xlsx" else main
    archive.writestr(
        "[Content_Types].xml",
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/{first}" '
        f'ContentType="application/vnd.openxmlformats-officedocument.{content}+xml"/></Types>',
    )
    archive.writestr("_rels/.rels", _relationship(_OFFICE, first))
    if kind == "xlsx":
        archive.writestr(
            first,
            '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.'
            'openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="s" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>",
        )
        sheet = _OFFICE.replace("officeDocument", "worksheet").replace("worksheet", "officeDocument", 1)
        archive.writestr("xl/_rels/workbook.xml.rels", _relationship(sheet, "worksheets/sheet1.xml"))


def _relationship(kind: str, target: str) -> str:
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{kind}" Target="{target}"/></Relationships>'
    )


def _around(kind: str) -> tuple[str, str]:
    if kind == "docx":
        return _DOCX
    if kind == "xlsx":
        start = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row>'
        return f'{start}<c t="str"><v>', "</v></c></row></sheetData></worksheet>"
    return '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>', "</p></body></html>"


def _bomb(kind: str, path: Path) -> None:
    main = _MAIN_PARTS[kind]
    start, end = _around(kind)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _package(archive, kind, main)
        with archive.open(main, "w", force_zip64=True) as member:
            member.write(start.encode())
            block = b"a " * 500_000
            for _ in range(_BOMB_MEGABYTES):
                member.write(block)
            member.write(end.encode())


def _nested(kind: str, path: Path) -> None:
    """Nest ten archives in each of five, down to one of zeros, which attacks unpackers that recurse."""
    inner = bytes(10_000_000)
    for _ in range(5):
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(10):
                archive.writestr(f"{number}.zip", inner)
        inner = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _package(archive, kind, _MAIN_PARTS[kind])
        archive.writestr(_MAIN_PARTS[kind], "".join(_around(kind)))
        archive.writestr("media/inner.zip", inner)


def _many_members(kind: str, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        _package(archive, kind, _MAIN_PARTS[kind])
        for number in range(50_000):
            archive.writestr(f"m/{number}.xml", "")
        archive.writestr(_MAIN_PARTS[kind], "words".join(_around(kind)))


def entities(secret: Path) -> Mapping[str, bytes]:
    """Yield files in which entities grow without end, or stand for another file."""
    outer = f'<!DOCTYPE x [<!ENTITY l9 SYSTEM "{secret.as_uri()}">]>'
    files: dict[str, bytes] = {}
    for name, declared in (("laughs", _LAUGHTER), ("external", outer)):
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            _package(archive, "docx", _MAIN_PARTS["docx"])
            archive.writestr(_MAIN_PARTS["docx"], declared + "&l9;".join(_DOCX))
        files[f"{name}.docx"] = buffer.getvalue()
        files[f"{name}.xml"] = f"{declared}<x>&l9;</x>".encode()
        files[f"{name}.svg"] = f'{declared}<svg xmlns="http://www.w3.org/2000/svg"><text>&l9;</text></svg>'.encode()
        files[f"{name}.html"] = f"{declared}<html><body><p>&l9;</p></body></html>".encode()
    return files


def depths() -> Mapping[str, str]:
    """Yield texts that are nested deeper than any stack."""
    lists = "\n".join("  " * level + "- a" for level in range(1_000))
    return {
        "tags.html": "<div>" * _DEEP + "words" + "</div>" * _DEEP,
        "open tags.html": "<b><i>" * _DEEP,
        "tables.html": "<table><tr><td>" * (_DEEP // 3) + "words",
        "lists.html": "<ul><li>" * (_DEEP // 2) + "words",
        "quotes.md": ">" * _DEEP + " words",
        "brackets.md": "[" * _DEEP,
        "links.md": "# " + "[a](" * (_DEEP // 4),
        "emphasis.md": "*" * _DEEP + "a" + "*" * _DEEP,
        "heading.md": "# " + "*a _" * (_DEEP // 4),
        "fences.md": "`" * _DEEP,
        "items.md": "- " * (_DEEP // 2) + "a",
        "indented.md": lists,
        "setext.md": "a\n" * _DEEP + "=",
        "references.md": "".join(f"[{n}]: <{n}>\n" for n in range(20_000)),
        "html blocks.md": "<!-- \n\n" * (_DEEP // 4),
        "front matter.md": "---\n" + "a:\n" * _DEEP,
    }


def pdfs() -> Mapping[str, bytes]:
    """Yield PDF files whose objects claim too much, or refer to themselves."""
    text = _stream(b"BT /F1 12 Tf 72 700 Td (words) Tj ET")
    font = b"<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources " + font + b">>"
    catalog = b"<</Type/Catalog/Pages 2 0 R>>"
    form = _stream(b"/X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>")
    user = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R/Resources<</XObject<</X 4 0 R>>>>>>"
    kids = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    outline = b"<</Type/Catalog/Pages 2 0 R/Outlines 5 0 R>>"
    item = b"<</Title(a)/Parent 5 0 R/First 6 0 R/Last 6 0 R/Next 6 0 R/Prev 6 0 R/Dest[3 0 R/Fit]>>"
    return {
        "million.pdf": _pdf([catalog, b"<</Type/Pages/Kids[3 0 R]/Count 1000000>>", page, text]),
        "tree.pdf": _pdf([catalog, b"<</Type/Pages/Kids[2 0 R 3 0 R 2 0 R]/Count 1000>>", page, text]),
        "form.pdf": _pdf([catalog, kids, user, form, _stream(b"/X Do")]),
        "outline.pdf": _pdf([outline, kids, page, text, b"<</Type/Outlines/First 6 0 R/Count 1>>", item]),
        "deep array.pdf": _pdf([catalog, kids, b"[" * _DEEP + b"]" * _DEEP, text]),
        "cut.pdf": _pdf([catalog, kids, page, text])[:200],
        "xref.pdf": b"%PDF-1.4\nxref\n0 1\ntrailer<</Size 1/Prev 9/Root 1 0 R>>\nstartxref\n9\n%%EOF",
    }


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)


def _pdf(objects: Sequence[bytes]) -> bytes:
    """Write a file of these objects, numbered from 1; the first is the catalog."""
    data = b"%PDF-1.7\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
