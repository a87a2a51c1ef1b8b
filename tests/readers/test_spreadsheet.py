from __future__ import annotations

from pathlib import Path

from qa.readers.ods import OdsReader
from qa.readers.registry import read_source
from qa.types import Document, FileReport, Source
from tests.support.reader_samples import SENTENCES, ods, zipped
from tests.support.texts import shared


def _read(folder: Path, name: str, data: bytes | str) -> tuple[Document | None, FileReport]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_source(Source(name, path, path.stat().st_size))


def _text(folder: Path, name: str, data: bytes | str) -> str:
    document, report = _read(folder, name, data)
    assert document is not None, report
    return document.text


def test_an_old_workbook_reads_as_a_new_one() -> None:
    path = shared("microsoft+markitdown", "packages", "markitdown", "tests", "test_files", "test.xls")
    document, report = read_source(Source("test.xls", path, path.stat().st_size))
    assert document is not None, report
    assert document.sections
    assert ": " in document.text


def test_rows_of_an_opendocument_spreadsheet_name_their_columns(tmp_path: Path) -> None:
    assert _text(tmp_path, "a.ods", ods()).split("\n")[2:4] == ["Note | Number", f"Note: {SENTENCES[0]} | Number: 0"]


def test_a_hidden_sheet_is_read_only_where_that_is_asked_for(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.ods", ods(hidden=True))
    assert (document, report.reason) == (None, "no text; the sheet River is hidden and left out")
    assert SENTENCES[0] in OdsReader(hidden=True).read(ods(hidden=True)).text


def _row(*cells: str, attributes: str = "") -> str:
    """Return the XML of a row; a cell that is no XML is a text."""
    return f"<table:table-row {attributes}>{''.join(c if c[:1] == '<' else _cell(c) for c in cells)}</table:table-row>"


def _cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


_COVERED = "<table:covered-table-cell/>"
_NAMES = _row("Item", "Price", "Since")


def test_a_cell_says_what_it_shows_and_its_value_where_it_shows_nothing(tmp_path: Path) -> None:
    price = _cell("$1,250.00", 'office:value-type="currency" office:value="1250"')
    since = '<table:table-cell office:value-type="date" office:date-value="2024-05-06"/>'
    code = _cell("00<text:s text:c='2'/>21", 'office:value-type="float" office:value="21"')
    text = _text(tmp_path, "a.ods", ods(table=_NAMES + _row("Rope", price, since) + _row(code, "5 %", "2 May")))
    assert text == "River\n\nItem | Price | Since\nItem: Rope | Price: $1,250.00 | Since: 2024-05-06\n" + (
        "Item: 00 21 | Price: 5 % | Since: 2 May"
    )


def test_hidden_rows_and_columns_are_read_only_where_that_is_asked_for(tmp_path: Path) -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/><table:table-column/>'
    hidden = _row("Oar", "8", "2021", attributes='table:visibility="filter"')
    data = ods(table=columns + _NAMES + _row("Rope", "9", "2020") + hidden + _row("Mast", "7", "2022"))
    document, report = _read(tmp_path, "a.ods", data)
    assert document is not None
    assert document.text == "River\n\nItem | Since\nItem: Rope | Since: 2020\nItem: Mast | Since: 2022"
    assert report.reason == "1 hidden row of the sheet River; 1 hidden column of the sheet River"
    assert "Item: Oar | Price: 8 | Since: 2021" in OdsReader(hidden=True).read(data).text


def test_merged_cells_repeat_and_comments_stand_below_their_row(tmp_path: Path) -> None:
    deep, said = (
        _cell("Rope", 'table:number-rows-spanned="2"'),
        "<office:annotation><text:p>ask Ann</text:p></office:annotation>",
    )
    noted = f"<table:table-cell>{said}<text:p>9</text:p></table:table-cell>"
    rows = _NAMES + _row(deep, noted, "2020") + _row(_COVERED, "8", "2021")
    assert _text(tmp_path, "a.ods", ods(table=rows)).split("\n")[3:] == [
        "Item: Rope | Price: 9 | Since: 2020",
        "Item: Rope | Price: 8 | Since: 2021",
        "Comment on Rope: ask Ann",
    ]


def test_a_blank_row_ends_a_table_and_empty_rows_without_end_cost_nothing(tmp_path: Path) -> None:
    empty = '<table:table-cell table:number-columns-repeated="16384"/>'
    blank = f'<table:table-row table:number-rows-repeated="1048000">{empty}</table:table-row>'
    twice = _row("Crew", "7", attributes='table:number-rows-repeated="2"')
    table = f"{_NAMES}{_row('Rope', '9', '2020')}{blank}<table:table-row-group>{twice}</table:table-row-group>"
    assert _text(tmp_path, "a.ods", ods(table=table)).split("\n")[3:] == [
        "Item: Rope | Price: 9 | Since: 2020",
        "",
        "Crew | 7",
        "Crew | 7",
    ]


def test_cells_repeated_without_end_are_bounded(tmp_path: Path) -> None:
    wide = _cell("word", 'table:number-columns-repeated="9999999"')
    data = ods(table=_row(wide, attributes='table:number-rows-repeated="9999999"') * 5)
    document, report = _read(tmp_path, "a.ods", data)
    assert document is not None
    assert "what follows the first 2,000,000 cells of the sheet River" in report.reason


def test_a_damaged_spreadsheet_is_refused(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.ods", zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}))
    assert document is None
    assert "damaged spreadsheet" in report.reason


def test_rich_text_is_paragraphs_and_rows(tmp_path: Path) -> None:
    row = "\\trowd {}\\cell {}\\cell {}\\cell\\row "
    table = "".join(row.format(*cells) for cells in (("Item", "Net", "Gross"), ("Rope", "9", "11"), ("Oar", "4", "5")))
    text = _text(tmp_path, "a.rtf", "{\\rtf1\\ansi Caf\\'e9 \\b bold\\b0 .\\par " + table + "\\pard End.\\par}")
    assert text.startswith("Café bold.")
    assert "Item: Rope | Net: 9 | Gross: 11" in text
    assert text.endswith("End.")
