"""Rows of tables as lines that can be understood one by one, with cells that span rows and columns in their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qa.readers.composition import one_line

_LONGEST_NAME = 60
_NUMBER = re.compile(
    r"[-+(]?[\d.,' ]*\d[\d.,' ]*\)?\s?(?:%|€|\$|£)?|[$€£]\s?[\d.,]+|\d{4}-\d\d-\d\d.*|\d\d?[./]\d\d?[./]\d+.*"
)


def format_row(cells: Sequence[str]) -> str:
    """Join the cells of a table's row into one line, without the empty ones at its end."""
    cells = [one_line(cell) for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells)


def format_rows(rows: Iterable[Sequence[str]], *, is_named: bool = True) -> Iterator[str]:
    """Yield a line for every row, in order, without blank rows.

    Where the first row names the columns, the lines after it say "name: value | name: value": a row is found and
    understood by itself, however many rows stand between it and the names. Else they say "value | value".

    Args:
        is_named: whether the first row may name the columns.
    """
    names: list[str] | None = None if is_named else []
    for row in rows:
        cells = [one_line(cell) for cell in row]
        line = format_row(cells)
        if not line:
            continue
        if names is None:
            names = _names(cells)
            yield line
        elif names and len(cells) <= len(names):
            yield " | ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=False) if cell)
        else:
            yield line


def is_probably_named(table: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row of a table, of which nothing else is known, may name the columns.

    Two columns of words are as likely pairs of a name and its value, one below the other.
    """
    if len(table) < 2 or len(table[0]) > 2:
        return len(table) > 1
    numbers = sum(bool(_NUMBER.fullmatch(row[-1])) for row in table[1:])
    return numbers * 2 > len(table) - 1


def _names(cells: Sequence[str]) -> list[str]:
    """Return the names of columns that a first row gives, or none if it does not look like names."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    named = all(cell and len(cell) <= _LONGEST_NAME and not _NUMBER.fullmatch(cell) for cell in cells)
    return list(cells) if len(cells) > 1 and named and len(set(cells)) == len(cells) else []


# A cell that says a number or a name for several rows says it in each; a text is said once.
_LONGEST_REPEATED = 100
# As the HTML standard has it; and far fewer columns, so that an empty table is not a long text.
_MOST_ROWS, _MOST_COLUMNS = 65_534, 100


@dataclass(frozen=True, slots=True)
class Cell:
    """``columns`` and ``rows`` are how many it spans."""

    text: str
    columns: int = 1
    rows: int = 1


class Grid:
    """The rows of one table, or of one group of its rows, which no cell reaches beyond."""

    def __init__(self) -> None:
        # By column: what is said there, and in how many rows to come.
        self._above: dict[int, tuple[str, int]] = {}

    def row(self, cells: Iterable[Cell]) -> list[str]:
        """Return a text for every column: a cell's is in its first, and, if it is short, in every row that it spans."""
        texts: list[str] = []
        above, self._above = self._above, {}
        for cell in cells:
            self._fill(texts, above)
            columns, rows = min(max(cell.columns, 1), _MOST_COLUMNS), min(max(cell.rows, 1), _MOST_ROWS)
            for offset in range(columns):
                said = "" if offset else cell.text
                if rows > 1:
                    below = said if len(said) <= _LONGEST_REPEATED else ""
                    self._above[len(texts)] = (below, rows - 1)
                texts.append(said)
        self._fill(texts, above)
        for column in sorted(above):
            # Beyond the last cell, with a hole before it.
            texts += [""] * (column - len(texts))
            self._fill(texts, above)
        return texts

    def _fill(self, texts: list[str], above: dict[int, tuple[str, int]]) -> None:
        """Add what cells of rows above say in the next columns."""
        while (found := above.pop(len(texts), None)) is not None:
            text, rows = found
            if rows > 1:
                self._above[len(texts)] = (text, rows - 1)
            texts.append(text)
