"""Sheets of an Excel workbook as sections, with rows as lines."""

from __future__ import annotations

import datetime
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive
from qa.readers.composition import Composition, Content
from qa.readers.number_formats import shown
from qa.readers.tables import format_rows, is_probably_named

if TYPE_CHECKING:
    from openpyxl import Workbook

_BROKEN = "it is a damaged Excel workbook; open it and save it anew"
# As many as a sheet can have; rows that claim to stand further down would be filled up to with blank ones.
_MOST_ROWS = 1_048_576
_MIDNIGHT = datetime.time()


class XlsxReader:
    """A reader of ``.xlsx``: what cells show, with formulas as the values that were last computed.

    A blank row ends a table; in each, rows are lines, "name: value | name: value" where its first row names columns.
    """

    name = "xlsx"
    version = "2"
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        Archive(data).refuse_entities()
        composition = Composition()
        workbook = _open(data)
        problems = []
        try:
            for sheet in workbook.worksheets:
                if not _write_sheet(sheet, composition):
                    problems.append(f"the sheet {sheet.title} is damaged and read in part")
            title = workbook.properties.title or ""
        finally:
            workbook.close()
        return composition.content([title], problems, titled_by_heading=False)


def _open(data: bytes) -> Workbook:
    import openpyxl

    try:
        with warnings.catch_warnings():
            # Of what it does not support and does not need: conditional formats, extensions.
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # it raises whatever it stumbles over
        raise UnreadableDocument(_BROKEN) from error


def _write_sheet(sheet: Any, composition: Composition) -> bool:
    """Write a sheet under its name unless it is empty, and return whether it could be read to its end."""
    is_named = False
    tables = _tables(sheet)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = next(tables, None)
        except Exception:  # likewise
            return False
        if table is None:
            return True
        if not is_named:
            composition.heading(sheet.title, 1)
            is_named = True
        for line in format_rows(table, headings=None if is_probably_named(table) else 0):
            composition.line(line, "table")
        composition.gap()


def _tables(sheet: Any) -> Iterator[list[list[str]]]:
    """Yield the rows between blank rows, without blank columns."""
    # What a sheet says of its size is often wrong, and would cut it off.
    sheet.reset_dimensions()
    table: list[list[str]] = []
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number > _MOST_ROWS:
            raise ValueError("rows beyond the last that there can be")
        cells = [_shown(cell) for cell in row]
        if any(cells):
            table.append(cells)
        elif table:
            yield _trimmed(table)
            table = []
    if table:
        yield _trimmed(table)


def _trimmed(table: Sequence[Sequence[str]]) -> list[list[str]]:
    """Remove the columns that are blank in every row."""
    width = max(len(row) for row in table)
    used = [any(column < len(row) and row[column] for row in table) for column in range(width)]
    return [[cell for cell, is_used in zip(row, used, strict=False) if is_used] for row in table]


def _shown(cell: Any) -> str:
    """Return what a cell shows."""
    value = cell.value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == _MIDNIGHT else value.isoformat(" ", "seconds")
    if isinstance(value, int | float | datetime.time | datetime.timedelta):
        return shown(value, cell.number_format or "")
    return "" if value is None else str(value)
