"""Headers and footers that repeat over the pages of a document."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from qa.readers.pdf.pdf_layout import Line

_OUTER = 3
_ZONE = 0.13
_SHIFT = 0.012
_NEAR = 8
_LEAST_PAGES = 3
_SHARE = 0.4
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")


def running_lines(pages: Sequence[Sequence[Line]], heights: Sequence[float]) -> list[frozenset[int]]:
    """The numbers of the lines of each page that are its running header or footer.

    Such a line is one of the three outermost within the upper or lower eighth of its page, and at the same height (to
    an 80th of the page) the same text, but for numbers, is on two more pages and on two in five of the pages near it:
    a header may be on left pages only, or change with each chapter.

    Args:
        pages: the lines of each page.
        heights: of each page, in points.
    """
    seen: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for number, (lines, height) in enumerate(zip(pages, heights, strict=True)):
        for at in _outermost(lines, height):
            seen[_key(lines[at].text)].append((number, at, lines[at].bottom / height))
    running: list[set[int]] = [set() for _ in pages]
    with_text = [number for number, lines in enumerate(pages) if lines]
    position = {number: at for at, number in enumerate(with_text)}
    for found in seen.values():
        # By the order of pages with text, so that scanned ones between do not count against a header.
        pages_found = [position[number] for number, _, _ in found]
        for number, at, height in found:
            here = position[number]
            first, last = max(here - _NEAR, 0), min(here + _NEAR + 1, len(with_text))
            near = slice(bisect_left(pages_found, first), bisect_left(pages_found, last))
            alike = {other for other, _, there in found[near] if abs(there - height) <= _SHIFT}
            if len(alike) >= max(_LEAST_PAGES, _SHARE * (last - first)):
                running[number].add(at)
    if all(len(apart) == len(lines) for apart, lines in zip(running, pages, strict=True)):
        return [frozenset()] * len(pages)  # Labels of pictures, say: all the text that there is.
    return [frozenset(lines) for lines in running]


def _outermost(lines: Sequence[Line], height: float) -> list[int]:
    by_height = sorted(range(len(lines)), key=lambda at: lines[at].bottom)
    upper = [at for at in by_height[:_OUTER] if lines[at].bottom <= _ZONE * height]
    lower = [at for at in by_height[-_OUTER:] if lines[at].top >= (1 - _ZONE) * height]
    return upper + [at for at in lower if at not in upper]


def _key(text: str) -> str:
    return "".join(_NUMBER.sub("#", text.casefold()).split())
