"""Small documents of every format, all with the same content, made when a test needs them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage

SENTENCES = (
    "The heron waits in the reeds.",
    "Café naïve: 你好, мир.",
    "Otters sleep while holding hands.",
)
CELLS = ("Bird", "Eggs", "Heron", "4")


def text() -> bytes:
    return "\n\n".join(SENTENCES).encode()


def markdown() -> bytes:
    return f"# River\n\n{SENTENCES[0]}\n\n## Banks\n\n{SENTENCES[1]}\n\n- {SENTENCES[2]}\n".encode()


def html() -> bytes:
    return (
        f"<!DOCTYPE html><title>River</title><nav>Home</nav><h1>River</h1><p>{SENTENCES[0]}</p>"
        f"<h2>Banks</h2><ul><li>{SENTENCES[1]}</ul><p>{SENTENCES[2]}</p>"
        "<table><tr><th>Bird<th>Eggs<tr><td>Heron<td>4</table>"
    ).encode()


def docx() -> bytes:
    import docx as word

    document = word.Document()
    document.add_heading("River", 1)
    document.add_paragraph(SENTENCES[0])
    document.add_heading("Banks", 2)
    document.add_paragraph(SENTENCES[1], style="List Bullet")
    document.add_paragraph(SENTENCES[2])
    table = document.add_table(2, 2)
    for cell, value in zip((cell for row in table.rows for cell in row.cells), CELLS, strict=True):
        cell.text = value
    return _saved(document)


def pptx() -> bytes:
    import pptx as slides

    presentation = slides.Presentation()
    for title, body in (("River", SENTENCES[0]), ("Banks", SENTENCES[1])):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    slide.notes_slide.notes_text_frame.text = SENTENCES[2]
    presentation.slides.add_slide(presentation.slide_layouts[6])
    return _saved(presentation)


def xlsx() -> bytes:
    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "River"
    for row in (("Note", "Number"), (SENTENCES[0], 1), (SENTENCES[1], 2.5), (SENTENCES[2], 3)):
        sheet.append(row)
    return _saved(workbook)


def csv() -> bytes:
    return "\n".join(("Note;Number", *(f'"{sentence}";{n}' for n, sentence in enumerate(SENTENCES)))).encode()


def odt() -> bytes:
    names = "text table office".split()
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    content = (
        f"<office:document-content {spaces}><office:body><office:text>"
        f'<text:h text:outline-level="1">River</text:h><text:p>{SENTENCES[0]}</text:p>'
        f"<text:list><text:list-item><text:p>{SENTENCES[1]}</text:p></text:list-item></text:list>"
        f'<text:h text:outline-level="2">Banks</text:h><text:p>Otters<text:s text:c="3"/>sleep while holding hands.'
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation>'
        "<text:note-body><text:p>So they say.</text:p></text:note-body></text:note></text:p>"
        "</office:text></office:body></office:document-content>"
    )
    return zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})


def epub() -> bytes:
    container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    package = (
        '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>The River</dc:title></metadata>'
        '<manifest><item id="b" href="b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="a%20a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    head = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OPS/book.opf": package,
            "OPS/b.xhtml": f'{head}<h1>Banks</h1><p><a id="x"/>{SENTENCES[2]}</p></body></html>',
            "OPS/a a.xhtml": f"{head}<h1>River</h1><p>{SENTENCES[0]}</p><p>{SENTENCES[1]}</p></body></html>",
        }
    )


def pdf() -> bytes:
    """Write one plain page with the first sentence."""
    stream = f"BT /F1 12 Tf 72 720 Td ({SENTENCES[0]}) Tj ET".encode()
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    body = b"%PDF-1.4\n"
    offsets = []
    for number, value in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, value)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


def ods(*, hidden: bool = False, table: str = "") -> bytes:
    """Return a spreadsheet of the sentences; ``table`` is XML that stands in place of its columns and rows."""
    names = "text table office style".split()
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in (("Note", "Number"), *((sentence, str(n)) for n, sentence in enumerate(SENTENCES)))
    )
    content = (
        f'<office:document-content {spaces} office:version="1.2"><office:automatic-styles>'
        '<style:style style:name="ta1" style:family="table">'
        f'<style:table-properties table:display="{"false" if hidden else "true"}"/></style:style>'
        "</office:automatic-styles><office:body><office:spreadsheet>"
        f'<table:table table:name="River" table:style-name="ta1">{table or rows}</table:table></office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    return zipped({"mimetype": kind, "content.xml": content, "META-INF/manifest.xml": manifest})


def rtf() -> bytes:
    escaped = "".join(
        character if character.isascii() else f"\\u{ord(character)}?" for character in "\\par ".join(SENTENCES)
    )
    return f"{{\\rtf1\\ansi {escaped}\\par}}".encode()


def mail() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <a@x.org>", "b@x.org", "River"
    message.set_content("\n\n".join(SENTENCES))
    return message.as_bytes()


def notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# River\n", SENTENCES[0]]},
        {"cell_type": "code", "source": f"print({SENTENCES[1]!r})", "outputs": [{"text": [SENTENCES[2]]}]},
    ]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def records() -> bytes:
    return "\n".join(json.dumps({"note": sentence, "number": n}) for n, sentence in enumerate(SENTENCES)).encode()


def subtitles() -> bytes:
    return "\n\n".join(
        f"{n}\n00:0{n}:01,000 --> 00:0{n}:02,000\n{sentence}" for n, sentence in enumerate(SENTENCES)
    ).encode()


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            stored = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, compress_type=stored)
    return buffer.getvalue()


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


SAMPLES: Mapping[str, Callable[[], bytes]] = {
    "a.txt": text,
    "a.md": markdown,
    "a.html": html,
    "a.docx": docx,
    "a.pptx": pptx,
    "a.xlsx": xlsx,
    "a.csv": csv,
    "a.odt": odt,
    "a.epub": epub,
    "a.pdf": pdf,
    "a.ods": ods,
    "a.rtf": rtf,
    "a.eml": mail,
    "a.ipynb": notebook,
    "a.jsonl": records,
    "a.srt": subtitles,
}
