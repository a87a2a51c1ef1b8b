"""From headings to sections.

Blocks in, canonical text out: what the readers of formats with structure write with.

Blocks are separated by a blank line, lines of one list or table by a newline. Every span is known as it is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from qa.types import Document, Page, Section, Source


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading where it stands: ``start`` is where it begins and ``body`` where its line ends; level from 1."""

    title: str
    level: int
    start: int
    body: int


def nested(headings: Iterable[Heading], length: int) -> tuple[Section, ...]:
    """Sections of a text of ``length`` characters: each lasts to the next heading that is not deeper than its own.

    ``headings`` are in order of their start.
    """
    found = list(headings)
    nearest = [length] * (max((heading.level for heading in found), default=0) + 1)
    sections = []
    for heading in reversed(found):
        end = min(nearest[: heading.level + 1])
        nearest[heading.level] = heading.start
        sections.append(Section(heading.title, heading.level, heading.start, heading.body, end))
    return tuple(reversed(sections))


_SPACES = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r" ?\n[ \n]*")
# Spaces that only look different, breaks of lines other than "\n", and letters that are printed as one.
_FOLDED = (
    {ord(mark): " " for mark in "\u00a0\u2007\u202f\u2028\u2029\x0b\x0c\x1c\x1d\x1e\x1f\x85"}
    | {ord("\r"): "\n"}
    | dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
)
# What cannot be seen and would only keep words from being found: soft hyphens, zero-width spaces, controls, halves of
# surrogate pairs. The joiners of emoji and of Persian and Indic scripts stay.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060-\u2064\ufeff\ufffe\uffff\ud800-\udfff]"
)
_LONGEST_TITLE = 200
_JUNK_TITLE = re.compile(
    r"(?:untitled.{0,12}|(?:new )?(?:microsoft )?(?:word )?document ?\d*|dokument ?\d*|title|powerpoint[ -]pr.{0,14}"
    r"|book\d+|(?:slide|folie|sheet|presentation|mappe) ?\d*|unknown|none|null|home|index|\W*)",
    re.IGNORECASE,
)
_PRODUCER = re.compile(r"^microsoft (?:word|powerpoint|excel) - ", re.IGNORECASE)


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def media_type(self) -> str: ...


class Composition:
    """A canonical text while it is written.

    The text has no control characters but newline and tab, and never more than one blank line outside what is kept
    verbatim.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._pages: list[list[int]] = []
        self._run: str | None = None

    @property
    def length(self) -> int:
        """Characters written so far."""
        return self._length

    @property
    def first_heading(self) -> str:
        return self._headings[0].title if self._headings else ""

    def heading(self, title: str, level: int) -> None:
        """A heading, on one line; ``level`` from 1. Nothing is written where the title is blank."""
        title = " ".join(folded(title).split())
        if title:
            start = self._write(title, None)
            self._headings.append(Heading(title, max(level, 1), start, self._length))

    def paragraph(self, text: str) -> None:
        """Running text; its newlines stay, other white space is collapsed."""
        text = collapsed(text)
        if text:
            self._write(text, None)

    def line(self, text: str, run: str, indent: int = 0) -> None:
        """A line of a list or table: right under the line before it, where that was of the same ``run``."""
        text = collapsed(text)
        if text:
            lines = text.split("\n")
            self._write("\n".join("  " * indent + line for line in lines if line), run)

    def verbatim(self, text: str) -> None:
        """Text whose white space means something."""
        text = folded(text).strip("\n").rstrip()
        if text.strip():
            self._write(text, None)

    def gap(self) -> None:
        """What follows is apart from what came before, also where both are lists."""
        self._run = None

    def page(self) -> None:
        """A new page begins here; pages are numbered from 1."""
        self.gap()
        # Its start is moved to its first block when that is written.
        self._pages.append([self._length, self._length])

    def document(
        self,
        source: Source,
        data: bytes,
        reader: _Named,
        titles: Iterable[str] = (),
        problems: Sequence[str] = (),
    ) -> Document:
        """The document of what was written; its title is the first of ``titles`` that says something.

        Where none does, it is the first heading, and without one the file's name.
        """
        text = "".join(self._parts)
        name = PurePosixPath(source.id).name
        return Document(
            id=source.id,
            title=next(filter(None, map(_title, (*titles, self.first_heading))), name),
            text=text,
            source_sha256=hashlib.sha256(data).hexdigest(),
            media_type=reader.media_type,
            reader=f"{reader.name}/{reader.version}",
            sections=nested(self._headings, len(text)),
            pages=tuple(Page(number, start, end) for number, (start, end) in enumerate(self._pages, 1)),
            problems=tuple(problems),
        )

    def _write(self, text: str, run: str | None) -> int:
        """Append a block; returns where it starts."""
        if self._parts:
            separator = "\n" if run is not None and run == self._run else "\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        self._run = run
        if self._pages:
            page = self._pages[-1]
            if page[0] == page[1]:
                page[0] = start
            page[1] = self._length
        return start


def folded(text: str) -> str:
    """``text`` without what cannot be seen, and with one kind of space and of newline."""
    if text.isascii() and text.isprintable():
        return text  # most cells and lines: nothing to look for
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").translate(_FOLDED))


def collapsed(text: str) -> str:
    """Runs of white space as one space, those with newlines as one newline; none around."""
    text = folded(text)
    if "\n" in text or "\t" in text or "  " in text:
        text = _NEWLINES.sub("\n", _SPACES.sub(" ", text))
    return text.strip()


def one_line(text: str) -> str:
    return " ".join(folded(text).split())


def row_line(cells: Sequence[str]) -> str:
    """The cells of a table's row on one line; the empty ones at its end are left out."""
    cells = [one_line(cell) for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells)


def _title(candidate: str) -> str:
    """A title fit to be shown, empty where it says nothing: "Untitled", "Document1", "Microsoft Word - …"."""
    title = _PRODUCER.sub("", one_line(candidate))
    if _JUNK_TITLE.fullmatch(title):
        return ""
    return title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1].rsplit(' ', 1)[0]}…"
