"""Rows of tables as lines that can be understood one by one, with cells that span rows and columns in their places.

A row reads "Plan: Pro | Per month: $25": it names its columns itself, so that it is found and understood in any
passage, far below the row that names them. Charts and SmartArt of Office files (ECMA-376 part 1, 21) are written as the
tables and lists that they were drawn from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from qa.readers.archive import attribute, local
from qa.readers.composition import Composition, one_line

_LONGEST_NAME = 200
# A row repeats the names of its columns: together they are not to be a multiple of what most rows hold.
_LONGEST_NAMES = 4_000
_MOST_TITLES = 5
_LOOKED_AT = 30
_NUMBER = re.compile(
    r"[-+(]?[\d.,' ]*\d[\d.,' ]*\)?\s?(?:%|€|\$|£)?|[$€£]\s?[\d.,]+|\d{4}-\d\d-\d\d.*|\d\d?[./]\d\d?[./]\d+.*"
)
# Numbers that name columns: years, "2023/24", "2024-05".
_PERIOD = re.compile(r"(?:1[89]|20)\d\d(?:\s?[-–/]\s?\d{2,4})?")
_DIGIT = re.compile(r"\d")
_MOST_PAIRS, _LONGEST_PAIRS = 12, 600


def format_row(cells: Sequence[str]) -> str:
    """Join the cells of a row that names no columns into one line, without the empty ones at its end."""
    return " | ".join(_trimmed(cells))


def format_rows(
    rows: Iterable[Sequence[str]], *, headings: int | None = None, keep_pairs: bool = False
) -> Iterator[str]:
    """Yield a line for every row, in order, without blank rows.

    Below a row that names the columns a line says "name: value | name: value", else "value | value". A row of one cell
    among wider ones is a title, a group or a remark, and stands by itself. Where all names come several times in the
    same order, tables stand side by side, and each has a line of its own.

    Args:
        rows: the texts of the cells. A row with a single cell, and not only blank ones after it, is a remark.
        headings: how many rows at the top name the columns; ``None`` if that is to be seen from what they say.
        keep_pairs: whether a small table of two columns is "value | value" all the same, with its names above it.
    """
    iterator = (cells for row in rows if any(cells := [one_line(cell) for cell in row]))
    head = list(islice(iterator, _LOOKED_AT))
    names, first = _find_names(head, headings)
    is_small = len(head) <= _MOST_PAIRS and sum(map(len, chain.from_iterable(head))) <= _LONGEST_PAIRS
    if keep_pairs and is_small and max((len(_trimmed(row)) for row in head), default=0) <= 2:
        names = []
    for row in head[:first]:
        yield " | ".join(dict.fromkeys(filter(None, row))) if names else format_row(row)
    header = _trimmed(head[first - 1]) if first else None
    period = _period(names)
    for row in chain(head[first:], iterator):
        if not names or len(row) == 1 or _trimmed(row) == header:
            yield format_row(row)
            continue
        parts = [_named(names[at] if at < len(names) else "", cell) for at, cell in enumerate(row)]
        for at in range(0, len(parts), period):
            if line := " | ".join(filter(None, parts[at : at + period])):
                yield line


def _named(name: str, cell: str) -> str:
    return f"{name}: {cell}" if name and cell else cell


def write_table(composition: Composition, rows: Sequence[Sequence[str]], headings: int | None = None) -> None:
    """Write a table that stands in a text, apart from what is around it.

    Args:
        rows: the texts of the cells.
        headings: how many rows at the top name the columns; ``None`` if the file does not say.
    """
    if headings is None and not is_probably_named(rows):
        headings = 0
    composition.gap()
    for line in format_rows(rows, headings=headings, keep_pairs=True):
        composition.line(line, "table")
    composition.gap()


def _trimmed(cells: Sequence[str]) -> list[str]:
    cells = [one_line(cell) for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _find_names(head: Sequence[Sequence[str]], headings: int | None) -> tuple[list[str], int]:
    """Return the names of the columns, if there are any, and how many rows stand above those they name."""
    if headings is not None:
        names = _merged(head[:headings])
        is_fit = 0 < headings < len(head) and _count(names) > 1 and _are_short(names)
        return (names, headings) if is_fit else ([], 0)
    if max((len(_trimmed(row)) for row in head), default=0) < 2:
        return [], 0
    for at, row in enumerate(head[: _MOST_TITLES + 1]):
        if sum(map(bool, row)) > 1 or not _is_title(row):
            names = _trimmed(row)
            return (_cleaned(names), at + 1) if _look_like_names(names, head[at + 1 :]) else ([], 0)
    return [], 0


def _is_title(row: Sequence[str]) -> bool:
    """Return whether a row with a single text stands above a table rather than being a row of it."""
    return bool(row[0]) or len(row) < 3


def _look_like_names(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a row may name the columns of the rows below it: with short texts, not with values.

    The upper left corner may be blank, and years may be names where not all are.
    """
    given = [name for name in names if name]
    corner = bool(names) and not names[0]
    words = [name for name in given if not _NUMBER.fullmatch(name)]
    if not given or not rows or _count(names) < 2 or not _are_short(names):
        return False
    if any(not name for name in names[1:]) and len(given) * 2 < len(names):
        return False
    periods = sum(bool(_PERIOD.fullmatch(name)) for name in given)
    return len(words) + periods == len(given) and bool(words or corner)


def _count(names: Sequence[str]) -> int:
    """Count the names of columns; a blank corner above the names of rows is one."""
    return sum(map(bool, names[1:])) + bool(names[1:] or names)


def _are_short(names: Sequence[str]) -> bool:
    return all(len(name) <= _LONGEST_NAME for name in names) and sum(map(len, names)) <= _LONGEST_NAMES


def _merged(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that several rows give together: "Low season" above "Adult" is "Low season Adult"."""
    width = max(map(len, rows), default=0)
    columns = ([row[at] for row in rows if at < len(row) and row[at]] for at in range(width))
    return _cleaned([" ".join(dict.fromkeys(column)) for column in columns])


def _cleaned(names: Sequence[str]) -> list[str]:
    return [name.removesuffix(":").rstrip() for name in names]


def _period(names: Sequence[str]) -> int:
    """Return after how many names they come again, as if tables stood side by side; else a large number."""
    for period in range(2, len(names) // 2 + 1):
        if len(names) % period == 0 and list(names) == list(names[:period]) * (len(names) // period):
            return period
    return _MOST_ROWS


def is_probably_named(table: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row of a table, of which nothing else is known, may name the columns.

    Two columns of words are as likely pairs of a name and its value, one below the other, and two rows of words may
    be two of a kind. Numbers below words tell.
    """
    rows = [row for row in table if sum(map(bool, row)) > 1]
    if len(rows) < 2 or len(set(filter(None, rows[0]))) < sum(map(bool, rows[0])):
        return len(rows) > 1 and _period(rows[0]) < len(rows[0])
    if len(rows[0]) > 2:
        has_numbers = any(_DIGIT.search(cell) for row in rows[1:] for cell in row)
        return len(rows) > 2 or (has_numbers and not any(map(_DIGIT.search, rows[0])))
    numbers = sum(bool(_NUMBER.fullmatch(_trimmed(row)[-1])) for row in rows[1:])
    return numbers * 2 > len(rows) - 1


# A cell that says a number or a name for several rows says it in each; a text is said once.
_LONGEST_REPEATED = 100
# As the HTML standard has it; and far fewer columns, so that an empty table is not a long text.
_MOST_ROWS, _MOST_COLUMNS = 65_534, 100


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. ``columns`` and ``rows`` are how many it spans; ``is_name`` if it is marked as a heading."""

    text: str
    columns: int = 1
    rows: int = 1
    is_name: bool = False


class Grid:
    """The rows of one table, or of one group of its rows, which no cell reaches beyond."""

    def __init__(self) -> None:
        # By column: what is said there, and in how many rows to come.
        self._above: dict[int, tuple[str, int]] = {}

    def row(self, cells: Iterable[Cell], *, is_heading: bool = False) -> list[str]:
        """Return a text for every column.

        A cell's text is in its first column, and, if it is short, in every row that it spans; in a row of headings it
        is in every column that it spans.
        """
        texts: list[str] = []
        above, self._above = self._above, {}
        for cell in cells:
            self._fill(texts, above)
            columns, rows = min(max(cell.columns, 1), _MOST_COLUMNS), min(max(cell.rows, 1), _MOST_ROWS)
            for offset in range(columns):
                is_said = not offset or (is_heading and len(cell.text) <= _LONGEST_REPEATED)
                said = cell.text if is_said else ""
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


_MOST_POINTS = 10_000


def write_diagram(root: Any, composition: Composition) -> None:
    """Write the texts of a SmartArt diagram as a list; ``root`` is of its data part."""
    composition.gap()
    for paragraph in root.iter():
        # One is what is written at one point of the diagram; its runs are parts of words at times.
        if local(paragraph) == "p" and (text := _joined(paragraph)).strip():
            composition.line(f"• {text}", "list")
    composition.gap()


def write_chart(root: Any, composition: Composition) -> None:
    """Write the title of a chart, and its series as the columns of a table; ``root`` is of its part."""
    title = next((_joined(element) for element in root.iter() if local(element) == "title"), "")
    composition.paragraph(title)
    series = [element for element in root.iter() if local(element) == "ser"]
    names, columns = [], []
    categories: dict[int, str] = {}
    for one in series:
        parts = {local(part): part for part in one}
        names.append(next((text for _, text in _points(parts.get("tx"))), ""))
        columns.append(dict(_points(parts.get("val") if "val" in parts else parts.get("yVal"))))
        categories = {**dict(_points(parts.get("cat") if "cat" in parts else parts.get("xVal"))), **categories}
    places = sorted({*categories, *(at for column in columns for at in column)})
    rows = [[categories.get(at, ""), *(_number(column.get(at, "")) for column in columns)] for at in places]
    if rows:
        composition.gap()
        for line in format_rows([["", *names], *rows], headings=1):
            composition.line(line, "table")
        composition.gap()


def _points(element: Any) -> Iterator[tuple[int, str]]:
    """Yield the cached values of a reference to cells, with their places."""
    for number, point in enumerate(() if element is None else element.iter()):
        if number > _MOST_POINTS:
            return
        if local(point) == "pt" and attribute(point, "idx").isdecimal():
            yield int(attribute(point, "idx")), next((part.text or "" for part in point if local(part) == "v"), "")
        elif local(point) == "v" and local(point.getparent()) not in {"pt", "lvl"}:
            yield 0, point.text or ""


def _number(text: str) -> str:
    """Write a cached number as a person would: 0.30000000000000004 is 0.3."""
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text


def _joined(element: Any) -> str:
    return "".join(part.text or "" for part in element.iter() if local(part) == "t")
