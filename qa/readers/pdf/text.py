"""Paragraphs of the lines of pages: words cut at the ends of lines, and headers and footers that repeat."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from qa.readers.pdf.layout import Line, overlap

_WIDEST_LEADING = 3.0
_MORE_LEADING = 1.25
_OTHER_SIZE = 1.2
_INDENT = 0.8
_NEIGHBOURS = 6
_LONGEST_WORD = 100

_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_CUT = re.compile(r"([^\W\d_]+(?:[-\u2010][^\W\d_]+)*)[-\u2010]$")
_ITEM = re.compile(r"[•‣◦▪●∙·*–—-]\s|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s|\[\d+\]\s")
# Dashes and slashes with no space before them: a range of numbers, an address.
_TIGHT = re.compile(r"\S[–—/]$")
# A line without it is a rule drawn in characters.
_INK = re.compile(r"[^-=_*.~+#\s]")
_FINISHED = re.compile(r"[.!?…:。！？：｡．؟۔।॥]['\"”’»›)\]」』）]*$")
_WITHOUT_SPACES = re.compile("[\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


class Vocabulary:
    """The words of a document that stand whole on a line, which show how to mend those that do not."""

    def __init__(self, pages: Iterable[Sequence[Line]]) -> None:
        self._words: Counter[str] = Counter()
        for lines in pages:
            after_cut = False
            for line in lines:
                words = _WORD.findall(line.text.casefold())
                self._words.update(words[after_cut : len(words) - 1 if line.broken else None])
                after_cut = line.broken

    def mended(self, before: str, after: str) -> str:
        """Join two lines, the first of which ends with a hyphen.

        The hyphen is dropped between letters of which the second is lower-case, unless the document shows that it is
        the word's own: it has the word more often with a hyphen than without; or has neither, but both halves of it
        as words.
        """
        cut, rest = _CUT.search(before[-_LONGEST_WORD:]), _WORD.match(after[:_LONGEST_WORD])
        if cut is None or rest is None or not rest[0][0].islower() or (cut[1].isupper() and len(cut[1]) > 1):
            return before + after
        left, right = cut[1].casefold(), rest[0].casefold()
        as_one, with_hyphen = self._words[left + right], self._words[f"{left}-{right}"]
        if as_one == with_hyphen == 0:
            keep = "-" in left or "-" in right or (self._is_word(left) and self._is_word(right))
        else:
            keep = with_hyphen > as_one
        return before + after if keep else before[:-1] + after

    def _is_word(self, text: str) -> bool:
        return len(text) > 1 and self._words[text] > 0


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a page, and ``(start, end)`` of each line in it."""

    text: str
    spans: tuple[tuple[int, int], ...]


def lay_out_page(lines: Sequence[Line], apart: frozenset[int], height: float, vocabulary: Vocabulary) -> PageText:
    """Join lines to paragraphs with a blank line between them.

    Within a paragraph a line goes on after a space where the next line's first word had no room on it; a line that
    was ended before is kept as a line. The lines numbered in ``apart`` are paragraphs of their own, those of the
    upper half of the page before all others and those of the lower half after them.
    """
    upper = sorted((at for at in apart if lines[at].bottom < height / 2), key=lambda at: (lines[at].top, at))
    lower = sorted((at for at in apart if lines[at].bottom >= height / 2), key=lambda at: (lines[at].top, at))
    body = [at for at in range(len(lines)) if at not in apart]
    joints = dict(zip(body[1:], _joints([lines[at] for at in body]), strict=False))
    parts: list[str] = []
    length = 0
    spans = [(0, 0)] * len(lines)
    previous = -1
    for at in [*upper, *body, *lower]:
        joint = joints.get(at, "\n\n") if previous >= 0 else ""
        text = lines[at].text
        if joint == "-":
            mended = vocabulary.mended(parts[-1], text)
            text = mended[-len(text) :]
            if len(mended) < len(parts[-1]) + len(text):
                parts[-1] = parts[-1][:-1]
                length -= 1
                spans[previous] = (spans[previous][0], length)
            joint = ""
        parts += [joint, text]
        spans[at] = (length + len(joint), length + len(joint) + len(text))
        length = spans[at][1]
        previous = at
    return PageText("".join(parts), tuple(spans))


def _joints(lines: Sequence[Line]) -> list[str]:
    """Return what joins each line and the next: a blank line, a newline, a space, nothing, or "-" in a cut word."""
    pitches = [_pitch(a, b) / a.size for a, b in pairwise(lines) if _is_below(a, b)]
    usual = median(pitches) if pitches else _WIDEST_LEADING
    joints = []
    local: float | None = None
    for at, (line, after) in enumerate(pairwise(lines)):
        full = _is_full(lines, at)
        joint = _joint(line, after, full, (local or usual) * line.size)
        within = joint != "\n\n" and _is_below(line, after)
        local = _pitch(line, after) / line.size if within else None
        joints.append(joint)
    return joints


def _joint(line: Line, after: Line, full: bool, leading: float) -> str:
    goes_on = (
        after.text[0].islower() and not _FINISHED.search(line.text[-_LONGEST_WORD:]) and not _is_table(line, after)
    )
    if not _is_below(line, after):
        return _within(line, after) if goes_on and _is_alike(line, after) else "\n\n"
    # A name in small capitals within a sentence does not end its paragraph, a heading in larger type does.
    if _pitch(line, after) > _MORE_LEADING * leading or not (
        _is_alike(line, after) or (goes_on and full) or (_is_table(line) and _is_table(after))
    ):
        return "\n\n"
    if _is_table(line, after) or not (_INK.search(line.text) and _INK.search(after.text)):
        return "\n"
    is_item = bool(_ITEM.match(after.text))
    is_indented = after.left - line.left > _INDENT * line.size
    if (
        is_indented
        and not is_item
        and not _ITEM.match(line.text)
        and (not full or _FINISHED.search(line.text[-_LONGEST_WORD:]))
    ):
        return "\n\n"
    return "\n" if is_item or not full else _within(line, after)


def _within(line: Line, after: Line) -> str:
    if line.broken:
        return "-"
    both = _WITHOUT_SPACES.match(line.text[-1]) and _WITHOUT_SPACES.match(after.text[0])
    return "" if both or _TIGHT.search(line.text) else " "


def _is_table(*lines: Line) -> bool:
    return any("\t" in line.text for line in lines)


def _is_alike(a: Line, b: Line) -> bool:
    return max(a.size, b.size) <= _OTHER_SIZE * min(a.size, b.size)


def _pitch(line: Line, after: Line) -> float:
    return after.bottom - line.bottom


def _is_below(line: Line, after: Line) -> bool:
    """Return whether a line is the next one of the same column."""
    pitch = _pitch(line, after)
    return 0.3 * line.size < pitch < _WIDEST_LEADING * line.size and overlap(line, after) > 0


def _is_full(lines: Sequence[Line], at: int) -> bool:
    """Return whether the next line's first word would not have fitted on this line."""
    line, after = lines[at], lines[at + 1]
    near = lines[max(at - _NEIGHBOURS, 0) : at + _NEIGHBOURS + 2]
    column = [line, *(other for other in near if overlap(line, other) > 0.5 and _is_alike(line, other))]
    first = after.text.split(maxsplit=1)[0]
    if _WITHOUT_SPACES.match(first):
        first = first[0]
    word = (after.right - after.left) / len(after.text) * (len(first) + 1)
    if unicodedata.bidirectional(line.text[0]) in {"R", "AL"}:
        return line.left - word < min(other.left for other in column)
    return line.right + word > max(other.right for other in column)


_OUTER = 3
_ZONE = 0.13
_SHIFT = 0.012
_NEAR = 8
_LEAST_PAGES = 3
_SHARE = 0.4
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")


def find_running_lines(pages: Sequence[Sequence[Line]], heights: Sequence[float]) -> list[frozenset[int]]:
    """Find the lines of each page that are its running header or footer, by their numbers.

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
