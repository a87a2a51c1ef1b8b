"""A document to segments: what stands under one heading, without what the document leaves out.

Headings, and spans to be left out, cut a text into segments, and no passage crosses from one into the next.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
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
    if span.start <= segment.start <= segment.body <= segment.end <= span.end:
        return segment  # as nearly all are
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
    """Yield the segments as the headings alone make them, and what comes after the end of a section."""
    text, sections = document.text, document.sections
    stops = [*(section.start for section in sections), len(text)]
    if stops[0]:
        yield Segment(0, 0, stops[0])
    path: list[Section] = []
    headings: list[Span] = []
    for section, stop in zip(sections, stops[1:], strict=True):
        path = [*_holding(path, section.start), section]
        headings.append(Span(section.start, section.body))
        start = min(section.end, stop)
        if stop == len(text) or start < stop or _INK.search(text, section.body, stop):
            yield Segment(headings[0].start, section.body, start, tuple(headings), tuple(path))
            headings = []
        while start < stop:
            path = _holding(path, start)
            end = min([stop, *(outer.end for outer in path[-1:])])
            yield Segment(start, start, end, (), tuple(path))
            start = end


def _holding(path: Sequence[Section], at: int) -> list[Section]:
    return [section for section in path if section.end > at]


def titles_outside(segment: Segment, text: str, start: int, end: int) -> tuple[str, ...]:
    """Return the titles of the segment's sections whose heading is not within ``text[start:end]``, outermost first."""
    return tuple([section.title for section in segment.path if not _is_within(section, text, start, end)])


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
