"""Plain text whose headings are marked: reStructuredText, AsciiDoc and Org, as it stands in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from qa.readers.composition import Content, Heading, nest_headings
from qa.readers.decoding import decode

_LONGEST_HEADING = 300
# A title of reStructuredText, under a line of one sign at least as long as itself, and under another above it at times.
_SIGNS = r"[=\-~^\"'`#*+:._]"
_UNDERLINED = re.compile(
    rf"^(?:(?P<over>({_SIGNS})\2{{2,}})[ \t]*\n)?[ \t]*(?P<title>\S[^\n]*)\n(?P<under>({_SIGNS})\5{{2,}})[ \t]*$",
    re.MULTILINE,
)
_LED = {
    "asciidoc": re.compile(r"^(?P<mark>={1,6})[ \t]+(?P<title>\S[^\n]*)$", re.MULTILINE),
    "org": re.compile(r"^(?P<mark>\*{1,8})[ \t]+(?P<title>\S[^\n]*)$", re.MULTILINE),
}
_BLOCK = {
    # Listings and literal blocks: nothing in them is a heading.
    "asciidoc": re.compile(r"^(-{4,}|\.{4,})[ \t]*\n.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL),
    "org": re.compile(r"^[ \t]*#\+begin_\w+.*?^[ \t]*#\+end_\w+", re.MULTILINE | re.DOTALL | re.IGNORECASE),
}


def _led_headings(text: str, name: str) -> Iterator[Heading]:
    blocks = [found.span() for found in _BLOCK[name].finditer(text)]
    at = 0
    for found in _LED[name].finditer(text):
        while at < len(blocks) and blocks[at][1] <= found.start():
            at += 1
        if at == len(blocks) or found.start() < blocks[at][0]:
            yield Heading(found["title"].strip(), len(found["mark"]), found.start(), found.end())


def _underlined_headings(text: str, name: str) -> Iterator[Heading]:
    """Yield titles with their lines; the signs are of the levels in the order in which they come first."""
    levels: dict[tuple[str, bool], int] = {}
    for found in _UNDERLINED.finditer(text):
        title, under, over = found["title"].rstrip(), found["under"], found["over"]
        is_over = over is not None and over[0] == under[0]
        if len(title) > len(under) or len(title) > _LONGEST_HEADING or not any(map(str.isalnum, title)):
            continue
        level = levels.setdefault((under[0], is_over), len(levels) + 1)
        start = found.start() if is_over or over is None else found.start("title")
        yield Heading(title, level, start, found.end())


class MarkedTextReader:
    """A reader of one of these formats; the canonical text is the decoded file with LF newlines.

    Args:
        name: "rst", "asciidoc" or "org".
        media_type: of the format.
    """

    version = "1"

    def __init__(self, name: str, media_type: str) -> None:
        self.name = name
        self.media_type = media_type
        self._find: Callable[[str, str], Iterator[Heading]] = _underlined_headings if name == "rst" else _led_headings

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        text = decoded.text.replace("\f", "\n")
        sections = nest_headings(self._find(text, self.name), len(text))
        opens = sections and not text[: sections[0].start].strip()
        return Content(text, (sections[0].title,) if opens else (), sections, problems=decoded.problems)
