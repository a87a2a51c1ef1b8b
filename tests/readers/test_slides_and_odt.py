from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from qa.readers.odt import OdtReader
from qa.readers.pptx import PptxReader
from qa.readers.registry import read_document
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
    return read_document(OdtReader(), _write(folder, samples.zipped({"content.xml": content})))


def test_slides_are_pages_also_where_they_are_blank(tmp_path: Path) -> None:
    document = read_document(PptxReader(), _write(tmp_path, samples.pptx()))
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
    assert read_document(PptxReader(), _write(tmp_path, buffer.getvalue())).text == "first\n\nsecond\n\nthird\n\na | b"


def test_notes_of_a_text_document_stand_at_its_end(tmp_path: Path) -> None:
    text = read_document(OdtReader(), _write(tmp_path, samples.odt())).text
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


def _table(*rows: str) -> str:
    return f"<table:table>{''.join(f'<table:table-row>{row}</table:table-row>' for row in rows)}</table:table>"


def _cell(content: str) -> str:
    return f"<table:table-cell>{content}</table:table-cell>"


def test_a_table_in_a_table_is_written_once(tmp_path: Path) -> None:
    inner = _table(_cell("<text:p>inner one</text:p>") + _cell("<text:p>two</text:p>"))
    outer = _table(_cell(f"<text:p>outer</text:p>{inner}") + _cell("<text:p>right</text:p>"))
    assert _odt(tmp_path, outer).text == "outer\n\ninner one | two\n\nright"


def test_a_note_and_a_remark_in_a_cell_are_not_part_of_its_text(tmp_path: Path) -> None:
    note = "<text:note><text:note-body><text:p>So they say.</text:p></text:note-body></text:note>"
    remark = "<office:annotation><text:p>Really?</text:p></office:annotation>"
    document = _odt(tmp_path, _table(_cell(f"<text:p>eggs{note}{remark}</text:p>") + _cell("<text:p>4</text:p>")))
    assert document.text == "eggs[1] | 4\n\n[1] So they say."


def test_a_text_box_in_a_cell_is_part_of_its_text(tmp_path: Path) -> None:
    box = "<draw:frame><draw:text-box><text:p>box</text:p></draw:text-box></draw:frame>"
    document = _odt(tmp_path, _table(_cell(f"<text:p>a{box}</text:p><text:p>b</text:p>") + _cell("<text:p>c</text:p>")))
    assert document.text == "a; box; b | c"


def _slides(*boxes: tuple[str, float, float, float]) -> Any:
    """Return a presentation of one slide with boxes: text, left, top and height in inches."""
    import pptx
    from pptx.util import Inches

    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    for text, left, top, height in boxes:
        slide.shapes.add_textbox(Inches(left), Inches(top), Inches(1), Inches(height)).text_frame.text = text
    return presentation


def _read_slides(folder: Path, presentation: Any) -> Document:
    buffer = io.BytesIO()
    presentation.save(buffer)
    return read_document(PptxReader(), _write(folder, buffer.getvalue()))


def test_a_box_a_hair_higher_than_the_one_at_its_left_comes_after_it(tmp_path: Path) -> None:
    rows = [("Crew", 1, 1.0, 0.4), ("five", 3, 0.98, 0.4), ("Draught", 1, 1.5, 0.4), ("3 metres", 3, 1.499, 0.4)]
    assert _read_slides(tmp_path, _slides(*rows)).text == "Crew\n\nfive\n\nDraught\n\n3 metres"


def test_rows_beside_a_tall_box_stay_rows(tmp_path: Path) -> None:
    boxes = [("tall", 1, 1, 4), ("a", 3, 1.3, 0.4), ("b", 5, 1.31, 0.4), ("c", 3, 2, 0.4), ("d", 5, 2, 0.4)]
    assert _read_slides(tmp_path, _slides(*boxes)).text == "tall\n\na\n\nb\n\nc\n\nd"


def test_a_hidden_slide_is_an_empty_page_and_reported(tmp_path: Path) -> None:
    presentation = _slides(("shown", 1, 1, 1))
    presentation.slides[0]._element.set("show", "0")
    document = _read_slides(tmp_path, presentation)
    assert (document.text, len(document.pages)) == ("", 1)
    assert document.problems == ("slide 1 is hidden and left out",)


def test_text_of_a_slide_that_is_struck_out_is_not_read(tmp_path: Path) -> None:
    presentation = _slides(("It costs ", 1, 1, 1))
    paragraph = presentation.slides[0].shapes[0].text_frame.paragraphs[0]
    run = paragraph.add_run()
    run.text = "50"
    run.font._element.set("strike", "sngStrike")
    paragraph.add_run().text = "40"
    assert _read_slides(tmp_path, presentation).text == "It costs 40"


def test_merged_cells_of_a_slide_repeat(tmp_path: Path) -> None:
    from pptx.util import Inches

    presentation = _slides()
    table = presentation.slides[0].shapes.add_table(3, 2, *[Inches(1)] * 4).table
    for at, text in enumerate(("Depot", "Driver", "North", "Ann", "", "Tom")):
        table.cell(at // 2, at % 2).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    assert _read_slides(tmp_path, presentation).text.endswith("North | Tom")


def test_a_presentation_without_a_part_it_refers_to_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    _slides(("words", 1, 1, 1)).save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "thumbnail" not in name}
    assert read_document(PptxReader(), _write(tmp_path, samples.zipped(members))).text == "words"


def test_text_of_a_text_document_that_is_struck_out_or_hidden_is_not_read(tmp_path: Path) -> None:
    names = "text office style fo".split()
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    styles = "".join(
        f'<style:style style:name="{name}"><style:text-properties {properties}/></style:style>'
        for name, properties in (
            ("T1", 'style:text-line-through-style="solid"'),
            ("T2", 'text:display="none"'),
            ("T3", 'style:text-line-through-style="none"'),
        )
    )
    spans = "".join(f'<text:span text:style-name="T{n}">{n} </text:span>' for n in (1, 2, 3))
    content = (
        f"<office:document-content {spaces}><office:automatic-styles>{styles}</office:automatic-styles><office:body>"
        f"<office:text><text:p>a {spans}b</text:p></office:text></office:body></office:document-content>"
    )
    source = _write(tmp_path, samples.zipped({"content.xml": content}))
    assert read_document(OdtReader(), source).text == "a 3 b"
