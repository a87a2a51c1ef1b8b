"""Stretches of a document between headings and around what is excluded: no passage crosses from one into the next."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from qa.types import Document, Section, Span

_INK = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Segment:
    """``[start, end)`` of a text: headings with nothing between them, and what stands under the last.

    ``headings`` are where those at its start stand, ``body`` is where the last of them ends, and ``path`` is the
    sections that hold the body, outermost first.
    """

    start: int
    body: int
    end: int
    headings: tuple[Span, ...] = ()
    path: tuple[Section, ...] = ()


def segments(document: Document) -> Iterator[Segment]:
    """Yield the segments in order; together they are the whole text but what the document excludes.

    An excluded span within a segment makes two of it, of which the second has no headings of its own.
    """
    kept = _kept(document)
    for segment in _under_headings(document):
        first = bisect_right(kept, segment.start, key=lambda span: span.end)
        for span in islice(kept, first, None):
            if span.start >= segment.end:
                break
            yield _clipped(segment, span)


def _kept(document: Document) -> list[Span]:
    """Return what is between the excluded spans; none of it is empty."""
    kept, start = [], 0
    for excluded in document.excluded:
        if excluded.start > start:
            kept.append(Span(start, excluded.start))
        start = max(start, excluded.end)
    return [*kept, Span(start, len(document.text))] if start < len(document.text) else kept


def _clipped(segment: Segment, span: Span) -> Segment:
    start, end = max(segment.start, span.start), min(segment.end, span.end)
    return Segment(
        start=start,
        body=min(max(segment.body, start), end),
        end=end,
        headings=tuple(
            Span(max(heading.start, start), min(heading.end, end))
            for heading in segment.headings
            if heading.start < end and heading.end > start
        ),
        path=segment.path,
    )


def _under_headings(document: Document) -> Iterator[Segment]:
    """Yield the segments as the headings alone make them."""
    text, sections = document.text, document.sections
    first = sections[0].start if sections else len(text)
    if first:
        yield Segment(0, 0, first)
    path: list[Section] = []
    headings: list[Span] = []
    for index, section in enumerate(sections):
        while path and path[-1].end <= section.start:
            path.pop()
        path.append(section)
        headings.append(Span(section.start, section.body))
        last = index + 1 == len(sections)
        end = len(text) if last else sections[index + 1].start
        if last or _INK.search(text, section.body, end):
            yield Segment(headings[0].start, section.body, end, tuple(headings), tuple(path))
            headings = []


def titles_outside(segment: Segment, text: str, start: int, end: int) -> tuple[str, ...]:
    """Return the titles of the segment's sections whose heading is not within ``text[start:end]``, outermost first."""
    return tuple(section.title for section in segment.path if not _is_within(section, text, start, end))


def _is_within(section: Section, text: str, start: int, end: int) -> bool:
    return start < section.body <= end and not text[section.start : start].strip()


def shorten(titles: tuple[str, ...], tokens: int, count: Callable[[str], int]) -> str:
    """Join the titles in one line of at most ``tokens``; words are dropped whole, from the outermost title first."""
    joined = " > ".join(titles)
    if count(joined) <= tokens:
        return joined
    words = joined.split(" ")
    dropped = bisect_left(range(len(words)), True, key=lambda drop: count(" ".join(words[drop:])) <= tokens)
    return " ".join(words[dropped:]).removeprefix("> ")
