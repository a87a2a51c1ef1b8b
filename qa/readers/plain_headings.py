"""Headings of a plain text, as its layout shows them.

A heading is a short line that does not end like a sentence. It stands by itself between blank lines, after something
finished and with prose under it; or right above the lines that it introduces: items of a list, indented lines, short
lines with times, prices or names of values, and, where it is numbered or in capitals or ends far before the margin,
prose. Headings come at most three in a row; a longer row of short lines is a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from qa.readers.composition import Heading, nest_headings
from qa.types import Section

_LONGEST_HEADING = 80
_MOST_WORDS = 12
_MOST_IN_A_ROW = 3
_LONGEST_TAIL = 200

# With the white space before what comes next.
_SEPARATOR = re.compile(r"\n[^\S\n]*+\n\s*+")
_INK = re.compile(r"\S")
# Closing marks and a reference, "[12]", may come after the full stop.
_CLOSED = r"['\"”’»›)\]」』）]*(?:\[[\w ]{1,12}\])*$"
_SENTENCE_END = re.compile(r"[.!?…。！？｡．؟۔।॥։]" + _CLOSED)
_UNFINISHED = re.compile(r"[.!…:;,、，。；：！｡．،؛۔।॥\-–—/&(\[]" + _CLOSED)
_CONTINUES = re.compile(r"[,;:.!?)\]}»›”’…、，；：。)）،؛]|—")
_BULLET = re.compile(r"[•‣◦▪●∙·*+\-–—](?:\s|$)|\(?\w{1,3}\)\s")
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)\.?\s")
_GAP = re.compile(r"\S {3,}\S")


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines between blank lines, without the white space before them.

    ``line`` is the text of a block that is a single short line, else empty; ``first`` and ``tail`` are the first and
    last characters, so that a line of any length costs the same.
    """

    start: int
    end: int
    line: str
    first: str
    tail: str
    is_one_line: bool

    @property
    def ends_sentence(self) -> bool:
        return _ends(_SENTENCE_END, self.tail)

    @property
    def is_prose(self) -> bool:
        return not self.line or self.ends_sentence

    @property
    def begins_with_bullet(self) -> bool:
        return _BULLET.match(self.first) is not None

    @property
    def is_bullet(self) -> bool:
        if self.begins_with_bullet or self.line:
            return self.begins_with_bullet
        return _BULLET.match(self.tail.rpartition("\n")[2].lstrip()) is not None

    @property
    def continues(self) -> bool:
        return not self.begins_with_bullet and (self.first[0].islower() or _CONTINUES.match(self.first) is not None)


@dataclass(frozen=True, slots=True)
class _Found:
    """A heading, and where the lines right under it end; ``None`` where it stands by itself, or is plainly one.

    ``is_end_sure`` if indentation shows that nothing more belongs to it.
    """

    heading: Heading
    lines_end: int | None = None
    is_end_sure: bool = False


def plain_sections(text: str) -> tuple[tuple[Section, ...], str]:
    """Find the sections of a plain text, and its title, which is empty where it begins with no heading of its own.

    A section lasts to the next heading that is not deeper, as in other formats. That of a heading above a few lines
    ends with them if no heading of the kind comes next, as in an address.
    """
    found = list(_headings(text))
    sections = list(nest_headings((each.heading for each in found), len(text)))
    for at, each in enumerate(found):
        is_last = at + 1 == len(found) or found[at + 1].lines_end is None
        if each.lines_end is not None and (is_last or each.is_end_sure):
            sections[at] = replace(sections[at], end=min(sections[at].end, each.lines_end))
    opens = bool(found) and found[0].lines_end is None and not text[: sections[0].start].strip()
    return tuple(sections), sections[0].title if opens else ""


def _headings(text: str) -> Iterator[_Found]:
    """Yield the headings among rows of candidates, each judged by what stands before and after it."""
    is_finished = True
    row: list[_Block] = []
    level = 0
    for block in _blocks(text):
        if _is_candidate(block):
            # What is over the limit is a list; its first lines need not be kept to know that.
            row = [*row[-_MOST_IN_A_ROW - 1 :], block]
            continue
        for heading in _headings_in_row(row, block, is_finished=is_finished) if row else ():
            level = _depth(heading.line)
            yield _Found(Heading(_said(heading.line), level, heading.start, heading.end))
        above = () if block.is_one_line else tuple(_headings_above_lines(text, block, level))
        yield from above
        is_finished = bool(above) or block.ends_sentence or block.is_bullet
        row = []


def _said(line: str) -> str:
    return " ".join(line.removesuffix(":").split())


def _depth(line: str) -> int:
    """Return the level of a heading by the parts of its number: 2 of "1.2 Scope", 1 where it has none."""
    number = _NUMBER.match(line)
    return 1 + number[1].count(".") if number else 1


def _is_candidate(block: _Block) -> bool:
    return bool(block.line) and _is_title(block.line) and not block.is_bullet


def _is_title(line: str) -> bool:
    """Return whether a line of at most ``_LONGEST_HEADING`` characters may be a heading."""
    first = line[0]
    return (
        first.isalnum()
        and not first.islower()
        and not _ends(_UNFINISHED, line)
        and (first.isalpha() or any(map(str.isalpha, line)))
        and not ("\t" in line or "@" in line or "://" in line)
        and not ("   " in line and _GAP.search(line))
        and len(line.split()) <= _MOST_WORDS
    )


def _ends(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether a text ends as ``pattern`` says, which is with a mark: most lines end with a letter."""
    return not text[-1:].isalnum() and pattern.search(text) is not None


def _headings_in_row(row: list[_Block], after: _Block, *, is_finished: bool) -> list[_Block]:
    """Return which of a row of candidates are headings; ``is_finished`` says that what stands before them has ended."""
    if not (after.is_prose or after.is_bullet or after.continues):
        return []
    if after.continues:
        # The last line is the beginning of a sentence that was broken off, as scraped pages have it.
        row = row[:-1]
    row = [
        block for at, block in enumerate(row) if not _is_item(block, row[max(at - 1, 0) : at] + row[at + 1 : at + 2])
    ]
    if is_finished and len(row) <= _MOST_IN_A_ROW:
        return row
    return [block for block in row[-1:] if _is_emphatic(block.line)]


def _is_item(block: _Block, neighbours: Iterable[_Block]) -> bool:
    """Return whether a line is one of a numbered list, with nothing between it and another item."""
    number = _NUMBER.match(block.line)
    others = [_NUMBER.match(other.line) for other in neighbours]
    return number is not None and any(other and other[1].count(".") == number[1].count(".") for other in others)


def _is_emphatic(line: str) -> bool:
    """Return whether a line is numbered or in capitals: a heading even if what stands before it has no full stop."""
    return bool(_NUMBER.match(line)) or (line.isupper() and len(line) > 3)


_ITEM = re.compile(r"\s*(?:[•‣◦▪●∙·*+\-–—]|\(?(?:\d{1,2}|[a-zA-Z])[.)])[^\S\n]+\S")
_MAY_OPEN = re.compile(r"\s*+(?![a-z])[^\W_]")
_KEY = re.compile(r"[^\W\d][\w .()/'’&-]{0,40}:(?:\s|$)")
_DIGIT = re.compile(r"\d")
# Words that no line ends with on purpose.
_OPEN = re.compile(r"\b(?:and|or|of|the|a|to|for|in|und|oder|der|die|das|et|ou|de)\s*$")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_MOST_WORDS_BEFORE_COLON = 5
_MOST_WORDS_ABOVE_PROSE = 6
_MOST_WORDS_OF_TERM = 4
# Characters of the widest line of a list, and of the narrowest block in which lines are wrapped.
_WIDEST_VALUE, _NARROW = 80, 40
_LOOKED_AT = 40
_INDENT, _DEEPEST = 2, 8

_Kind = Literal["list", "prose"]


def _headings_above_lines(text: str, block: _Block, outer: int) -> Iterator[_Found]:
    """Yield the headings within a block that stand right above what they introduce.

    Args:
        outer: the level of the heading by itself that the block is under; 0 if there is none.
    """
    lines = text[block.start : block.end].rstrip().split("\n")
    if len(lines) < 2:
        return
    starts: list[int] = []
    level = outer
    for at, kind in _Lines(lines).headings():
        starts = starts or list(accumulate((len(line) + 1 for line in lines), initial=block.start))
        title = lines[at].strip()
        depth = level + 1
        if _is_emphatic(title):
            depth = level = outer + _depth(title)
        body = starts[at] + len(lines[at].rstrip())
        heading = Heading(_said(title), depth, body - len(title), body)
        if kind == "prose" and _is_emphatic(title):
            yield _Found(heading)
        elif _indent(lines[at + 1]) >= _indent(lines[at]) + _INDENT:
            margin = (place for place in range(at + 1, len(lines)) if _indent(lines[place]) <= _indent(lines[at]))
            yield _Found(heading, starts[next(margin, len(lines))] - 1, is_end_sure=True)
        else:
            yield _Found(heading, starts[-1] - 1)


class _Lines:
    """The lines of a block, of which some may be headings of those under them."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._width = max(map(len, lines))

    def headings(self) -> Iterator[tuple[int, _Kind]]:
        """Yield the number of each line that is a heading, and what it is the heading of."""
        first = None
        is_under_heading = True
        for at, line in enumerate(self._lines[:-1]):
            # Most lines of prose begin with a small letter: they are not looked at any further.
            may_be = _MAY_OPEN.match(line) and self._may_be_title(at)
            kind = self._kind(at, is_under_heading=is_under_heading, first=first) if may_be else None
            is_under_heading = kind is not None
            if kind:
                yield at, kind
                first = at if first is None else first

    def _kind(self, at: int, *, is_under_heading: bool, first: int | None) -> _Kind | None:
        if not is_under_heading and not self._is_end(at - 1):
            return "list" if self._begins_like(at, first) else None
        is_first = at == 0 or (at == 1 and _is_emphatic(self._lines[0].strip()))
        if self._introduces_list(at) or (is_first and self._introduces_values(at)):
            return "list"
        if at == 0 and self._may_be_title(1) and not _has_value(self._lines[0]):
            is_emphatic = _is_emphatic(self._lines[0].strip())
            if self._introduces_list(1) or (is_emphatic and self._introduces_values(1)):
                return "list"
        return "prose" if self._introduces_prose(at) else None

    def _may_be_title(self, at: int) -> bool:
        line = self._lines[at].strip()
        if at + 1 >= len(self._lines) or not 0 < len(line) <= _LONGEST_HEADING or ": " in line:
            return False
        if line.endswith(":") and len(line.split()) <= _MOST_WORDS_BEFORE_COLON:
            line = line[:-1]
        if not line or not _is_title(line) or _ends(_SENTENCE_END, line):
            return False
        return not _ITEM.match(line) or _NUMBER.match(line) is not None

    def _is_end(self, at: int) -> bool:
        """Return whether a line ends what stands above the next."""
        line = self._lines[at]
        if _ends(_SENTENCE_END, line.rstrip()):
            return True
        is_item = _ITEM.match(line) or _indent(line) >= _indent(self._lines[at + 1]) + _INDENT
        return bool(is_item) and self._has_room(at)

    def _has_room(self, at: int, share: float = 0.75) -> bool:
        """Return whether the next line's first word had room in a line, which was ended on purpose therefore.

        Args:
            share: of the width of the block that lines of prose fill at least.
        """
        if self._width < _NARROW:
            return not _OPEN.search(self._lines[at])
        word = self._lines[at + 1].split(maxsplit=1)[0]
        return len(self._lines[at].rstrip()) + 1 + len(word) <= share * self._width

    def _introduces_list(self, at: int) -> bool:
        """Return whether items of a list or indented lines are under a line."""
        line, under = self._lines[at], self._lines[at + 1]
        if _ITEM.match(under):
            number, below = _NUMBER.match(line.lstrip()), _NUMBER.match(under.lstrip())
            return not (number and below and number[1].count(".") == below[1].count("."))
        deeper = _indent(under) - _indent(line)
        # What is far from the margin is drawn or set in the middle of a page.
        if not _INDENT <= deeper <= _DEEPEST or not under.lstrip()[0].isalnum():
            return False
        is_term = len(line.split()) <= _MOST_WORDS_OF_TERM and self._has_room(at, 0.5)
        return is_term or (self._has_room(at) and not under.lstrip()[0].islower())

    def _introduces_values(self, at: int) -> bool:
        """Return whether all lines under a line are short, and half of them hold a number or begin with a name."""
        line, rest = self._lines[at], [line.strip() for line in self._lines[at + 1 : at + 1 + _LOOKED_AT]]
        if not self._has_room(at) or _has_value(line) or max(map(len, rest)) > _WIDEST_VALUE:
            return False
        is_prose = self._width >= _NARROW and _ends(_SENTENCE_END, rest[-1])
        if is_prose or any(each[0].islower() for each in rest):
            return False
        valued = sum(bool(_DIGIT.search(each) or _KEY.match(each)) for each in rest)
        return 2 * valued >= len(rest)

    def _begins_like(self, at: int, first: int | None) -> bool:
        """Return whether lines begin under a line without numbers as they do under the first heading."""
        if first is None or first + 1 >= at or _DIGIT.search(self._lines[at]):
            return False
        words = [self._lines[place + 1].split(maxsplit=1)[0] for place in (first, at)]
        return words[0] == words[1] and self._introduces_values(first)

    def _introduces_prose(self, at: int) -> bool:
        line, under = self._lines[at].strip(), self._lines[at + 1].strip()
        below = self._lines[at + 1 : at + 1 + _LOOKED_AT]
        if under[0].islower() or not self._has_room(at) or not any(map(_SENTENCE_END.search, map(str.rstrip, below))):
            return False
        if _is_emphatic(line):
            return not _is_emphatic(under)
        is_short = len(line.split()) <= _MOST_WORDS_ABOVE_PROSE and not line.endswith(":")
        return is_short and len(under) >= _NARROW and self._has_room(at, 0.5)


def _has_value(line: str) -> bool:
    """Return whether a line holds a number other than a year."""
    return bool(_DIGIT.search(line) and _DIGIT.search(_YEAR.sub("", line)))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blocks(text: str) -> Iterator[_Block]:
    ink = _INK.search(text)
    if ink is None:
        return
    start = ink.start()
    newline = text.find("\n", start)
    for separator in _SEPARATOR.finditer(text, newline) if newline >= 0 else ():
        yield _block(text, start, separator.start())
        start = separator.end()
    if start < len(text):
        yield _block(text, start, len(text))


def _block(text: str, start: int, end: int) -> _Block:
    """Return the block between two separators that begins at ``start``."""
    is_one_line = text.find("\n", start, end) < 0
    line = text[start:end].rstrip() if is_one_line and end - start <= 2 * _LONGEST_HEADING else ""
    line = line if len(line) <= _LONGEST_HEADING else ""
    tail = line or text[max(end - _LONGEST_TAIL, start) : end].rstrip()
    return _Block(start, start + len(line) if line else end, line, text[start : start + 8], tail, is_one_line)
