"""Tables of a sheet: where they begin and end among its rows, and which row names their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qa.readers.composition import Composition
from qa.readers.tables import format_rows, is_probably_named


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
