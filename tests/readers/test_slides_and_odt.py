from __future__ import annotations

import io
from pathlib import Path

from qa.readers.odt import OdtReader
from qa.readers.pptx import PptxReader
from qa.types import Document, Source
from tests.support import reader_samples as samples


def _write(folder: Path, data: bytes) -> Source:
    path = folder / "a"
    path.write_bytes(data)
    return Source("a", path, len(data))


def _odt(folder: Path, body: str) -> Document:
    names = "text table office draw".split()
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    content = (
        f"<office:document {spaces}><office:body><office:text>{body}</office:text></office:body></office:document>"
    )
    return OdtReader().read(_write(folder, samples.zipped({"content.xml": content})))


def test_slides_are_pages_also_where_they_are_blank(tmp_path: Path) -> None:
    document = PptxReader().read(_write(tmp_path, samples.pptx()))
    assert [document.text[page.start : page.end].partition("\n")[0] for page in document.pages] == [
        "River",
        "Banks",
        "",
    ]
    assert document.text[document.pages[1].start : document.pages[1].end].endswith(samples.SENTENCES[2])


def test_shapes_are_read_from_top_to_bottom(tmp_path: Path) -> None:
    import pptx
    from pptx.util import Inches

    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    for text, left, top in (("third", 1, 5), ("second", 5, 1), ("first", 1, 1)):
        slide.shapes.add_textbox(Inches(left), Inches(top), Inches(1), Inches(1)).text_frame.text = text
    table = slide.shapes.add_table(1, 2, Inches(1), Inches(6), Inches(2), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    buffer = io.BytesIO()
    presentation.save(buffer)
    assert PptxReader().read(_write(tmp_path, buffer.getvalue())).text == "first\n\nsecond\n\nthird\n\na | b"


def test_notes_of_a_text_document_stand_at_its_end(tmp_path: Path) -> None:
    text = OdtReader().read(_write(tmp_path, samples.odt())).text
    assert f"{samples.SENTENCES[2]}[1]" in text
    assert text.endswith("\n\n[1] So they say.")


def test_lists_tables_and_boxes_of_a_text_document(tmp_path: Path) -> None:
    item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>"
    inner = f"<text:list>{item.format('b', '')}</text:list>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    document = _odt(
        tmp_path,
        f"<text:list>{item.format('a', inner)}{item.format('c', '')}</text:list>"
        f"<table:table><table:table-row>{cell.format('d')}{cell.format('e')}</table:table-row></table:table>"
        "<text:p>f<draw:frame><draw:text-box><text:p>g</text:p></draw:text-box></draw:frame>h</text:p>"
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>",
    )
    assert document.text == "• a\n  • b\n• c\n\nd | e\n\nfh\n\ng"


def test_repeated_cells_have_an_end(tmp_path: Path) -> None:
    cell = '<table:table-cell table:number-columns-repeated="1000000"><text:p>x</text:p></table:table-cell>'
    document = _odt(tmp_path, f"<table:table><table:table-row>{cell}</table:table-row></table:table>")
    assert document.text.count("x") == 1_000
