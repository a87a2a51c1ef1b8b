"""Cells of several lines, in tables without ruled columns.

Programs write a table cell by cell: the lines of a cell come one below the other, and the next cell begins at their
right, above the end of the row so far. Some write it line by line, and so OCR reads it: then lines that are nearer to
the line above them than rows are belong to its row. Rows become one run each, with a tab between cells, wherever the
order of the file and the columns of at least two rows agree; everything else is left as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from qa.readers.pdf.glyphs import Run
from qa.readers.pdf.layout import CELL_GAP, SAME_LINE_GAP, Line, order_lines
from qa.readers.pdf.tables import Cell, align_cells, find_columns, place_cells

# Parts of the type's size: how far lines of a cell are apart, cells of a row, and rows; how exactly edges agree.
_LEAST_PITCH, _WIDEST_PITCH = 0.7, 1.5
_ONE_CELL, _LEAST_GAP = 0.8, 0.5
_AFTER_BULLET = 3.0
_BETWEEN_ROWS, _MORE_THAN_LEADING = 2.5, 0.2
_SAME_EDGE = 0.35
_SAME_TYPE = 1.1
_MOST_LINES, _MOST_CELLS, _MOST_RUNS = 8, 40, 5_000
_LONG = 4
# Runs around a table that are looked at, and how far above its neighbour a cell may begin.
_NEAR, _AROUND, _HIGHEST = 20, 8, 12.0
_ENDED = ":.!?"
_BULLET = re.compile(r"[•‣◦▪●∙·*–—o\-]|\(?\w{1,3}[.)]")
_NUMBER = re.compile(r"[^\w]*\d[\d.,:/ ]*\W*\w{0,3}")
# A line that is shorter is not ended for want of room.
_LEAST_FILLED = 12


@dataclass(slots=True, eq=False)
class _Cell:
    """A cell while it grows: a run for each line. ``first`` and ``last`` are the numbers of its runs on the page."""

    lines: list[Run]
    first: int
    last: int
    left: float
    top: float
    right: float
    bottom: float

    def add(self, line: Run) -> None:
        """Add a line below the others."""
        self.lines.append(line)
        self.left = min(self.left, line.left)
        self.right = max(self.right, line.right)
        self.bottom = line.bottom

    def add_to_line(self, piece: Run) -> None:
        """Add what goes on the last line."""
        self.lines[-1] = _together(self.lines[-1], piece)
        self.right = max(self.right, piece.right)


@dataclass(slots=True)
class _Table:
    """Rows that agree in their columns, (left, right) each, while they are gathered."""

    rows: list[list[_Cell]] = field(default_factory=list)
    columns: list[tuple[float, float]] = field(default_factory=list)

    def takes(self, row: list[_Cell]) -> bool:
        """Add a row if it is right below the last one, and each of its cells in a column of its own."""
        size = row[0].lines[0].size
        if self.rows:
            gap = _top(row) - _bottom(self.rows[-1])
            if not -0.3 * size <= gap <= _BETWEEN_ROWS * size:
                return False
        columns = _widened(self.columns, row)
        if not columns or (len(row) == 1 and len(columns) > len(self.columns)):
            return False
        self.rows.append(row)
        self.columns = columns
        return True


def read_lines(upright: Sequence[Run], turned: Sequence[Run]) -> list[Line]:
    """Return the lines of a page in reading order, rows of tables as one line each, and then those that are turned."""
    return [*align_cells(order_lines(join_cells(upright))), *order_lines(turned)]


def join_cells(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs of a page, those of each table whose cells have several lines as one run for each row."""
    if len(runs) > _MOST_RUNS:
        return runs
    joined: list[Run] = []
    reached = 0
    for start, end in _places(runs):
        cells = _cells(runs, start, end)
        for table in _tables(list(_rows(cells))):
            first, last = table.rows[0][0].first, max(cell.last for row in table.rows for cell in row)
            with_lines = _Table(_with_their_lines(table.rows), table.columns)
            sound = next(filter(_is_sound, (with_lines, table)), None)
            if sound is not None and first >= reached:
                starts = sorted(cell.left for cell in cells if first - _NEAR <= cell.first <= last + _NEAR)
                joined += [*runs[reached:first], *_joined_rows(sound, starts)]
                reached = last + 1
    return [*joined, *runs[reached:]] if reached else runs


def _places(runs: Sequence[Run]) -> Iterator[tuple[int, int]]:
    """Yield where tables may be, by the numbers of runs: around two that stand at the right of the one before."""
    beside = [
        number
        for number, (run, after) in enumerate(pairwise(runs))
        if after.left > run.right + _LEAST_GAP * run.size
        and -_HIGHEST * run.size < after.top - run.top < after.bottom - after.top
    ]
    start, count = 0, 0
    for number, following in pairwise([*beside, None]):
        assert number is not None
        start = start if count else max(number - _AROUND, 0)
        count += 1
        if following is None or following - number > 2 * _AROUND:
            if count > 1:
                yield start, number + 2 + _AROUND
            count = 0


def _cells(runs: Sequence[Run], start: int, end: int) -> list[_Cell]:
    """Gather runs, in the order of the file, into what may be cells."""
    cells: list[_Cell] = []
    cell: _Cell | None = None
    for number, run in enumerate(runs[start:end], start):
        for piece in _pieces(run) if run.parts else (run,):
            if cell is not None and _goes_on(cell.lines[-1], piece):
                cell.add_to_line(piece)
            elif cell is not None and _is_next_line(cell, piece):
                cell.add(piece)
            else:
                cell = _Cell([piece], number, number, piece.left, piece.top, piece.right, piece.bottom)
                cells.append(cell)
            cell.last = number
    return cells


def _pieces(run: Run) -> Iterator[Run]:
    if "\t" in run.text:
        yield run
        return
    for part in run.parts:
        is_last = part is run.parts[-1]
        yield replace(run, text=part.text, left=part.left, right=part.right, broken=run.broken and is_last, parts=())


def _goes_on(line: Run, piece: Run) -> bool:
    """Return whether a piece stands on a line, right after what is there."""
    gap = piece.left - line.right
    least = min(line.size, piece.size)
    if not -0.3 * piece.size < gap <= _AFTER_BULLET * least:
        return False
    if gap > _ONE_CELL * least and not _BULLET.fullmatch(line.text):
        return False
    return min(line.bottom, piece.bottom) - max(line.top, piece.top) > 0.5 * least


def _together(line: Run, piece: Run) -> Run:
    joint = " " if piece.left - line.right > SAME_LINE_GAP * line.size else ""
    return replace(
        line, text=f"{line.text}{joint}{piece.text}", right=max(line.right, piece.right), broken=piece.broken
    )


def _is_next_line(cell: _Cell, piece: Run) -> bool:
    """Return whether a piece is right below a cell, and begins, ends or has its middle where the cell does."""
    last = cell.lines[-1]
    size = min(last.size, piece.size)
    if not _LEAST_PITCH * size <= piece.bottom - last.bottom <= _WIDEST_PITCH * size:
        return False
    if max(last.size, piece.size) > _SAME_TYPE * size:
        return False
    near = _SAME_EDGE * size
    left, right = piece.left - cell.left, piece.right - cell.right
    return abs(left) <= near or abs(right) <= near or abs(left + right) <= 2 * near


def _rows(cells: Sequence[_Cell]) -> Iterator[list[_Cell]]:
    """Yield the cells in rows: each at the right of the one before, and level with some line of the row."""
    row: list[_Cell] = []
    for cell in cells:
        size = cell.lines[0].size
        if row and not (
            len(row) < _MOST_CELLS
            and cell.left > row[-1].right + _LEAST_GAP * size
            and min(cell.bottom, _bottom(row)) - max(cell.top, _top(row)) > 0.3 * size
        ):
            yield row
            row = []
        row.append(cell)
    if row:
        yield row


def _top(row: Sequence[_Cell]) -> float:
    return min(cell.top for cell in row)


def _bottom(row: Sequence[_Cell]) -> float:
    return max(cell.bottom for cell in row)


def _tables(rows: Sequence[list[_Cell]]) -> Iterator[_Table]:
    """Yield what may be tables of at least two rows, as long as they can be."""
    table = _Table()
    for row in rows:
        if not (table.rows or len(row) > 1) or table.takes(row):
            continue
        yield from _whole(table)
        table = _Table()
        if len(row) > 1:
            table.takes(row)
    yield from _whole(table)


def _whole(table: _Table) -> Iterator[_Table]:
    """Yield a table without the single cells above and below it, which are text, if it has rows then."""
    several = [at for at, row in enumerate(table.rows) if len(row) > 1]
    if len(several) > 1:
        yield _Table(table.rows[several[0] : several[-1] + 1], table.columns)


def _with_their_lines(rows: list[list[_Cell]]) -> list[list[_Cell]]:
    """Return the rows of a table with the lines that belong to each, if their gaps are of two kinds."""
    gaps = [_top(after) - _bottom(row) for row, after in pairwise(rows)]
    size = rows[0][0].lines[0].size
    jump, least = max(((after - gap, gap) for gap, after in pairwise(sorted(gaps))), default=(0.0, 0.0))
    if jump < _MORE_THAN_LEADING * size or least > (_WIDEST_PITCH - 1) * size:
        return rows
    joined: list[list[_Cell]] = [[replace(cell, lines=[*cell.lines]) for cell in rows[0]]]
    for number, (row, gap) in enumerate(zip(rows[1:], gaps, strict=True), 1):
        if gap > least:
            joined.append([replace(cell, lines=[*cell.lines]) for cell in row])
        elif not _goes_on_in(joined[-1], row, is_second=number == 1):
            return rows
    return joined


def _goes_on_in(above: Sequence[_Cell], row: Sequence[_Cell], *, is_second: bool) -> bool:
    """Add the cells of a line to those they are right below, and return whether each is below one.

    A line with as many cells as the one above, or with a number, is a row, but for the second line of all.
    """
    if not is_second and (len(row) >= len(above) or any(_NUMBER.fullmatch(cell.lines[0].text) for cell in row)):
        return False
    for cell in row:
        under = [other for other in above if _is_next_line(other, cell.lines[0])]
        if len(under) != 1 or under[0].lines[-1].text[-1] in _ENDED:
            return False
        for line in cell.lines:
            under[0].add(line)
        under[0].last = cell.last
    return True


def _widened(columns: Sequence[tuple[float, float]], row: Sequence[_Cell]) -> list[tuple[float, float]]:
    """Return the columns with room for the cells of a row; none where a cell is in two, or two cells are in one."""
    result = list(columns)
    taken: set[int] = set()
    for cell in row:
        left, right = cell.left, cell.right
        under = [at for at, column in enumerate(result) if left < column[1] and right > column[0]]
        if len(under) > 1 or not taken.isdisjoint(under):
            return []
        taken.update(under)
        if under:
            result[under[0]] = (min(left, result[under[0]][0]), max(right, result[under[0]][1]))
        else:
            result.append((left, right))
    result.sort()
    is_apart = all(before[1] <= after[0] for before, after in pairwise(result))
    return result if is_apart and len(result) <= _MOST_CELLS else []


def _is_sound(table: _Table) -> bool:
    """Return whether a table has cells of several lines, and all these are surely cells."""
    cells = [cell for row in table.rows for cell in row]
    counts = [len(cell.lines) for cell in cells]
    if max(counts) == 1 or max(counts) > _MOST_LINES or 2 * sum(count >= _LONG for count in counts) >= len(counts):
        return False
    # Columns that were written one after the other, or blocks of text beside each other, are level line by line.
    plain = [row for row in table.rows if len(row) > 1 and not _is_level(row)]
    if len(plain) < 2 or any("\t" in line.text for cell in cells for line in cell.lines):
        return False
    gaps = [_top(after) - _bottom(row) for row, after in pairwise(table.rows)]
    return all(
        _is_whole(table, row, at, gap)
        for row, gap in zip(table.rows, [*gaps, max(gaps)], strict=True)
        for at, cell in enumerate(row)
        if len(cell.lines) > 1
    )


def _is_level(row: Sequence[_Cell]) -> bool:
    """Return whether all cells of a row have the same number of lines, more than one, side by side."""
    first = row[0]
    return len(first.lines) > 1 and all(
        len(cell.lines) == len(first.lines) and abs(cell.top - first.top) < 0.3 * first.lines[0].size for cell in row
    )


def _is_whole(table: _Table, row: Sequence[_Cell], at: int, gap: float) -> bool:
    """Return whether what stands below the first line of a cell is surely of the same cell.

    The cell after it begins above its second line, or rows are farther apart than lines are, or each line ends for
    want of room in its column, and the other cells of the row begin where it does.

    Args:
        at: the number of the cell in its row.
        gap: between this row and the next, in points.
    """
    cell = row[at]
    size = cell.lines[0].size
    if at + 1 < len(row) and row[at + 1].top < cell.lines[1].top - _SAME_EDGE * size:
        return True
    if gap > max(after.top - line.bottom for line, after in pairwise(cell.lines)) + _MORE_THAN_LEADING * size:
        return True
    if any(other.top > cell.top + _SAME_EDGE * size for other in row):
        return False
    column = next(column for column in table.columns if cell.left < column[1] and cell.right > column[0])
    return all(
        len(line.text) >= _LEAST_FILLED
        and line.right + (after.right - after.left) / len(after.text) * (len(after.text.split()[0]) + 1) > column[1]
        for line, after in pairwise(cell.lines)
    )


def _joined_rows(table: _Table, starts: Sequence[float]) -> Iterator[Run]:
    """Yield a run for each row, its cells in their columns.

    Args:
        starts: where the table's cells and those near it begin, in order.
    """
    cells = [cell for row in table.rows for cell in row]
    size = median(line.size for cell in cells for line in cell.lines)
    # Rows are set as far apart as lines are, so that they stand as those of one line each do.
    pitch = median(after.bottom - line.bottom for cell in cells for line, after in pairwise(cell.lines))
    # As wide as the table, so that no text beside or below it comes between them.
    left, right = table.columns[0][0], table.columns[-1][1]
    top = _top(table.rows[0])
    rows = [list(_apart(row, starts)) for row in table.rows]
    columns = find_columns(rows)
    for number, row in enumerate(rows):
        place = top + number * pitch
        lines = tuple(line for cell in table.rows[number] for line in cell.lines)
        yield Run(place_cells(row, columns), left, place, right, place + size, size, lines=lines)


def _apart(row: Sequence[_Cell], starts: Sequence[float]) -> Iterator[Cell]:
    """Yield the cells of a row, near ones together where no other cell near the table begins where the second does."""
    before: Cell | None = None
    for cell in row:
        size = cell.lines[0].size
        is_sure = before is None or len(cell.lines) > 1 or cell.left > before.right + CELL_GAP * size
        # It begins there itself.
        near = bisect_left(starts, cell.left - _SAME_EDGE * size) + 1
        if is_sure or (near < len(starts) and starts[near] <= cell.left + _SAME_EDGE * size):
            if before is not None:
                yield before
            before = Cell(_said(cell), cell.left, cell.right)
        else:
            assert before is not None
            before = Cell(f"{before.text} {_said(cell)}", before.left, cell.right)
    if before is not None:
        yield before


def _said(cell: _Cell) -> str:
    """Return the lines of a cell as one; a hyphen that PDFium takes for that of a cut word is dropped."""
    text = ""
    for line in cell.lines:
        text = f"{text}{line.text}"
        if line is not cell.lines[-1]:
            text = text[:-1] if line.broken else text if text[-1] in "-/\u2010" else f"{text} "
    return text
