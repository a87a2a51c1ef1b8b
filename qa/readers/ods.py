"""The sheets of an OpenDocument spreadsheet (OASIS OpenDocument 1.3, part 3, 9): what its cells show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local
from qa.readers.composition import Composition, Content
from qa.readers.odt import number_of, read_metadata, text_of, unseen_styles
from qa.readers.sheets import Row, name_hidden, write_sheet

_CONTENT = "content.xml"
_BROKEN = "it is a damaged spreadsheet, or protected by a password; open it and save it without one"
_GROUPS = frozenset({"table-row-group", "table-header-rows", "table-rows", "table-column-group"}) | frozenset(
    {"table-header-columns", "table-columns"}
)
_UNSEEN = frozenset({"collapse", "filter"})
# A row or a cell that says something is rarely repeated, and a sheet ends with a million empty ones.
_MOST_REPEATED = 1_000
_MOST_COLUMNS = 16_384
_MOST_CELLS = 2_000_000
_LONGEST_REPEATED = 100
# Where a cell has a value and no text, as some programs write it.
_VALUES = ("string-value", "date-value", "time-value", "boolean-value", "value")


class OdsReader:
    """A reader of ``application/vnd.oasis.opendocument.spreadsheet``.

    A blank row ends a table; in each, rows are lines, "name: value | name: value" if its first row names the columns.
    A comment on a cell stands below its row.

    Args:
        hidden: whether hidden sheets, rows and columns are read, too.
    """

    name = "ods"
    version = "1"
    media_type = "application/vnd.oasis.opendocument.spreadsheet"

    def __init__(self, *, hidden: bool = False) -> None:
        self._reads_hidden = hidden

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        try:
            archive = Archive(data)
            content = archive.xml(_CONTENT)
        except UnreadableDocument as error:
            raise UnreadableDocument(_BROKEN) from error
        composition = Composition()
        problems: list[str] = []
        unseen = unseen_styles(content)
        hidden_tables = frozenset() if self._reads_hidden else _hidden_tables(content)
        for table in _sheets(content):
            name = attribute(table, "name")
            if attribute(table, "style-name") in hidden_tables:
                problems.append(f"the sheet {name} is hidden and left out")
                continue
            sheet = _Sheet(table, unseen, reads_hidden=self._reads_hidden)
            sheet.write(name, composition)
            problems += [f"{problem} of the sheet {name}" for problem in sheet.problems]
        titles, metadata = read_metadata(archive)
        return composition.content(titles, problems, titled_by_heading=False, metadata=metadata)


def _sheets(content: Any) -> Iterator[Any]:
    for body in (element for element in content if local(element) == "body"):
        for spreadsheet in body:
            yield from (table for table in spreadsheet if local(table) == "table")


def _hidden_tables(content: Any) -> frozenset[str]:
    """Return the names of the styles of sheets that are hidden."""
    return frozenset(
        attribute(style, "name")
        for style in content.iter()
        if local(style) == "style"
        and any(local(part) == "table-properties" and attribute(part, "display") == "false" for part in style)
    )


def _within(container: Any, name: str) -> Iterator[Any]:
    """Yield the rows or columns of a sheet, also those in groups."""
    for element in container:
        if local(element) == name:
            yield element
        elif local(element) in _GROUPS:
            yield from _within(element, name)


class _Sheet:
    """One sheet; ``problems`` are filled while it is written."""

    def __init__(self, table: Any, unseen: frozenset[str], *, reads_hidden: bool) -> None:
        self._table = table
        self._unseen = unseen
        self._reads_hidden = reads_hidden
        self._hidden_columns: set[int] = set()
        self._unread_columns: set[int] = set()
        self._unread_rows = 0
        self._cells = 0
        # The text of cells that reach into rows below, by column, and into how many.
        self._above: dict[int, tuple[str, int]] = {}
        self.problems: list[str] = []

    def write(self, name: str, composition: Composition) -> None:
        """Write the tables under the name of the sheet, unless it is empty."""
        if not self._reads_hidden:
            self._hidden_columns = set(self._find_hidden_columns())
        write_sheet(name, self._blocks(), composition)
        self.problems += name_hidden(self._unread_rows, len(self._unread_columns))
        if self._cells > _MOST_CELLS:
            self.problems.append(f"what follows the first {_MOST_CELLS:,} cells")

    def _find_hidden_columns(self) -> Iterator[int]:
        at = 0
        for column in _within(self._table, "table-column"):
            count = min(number_of(column, "number-columns-repeated", 1), _MOST_COLUMNS - at)
            if attribute(column, "visibility") in _UNSEEN:
                yield from range(at, at + count)
            at += count

    def _blocks(self) -> Iterator[list[Row]]:
        """Yield the rows between blank rows."""
        block: list[Row] = []
        for element in _within(self._table, "table-row"):
            is_hidden = attribute(element, "visibility") in _UNSEEN and not self._reads_hidden
            row = self._row(element)
            if is_hidden:
                self._unread_rows += bool(row.cells)
                continue
            if block and not (row.cells or row.is_struck):
                yield block
                block = []
            if row.cells:
                count = min(number_of(element, "number-rows-repeated", 1), _MOST_REPEATED)
                self._cells += len(row.cells) * count
                if self._cells > _MOST_CELLS:
                    break
                block += [row] * count
        if block:
            yield block

    def _row(self, element: Any) -> Row:
        row = Row()
        above, self._above = self._above, {}
        column = 0
        for cell in element:
            if local(cell) not in {"table-cell", "covered-table-cell"}:
                continue
            count = min(number_of(cell, "number-columns-repeated", 1), _MOST_COLUMNS - column)
            text = self._text(cell, row)
            width = min(max(count, number_of(cell, "number-columns-spanned", 1)), _MOST_COLUMNS - column)
            depth = number_of(cell, "number-rows-spanned", 1) - 1
            if text and min(width, _MOST_REPEATED):
                row.groups += width > count
                for at in range(column, column + min(width, _MOST_REPEATED)):
                    self._put(row, at, text)
                    if depth > 0 and len(text) <= _LONGEST_REPEATED:
                        self._above[at] = text, min(depth, _MOST_REPEATED)
            column += count
        for at, (text, left) in above.items():
            if at not in row.cells:
                self._put(row, at, text)
            if left > 1:
                self._above.setdefault(at, (text, left - 1))
        row.cells = dict(sorted(row.cells.items()))
        return row

    def _put(self, row: Row, column: int, text: str) -> None:
        if column in self._hidden_columns:
            self._unread_columns.add(column)
        else:
            row.cells.setdefault(column, text)

    def _text(self, cell: Any, row: Row) -> str:
        """Return what a cell shows; a comment on it goes to its row."""
        texts = [text_of(part, self._unseen) for part in cell if local(part) == "p"]
        shown = "\n".join(texts).strip()
        has_text = any(local(part) == "p" and (part.text or len(part)) for part in cell)
        row.is_struck |= has_text and not shown
        if not has_text and local(cell) == "table-cell":
            shown = next(filter(None, (attribute(cell, name) for name in _VALUES)), "")
        for comment in (part for part in cell if local(part) == "annotation"):
            said = " ".join(
                chain.from_iterable(text_of(part, frozenset()).split() for part in comment if local(part) == "p")
            )
            if said:
                label = next(iter(row.cells.values()), "")
                row.comments.append(f"Comment on {label}: {said}" if label else f"Comment: {said}")
        return shown
