"""What a reader makes of a file, and the writer that composes it of blocks.

Blocks are separated by a blank line, and lines of one list or table by a newline. The place of every heading and page
is known as soon as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qa.readers.metadata import Metadata, keep_metadata
from qa.types import Page, Property, Section, Span

# A "heading" that is longer is running text in the wrong style. Its title is repeated in every passage below it.
LONGEST_HEADING = 400
_DEEPEST_LEVEL = 10


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within another, to be a document of its own: its name, its bytes, and what the other says of it.

    ``reader`` is the name of what reads it; where it is empty, its content and its name decide.
    """

    name: str
    data: bytes
    metadata: Metadata = ()
    reader: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The canonical text of one file and the spans in it.

    ``titles`` are candidates for the title of the document, the best first. ``problems`` says, in words for a person,
    what could not be read. ``language`` is what the file declares. The other fields are those of
    :class:`qa.types.Document`.
    """

    text: str
    titles: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()
    excluded: tuple[Span, ...] = ()
    problems: tuple[str, ...] = ()
    metadata: tuple[Property, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in a text: its line is ``[start, body)``, and ``level`` counts from 1, the outermost."""

    title: str
    level: int
    start: int
    body: int


def nest_headings(headings: Iterable[Heading], length: int) -> tuple[Section, ...]:
    """Turn the headings of a text of ``length`` characters into sections.

    A section lasts to the next heading that is not deeper than its own. ``headings`` are in order of their start.
    Levels deeper than 10 count as 10, and titles are cut to ``LONGEST_HEADING`` characters.
    """
    nearest = [length] * (_DEEPEST_LEVEL + 1)
    sections = []
    for heading in reversed(list(headings)):
        level = min(heading.level, _DEEPEST_LEVEL)
        end = min(nearest[: level + 1])
        nearest[level] = heading.start
        title = shorten(heading.title, LONGEST_HEADING)
        sections.append(Section(title, level, heading.start, heading.body, end))
    return tuple(reversed(sections))


_SPACES = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r" ?\n[ \n]*")
# Spaces that only look different, breaks of lines other than "\n", and letters that are printed as one.
_FOLDED = (
    {ord(mark): " " for mark in "\u00a0\u2007\u202f\u2028\u2029\x0b\x0c\x1c\x1d\x1e\x1f\x85"}
    | {ord("\r"): "\n"}
    | dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
)
_TO_FOLD = re.compile(f"[{''.join(map(chr, _FOLDED))}]")
# What cannot be seen and would only keep words from being found: soft hyphens, zero-width spaces, controls, halves of
# surrogate pairs. The joiners of emoji and of Persian and Indic scripts stay.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060-\u2064\ufeff\ufffe\uffff\ud800-\udfff]"
)
_LONGEST_TITLE = 200
_LONGEST_CANDIDATE = 2_000
_JUNK_TITLE = re.compile(
    r"(?:untitled.{0,12}|(?:new )?(?:microsoft )?(?:word )?document ?\d*|dokument ?\d*|title|powerpoint[ -]pr.{0,14}"
    r"|book\d+|(?:slide|folie|sheet|presentation|mappe) ?\d*|unknown|none|null|home|index|\W*)",
    re.IGNORECASE,
)
_PRODUCER = re.compile(r"^microsoft (?:word|powerpoint|excel) - ", re.IGNORECASE)


class Composition:
    """A canonical text while it is being written.

    The text has no control characters but newline and tab, and never more than one blank line outside what is kept
    verbatim.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._pages: list[list[int]] = []
        self._run: str | None = None
        self._parts_of_text: list[tuple[int, Metadata]] = []

    @property
    def length(self) -> int:
        """The number of characters written so far."""
        return self._length

    def heading(self, title: str, level: int) -> None:
        """Write a heading on one line; ``level`` counts from 1.

        A blank title writes nothing, and a title of over ``LONGEST_HEADING`` characters is written as a paragraph.
        """
        title = one_line(title)
        if len(title) > LONGEST_HEADING:
            self.paragraph(title)
        elif title:
            start = self._write(title, None)
            self._headings.append(Heading(title, max(level, 1), start, self._length))

    def paragraph(self, text: str) -> None:
        """Write running text. Its newlines stay, and other white space is collapsed."""
        text = collapse_spaces(text)
        if text:
            self._write(text, None)

    def line(self, text: str, run: str, indent: int = 0) -> None:
        """Write a line of a list or table, right under the line before it if that was of the same ``run``."""
        text = collapse_spaces(text)
        if text:
            lines = text.split("\n")
            self._write("\n".join("  " * indent + line for line in lines if line), run)

    def verbatim(self, text: str) -> None:
        """Write text whose white space has a meaning, such as source code."""
        text = fold(text).strip("\n").rstrip()
        if text.strip():
            self._write(text, None)

    def gap(self) -> None:
        """Set what follows apart from what came before, even if both are lists."""
        self._run = None

    def page(self) -> None:
        """Begin a new page; pages are numbered from 1."""
        self.gap()
        # Its start is moved to its first block when that is written.
        self._pages.append([self._length, self._length])

    def part(self, metadata: Metadata) -> None:
        """Begin a part of the text, such as a sheet or one mail of many, of which the file says this."""
        self._parts_of_text.append((self._length, metadata))

    def content(
        self,
        titles: Iterable[str] = (),
        problems: Iterable[str] = (),
        *,
        titled_by_heading: bool = True,
        metadata: Metadata = (),
    ) -> Content:
        """Return what was written.

        Args:
            titles: candidates for the title, the best first.
            problems: what could not be read, in words for a person.
            titled_by_heading: whether the first heading is the last candidate for the title.
            metadata: what the file says of itself.
        """
        text = "".join(self._parts)
        return Content(
            text=text,
            titles=(*titles, *(heading.title for heading in self._headings[: int(titled_by_heading)])),
            sections=nest_headings(self._headings, len(text)),
            pages=tuple(Page(number, start, end) for number, (start, end) in enumerate(self._pages, 1)),
            problems=tuple(problems),
            metadata=keep_metadata([(0, metadata), *self._parts_of_text], len(text)),
            language=next((value for name, value in metadata if name == "language"), "")[:2].lower(),
        )

    def _write(self, text: str, run: str | None) -> int:
        """Append a block, and return where it starts."""
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


def fold(text: str) -> str:
    """Return ``text`` without characters that cannot be seen, and with one kind of space and of newline."""
    if text.isascii() and text.isprintable():
        return text  # most cells and lines: nothing to look for
    if _TO_FOLD.search(text):
        text = text.replace("\r\n", "\n").translate(_FOLDED)
    return _INVISIBLE.sub("", text)


def collapse_spaces(text: str) -> str:
    """Collapse white space with newlines to one newline, other white space to one space, and strip the ends."""
    text = fold(text)
    if "\n" in text or "\t" in text or "  " in text:
        text = _NEWLINES.sub("\n", _SPACES.sub(" ", text))
    return text.strip()


def one_line(text: str) -> str:
    """Collapse all white space to single spaces."""
    return " ".join(fold(text).split())


def shorten(text: str, most: int) -> str:
    """Cut ``text`` to at most ``most`` characters, between words where it can be, with an ellipsis at its end."""
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]}…"


def choose_title(candidates: Iterable[str], otherwise: str) -> str:
    """Return the first candidate that is a title, cut to 200 characters, or else ``otherwise``.

    "Untitled", "Document1" and the like are none, and "Microsoft Word - " before a title is dropped.
    """
    for candidate in candidates:
        title = _PRODUCER.sub("", one_line(candidate[:_LONGEST_CANDIDATE]))
        if not _JUNK_TITLE.fullmatch(title):
            return shorten(title, _LONGEST_TITLE)
    return otherwise
