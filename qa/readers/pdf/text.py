"""Paragraphs of the lines of pages: words cut at the ends of lines, and headers and footers that repeat."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from qa.readers.pdf.layout import Line, overlap

_WIDEST_LEADING = 3.0
_MORE_LEADING = 1.25
_OTHER_SIZE = 1.2
_INDENT = 0.8
_NEIGHBOURS = 6
_LONGEST_WORD = 100
_LONGEST_CARRIED = 600
_FOOTNOTE = 0.92
_NARROW = 28
_LEAST_PROSE = 5

_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_CUT = re.compile(r"([^\W\d_]+(?:[-\u2010][^\W\d_]+)*)[-\u2010]$")
_ITEM = re.compile(r"[•‣◦▪●∙·*–—-]\s|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s|\[\d+\]\s")
# Dashes and slashes with no space before them: a range of numbers, an address.
_TIGHT = "–—/"
# A line without it is a rule drawn in characters.
_INK = re.compile(r"[^-=_*.~+#\s]")
_FINISHED = re.compile(r"[.!?…:。！？：｡．؟۔।॥]['\"”’»›)\]」』）]*$")
_HYPHENS = ("-", "\u2010")
_SENTENCE = re.compile(r"(?:(?!\n\n)[^.!?…])+(?:[.!?…](?=\w)(?:(?!\n\n)[^.!?…])+)*[.!?…]['\"”’»›)\]]*")
_NOTE = re.compile(r"(?:\d{1,2}|[*†‡§¹²³⁴⁵⁶⁷⁸⁹])[\s.)]?\s*\w")
_WITHOUT_SPACES = re.compile("[\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


class Vocabulary:
    """The words of a document that stand whole on a line, which show how to mend those that do not."""

    def __init__(self, pages: Sequence[Sequence[Line]]) -> None:
        self._pages = pages

    @cached_property
    def _words(self) -> Counter[str]:
        """How often each word is there; counted where a line is cut, as it is not in every document."""
        counts: Counter[str] = Counter()
        for lines in self._pages:
            after_cut = False
            for line in lines:
                words = _WORD.findall(line.text.casefold())
                counts.update(words[after_cut : len(words) - 1 if line.broken else None])
                after_cut = line.broken
        return counts

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


def carry_over(
    pages: Sequence[PageText], lines: Sequence[Sequence[Line]], apart: Sequence[frozenset[int]], vocabulary: Vocabulary
) -> list[PageText]:
    """End every sentence on the page on which it begins, so that nothing stands in it that only parts pages.

    What is moved is the rest of one sentence, up to 600 characters; it goes before the running lines and footnotes of
    its new page.
    """
    result = list(pages)
    for at in range(len(result) - 1):
        before, after = result[at], result[at + 1]
        end = _body_end(before, lines[at], apart[at])
        start = min((span[0] for n, span in enumerate(after.spans) if n not in apart[at + 1]), default=0)
        rest = _SENTENCE.match(after.text, start, min(start + _LONGEST_CARRIED, len(after.text)))
        tail = before.text[max(end - _LONGEST_WORD, 0) : end]
        if rest is None or not _goes_on(tail, rest[0], after.text[rest.end() : rest.end() + 1]):
            continue
        joined = vocabulary.mended(tail, rest[0]) if tail.endswith(_HYPHENS) else f"{tail} {rest[0]}"
        added = len(joined) - len(tail)
        text = before.text[: end - len(tail)] + joined + before.text[end:]
        result[at] = PageText(text, tuple(_shifted(span, end, added) for span in before.spans))
        stop = rest.end() + len(after.text[rest.end() :]) - len(after.text[rest.end() :].lstrip())
        left = after.text[:start] + after.text[stop:]
        spans = tuple(_shifted(span, stop, start - stop) for span in after.spans)
        result[at + 1] = PageText(left.rstrip(), spans)
    return result


def _body_end(page: PageText, lines: Sequence[Line], apart: frozenset[int]) -> int:
    """Return where the text of a page ends, before its running lines and its footnotes in smaller type."""
    body = [at for at in range(len(lines)) if at not in apart]
    usual = median([lines[at].size for at in body]) if body else 0
    last = len(body)
    while last and lines[body[last - 1]].size < _FOOTNOTE * usual:
        last -= 1
    is_note = 0 < last < len(body) and _NOTE.match(lines[body[last]].text)
    kept = body[:last] if is_note else body
    return max((page.spans[at][1] for at in kept), default=0)


def _goes_on(tail: str, rest: str, after: str) -> bool:
    """Return whether ``rest``, which ends a sentence, ends the one that ``tail`` is the last of."""
    return (
        bool(tail)
        and (tail[-1].isalnum() or tail[-1] in ",;-–—\u2010")
        and rest[0].islower()
        and "\t" not in tail.rpartition("\n")[2] + rest
        and (not after or after.isspace())
    )


def _shifted(span: tuple[int, int], at: int, by: int) -> tuple[int, int]:
    """Return a span after ``by`` characters were added, or taken away, before ``at``."""
    start, end = span
    return (start + by, end + by) if start >= at else (min(start, at + min(by, 0)), min(end, at + min(by, 0)))


def _joints(lines: Sequence[Line]) -> list[str]:
    """Return what joins each line and the next: a blank line, a newline, a space, nothing, or "-" in a cut word."""
    below = [_is_below(line, after) for line, after in pairwise(lines)]
    pitches = [_pitch(a, b) / a.size for (a, b), is_below in zip(pairwise(lines), below, strict=True) if is_below]
    usual = median(pitches) if pitches else _WIDEST_LEADING
    joints = []
    local: float | None = None
    for at, is_below in enumerate(below):
        line = lines[at]
        joint = _joint(lines, at, (local or usual) * line.size if is_below else None)
        local = _pitch(line, lines[at + 1]) / line.size if is_below and joint != "\n\n" else None
        joints.append(joint)
    return joints


def _joint(lines: Sequence[Line], at: int, leading: float | None) -> str:
    """Return what joins a line and the next, which is ``leading`` below it if it is in the same column at all."""
    line, after = lines[at], lines[at + 1]
    is_row, is_row_after = "\t" in line.text, "\t" in after.text
    is_alike = _is_alike(line, after)
    if leading is None:
        goes_on = is_alike and not (is_row or is_row_after) and _goes_on_small(line, after)
        return _within(line, after) if goes_on else "\n\n"
    if _pitch(line, after) > _MORE_LEADING * leading:
        return "\n\n"
    if is_row or is_row_after:
        return "\n" if is_alike or (is_row and is_row_after) else "\n\n"
    # A name in small capitals within a sentence does not end its paragraph, a heading in larger type does.
    if not is_alike and not (_goes_on_small(line, after) and _is_full(lines, at)):
        return "\n\n"
    return _joint_of_prose(lines, at)


def _joint_of_prose(lines: Sequence[Line], at: int) -> str:
    """Return what joins a line and the next right below it, neither of which is a row of a table."""
    line, after = lines[at], lines[at + 1]
    if _has_leaders(line.text) or _has_leaders(after.text) or not (_INK.search(line.text) and _INK.search(after.text)):
        return "\n"
    is_item = bool(_ITEM.match(after.text))
    is_full = _is_full(lines, at)
    if (
        not is_item
        and after.left - line.left > _INDENT * line.size
        and (not is_full or _is_finished(line.text))
        and not _ITEM.match(line.text)
    ):
        return "\n\n"
    return "\n" if is_item or not is_full else _within(line, after)


def _goes_on_small(line: Line, after: Line) -> bool:
    """Return whether a line that ends no sentence is before one that begins with a small letter."""
    return after.text[0].islower() and not _is_finished(line.text)


def _is_finished(text: str) -> bool:
    return not text[-1].isalnum() and _FINISHED.search(text[-_LONGEST_WORD:]) is not None


def _has_leaders(text: str) -> bool:
    """Return whether dots, or dashes, lead the eye from a name to its number."""
    return "...." in text or ". . . . " in text or "……" in text or "____" in text


def _within(line: Line, after: Line) -> str:
    if line.broken:
        return "-"
    both = _WITHOUT_SPACES.match(line.text[-1]) and _WITHOUT_SPACES.match(after.text[0])
    return "" if both or (line.text[-1] in _TIGHT and len(line.text) > 1 and not line.text[-2].isspace()) else " "


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
    if len(line.text) <= _NARROW and len(line.text.split()) < _LEAST_PROSE and _is_listed(lines, at):
        return False
    first = after.text.split(maxsplit=1)[0]
    if _WITHOUT_SPACES.match(first):
        first = first[0]
    word = (after.right - after.left) / len(after.text) * (len(first) + 1)
    near = lines[max(at - _NEIGHBOURS, 0) : at + _NEIGHBOURS + 2]
    if unicodedata.bidirectional(line.text[0]) in {"R", "AL"}:
        wider = (other for other in near if other.left <= line.left - word)
    else:
        wider = (other for other in near if other.right >= line.right + word)
    return not any(overlap(line, other) > 0.5 and _is_alike(line, other) for other in wider)


def _is_listed(lines: Sequence[Line], at: int) -> bool:
    """Return whether short lines are entries one below the other rather than prose in a narrow column."""
    near = [line.text for line in lines[max(at - 1, 0) : at + 3]]
    return len(near) > 1 and all(
        len(text) <= _NARROW
        and len(text.split()) < _LEAST_PROSE
        and (text[0].isupper() or text[0].isdigit())
        and text[-1] not in ",;-–—&/("
        for text in near
    )


_OUTER = 3
_ZONE = 0.13
_SHIFT = 0.012
_NEAR = 8
_LEAST_PAGES = 3
_SHARE = 0.4
_PAGE_NUMBER = re.compile(r"[-–—]?\s*(\d{1,4})\s*[-–—]?")
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
    if len(pages) == 1:
        return [frozenset()]  # Nothing repeats.
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
    for number, at in _page_numbers(pages, heights):
        running[number].add(at)
    if all(len(apart) == len(lines) for apart, lines in zip(running, pages, strict=True)):
        return [frozenset()] * len(pages)  # Labels of pictures, say: all the text that there is.
    return [frozenset(lines) for lines in running]


def _page_numbers(pages: Sequence[Sequence[Line]], heights: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Yield lines that are nothing but a number that grows by one from page to page, on two neighbouring pages."""
    counted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, (lines, height) in enumerate(zip(pages, heights, strict=True)):
        for at in _outermost(lines, height):
            if (found := _PAGE_NUMBER.fullmatch(lines[at].text.strip())) and len(lines) > 1:
                counted[int(found[1]) - number].append((number, at))
    for places in counted.values():
        numbers = {number for number, _ in places}
        yield from (place for place in places if {place[0] - 1, place[0] + 1} & numbers)


def _outermost(lines: Sequence[Line], height: float) -> list[int]:
    by_height = sorted(range(len(lines)), key=lambda at: lines[at].bottom)
    upper = [at for at in by_height[:_OUTER] if lines[at].bottom <= _ZONE * height]
    lower = [at for at in by_height[-_OUTER:] if lines[at].top >= (1 - _ZONE) * height]
    return upper + [at for at in lower if at not in upper]


def _key(text: str) -> str:
    return "".join(_NUMBER.sub("#", text.casefold()).split())
