"""The outline of a PDF as headings where their words stand, and its title."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from qa.readers.composition import Heading
from qa.readers.pdf.glyphs import cleaned
from qa.readers.pdf.layout import Line
from qa.types import Page, Span

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_MOST_ENTRIES = 5_000
_SEARCHED = 20_000
_DEEPEST = 8
_LONGEST_TITLE = 300
_LARGER = 1.15
_SAME_TITLE = 0.9

_JUNK = re.compile(
    r"(?:untitled(?: document)?|no ?title|title|document|slide|presentation|print|\(?anonymous\)?|unknown|none|null"
    r"|book|sheet|table of contents|contents|abstract)[\s\d_-]*"
    r"|microsoft\s(?:word|powerpoint|excel)\b.*|powerpoint presentation|.*\.(?:docx?|dvi|tex|indd|qxd)"
    r"|\S+\.\w{2,5}|\S{0,2}|[\d\W_]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*|[A-Z]|[IVXLC]+)[.:)]?\s+")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an outline: ``level`` counts from 1, ``page`` from 0."""

    title: str
    level: int
    page: int


def read_outline(document: PdfDocument) -> Iterator[Entry]:
    """Yield up to 5,000 entries that have a title and lead to a page, in the order of the file."""
    from pypdfium2 import PdfiumError

    try:
        for bookmark in islice(document.get_toc(max_depth=_DEEPEST), _MOST_ENTRIES):
            title = cleaned(bookmark.get_title())[:_LONGEST_TITLE].strip()
            destination = bookmark.get_dest()
            page = destination.get_index() if destination else None
            if title and page is not None and page >= 0:
                yield Entry(title, bookmark.level + 1, page)
    except (PdfiumError, ValueError):
        return  # What was found stands; a document is whole without its outline.


def place_headings(
    entries: Iterable[Entry], text: str, pages: Sequence[Page], excluded: Sequence[Span]
) -> list[Heading]:
    """Find where the entries stand as headings, and return these in order of their start.

    A heading stands where its words do on its page, in any case, white space and numbering, and at best at
    the start of a line; else at the page's start, with no text of its own. It is never within ``excluded``, which
    is in order.
    """
    found: list[Heading] = []
    reached: dict[int, int] = {}
    for entry in entries:
        if entry.page < len(pages):
            body = _body(pages[entry.page], excluded)
            after = max(reached.get(entry.page, body.start), body.start)
            place = _place(entry.title, text, body, after)
            reached[entry.page] = place.end if place else after
            place = place or Span(body.start, body.start)
            found.append(Heading(entry.title, entry.level, place.start, place.end))
    found.sort(key=lambda heading: heading.start)
    ends = [*(heading.start for heading in found[1:]), len(text)]
    return [replace(heading, body=min(heading.body, end)) for heading, end in zip(found, ends, strict=False)]


def _body(page: Page, excluded: Sequence[Span]) -> Span:
    """Return the page without its running header and footer."""
    start, end = page.start, page.end
    first = bisect_left(excluded, page.start, key=lambda span: span.start)
    for span in islice(excluded, first, None):
        if span.start >= page.end:
            break
        if span.start <= start:
            start = span.end
        elif span.end >= end:
            end = span.start
    return Span(start, max(start, end))


def _place(title: str, text: str, body: Span, after: int) -> Span | None:
    bare = _NUMBER.sub("", title) or title
    letters = r"\s*".join(re.escape(character) for character in bare if not character.isspace())
    at_line = re.compile(rf"^[^\S\n]*((?:[\w.:)]{{1,12}}\s+)?{letters})(?!\w)", re.MULTILINE | re.IGNORECASE)
    within = re.compile(rf"(?<!\w)({letters})(?!\w)")
    for pattern, start in ((at_line, after), (at_line, body.start), (within, after)):
        if match := pattern.search(text, start, min(body.end, start + _SEARCHED)):
            return Span(*match.span(1))
    return None


def find_title(document: PdfDocument, first_page: Sequence[Line], entries: Sequence[Entry]) -> str:
    """Return the title that the file declares, or else the largest words on top of its first page, or else the first
    entry of its outline."""
    declared = cleaned(document.get_metadata_value("Title"))[:_LONGEST_TITLE]
    if not _JUNK.fullmatch(declared):
        return declared
    return _largest(first_page) or next((entry.title for entry in entries if not _JUNK.fullmatch(entry.title)), "")


def _largest(lines: Sequence[Line]) -> str:
    """Return the first lines in type that is larger than that of most of the page's text."""
    if not lines:
        return ""
    sizes = sorted((line.size, len(line.text)) for line in lines)
    half = sum(length for _, length in sizes) / 2
    reached = accumulate(length for _, length in sizes)
    usual = next(size for (size, _), length in zip(sizes, reached, strict=True) if length >= half)
    upper = lines[: max(len(lines) // 2, 3)]
    largest = max(line.size for line in upper)
    if largest < _LARGER * usual:
        return ""
    first = last = next(at for at, line in enumerate(upper) if line.size == largest)
    while first > 0 and upper[first - 1].size >= _SAME_TITLE * largest:
        first -= 1
    while last + 1 < len(upper) and upper[last + 1].size >= _SAME_TITLE * largest:
        last += 1
    title = " ".join(" ".join(line.text for line in upper[first : last + 1]).split())
    letters = sum(character.isalpha() for character in title)
    return "" if len(title) > _LONGEST_TITLE or _JUNK.fullmatch(title) or 2 * letters < len(title) else title
