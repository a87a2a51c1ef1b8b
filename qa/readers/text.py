"""Plain text and its near kin, as it stands in the file, with the headings that its layout or its marks show.

In plain text a heading is a short line of its own between blank lines that does not end like a sentence, comes after
something finished, and has prose under it. Headings come at most three in a row; a longer row of short lines is a list.
In reStructuredText, AsciiDoc and Org headings are marked. Subtitles (.srt, .vtt) become paragraphs that begin with the
time at which they are said. Rich Text Format is read by striprtf.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content, Heading, nest_headings, one_line
from qa.readers.decoding import decode
from qa.readers.tables import write_table
from qa.types import Page

_LONGEST_HEADING = 80
_MOST_WORDS = 12
_MOST_IN_A_ROW = 3
_MOST_PAGES = 10_000

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


class TextReader:
    """A reader of ``text/plain``; the canonical text is the decoded file with LF newlines."""

    name = "text"
    version = "3"
    media_type = "text/plain"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        text, pages = _paged(decoded.text)
        headings = (_heading(block) for block in _heading_blocks(_blocks(text)))
        sections = nest_headings(headings, len(text))
        starts_with_heading = sections and not text[: sections[0].start].strip()
        titles = (sections[0].title,) if starts_with_heading else ()
        return Content(text, titles, sections, pages, problems=decoded.problems)


def _paged(text: str) -> tuple[str, tuple[Page, ...]]:
    """Return the text with a newline for each form feed, and the pages that these end, if there are any."""
    if "\f" not in text:
        return text, ()
    starts = [0, *(found.end() for found in re.finditer("\f", text))][:_MOST_PAGES]
    ends = [*(start - 1 for start in starts[1:]), len(text)]
    pages = tuple(Page(number, *span) for number, span in enumerate(zip(starts, ends, strict=True), 1))
    return text.replace("\f", "\n"), pages


def _heading(block: _Block) -> Heading:
    return Heading(" ".join(block.line.split()), 1, block.start, block.end)


def _heading_blocks(blocks: Iterable[_Block]) -> Iterator[_Block]:
    """Yield the headings among rows of candidates, each judged by what stands before and after it."""
    before: _Block | None = None
    row: list[_Block] = []
    for block in blocks:
        if _is_candidate(block):
            # What is over the limit is a list; its first lines need not be kept to know that.
            row = [*row[-_MOST_IN_A_ROW - 1 :], block]
            continue
        yield from _headings_in_row(before, row, block)
        before, row = block, []


def _is_candidate(block: _Block) -> bool:
    line = block.line
    return (
        bool(line)
        and line[0].isalnum()
        and not line[0].islower()
        and any(character.isalpha() for character in line)
        and not block.is_bullet
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
