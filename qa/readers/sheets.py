"""Sheets of cells: CSV and TSV, and old Excel workbooks (.xls, read by calamine).

Among the rows of a sheet it is found where each table begins and ends, and which row names its columns.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content
from qa.readers.decoding import decode
from qa.readers.number_formats import general, shown
from qa.readers.tables import format_rows, is_probably_named

if TYPE_CHECKING:
    from python_calamine import CalamineSheet


@dataclass(slots=True)
class Row:
    """A row: its texts by column from 0, how many are bold, and the comments; ``is_struck`` if any is struck out.

    ``groups`` counts the cells that are wider than one column; their text is in each of these.
    """

    cells: dict[int, str] = field(default_factory=dict)
    bold: int = 0
    comments: list[str] = field(default_factory=list)
    is_struck: bool = False
    groups: int = 0


class TableWriter:
    """A writer of the tables of one sheet, which knows the names of the columns of the one before."""

    def __init__(self, composition: Composition) -> None:
        self._composition = composition
        self._header: list[str] = []
        self._was_bold = False

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows between two blank ones: a table, or several side by side."""
        for table in _side_by_side(rows):
            self._header, self._was_bold = _write_table(table, self._composition, self._header, was_bold=self._was_bold)


def write_sheet(name: str, blocks: Iterable[Sequence[Row]], composition: Composition) -> None:
    """Write the tables of a sheet under its name, unless it is empty; ``blocks`` are the rows between blank ones."""
    tables = TableWriter(composition)
    is_titled = False
    for block in blocks:
        if not is_titled:
            composition.part((("sheet", name),))
            composition.heading(name, 1)
            is_titled = True
        tables.write(block)


def name_hidden(rows: int, columns: int) -> list[str]:
    """Say how many rows and columns of a sheet were left out because they are hidden, where any were."""
    counts = (("hidden row", rows), ("hidden column", columns))
    return [f"{count:,} {noun}{'s' * (count > 1)}" for noun, count in counts if count]


def _write_table(
    rows: Sequence[Row], composition: Composition, header: list[str], *, was_bold: bool
) -> tuple[list[str], bool]:
    """Write the rows of one table; return the row that names its columns, if one does, and whether that is bold.

    Args:
        header: the row that names the columns of the table above, which this one may go on with after a blank row.
        was_bold: whether that row is bold.
    """
    columns = sorted({column for row in rows for column in row.cells})
    table = [[row.cells.get(column, "") for column in columns] for row in rows]
    is_bold = rows[0].bold * 2 > len(rows[0].cells)
    goes_on = len(header) == len(columns) > 1 and _goes_on(table, header, is_bold=is_bold, was_bold=was_bold)
    named = [header, *table] if goes_on else table
    first_row = next((at for at, row in enumerate(named) if sum(map(bool, row)) > 1), 0)
    # Wide cells in the row of names are names of groups of columns: the row below them has the rest of the names.
    is_grouped = not goes_on and len(rows) > first_row + 2 and rows[first_row].groups > 0
    titles = [" ".join(filter(None, row)) for row in named[: first_row if is_grouped else 0]]
    for title in titles:
        composition.line(title, "table")
    headings = 2 if is_grouped else None if goes_on or is_probably_named(table) else 0
    lines = format_rows(named[len(titles) :], headings=headings)
    if goes_on:
        next(lines)
    comments = [comment for row in rows for comment in row.comments]
    for line in lines:
        composition.line(line, "table")
    for comment in comments:
        composition.line(comment, "table")
    composition.gap()
    first = next((row for row in named if sum(map(bool, row)) > 1), [])
    return (header, was_bold) if goes_on else (first, is_bold)


def _goes_on(table: Sequence[Sequence[str]], header: Sequence[str], *, is_bold: bool, was_bold: bool) -> bool:
    """Return whether a table goes on with the columns of the one above it, rather than having names of its own."""
    first, rest = table[0], table[1:]
    if is_bold != was_bold or list(first) == list(header) or sum(map(bool, first)) < 2:
        return was_bold and not is_bold and sum(map(bool, first)) > 1
    return not any(
        any(character.isdigit() for row in rest for character in row[at][:1])
        and not any(character.isdigit() for character in first[at])
        for at in range(len(first))
    )


def _side_by_side(rows: Sequence[Row]) -> list[list[Row]]:
    """Divide rows into the tables that stand beside one another, a blank column between them, each with its names."""
    columns = sorted({column for row in rows for column in row.cells})
    groups: list[list[int]] = []
    used = set(rows[0].cells)
    for column in columns:
        if groups and column == groups[-1][-1] + 1:
            groups[-1].append(column)
        else:
            groups.append([column])
    if len(groups) < 2 or any(len(group) < 2 or len(rows) < 2 or not used.issuperset(group) for group in groups):
        return [list(rows)]
    return [
        [
            Row(
                {at: text for at, text in row.cells.items() if group[0] <= at <= group[-1]},
                row.bold,
                row.comments if first else [],
            )
            for row in rows
            if not row.cells.keys().isdisjoint(group)
        ]
        for first, group in ((group is groups[0], group) for group in groups)
    ]


_BROKEN = "it is a damaged spreadsheet, or protected by a password; open it and save it as .xlsx"
_LONGEST_REPEATED = 100
_MOST_MERGED = 20_000

_Value = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


class SpreadsheetReader:
    """A reader of ``.xls``: the values of cells, whose formats calamine does not give.

    Hidden rows and columns are read, for it does not give these either.

    Args:
        hidden: whether hidden sheets are read, too.
    """

    name = "spreadsheet"
    version = "2"
    media_type = "application/vnd.ms-excel"

    def __init__(self, *, hidden: bool = False) -> None:
        self._reads_hidden = hidden

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
                if sheet.visible != SheetVisibleEnum.Visible and not self._reads_hidden:
                    problems.append(f"the sheet {sheet.name} is hidden and left out")
                    continue
                write_sheet(sheet.name, _blocks(workbook.get_sheet_by_name(sheet.name)), composition)
        except (CalamineError, OSError, ValueError) as error:
            raise UnreadableDocument(_BROKEN) from error
        return composition.content([], problems, titled_by_heading=False)


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


_SAMPLE = 65_536
_SAMPLE_LINES = 50
# What Excel writes, and reads, before the first row.
_DECLARED = re.compile(r"sep=([^\w\s\"]|\t)\n", re.IGNORECASE)
_DELIMITERS = ",;\t|"
# A quotation mark that is never closed makes one field of the rest of the file.
_LONGEST_FIELD = 10_000_000


class DelimitedReader:
    """A reader of ``text/csv``; commas, semicolons, tabs or bars separate the values.

    A row is a line, "name: value | name: value" if the first row names the columns.
    """

    name = "delimited"
    version = "2"
    media_type = "text/csv"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        try:
            for line in format_rows(_rows(decoded.text)):
                composition.line(line, "table")
        except csv.Error as error:
            raise UnreadableDocument(f"it is not comma-separated values ({error}); save it again") from error
        return composition.content([], decoded.problems, titled_by_heading=False)


def _rows(text: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    declared = _DECLARED.match(text)
    delimiter = declared[1] if declared else _delimiter(text[:_SAMPLE])
    # Without newline="" a field could not hold a newline.
    file = io.StringIO(text, newline="")
    file.seek(declared.end() if declared else 0)
    return csv.reader(file, delimiter=delimiter, skipinitialspace=True)


def _delimiter(sample: str) -> str:
    """Return the delimiter that divides the most of the first lines into equally many values, and into most values.

    ``csv.Sniffer`` takes letters for delimiters.
    """
    lines = sample.splitlines()
    if len(lines) > 1:
        lines = lines[:-1]
    lines = lines[:_SAMPLE_LINES]

    def fitness(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
        common = max(set(widths), key=widths.count, default=1)
        return (widths.count(common) / len(widths), common) if common > 1 else (0.0, 0)

    return max(_DELIMITERS, key=fitness)
