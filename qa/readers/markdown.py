"""Markdown, as it stands in the file, with the headings of CommonMark as sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from qa.readers.composition import Content, Heading, nest_headings
from qa.readers.decoding import decode

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Between thematic breaks that hold no keys there is ordinary Markdown.
_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=(?:\s|#.*\n)*[\w-]+[ \t]*:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_LONGEST_FRONT_MATTER = 65_536
_TITLE = re.compile(
    r"""^title:[ \t]*(?:"([^"\\\n]+)"|'([^'\n]+)'|([^\s"'|>&*!%@`{\[#].*?))(?:[ \t]+#.*)?[ \t]*$""", re.MULTILINE
)
_COMMENT = re.compile(r"\s*<!--.*-->\s*", re.DOTALL)
# A line here begins a new block, whatever came before, but within a fence or a block of HTML.
_BLOCK_START = re.compile(r"\n[ \t]*\n(?=[#\w])")
_PIECE = 1_000_000
_LONGEST_TITLE = 500


@dataclass(frozen=True, slots=True)
class _Block:
    """An outermost block. ``kind`` is the parser's name for it; ``level`` and ``content`` are a heading's."""

    kind: str
    start: int
    end: int
    level: int
    content: str


class MarkdownReader:
    """A reader of ``text/markdown``. Headings within quotations and lists are not sections."""

    name = "markdown"
    version = "2"
    media_type = "text/markdown"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        front = _FRONT_MATTER.match(decoded.text, 0, _LONGEST_FRONT_MATTER)
        headings, opens_with_heading = _headings(decoded.text, front.end() if front else 0)
        title = _front_title(front[0]) if front else ""
        titles = [title] if title else [heading.title for heading in headings[: int(opens_with_heading)]]
        sections = nest_headings(headings, len(decoded.text))
        return Content(decoded.text, tuple(titles), sections, problems=decoded.problems)


def _front_title(front_matter: str) -> str:
    found = _TITLE.search(front_matter)
    return next((group.strip() for group in found.groups() if group), "") if found else ""


def _headings(text: str, start: int) -> tuple[list[Heading], bool]:
    """Return the headings from ``start`` on, and whether only comments come before the first."""
    headings: list[Heading] = []
    body_seen = opens_with_heading = False
    for block in _blocks(text, start):
        title = _plain(block.content) if block.level else ""
        if title:
            opens_with_heading |= not headings and not body_seen
            source = text[block.start : block.end]
            indent, body = len(source) - len(source.lstrip()), len(source.rstrip())
            headings.append(Heading(title, block.level, block.start + indent, block.start + body))
        else:
            body_seen |= block.kind != "html_block" or not _COMMENT.fullmatch(text, block.start, block.end)
    return headings, opens_with_heading


def _blocks(text: str, start: int) -> Iterator[_Block]:
    """Yield the outermost blocks. A long text is parsed in pieces, because the parser takes 90 times its size."""
    while start < len(text):
        size = _PIECE
        while True:
            boundary = _BLOCK_START.search(text, start + size)
            end = boundary.end() if boundary else len(text)
            blocks = _parse(text, start, end)
            if end == len(text) or not blocks or blocks[-1].kind not in {"fence", "html_block"}:
                break
            # It may go on after the boundary: it begins the next piece, or the piece grows until it holds it.
            if (last := blocks.pop()).start > start:
                end = last.start
                break
            size *= 2
        yield from blocks
        start = end


def _parse(text: str, start: int, end: int) -> list[_Block]:
    piece = text[start:end]
    # The parser counts lines; only "\n" ends one, for it and here.
    lines = [start, *(start + newline.end() for newline in re.finditer("\n", piece)), end]
    tokens = _parser().parse(piece)
    blocks = []
    for index, token in enumerate(tokens):
        if token.level or token.map is None or token.nesting < 0:
            continue
        is_heading = token.type == "heading_open"
        first, last = token.map
        blocks.append(
            _Block(
                kind=token.type,
                start=lines[first],
                end=lines[min(last, len(lines) - 1)],
                level=int(token.tag[1:]) if is_heading else 0,
                content=tokens[index + 1].content if is_heading else "",
            )
        )
    return blocks


def _plain(heading: str) -> str:
    """Return a heading's text without its markup, on one line."""
    inline = _inline_parser().parseInline(heading[:_LONGEST_TITLE])
    return " ".join("".join(_texts(inline)).split())


def _texts(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.children:
            yield from _texts(token.children)
        elif token.type in {"softbreak", "hardbreak"}:
            yield " "
        elif token.type in {"text", "code_inline"}:
            yield token.content


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("inline")


@cache
def _inline_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")
