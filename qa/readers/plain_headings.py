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

_SEPARATOR = re.compile(r"\n(?:[^\S\n]*+\n)++")
_INK = re.compile(r"\S")
# Closing marks and a reference, "[12]", may come after the full stop.
_CLOSED = r"['\"”’»›)\]」』）]*(?:\[[\w ]{1,12}\])*$"
_SENTENCE_END = re.compile(r"[.!?…。！？｡．؟۔।॥։]" + _CLOSED)
_UNFINISHED = re.compile(r"[.!…:;,、，。；：！｡．،؛۔।॥\-–—/&(\[]" + _CLOSED)
_CONTINUES = re.compile(r"[,;:.!?)\]}»›”’…、，；：。)）،؛]|—")
_BULLET = re.compile(r"[•‣◦▪●∙·*+\-–—](?:\s|$)|\(?\w{1,3}\)\s")
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)\.?\s")
_NOT_A_HEADING = re.compile(r"\t|\S {3,}\S|://|@")


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines between blank lines. ``line`` is the text of one that is a single short line, else empty."""

    start: int
    end: int
    line: str
    ends_sentence: bool
    is_bullet: bool
    is_prose: bool
    continues: bool


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
    before: _Block | None = None
    row: list[_Block] = []
    level = 0
    for block in _blocks(text):
        if _is_candidate(block):
            # What is over the limit is a list; its first lines need not be kept to know that.
            row = [*row[-_MOST_IN_A_ROW - 1 :], block]
            continue
        for heading in _headings_in_row(before, row, block):
            level = _depth(heading.line)
            yield _Found(Heading(_said(heading.line), level, heading.start, heading.end))
        above = list(_headings_above_lines(text, block, level))
        yield from above
        is_finished = block.ends_sentence or bool(above)
        before, row = replace(block, ends_sentence=is_finished), []


def _said(line: str) -> str:
    return " ".join(line.removesuffix(":").split())


def _depth(line: str) -> int:
    """Return the level of a heading by the parts of its number: 2 of "1.2 Scope", 1 where it has none."""
    number = _NUMBER.match(line)
    return 1 + number[1].count(".") if number else 1


def _is_candidate(block: _Block) -> bool:
    return bool(block.line) and not block.is_bullet and _is_title(block.line)


def _is_title(line: str) -> bool:
    """Return whether a line of at most ``_LONGEST_HEADING`` characters may be a heading."""
    return (
        line[0].isalnum()
        and not line[0].islower()
        and any(character.isalpha() for character in line)
        and not _UNFINISHED.search(line)
        and not _NOT_A_HEADING.search(line)
        and len(line.split()) <= _MOST_WORDS
    )


def _headings_in_row(before: _Block | None, row: list[_Block], after: _Block) -> list[_Block]:
    if not (after.is_prose or after.is_bullet or after.continues):
        return []
    if after.continues:
        # The last line is the beginning of a sentence that was broken off, as scraped pages have it.
        row = row[:-1]
    row = [
        block for at, block in enumerate(row) if not _is_item(block, row[max(at - 1, 0) : at] + row[at + 1 : at + 2])
    ]
    finished = before is None or before.ends_sentence or before.is_bullet
    if finished and len(row) <= _MOST_IN_A_ROW:
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
    starts = list(accumulate((len(line) + 1 for line in lines), initial=block.start))
    level = outer
    for at, kind in _Lines(lines).headings():
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
        for at in range(len(self._lines) - 1):
            kind = self._kind(at, is_under_heading=is_under_heading, first=first)
            is_under_heading = kind is not None
            if kind:
                yield at, kind
                first = at if first is None else first

    def _kind(self, at: int, *, is_under_heading: bool, first: int | None) -> _Kind | None:
        if not self._may_be_title(at):
            return None
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
        is_item = _ITEM.match(line) and not _NUMBER.match(line)
        return bool(line) and not is_item and _is_title(line) and not _SENTENCE_END.search(line)

    def _is_end(self, at: int) -> bool:
        """Return whether a line ends what stands above the next."""
        line = self._lines[at]
        if _SENTENCE_END.search(line.rstrip()):
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
        if _has_value(line) or any(len(each) > _WIDEST_VALUE for each in rest):
            return False
        is_prose = self._width >= _NARROW and _SENTENCE_END.search(rest[-1])
        valued = sum(bool(_DIGIT.search(each) or _KEY.match(each)) for each in rest)
        return (
            2 * valued >= len(rest)
            and not is_prose
            and not any(each[0].islower() for each in rest)
            and self._has_room(at)
        )

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
    return bool(_DIGIT.search(_YEAR.sub("", line)))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blocks(text: str) -> Iterator[_Block]:
    start = 0
    for separator in _SEPARATOR.finditer(text):
        yield from _block(text, start, separator.start())
        start = separator.end()
    yield from _block(text, start, len(text))


def _block(text: str, start: int, end: int) -> Iterator[_Block]:
    """Yield the block between two separators, unless there is only white space."""
    ink = _INK.search(text, start, end)
    if ink is None:
        return
    start = ink.start()
    # Only its edges are looked at, so that a line of any length costs the same.
    tail = text[max(end - 200, start) : end].rstrip()
    one_line = text.find("\n", start, end) == -1
    short = one_line and end - start <= 2 * _LONGEST_HEADING
    line = text[start:end].rstrip() if short else ""
    line = line if len(line) <= _LONGEST_HEADING else ""
    ends_sentence = bool(_SENTENCE_END.search(tail))
    last_line = tail.rpartition("\n")[2].lstrip()
    first = text[start : start + 8]
    is_bullet = bool(_BULLET.match(first))
    yield _Block(
        start=start,
        end=start + len(line) if line else end,
        line=line,
        ends_sentence=ends_sentence,
        is_bullet=is_bullet or bool(_BULLET.match(last_line)),
        is_prose=not line or ends_sentence,
        continues=not is_bullet and (first[0].islower() or bool(_CONTINUES.match(first))),
    )
