"""Sentences of any text as spans, whatever its script, layout and length.

sentencex finds where prose ends a sentence, by the rules of its language. What it does not know is added here: rows of
tables, items and lines of lists are sentences of their own, a sentence may run through blank lines, and none is longer
than a reader can take in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

from sentencex import get_sentence_boundaries

from qa.types import Span

# What the segmenter is given at a time: its memory, and in the worst case its time, grow faster than the text.
_WINDOW = 16_384
_LONGEST = 2_000
_LONGEST_CLUSTER = 32

_BLANK_LINE = re.compile(r"\n\s*\n")
_BULLET = re.compile(r"[•‣◦▪●∙·*+\-–]\s|\(?\w{1,3}[.)]\s")
_FINISHED = re.compile(r"[.!?…:。！？：｡．؟۔।॥։]['\"”’»›)\]」』）]*$")
_CONTINUES = re.compile(r"[,;.!?)\]}»›”’—、，；。)）،؛]")
# White space beyond ASCII makes the segmenter panic (sentencex 1.0.32), and it cannot be given lone surrogates.
_UNSAFE = re.compile(r"[^\S\x00-\x7f]|[\ud800-\udfff]")

_ITEM = re.compile(r"\s*+(?:[•‣◦▪●∙·*+\-–]|\d{1,2}[.)])[^\S\n]")
_CELLS = re.compile(r" \| (?![^(]{0,80}\))|^\s*\||\t\S|\S {3,}\S|\.{4,}|(?: \.){3,}|…{2,}")
_KEY = re.compile(r"\s*+(?![a-z])\w[\w .()/'’&-]{0,40}?:(?:\s|$)")
_STAMP = re.compile(r"\s*+[\[(<]?\d{1,4}[-/.:]\d{1,2}(?:[-/.:T]\d+)*")
_ENDS_IN_NUMBER = re.compile(r"\d[\d.,]*\s?(?:[%€$£¥₹₩°]|[A-Z]{3}|[a-z]{1,2})?$")
# Abbreviations that the segmenter does not know in English, and what may follow them within a sentence.
_SHORTENED = re.compile(
    r"(?<!\w)(?:acc|approx|art|avg|ca|cf|dept|est|excl|ext|figs?|incl|max|min|nos?|para|pp|resp|sec|tel|viz|vols?|vs)\.\s*$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"[\d(#$€£¥a-z]")
_OPENING = "\"'“„«‘(*_"
_OPEN = re.compile(r"[,\-–—/(\[{&+=\u00ad]$|\b(?:and|or|of|the|und|oder|der|die|das|et|ou|de)$")
_WIDE = re.compile(
    r"[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003ffff]"
)
# Columns of a page: prose is not wrapped at less, and a line that had this share of its room left was ended on purpose.
_NARROW = 32
_FILLED = 0.75


def sentences(text: str, start: int = 0, end: int | None = None, language: str = "") -> Iterator[Span]:
    """Yield the sentences of ``text[start:end]``, in order, without white space around them.

    They do not overlap, and every character but white space is in one of them. None is longer than 2,000 characters;
    what is longer is cut, at white space where there is any. Rows of a table, items of a list and lines that were
    ended on purpose are sentences of their own; lines of wrapped prose are not. A sentence that blank lines run
    through, as scraped pages have it, is one.

    Args:
        language: ISO 639-1 code, which decides what an abbreviation or an ordinal is; English rules where it is empty.
    """
    end = len(text) if end is None else end
    pending: Span | None = None
    last = start
    for boundary in _boundaries(text, start, end, language or "en"):
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


def _boundaries(text: str, start: int, end: int, language: str) -> Iterator[int]:
    """Yield where sentences end, the last at ``end``, found window by window."""
    while start < end:
        limit, is_paragraph = _window_end(text, start, end)
        within = [start + offset for offset in _within(text[start:limit], language)]
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
    """Find where a window is cut, and whether a paragraph ends there."""
    limit = start + _WINDOW
    if limit >= end:
        return end, True
    paragraph = text.rfind("\n\n", limit - _WINDOW // 2, limit)
    return (paragraph, True) if paragraph >= 0 else (_cut(text, limit), False)


def _cut(text: str, limit: int) -> int:
    """Find the best place to cut within the last thousand characters before ``limit``."""
    for gap in ("\n", " "):
        if (cut := text.rfind(gap, limit - _LONGEST // 2, limit)) >= 0:
            return cut
    for cut in range(limit, limit - _LONGEST_CLUSTER, -1):
        if not _joins(text[cut - 1], text[cut]):
            return cut
    return limit


def _joins(before: str, after: str) -> bool:
    """Tell whether two characters are drawn as one: a letter and its marks, an emoji and what modifies it."""
    zero_width_joiner, skin_tones = "\u200d", range(0x1F3FB, 0x1F400)
    return (
        zero_width_joiner in {before, after} or ord(after) in skin_tones or unicodedata.category(after).startswith("M")
    )


def _within(window: str, language: str) -> list[int]:
    """Find the sentence boundaries inside a window, without its ends."""
    safe = window if window.isascii() else _UNSAFE.sub(" ", window)
    found = {sentence["start_index"] for sentence in get_sentence_boundaries(language, safe)} - {0, len(window)}
    if language == "en":
        found = {at for at in found if not _is_after_abbreviation(window, at)}
    if "\n" in window.strip():
        found.update(_line_ends(window))
    return sorted(found - {0, len(window)}) if found else []


def _is_after_abbreviation(window: str, at: int) -> bool:
    """Tell whether a boundary only follows an abbreviation: "approx. 5 tonnes", "acc. to the plate"."""
    return bool(_GOES_ON.match(window, at) and _SHORTENED.search(window, max(at - 12, 0), at))


def _line_ends(window: str) -> Iterator[int]:
    """Yield where the lines begin that do not continue the line before."""
    at = 0
    for is_blank, block in groupby(window.split("\n"), key=lambda line: not line.strip()):
        lines = list(block)
        width = 0 if is_blank or len(lines) == 1 else max(map(_columns, lines))
        for number, line in enumerate(lines):
            if width and number and _begins(lines[number - 1].rstrip(), line, width):
                yield at
            at += len(line) + 1


def _begins(before: str, line: str, width: int) -> bool:
    """Tell whether a line begins a sentence, in a block of lines whose widest takes ``width`` columns."""
    if _ITEM.match(line) or _CELLS.search(line) or _CELLS.search(before):
        return True
    if _STAMP.match(line) and _STAMP.match(before):
        return True
    if before.endswith((";", "{", "}")) or (_KEY.match(line) and (before.endswith(":") or _KEY.match(before))):
        return True
    words = line.split(maxsplit=1)
    if words[0].lstrip(_OPENING)[:1].islower() or _OPEN.search(before[-8:]):
        return False
    if before.endswith(":") or (_ENDS_IN_NUMBER.search(before[-20:]) and _ENDS_IN_NUMBER.search(line.rstrip()[-20:])):
        return True
    return _is_ended_early(before, line, words[0], width)


def _is_ended_early(before: str, line: str, word: str, width: int) -> bool:
    """Tell whether a line ends where prose would have gone on, as ``word``, the next, had room."""
    if width < _NARROW:
        # Below an item it goes on with it, indented.
        return len(line) - len(line.lstrip()) <= len(before) - len(before.lstrip())
    # Scripts that need no spaces are wrapped anywhere.
    needed = 2 if _WIDE.match(word) else 1 + len(word)
    return _columns(before) + needed <= _FILLED * width


def _columns(line: str) -> int:
    """Count the columns that a line takes, of which wide characters take two."""
    return len(line.strip()) + (0 if line.isascii() else len(_WIDE.findall(line)))


def _is_broken(text: str, before: Span, after: Span) -> bool:
    """Tell whether two spans are one sentence with blank lines in it."""
    return (
        after.end - before.start <= _LONGEST
        and (text[after.start].islower() or bool(_CONTINUES.match(text, after.start)))
        and bool(_BLANK_LINE.search(text, before.end, after.start))
        and not _BULLET.match(text, before.start)
        and not _FINISHED.search(text[max(before.end - 32, before.start) : before.end])
    )
