"""The text of a Markdown file as it is shown: without its markup, with the headings of CommonMark as sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from qa.readers.composition import Composition, Content
from qa.readers.decoding import decode
from qa.readers.html.page import link_address, write_page
from qa.readers.tables import write_table

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Between thematic breaks that hold no keys there is ordinary Markdown.
_FRONT_MATTER = re.compile(r"---[ \t]*\n((?=(?:\s|#.*\n)*[\w-]+[ \t]*:)(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_LONGEST_FRONT_MATTER = 65_536
_TITLE = re.compile(
    r"""^title:[ \t]*(?:"([^"\\\n]+)"|'([^'\n]+)'|([^\s"'|>&*!%@`{\[#].*?))(?:[ \t]+#.*)?[ \t]*$""", re.MULTILINE
)
# A line here begins a new block, but within a fence or a block of HTML.
_BLOCK_START = re.compile(r"\n[ \t]*\n(?=[#\w])")
_PIECE = 1_000_000
# What longer lines hold is no markup that anybody wrote; to look for it takes long.
_LONGEST_INLINE = 50_000
_MARKUP = re.compile(r"[*_`\[\]<>&\\!~]| {2}\n")
# A note is no definition of a link, for which CommonMark would take it.
_NOTE = re.compile(r"^( {0,3})\[\^", re.MULTILINE)
_DATA = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+")
_TASK = re.compile(r"\[([ xX])\]\s+")
_BREAK = re.compile(r"<br\b", re.IGNORECASE)
_STRUCK = re.compile(r"<(/?)(?:del|s|strike)\b", re.IGNORECASE)
_DEEPEST_INDENT = 12


class MarkdownReader:
    """A reader of ``text/markdown``. Headings within quotations and lists are not sections."""

    name = "markdown"
    version = "4"
    media_type = "text/markdown"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        text = decoded.text
        composition = Composition()
        front = _FRONT_MATTER.match(text, 0, _LONGEST_FRONT_MATTER)
        for line in front[1].split("\n") if front else ():
            composition.line(line, "front matter")
        composition.gap()
        opens_with_heading = write_markdown(text, composition, front.end() if front else 0)
        title = _front_title(front[0]) if front else ""
        return composition.content([title], decoded.problems, titled_by_heading=opens_with_heading)


def write_markdown(text: str, composition: Composition, start: int = 0) -> bool:
    """Write what is shown of ``text[start:]``, and return whether nothing comes before its first heading."""
    links: dict[str, object] = {}
    writer = _Writer(composition, links)
    for tokens in _pieces(text, start, links):
        writer.write(tokens)
    return writer.opens_with_heading


def _front_title(front_matter: str) -> str:
    found = _TITLE.search(front_matter)
    return next((group.strip() for group in found.groups() if group), "") if found else ""


def _pieces(text: str, start: int, links: dict[str, object]) -> Iterator[Sequence[Token]]:
    """Yield the tokens of a text piece by piece, because the parser takes 90 times its size in memory.

    Args:
        links: filled with the links that the text defines by their names.
    """
    while start < len(text):
        size = _PIECE
        while True:
            boundary = _BLOCK_START.search(text, start + size)
            end = boundary.end() if boundary else len(text)
            tokens = _parser().parse(_NOTE.sub(r"\1\\[^", text[start:end]), links)
            last = next((token for token in reversed(tokens) if token.level == 0 and token.map), None)
            if end == len(text) or last is None or last.type not in {"fence", "html_block"}:
                break
            # It may go on after the boundary: it begins the next piece, or the piece grows until it holds it.
            assert last.map is not None
            lines = last.map[0]
            if lines:
                end = _offset(text, start, lines)
                tokens = [token for token in tokens if token is not last]
                break
            size *= 2
        yield tokens
        start = end


def _offset(text: str, start: int, lines: int) -> int:
    """Return where a line begins, counted from ``start``; only a newline ends one, for the parser and here."""
    for _ in range(lines):
        start = text.index("\n", start) + 1
    return start


@dataclass(slots=True)
class _List:
    """A list that is open; ``number`` is that of its next item, ``None`` if items have bullets."""

    number: int | None


class _Writer:
    """A writer of the blocks of a text; ``links`` are those that it defines by their names."""

    def __init__(self, composition: Composition, links: dict[str, object]) -> None:
        self._composition = composition
        self._links = links
        self._lists: list[_List] = []
        self._marker = ""
        self._heading = 0
        self._rows: list[list[str]] | None = None
        self._containers = 0
        self._start = composition.length
        self.opens_with_heading = False

    def write(self, tokens: Sequence[Token]) -> None:
        """Write the blocks of the next piece."""
        for token in tokens:
            kind = token.type
            if kind == "inline":
                self._write_inline(_shown(token.content, self._links))
            elif kind in {"fence", "code_block"}:
                self._composition.verbatim(token.content)
            elif kind == "html_block":
                write_page(token.content, self._composition, is_whole=True)
            elif kind == "heading_open":
                # Within a quotation or a list it is none of the text's own.
                self._heading = int(token.tag[1:]) if not self._containers else 0
            elif kind == "hr":
                self._composition.gap()
            elif kind.endswith(("_open", "_close")):
                self._enter(token) if token.nesting > 0 else self._leave(token)

    def _enter(self, token: Token) -> None:
        kind = token.type
        if kind in {"bullet_list_open", "ordered_list_open"}:
            first = token.attrGet("start")
            self._lists.append(_List(None if kind == "bullet_list_open" else int(first) if first is not None else 1))
            self._containers += 1
        elif kind == "blockquote_open":
            self._containers += 1
        elif kind == "list_item_open":
            current = self._lists[-1]
            self._marker = "• " if current.number is None else f"{current.number}. "
            current.number = None if current.number is None else current.number + 1
        elif kind == "table_open":
            self._rows = []
        elif kind == "tr_open" and self._rows is not None:
            self._rows.append([])

    def _leave(self, token: Token) -> None:
        kind = token.type
        if kind in {"bullet_list_close", "ordered_list_close"}:
            self._lists.pop()
            self._containers -= 1
            if not self._lists:
                self._composition.gap()
        elif kind == "blockquote_close":
            self._containers -= 1
            self._composition.gap()
        elif kind == "list_item_close":
            self._marker = ""
        elif kind == "heading_close":
            self._heading = 0
        elif kind == "table_close" and self._rows is not None:
            write_table(self._composition, self._rows, headings=1)
            self._rows = None

    def _write_inline(self, text: str) -> None:
        if self._rows is not None:
            if self._rows:
                self._rows[-1].append(text)
        elif self._heading:
            self.opens_with_heading |= self._composition.length == self._start
            self._composition.heading(text, self._heading)
        elif self._lists:
            if task := _TASK.match(text):
                text = f"{'☐' if task[1] == ' ' else '☑'} {text[task.end() :]}"
            indent = min(len(self._lists) - 1, _DEEPEST_INDENT)
            self._composition.line(f"{self._marker}{text}", "list", indent + (not self._marker))
            self._marker = ""
        else:
            self._composition.paragraph(text)


def _shown(content: str, defined: dict[str, object]) -> str:
    """Return what is shown of the inline content of a block."""
    if "base64," in content:
        content = _DATA.sub("", content)
    if len(content) > _LONGEST_INLINE or not _MARKUP.search(content):
        return content
    parts: list[str] = []
    struck = 0
    links: list[tuple[str, int]] = []
    for token in _inline_tokens(content, defined):
        found = _STRUCK.match(token.content) if token.type == "html_inline" else None
        if token.type == "s_open" or (found and not found[1]):
            struck += 1
        elif token.type == "s_close" or found:
            struck = max(struck - 1, 0)
        elif struck:
            continue
        elif token.type == "link_open":
            links.append((str(token.attrGet("href") or ""), len(parts)))
        elif token.type == "link_close" and links:
            address, first = links.pop()
            parts.append(link_address(address, "".join(parts[first:])))
        else:
            parts.append(_written(token))
    return "".join(parts)


def _inline_tokens(content: str, defined: dict[str, object]) -> Iterator[Token]:
    for token in _inline_parser().parseInline(content, defined):
        yield from token.children or ()


def _written(token: Token) -> str:
    """Return what an inline token that is not a tag of text shows."""
    if token.type in {"text", "code_inline"}:
        return token.content
    if token.type == "image":
        alternative = "".join(map(_written, token.children or ()))
        return alternative if len(alternative.split()) > 1 else ""
    is_break = token.type in {"softbreak", "hardbreak"} or (token.type == "html_inline" and _BREAK.match(token.content))
    return "\n" if is_break else ""


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable("inline")


@cache
def _inline_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("strikethrough")
