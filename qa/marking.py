"""A passage's text cut where spans of its document begin and end, so that a page can mark what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; ``marks`` are the names of the spans that it lies in."""

    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """``[start, end)`` of a text, and its name."""

    start: int
    end: int
    name: str


def pieces(text: str, marks: Sequence[Mark], most: int) -> list[Piece]:
    """The text in order, cut at every edge of a mark, and clipped to about ``most`` characters around the first one."""
    start, end = _window(text, marks, most)
    edges = {start, end} | {edge for m in marks for edge in (m.start, m.end) if start < edge < end}
    ordered = sorted(edges)
    cut = [
        Piece(text[a:b], tuple(dict.fromkeys(m.name for m in marks if m.start <= a and m.end >= b)))
        for a, b in pairwise(ordered)
    ]
    before = [Piece(ELLIPSIS)] if start > 0 else []
    return [*before, *cut, *([Piece(ELLIPSIS)] if end < len(text) else [])]


def _window(text: str, marks: Sequence[Mark], most: int) -> tuple[int, int]:
    if len(text) <= most:
        return 0, len(text)
    first = min((mark.start for mark in marks), default=0)
    start = max(0, min(first - most // 4, len(text) - most))
    return start, start + most
