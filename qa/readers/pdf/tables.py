"""Rows of a table on a page: cells that stand close together are told apart, and blank cells keep their column."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qa.readers.pdf.glyphs import Part
from qa.readers.pdf.layout import CELL_GAP, SAME_LINE_GAP, Line

_LEAST_ROWS = 2
_MOST_CELLS = 40
# Shares of the type size: what surely is one cell, how far edges of one column are apart, the widest leading.
_ONE_CELL = 0.8
_SAME_EDGE = 0.35
_WIDEST_LEADING = 3.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a row, in points; ``is_sure`` if the gap before it is that of another cell in any case."""

    text: str
    left: float
    right: float
    is_sure: bool = True


def align_cells(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with the cells of tables apart by a tab each, and two tabs where a cell between is blank."""
    result: list[Line] = []
    for rows in _groups(lines):
        result += _aligned(rows) if sum("\t" in row.text for row in rows) >= _LEAST_ROWS else rows
    return result


def _groups(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines in groups that may be tables: each one right below the one before."""
    group: list[Line] = []
    for line in lines:
        if group and not 0.3 * line.size < line.bottom - group[-1].bottom < _WIDEST_LEADING * line.size:
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _aligned(rows: Sequence[Line]) -> list[Line]:
    cells = [list(_cells(row)) for row in rows]
    if max(map(len, cells)) > _MOST_CELLS:
        return list(rows)
    starts = sorted(cell.left for row in cells for cell in row if cell.is_sure)
    cells = [_told_apart(row, starts, line.size) for row, line in zip(cells, rows, strict=True)]
    columns = find_columns(cells)
    texts = [place_cells(row, columns) for row in cells]
    return [
        replace(line, text=text) if text and "\t" in line.text else line for line, text in zip(rows, texts, strict=True)
    ]


def _cells(line: Line) -> Iterator[Cell]:
    """Yield the pieces of a line as cells, with those that are surely of one cell joined."""
    if line.is_row:
        yield Cell(line.text, line.left, line.right)
        return
    before: Cell | None = None
    size = min([line.size, *(run.size for run in line.pieces)])
    for piece in _pieces(line):
        gap = piece.left - before.right if before else 0.0
        if before is None:
            before = Cell(piece.text, piece.left, piece.right)
        elif gap <= _ONE_CELL * size:
            joint = " " if gap > SAME_LINE_GAP * line.size else ""
            before = replace(before, text=f"{before.text}{joint}{piece.text}", right=max(before.right, piece.right))
        else:
            yield before
            before = Cell(piece.text, piece.left, piece.right, gap > CELL_GAP * size)
    if before is not None:
        yield before


def _pieces(line: Line) -> Iterator[Part]:
    for run in line.pieces:
        # Leaders became a tab in the text of the run.
        if run.parts and "\t" not in run.text:
            yield from run.parts
        else:
            yield Part(run.text, run.left, run.right)


def _told_apart(row: Sequence[Cell], starts: Sequence[float], size: float) -> list[Cell]:
    """Join pieces to the one before that are near to it and do not begin where cells of other rows do."""
    found: list[Cell] = []
    for cell in row:
        nearest = bisect_left(starts, cell.left - _SAME_EDGE * size)
        is_column = nearest < len(starts) and starts[nearest] <= cell.left + _SAME_EDGE * size
        if not found or cell.is_sure or is_column:
            found.append(cell)
        else:
            found[-1] = replace(found[-1], text=f"{found[-1].text} {cell.text}", right=cell.right)
    return found


def find_columns(rows: Sequence[Sequence[Cell]]) -> list[tuple[float, float]]:
    """Return where the columns stand by the rows with the most cells; none if these do not agree."""
    most = max(map(len, rows))
    full = [row for row in rows if len(row) == most]
    spans = ([(cell.left, cell.right) for cell in column] for column in zip(*full, strict=True))
    columns = [(min(left for left, _ in column), max(right for _, right in column)) for column in spans]
    is_apart = all(before[1] < after[0] for before, after in pairwise(columns))
    return columns if is_apart and most > 1 else []


def place_cells(row: Sequence[Cell], columns: Sequence[tuple[float, float]]) -> str:
    """Return a row with its cells in their columns, if each is in one of its own, and as it is otherwise.

    Blank cells before the first are not shown.
    """
    places: list[int] = []
    for cell in row:
        under = [at for at, (left, right) in enumerate(columns) if cell.left < right and cell.right > left]
        if len(under) != 1 or (places and under[0] <= places[-1]):
            return "\t".join(cell.text for cell in row)
        places += under
    texts = [""] * (places[-1] + 1 if places else 0)
    for at, cell in zip(places, row, strict=True):
        texts[at] = cell.text
    return "\t".join(texts).lstrip("\t")
