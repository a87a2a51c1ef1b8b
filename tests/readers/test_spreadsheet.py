from __future__ import annotations

from pathlib import Path

from qa.readers.registry import read_source
from qa.readers.sheets import SpreadsheetReader
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
    assert SENTENCES[0] in SpreadsheetReader(hidden=True).read(ods(hidden=True)).text


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
