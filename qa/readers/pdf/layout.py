"""The lines of a page in reading order.

The order in which a page's text was written is kept where it can be, for most programs write in reading order, and
tables cell by cell. It is mended in two cases. Columns of prose whose lines were written across the page in turn are
found by the white gutter between them and read one after the other; full-width lines end them, as in a recursive X-Y
cut (Nagy and Seth, 1984). And a block that stands above another that it shares columns with comes before it, the
first of the two rules of Breuel's reading order (2003).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import numpy as np

from qa.readers.pdf.glyphs import Run, is_broken

SAME_LINE_GAP = 0.12
# A gap wider than this many times the type size is between two cells.
CELL_GAP = 1.5
_LEAST_PROSE_LINES = 5
# Columns of single characters are vertical writing.
_LEAST_ROWS, _MOST_WORDS, _LEAST_CHARACTERS = 3, 3.5, 2
_LEAST_COLUMN = 10.0
_MOST_COLUMNS = 4
# More than these are no page of prose, and looking at all pairs of them would take long.
_MOST_RUNS = 5_000
_MOST_BLOCKS = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in points from the page's top left corner.

    Cells of a table are set apart by a tab. ``broken`` says that the line ends in a hyphen which may be there only
    for the line's end. ``pieces`` are what it was joined of; ``is_row`` says that it is a whole row of a table already.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    broken: bool = False
    pieces: list[Run] = field(default_factory=list, compare=False)
    is_row: bool = False


def order_lines(runs: Sequence[Run]) -> list[Line]:
    """Join runs to lines, and put these into reading order."""
    return [line for region in _regions(list(runs), _MOST_COLUMNS) for line in _in_order(_lines(region))]


def overlap(a: Run | Line, b: Run | Line) -> float:
    """Return how much of the narrower one's width stands over or under the other, 0 to 1."""
    shared = min(a.right, b.right) - max(a.left, b.left)
    return shared / max(min(a.right - a.left, b.right - b.left), 1.0)


def _regions(runs: list[Run], columns: int) -> list[list[Run]]:
    """Divide a page into parts that are read one after the other, each in its own order."""
    gutter = _gutter(runs) if columns > 1 else None
    if gutter is None:
        return [runs]
    across = sorted(_middle(run) for run in runs if run.left < gutter < run.right)
    bands: list[tuple[list[Run], list[Run], list[Run]]] = [([], [], []) for _ in range(2 * len(across) + 1)]
    for run in runs:
        above = bisect_left(across, _middle(run))
        if run.left < gutter < run.right:
            bands[2 * above + 1][0].append(run)
        else:
            bands[2 * above][1 if run.right <= gutter else 2].append(run)
    found: list[list[Run]] = []
    for wide, left, right in bands:
        found += [wide] if wide else []
        for side in (left, right):
            found += _regions(side, columns - 1) if side else []
    return found


def _middle(run: Run) -> float:
    return (run.top + run.bottom) / 2


def _gutter(runs: Sequence[Run]) -> float | None:
    """Return the middle of the white strip between two columns of prose that were written across the page in turn."""
    if not 2 * _LEAST_PROSE_LINES <= len(runs) <= _MOST_RUNS:
        return None
    left, right = min(run.left for run in runs), max(run.right for run in runs)
    if not 0 < right - left < 20_000:
        return None
    crossed = max(len(runs) // 10, 1)
    best: tuple[int, float] | None = None
    for start, end in _strips(runs, left, right, crossed):
        middle = left + (start + end) / 2
        if (best is None or end - start > best[0]) and _divides(runs, middle):
            best = (end - start, middle)
    return best[1] if best else None


def _strips(runs: Sequence[Run], left: float, right: float, most: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of the width, in points from ``left``, over which at most so many runs stand."""
    width = int(right - left) + 2
    begun = np.bincount([int(run.left - left) for run in runs], minlength=width)
    ended = np.bincount([int(run.right - left) + 1 for run in runs], minlength=width)
    is_white = np.cumsum((begun - ended)[:-1]) <= most
    edges = np.flatnonzero(np.diff(is_white, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def _divides(runs: Sequence[Run], gutter: float) -> bool:
    sides = [run.right <= gutter for run in runs if not run.left < gutter < run.right]
    turns = sum(before != after for before, after in pairwise(sides))
    fewer = min(sides.count(True), sides.count(False))
    # Fewer turns than this: columns, or cells of a table, were written one after the other and are in order.
    if fewer < _LEAST_PROSE_LINES or turns < fewer:
        return False
    return _is_prose([run for run in runs if run.right <= gutter]) and _is_prose(
        [run for run in runs if run.left >= gutter]
    )


def _is_prose(runs: Sequence[Run]) -> bool:
    """Return whether most lines fill their column, as those of a table do not."""
    widths = sorted(run.right - run.left for run in runs)
    column = widths[len(widths) * 4 // 5]
    return column >= _LEAST_COLUMN * median(run.size for run in runs) and median(widths) >= 0.75 * column


def _lines(runs: Sequence[Run]) -> list[Line]:
    """Join runs that follow one another on one line."""
    lines: list[Line] = []
    for run in runs:
        if not run.text:
            continue
        last = lines[-1] if lines else None
        if last is not None and _continues(last, run):
            gap = run.left - last.right
            joint = "\t" if gap > CELL_GAP * last.size else " " if gap > SAME_LINE_GAP * last.size else ""
            # The longer part decides on the height.
            main = run if len(run.text) > len(last.text) else last
            text = f"{last.text}{joint}{run.text}"
            right = max(last.right, run.right)
            last.pieces.extend(run.lines or (run,))
            lines[-1] = Line(text, last.left, main.top, right, main.bottom, main.size, is_broken(run), last.pieces)
        else:
            pieces = [*(run.lines or (run,))]
            box = run.left, run.top, run.right, run.bottom
            lines.append(Line(run.text, *box, run.size, is_broken(run), pieces, bool(run.lines)))
    return lines


def _continues(line: Line, run: Run) -> bool:
    shared = min(line.bottom, run.bottom) - max(line.top, run.top)
    return shared > 0.5 * min(line.bottom - line.top, run.bottom - run.top) and run.left > line.right - 0.3 * run.size


def _in_order(lines: Sequence[Line]) -> list[Line]:
    """Return the lines in the order of the file, but what stands above comes first."""
    blocks: list[list[Line]] = []
    for line in lines:
        last = blocks[-1][-1] if blocks else None
        if last and line.top > last.top and line.top - last.bottom < 1.5 * line.size and overlap(last, line) > 0.2:
            blocks[-1].append(line)
        else:
            blocks.append([line])
    if len(blocks) > _MOST_BLOCKS:
        return sorted(lines, key=lambda line: (round(line.top / line.size), line.left))
    boxes = [_box(block) for block in blocks]
    order: list[int] = []
    for number, box in enumerate(boxes):
        at = next((at for at, other in enumerate(order) if _is_above(box, boxes[other])), len(order))
        order.insert(at, number)
    return [line for block in _tables([blocks[number] for number in order]) for line in block]


def _tables(blocks: Sequence[list[Line]]) -> Iterator[list[Line]]:
    """Yield the blocks in order, those that are the columns of one table as its rows."""
    at = 0
    while at < len(blocks):
        columns = [blocks[at]]
        if _is_column(blocks[at]):
            while at + len(columns) < len(blocks) and _is_beside(columns, blocks[at + len(columns)]):
                columns.append(blocks[at + len(columns)])
        yield blocks[at] if len(columns) == 1 else [_row(line, columns[1:]) for line in columns[0]]
        at += len(columns)


def _is_column(block: Sequence[Line]) -> bool:
    """Return whether a block may be a column of a table: a few words in every line."""
    if len(block) < _LEAST_ROWS:
        return False
    texts = [line.text for line in block]
    words, characters = sum(len(text.split()) for text in texts), sum(map(len, texts))
    is_short = words <= _MOST_WORDS * len(block) and characters >= _LEAST_CHARACTERS * len(block)
    return is_short and not any("\t" in text for text in texts)


def _is_beside(columns: Sequence[Sequence[Line]], block: Sequence[Line]) -> bool:
    """Return whether a block is the next column: at the right of the others, and with lines at the height of theirs."""
    last, first = columns[-1], columns[0]
    right = max(line.right for line in last)
    is_right = min(line.left for line in block) > right + CELL_GAP * 0.5 * first[0].size
    if not is_right or not _is_column(block) or len(block) > len(first):
        return False
    return all(any(_is_level(line, other) for other in first) for line in block)


def _is_level(line: Line, other: Line) -> bool:
    return abs(line.bottom - other.bottom) < 0.3 * other.size


def _row(line: Line, columns: Sequence[Sequence[Line]]) -> Line:
    cells = [line, *(cell for column in columns for cell in column if _is_level(cell, line))]
    text = "\t".join(cell.text for cell in cells)
    pieces = [piece for cell in cells for piece in cell.pieces]
    return Line(text, line.left, line.top, cells[-1].right, line.bottom, line.size, pieces=pieces)


def _box(block: Sequence[Line]) -> Line:
    return Line(
        "",
        min(line.left for line in block),
        min(line.top for line in block),
        max(line.right for line in block),
        max(line.bottom for line in block),
        block[0].size,
    )


def _is_above(a: Line, b: Line) -> bool:
    return a.bottom <= b.top + 0.3 * min(a.size, b.size) and overlap(a, b) > 0.2
