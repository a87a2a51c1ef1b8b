"""Text of documents in a page, as itself: what would turn other text about, controls and tags are told by name.

A passage's text cut where spans of its document begin and end, so that a page can mark what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

# What turns the text around it about (UAX 9), control characters, and tags, which say something unseen. The weak marks
# LRM, RLM and ALM turn nothing about, and texts from right to left are full of them.
_TURNING = {
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
}
_UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f]")


def visible(text: object) -> Markup:
    """Text as itself: what would turn it about, controls and tags show by their names and do nothing."""
    return Markup(_UNSEEN.sub(_named, str(escape(text))))


def _named(found: re.Match[str]) -> str:
    character = found[0]
    name = _TURNING.get(character) or f"U+{ord(character):04X}"
    # Alone in an isolate it acts on nothing (UAX 9, X6a), and what is copied has it. Others no HTML may hold.
    kept = character if character in _TURNING else ""
    return f'<bdi class="control" data-name="{name}">{kept}</bdi>'


def plain(text: str) -> str:
    """For a title, which holds no elements: without them."""
    return _UNSEEN.sub("", text)


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
