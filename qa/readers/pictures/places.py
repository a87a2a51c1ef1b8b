"""Canonical text to boxes on a page.

The lines of a page, as they are read again, are looked for in its canonical text, white space left out: first one after
the other, then those that were not found, the longest first, and each between its neighbours in reading order. So a
place is only ever given to characters that the page has. What was moved is found too: running headers, and the rest of
a sentence, which stands in the canonical text of the page before (``qa.readers.pdf.text``).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# (left, top, right, bottom) of each character in parts of the page, UNITS to its width and height; -1 for none.
Boxes = NDArray[np.int16]

UNITS = 10_000
_HYPHENS = "-\u2010\u00ad"
# Characters of a line that are looked for anywhere on the page: shorter ones stand in many places by chance.
_LEAST_ANYWHERE = 3
# Characters that may have been moved to between two lines, and the least of a line that is looked for behind them.
_MOST_BETWEEN, _LEAST_BEHIND = 400, 10
# Lines of which a part is looked for, and the least characters of a part.
_MOST_CUT, _LEAST_PART = 6, 4
# Characters of a line beyond which it is no line that a person reads, and looking at all its parts would take long.
_LONGEST_LINE = 2_000
# Of the heights of two characters: how much they share on one line, and the widest gap between them.
_SHARED, _WIDEST_GAP = 0.5, 2.5
_MOST_ASKEW = 0.4


@dataclass(frozen=True, slots=True)
class Seen:
    """Characters of a line in reading order, without white space, and their boxes: a row for each."""

    text: str
    boxes: Boxes


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a page in hundredths of its width and height."""

    left: float
    top: float
    width: float
    height: float


class _Claims:
    """The characters of a canonical text without white space, and which of them a line was found for."""

    def __init__(self, text: str, head: int) -> None:
        self.offsets = [at for at, character in enumerate(text) if not character.isspace()]
        self.ink = "".join(text[at] for at in self.offsets)
        # Where the page begins; what stands before is of the page before.
        self.head = bisect_left(self.offsets, head)
        self._taken = bytearray(len(self.ink))
        self._is_start = bytearray(len(self.ink) + 1)
        for at, (before, after) in enumerate(pairwise([-2, *self.offsets])):
            self._is_start[at] = after > before + 1
        self._is_start[len(self.ink)] = 1

    def find(self, text: str, low: int, high: int, *, whole: bool = False) -> int:
        """Return where a text stands free within ``[low, high)``, or -1.

        Args:
            whole: whether white space must stand before and after it.
        """
        at = self.ink.find(text, low, high)
        while at >= 0:
            end = at + len(text)
            if self._taken.find(1, at, end) < 0 and (not whole or (self._is_start[at] and self._is_start[end])):
                return at
            at = self.ink.find(text, at + 1, high)
        return -1

    def take(self, at: int, length: int) -> None:
        self._taken[at : at + length] = b"\1" * length


def place(lines: Sequence[Seen], before: str, text: str) -> tuple[Boxes, float]:
    """Find the characters of ``before + text`` on a page.

    Args:
        lines: of the page, in reading order.
        before: the end of the canonical text of the page before.
        text: the canonical text of the page.

    Returns:
        A box for each character of ``before + text``, and which part of ``text`` was found, 0 to 1.
    """
    whole = before + text
    claims = _Claims(whole, len(before))
    boxes = np.full((len(whole), 4), -1, np.int16)
    placed: dict[int, tuple[int, int]] = {}
    order: list[int] = []
    found = 0
    left: list[int] = []

    def put(number: int, start: int, at: int, length: int) -> None:
        nonlocal found
        claims.take(at, length)
        boxes[claims.offsets[at : at + length]] = lines[number].boxes[start : start + length]
        found += min(length, max(at + length - claims.head, 0))

    reached = claims.head
    for number, line in enumerate(lines):
        at, length = _find_next(claims, line.text, reached)
        if at >= 0:
            put(number, 0, at, length)
            placed[number], reached = (at, at + length), at + length
            order.append(number)
    rest = sorted(set(range(len(lines))) - placed.keys(), key=lambda number: (-len(lines[number].text), number))
    for number in rest:
        nearest = bisect_left(order, number)
        low = placed[order[nearest - 1]][1] if nearest else claims.head
        high = placed[order[nearest]][0] if nearest < len(order) else len(claims.ink)
        at, length = _find_line(claims, lines[number].text, low, high)
        if at < 0:
            left.append(number)
            continue
        put(number, 0, at, length)
        if low <= at <= high:
            placed[number] = at, at + length
            insort(order, number)
    for number in sorted(left)[:_MOST_CUT]:
        for start, at, length in _find_parts(claims, lines[number].text):
            put(number, start, at, length)
    return boxes, found / max(len(claims.ink) - claims.head, 1)


def _find_next(claims: _Claims, text: str, reached: int) -> tuple[int, int]:
    """Return where a line stands that comes next, or soon, and how many of its characters; -1 if it does not."""
    for said in _endings(text):
        if claims.ink.startswith(said, reached):
            return reached, len(said)
        far = claims.find(said, reached, reached + _MOST_BETWEEN + len(said)) if len(said) >= _LEAST_BEHIND else -1
        if far >= 0:
            return far, len(said)
    return -1, 0


def _endings(text: str) -> list[str]:
    """Return a line as it may stand in the text: a hyphen at its end may have been dropped."""
    return [text, text[:-1]] if text[-1:] in _HYPHENS and len(text) > 1 else [text]


def _find_line(claims: _Claims, text: str, low: int, high: int) -> tuple[int, int]:
    """Return where a line stands, and how many of its characters; -1 if it stands nowhere."""
    for said in _endings(text):
        if low < high and (at := claims.find(said, low, high)) >= 0:
            return at, len(said)
    for said in _endings(text):
        if len(said) >= _LEAST_ANYWHERE:
            for start, is_whole in ((claims.head, True), (0, True), (0, False)):
                if not is_whole and len(said) < 4 * _LEAST_ANYWHERE:
                    continue
                if (at := claims.find(said, start, len(claims.ink), whole=is_whole)) >= 0:
                    return at, len(said)
    return -1, 0


def _find_parts(claims: _Claims, text: str) -> list[tuple[int, int, int]]:
    """Find a line that was cut where a sentence ends: its end on this page, its beginning on the page before.

    Each part is where it begins in the line, where it stands, and its length.
    """
    for cut in range(1, len(text) - _LEAST_PART + 1 if len(text) <= _LONGEST_LINE else 0):
        if (at := claims.find(text[cut:], claims.head, len(claims.ink))) >= 0:
            before = claims.find(text[:cut], 0, claims.head)
            return [(cut, at, len(text) - cut), *([(0, before, cut)] if before >= 0 else [])]
    return []


def align(text: str, seen: Seen) -> Boxes:
    """Return a box for each character of ``text``, which was written with the characters that are seen.

    A character that was added, such as the brackets around the number of a note, has the box of the one before it.
    """
    if text == seen.text:
        return seen.boxes
    from difflib import SequenceMatcher

    boxes = np.full((len(text), 4), -1, np.int16)
    if max(len(text), len(seen.text)) > _LONGEST_LINE:
        return boxes
    for match in SequenceMatcher(None, text, seen.text, autojunk=False).get_matching_blocks():
        boxes[match.a : match.a + match.size] = seen.boxes[match.b : match.b + match.size]
    known = np.flatnonzero(boxes[:, 0] >= 0)
    if not len(known):
        return boxes
    nearest = np.maximum.accumulate(np.where(boxes[:, 0] >= 0, np.arange(len(text)), known[0]))
    return np.asarray(boxes[nearest], np.int16)


def rectangles(boxes: Boxes, beside: float = 0.0) -> list[Rectangle]:
    """Join the boxes of characters that stand beside one another to rectangles; those without a box are left out.

    Args:
        beside: by how much each is widened on both sides, in hundredths of the page's width.
    """
    found: list[list[int]] = []
    first = last = [0, 0, 0, 0]
    for box in boxes[boxes[:, 0] >= 0].tolist():
        if found and _is_next(first, last, box):
            whole = found[-1]
            found[-1] = [*map(min, whole[:2], box[:2]), *map(max, whole[2:], box[2:])]
        else:
            found.append(box)
            first = box
        last = box
    share = 100 / UNITS
    return [
        Rectangle(
            max(left * share - beside, 0.0),
            top * share,
            min((right - left) * share + 2 * beside, 100.0),
            (bottom - top) * share,
        )
        for left, top, right, bottom in found
    ]


def _is_next(first: Sequence[int], last: Sequence[int], box: Sequence[int]) -> bool:
    """Return whether a character stands beside the one before it, and on a line with the first one of all.

    A line runs along the page, or up or down it, where characters lie on their side or below one another; one that is
    askew ends, so that it is marked in steps.
    """
    return any(
        _shared(last, box, across) >= _SHARED * min(_size(last, across), _size(box, across))
        and -_shared(last, box, along) <= _gap(last, along)
        and abs(box[across] - first[across]) <= _MOST_ASKEW * _size(first, across)
        and (along == 0 or _size(first, across) >= _size(first, along))
        for along, across in ((0, 1), (1, 0))
    )


def _gap(box: Sequence[int], along: int) -> float:
    """Return the widest gap behind a character on a line that runs along an axis."""
    return _WIDEST_GAP * max(_size(box, 1), 1) if along == 0 else max(_size(box, 1), 1)


def _size(box: Sequence[int], axis: int) -> int:
    return box[axis + 2] - box[axis]


def _shared(a: Sequence[int], b: Sequence[int], axis: int) -> int:
    """Return how much of a side two boxes share; below 0 it is the gap between them."""
    return min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])
