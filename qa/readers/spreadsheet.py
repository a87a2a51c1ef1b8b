"""Sheets of old Excel workbooks (.xls) and of OpenDocument spreadsheets (.ods), read by calamine."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content
from qa.readers.number_formats import general, shown
from qa.readers.sheets import Row, TableWriter

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_BROKEN = "it is a damaged spreadsheet, or protected by a password; open it and save it as .xlsx"
_LONGEST_REPEATED = 100
_MOST_MERGED = 20_000

_Value = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


class SpreadsheetReader:
    """A reader of ``.xls`` and ``.ods``: the values of cells, whose formats calamine does not give."""

    name = "spreadsheet"
    version = "1"
    media_type = "application/vnd.ms-excel"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

        composition = Composition()
        problems = []
        try:
            workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
            for sheet in workbook.sheets_metadata:
                if sheet.typ != SheetTypeEnum.WorkSheet:
                    continue
                if sheet.visible != SheetVisibleEnum.Visible:
                    problems.append(f"the sheet {sheet.name} is hidden and left out")
                    continue
                _write_sheet(workbook.get_sheet_by_name(sheet.name), composition)
        except (CalamineError, OSError, ValueError) as error:
            raise UnreadableDocument(_BROKEN) from error
        return composition.content([], problems, titled_by_heading=False)


def _write_sheet(sheet: CalamineSheet, composition: Composition) -> None:
    tables = TableWriter(composition)
    is_titled = False
    for block in _blocks(sheet):
        if not is_titled:
            composition.heading(sheet.name, 1)
            is_titled = True
        tables.write(block)


def _blocks(sheet: CalamineSheet) -> Iterator[Sequence[Row]]:
    """Yield the rows between blank rows, with what merged cells say in each."""
    texts = [[_text(value) for value in row] for row in sheet.iter_rows()]
    top, left = sheet.start or (0, 0)
    for (first, column), (last, _) in (sheet.merged_cell_ranges or [])[:_MOST_MERGED]:
        at = column - left
        for row in range(first + 1 - top, min(last - top, first - top + _MOST_MERGED) + 1):
            above = texts[first - top] if 0 <= first - top < len(texts) else []
            if 0 <= row < len(texts) and 0 <= at < len(above) and len(above[at]) <= _LONGEST_REPEATED:
                texts[row][at] = texts[row][at] or above[at]
    block: list[Row] = []
    for cells in texts:
        shown_row = Row({at: text for at, text in enumerate(cells) if text.strip()})
        if shown_row.cells:
            block.append(shown_row)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _text(value: _Value) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return general(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
    if isinstance(value, datetime.time | datetime.timedelta):
        return shown(value, "h:mm")
    return value.isoformat() if isinstance(value, datetime.date) else value
