"""Plain text and its near kin, as it stands in the file, with the headings that its layout or its marks show.

In reStructuredText, AsciiDoc and Org headings are marked. Subtitles (.srt, .vtt) become paragraphs that begin with the
time at which they are said. Rich Text Format is read by striprtf.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content, Heading, nest_headings, one_line
from qa.readers.decoding import decode
from qa.readers.plain_headings import plain_sections
from qa.readers.tables import write_table
from qa.types import Page

_MOST_PAGES = 10_000


class TextReader:
    """A reader of ``text/plain``; the canonical text is the decoded file with LF newlines."""

    name = "text"
    version = "4"
    media_type = "text/plain"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        text, pages = _paged(decoded.text)
        sections, title = plain_sections(text)
        return Content(text, (title,) if title else (), sections, pages, problems=decoded.problems)


def _paged(text: str) -> tuple[str, tuple[Page, ...]]:
    """Return the text with a newline for each form feed, and the pages that these end, if there are any."""
    if "\f" not in text:
        return text, ()
    starts = [0, *(found.end() for found in re.finditer("\f", text))][:_MOST_PAGES]
    ends = [*(start - 1 for start in starts[1:]), len(text)]
    pages = tuple(Page(number, *span) for number, span in enumerate(zip(starts, ends, strict=True), 1))
    return text.replace("\f", "\n"), pages


_LONGEST_MARKED_HEADING = 300
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
        if len(title) > len(under) or len(title) > _LONGEST_MARKED_HEADING or not any(map(str.isalnum, title)):
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


_CUE = re.compile(
    r"^[ \t]*(?:(\d{1,3}):)?(\d{1,2}):(\d\d)[.,]\d{1,3}[ \t]+-->[^\n]*\n((?:[^\n]*\S[^\n]*(?:\n|\Z))*)", re.MULTILINE
)
_VOICE = re.compile(r"<v(?:\.[\w.]*)?\s+([^>]{1,100})>")
_TAG = re.compile(r"<[^>\n]{0,200}>|\{\\[^}\n]{0,100}\}")
_FINISHED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_LONGEST = 400


class SubtitlesReader:
    """A reader of SubRip and WebVTT. Cues are joined until a sentence ends, and never over 400 characters."""

    name = "subtitles"
    version = "1"
    media_type = "text/vtt"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        begun, said = "", ""
        for cue in _CUE.finditer(decoded.text):
            text = one_line(html.unescape(_TAG.sub("", _VOICE.sub(r"\1: ", cue[4]))))
            if not text or said.endswith(text):  # of a roll-up, which repeats the line before
                continue
            begun = begun or f"{int(cue[1] or 0):02}:{int(cue[2]):02}:{cue[3]}"
            said = f"{said} {text}".strip()
            if _FINISHED.search(said) or len(said) > _LONGEST:
                composition.paragraph(f"[{begun}] {said}")
                begun, said = "", ""
        if said:
            composition.paragraph(f"[{begun}] {said}")
        return composition.content([], decoded.problems)


_BROKEN = "it is a damaged RTF document; open it and save it as .docx"


class RtfReader:
    """A reader of ``.rtf``: paragraphs, and rows of tables as lines."""

    name = "rtf"
    version = "1"
    media_type = "application/rtf"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from striprtf.striprtf import rtf_to_text

        try:
            # It is ASCII; other characters are escapes in the code page that the file names.
            text = str(rtf_to_text(data.decode("latin-1"), errors="replace"))
        except (ValueError, LookupError, IndexError, RecursionError) as error:
            raise UnreadableDocument(_BROKEN) from error
        composition = Composition()
        rows: list[list[str]] = []
        for line in text.split("\n"):
            if line.rstrip().endswith("|"):
                rows.append(line.rstrip().removesuffix("|").split("|"))
                continue
            if rows:
                write_table(composition, rows)
                rows = []
            composition.paragraph(line)
        if rows:
            write_table(composition, rows)
        return composition.content()
