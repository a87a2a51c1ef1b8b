"""Sentences of any text as spans, whatever its script, layout and length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

from qa.types import Span

# What the segmenter is given at a time: its memory, and in the worst case its time, grow faster than the text.
_WINDOW = 16_384
_LONGEST = 2_000
_LONGEST_CLUSTER = 32

_BLANK_LINE = re.compile(r"\n\s*\n")
_BULLET = re.compile(r"[•‣◦▪●∙·*+\-–]\s|\(?\w{1,3}[.)]\s")
_ITEM = re.compile(r"\n(?=[^\S\n]*+(?:[•‣◦▪●∙·*+\-–]|\d{1,2}[.)])[^\S\n])")
_FINISHED = re.compile(r"[.!?…:。！？：｡．؟۔।॥։]['\"”’»›)\]」』）]*$")
_CONTINUES = re.compile(r"[,;.!?)\]}»›”’—、，；。)）،؛]")
# White space beyond ASCII makes the segmenter panic (sentencex 1.0.32), and it cannot be given lone surrogates.
_UNSAFE = re.compile(r"[^\S\x00-\x7f]|[\ud800-\udfff]")


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """The sentences of ``text[start:end]``, in order, without white space around them.

    They do not overlap, and every character but white space is in one of them. None is longer than 2,000 characters;
    what is longer is cut, at white space where there is any. Items of a list are sentences of their own. A sentence
    that blank lines run through, as scraped pages have it, is one.
    """
    end = len(text) if end is None else end
    pending: Span | None = None
    last = start
    for boundary in _boundaries(text, start, end):
        span = _stripped(text, last, boundary)
        last = boundary
        if span is None:
            continue
        if pending is not None and _is_broken(text, pending, span):
            span = Span(pending.start, span.end)
        elif pending is not None:
            yield pending
        pending = span
    if pending is not None:
        yield pending


def _stripped(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    ink = piece.lstrip()
    return Span(end - len(ink), end - len(piece) + len(piece.rstrip())) if ink else None


def _boundaries(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end, the last at ``end``, found window by window."""
    while start < end:
        limit, is_paragraph = _window_end(text, start, end)
        within = [start + offset for offset in _within(text[start:limit])]
        if is_paragraph or not within:
            within.append(limit)
        # Else the last sentence may go on after the window: it begins the next one.
        for boundary in within:
            while boundary - start > _LONGEST:
                start = _cut(text, start + _LONGEST)
                yield start
            yield boundary
            start = boundary


def _window_end(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where a window is cut, and whether a paragraph ends there."""
    limit = start + _WINDOW
    if limit >= end:
        return end, True
    paragraph = text.rfind("\n\n", limit - _WINDOW // 2, limit)
    return (paragraph, True) if paragraph >= 0 else (_cut(text, limit), False)


def _cut(text: str, limit: int) -> int:
    """The best place to cut within the last thousand characters before ``limit``."""
    for gap in ("\n", " "):
        if (cut := text.rfind(gap, limit - _LONGEST // 2, limit)) >= 0:
            return cut
    for cut in range(limit, limit - _LONGEST_CLUSTER, -1):
        if not _joins(text[cut - 1], text[cut]):
            return cut
    return limit


def _joins(before: str, after: str) -> bool:
    """Whether two characters are drawn as one: a letter and its marks, an emoji and what modifies it."""
    zero_width_joiner, skin_tones = "\u200d", range(0x1F3FB, 0x1F400)
    return (
        zero_width_joiner in {before, after} or ord(after) in skin_tones or unicodedata.category(after).startswith("M")
    )


def _within(window: str) -> list[int]:
    """The sentence boundaries inside a window, without its ends."""
    safe = _UNSAFE.sub(" ", window)
    found = {sentence["start_index"] for sentence in get_sentence_boundaries("en", safe)}
    found.update(item.end() for item in _ITEM.finditer(window))
    return sorted(found - {0, len(window)})


def _is_broken(text: str, before: Span, after: Span) -> bool:
    """Whether two spans are one sentence with blank lines in it."""
    return (
        after.end - before.start <= _LONGEST
        and (text[after.start].islower() or bool(_CONTINUES.match(text, after.start)))
        and bool(_BLANK_LINE.search(text, before.end, after.start))
        and not _BULLET.match(text, before.start)
        and not _FINISHED.search(text[max(before.end - 32, before.start) : before.end])
    )
