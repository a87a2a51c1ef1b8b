"""Cells that span rows and columns, put where they stand: what is under a heading stays under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
        """A text for every column. A cell's is in its first column, and, where it is short, in every row it spans."""
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
