"""The main text of an HTML page: headings, paragraphs, lists and tables, as a person would write them down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from html import unescape

from qa.readers.composition import Composition, Content
from qa.readers.decoding import Decoded, charset, decode
from qa.readers.html.boilerplate import find_main_text
from qa.readers.html.tree import HEADINGS, Element, End, parse
from qa.readers.metadata import Metadata, describe
from qa.readers.tables import Cell, Grid, write_table

_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form frameset header hgroup hr html legend li main menu nav ol optgroup option p pre search section "
    "summary table tbody td tfoot th thead tr ul".split()
) | frozenset(HEADINGS)
_LISTS = frozenset({"ul", "ol", "dir"})
_GROUPS = _LISTS | {"table", "dl"}
# Nothing but where a block begins and ends.
_ONLY_BLOCKS = _BLOCKS - HEADINGS.keys() - _GROUPS - {"li", "tr", "td", "th", "thead", "tbody", "tfoot", "caption"}
_ONLY_BLOCKS -= {"dt", "dd", "pre", "hr"}
_CLOSED_ALONE = frozenset({"pre", "sup", "q", "a"})
_OF_ROWS = frozenset({"td", "th", "tr", "caption"})
_ROW_GROUPS = frozenset({"thead", "tbody", "tfoot"})
_SPACE = re.compile(r"[ \t\n\r\f]+")
_BLANK_LINE = re.compile(r"\n\s*\n")
_POWERS = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
# Shorter ones are units: km².
_WORD_BEFORE = re.compile(r"[^\W\d_]{4,}[.,;:!?\"”’)]*$")
_POWER = re.compile(r"\s*[+\-−]?(?:\d{1,3}|n)\s*")
_MATHS = frozenset({"mwe-math-fallback-image-inline", "mwe-math-fallback-image-display", "tex", "latex", "math"})
# Neighbours among these are apart on the page, by its style, also where no space stands between them.
_BOXES = frozenset("span a button label time small data b strong em i u font mark".split())
# They change how their text looks, and nothing else.
_PLAIN = frozenset("span b strong i em u font mark small big label time cite code var abbr bdi bdo wbr".split())
_OPENED_AS_TEXT = _PLAIN | {"a"}
# An address that says more than the words of its link: a file to be had, a mailbox, a telephone.
_ADDRESS = re.compile(
    r"(?:mailto:|tel:).+|[^?#]+\.(?:pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|csv|zip|epub|ics)(?:[?#].*)?", re.IGNORECASE
)
_LONGEST_ADDRESS = 300
_LEAST_ALT_WORDS = 3
_FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|bmp)\b", re.IGNORECASE)
_NEAR = 20
_LONGEST_TERM = 200
_DEEPEST_INDENT = 12
_ALL_ROWS = 65_534


def write_page(markup: str, composition: Composition, *, is_whole: bool = False) -> str:
    """Write the text of a page of HTML, and return its ``<title>``.

    Args:
        is_whole: whether nothing is boilerplate, as in a book.
    """
    tree = parse(markup)
    parts, dropped = ([range(len(tree.tokens))], frozenset[int]()) if is_whole else find_main_text(tree)
    for part in parts:
        _write(tree.tokens, part, dropped, _Writer(composition))
    return tree.title


def _write(tokens: Sequence[str | Element | End], part: range, dropped: frozenset[int], writer: _Writer) -> None:
    place = part.start
    while place < part.stop:
        token = tokens[place]
        if isinstance(token, str):
            writer.text(token)
        elif isinstance(token, End):
            writer.close(token.element)
        elif place in dropped:
            place = token.end
        else:
            writer.open(token)
        place += 1
    writer.flush()


@dataclass(slots=True)
class _List:
    """A list that is open; ``number`` is that of its next item, ``None`` if items have bullets."""

    number: int | None
    step: int = 1


class _Writer:
    """A writer that gathers inline text, and writes it as a block wherever one begins or ends."""

    def __init__(self, composition: Composition) -> None:
        self._composition = composition
        self._inline: list[str] = []
        self._heading = 0
        self._lists: list[_List] = []
        self._marker = ""
        self._tables: list[Element] = []
        self._row: list[Cell] = []
        self._rows: list[list[str]] = []
        self._headings: list[bool] = []
        self._in_head = self._has_names = self._in_cell = False
        self._grid = Grid()
        self._terms = 0
        self._term = ""
        self._is_term = False
        self._closed = self._opened = ""
        self._pre = 0
        self._superscript = 0

    def text(self, text: str) -> None:
        if self._closed and text:
            self._part(text)
        if self._pre:
            self._inline.append(text)
        elif self._superscript and _POWER.fullmatch(text):
            self._inline.append(self._raised(text.strip()))
        else:
            is_spaced = "\n" in text or "  " in text or "\t" in text or "\r" in text or "\f" in text
            self._inline.append(_SPACE.sub(" ", text) if is_spaced else text)

    def _raised(self, text: str) -> str:
        """Write a superscript: a number after a word is a note's, as in "word[1]", and other ones are powers."""
        before = _WORD_BEFORE.search("".join(self._inline[-_NEAR:]))
        return f"[{text}]" if before and text.isdecimal() else text.translate(_POWERS)

    def _part(self, text: str) -> None:
        """Write a space where one box ends and ``text`` begins, if their words would run into one."""
        before, after = (self._inline[-1][-1:] if self._inline else ""), text[0]
        if self._opened:
            is_apart = self._closed == self._opened == "a" or (
                before.islower() and (after.isupper() or after.isdigit())
            )
        else:
            is_apart = before.islower() and after.isdigit()
        if is_apart and before.isalnum() and after.isalnum() and not self._pre:
            self._inline.append(" ")
        self._closed = self._opened = ""

    def open(self, element: Element) -> None:
        tag = element.tag
        if self._closed:
            self._closed, self._opened = (self._closed, tag) if tag in _BOXES else ("", "")
        if tag in _ONLY_BLOCKS:
            self._boundary(tag)
        elif tag not in _OPENED_AS_TEXT:
            self._open(element, tag)

    def _open(self, element: Element, tag: str) -> None:
        if tag in _BLOCKS:
            self._boundary(tag)
        if tag in HEADINGS and not self._in_cell:
            self._heading = HEADINGS[tag]
        elif tag in _LISTS:
            self._lists.append(_list(element))
        elif tag == "li":
            self._begin_item(element)
        elif tag == "table":
            self._composition.gap()
            self._tables.append(element)
            self._look_at_table()
            self._rows, self._headings, self._grid = [], [], Grid()
        elif tag == "tr":
            self._row = []
        elif tag in _ROW_GROUPS:
            self._in_head = tag == "thead"
        elif tag == "caption":
            self._drop_space()
        else:
            self._open_other(element)

    def close(self, element: Element) -> None:
        tag = element.tag
        self._closed, self._opened = (tag if tag in _BOXES else ""), ""
        if tag in _ONLY_BLOCKS:
            self._boundary("")
            return
        if tag in _PLAIN:
            return
        if tag in _BLOCKS:
            if self._in_cell and tag in _OF_ROWS:
                self._close_in_table(element)
            else:
                self._boundary("")
        if tag in _ROW_GROUPS:
            self._grid, self._in_head = Grid(), False
        elif tag in HEADINGS:
            self._heading = 0
        elif tag == "li":
            self._marker = ""
        elif tag in _GROUPS:
            self._close_group(tag)
        elif tag in _CLOSED_ALONE:
            self._close_other(element)

    def _close_other(self, element: Element) -> None:
        match element.tag:
            case "pre":
                self._pre -= 1
            case "sup":
                self._superscript -= 1
            case "q":
                self._inline.append("”")
            case "a":
                self._close_link(element)

    def _close_link(self, element: Element) -> None:
        href = element.get("href")
        if _is_to_be_had(href) and (address := link_address(href, "".join(self._inline[-_NEAR:]))):
            self._inline.append(address)

    def _close_in_table(self, element: Element) -> None:
        """Gather a cell, or write a row or caption, of a table of data."""
        text = "".join(self._inline)
        self._inline.clear()
        if element.tag == "caption":
            self._composition.paragraph(text)
        elif element.tag == "tr":
            self._close_row([*self._row, Cell(text)] if text.strip() else self._row)
        else:
            self._row.append(_cell(element, text))
            self._has_names |= element.tag == "th"

    def _close_row(self, cells: Sequence[Cell]) -> None:
        is_heading = self._in_head or (bool(cells) and all(cell.is_name or not cell.text.strip() for cell in cells))
        texts = self._grid.row(cells, is_heading=is_heading and len(cells) > 1)
        # One cell across the whole table is a title of what stands below it.
        self._rows.append(texts[:1] if len(cells) == 1 and not any(texts[1:]) else texts)
        self._headings.append(is_heading)

    def _write_table(self) -> None:
        """Write the rows of a table of data, whose headings are the ``th`` and ``thead`` above all other rows."""
        headings = next((at for at, is_heading in enumerate(self._headings) if not is_heading), len(self._headings))
        write_table(self._composition, self._rows, headings or (0 if self._has_names else None))
        self._rows, self._headings, self._has_names = [], [], False

    def flush(self) -> None:
        """Write the inline text that was gathered."""
        if not self._inline:
            return
        text = "".join(self._inline)
        self._inline.clear()
        if not text.strip():
            return
        if self._heading:
            self._composition.heading(text, self._heading)
        elif self._pre:
            self._composition.verbatim(text)
        elif self._lists or self._marker:
            indent = min(max(len(self._lists) - 1, 0), _DEEPEST_INDENT)
            self._composition.line(f"{self._marker}{text.strip()}", "list", indent + (not self._marker))
            self._marker = ""
        elif self._terms:
            self._write_term(text.strip())
        else:
            for paragraph in _BLANK_LINE.split(text):
                self._composition.paragraph(paragraph)

    def _write_term(self, text: str) -> None:
        """Write a term and the first paragraph of what is said of it on one line, "term: text"."""
        if self._is_term and len(text) <= _LONGEST_TERM and "\n" not in text:
            if self._term:
                self._composition.line(self._term, "terms")
            self._term = text
            return
        if self._term:
            text = f"{self._term} {text}" if self._term[-1] in ":?" else f"{self._term}: {text}"
            self._term = ""
            self._composition.line(text, "terms")
        else:
            self._composition.line(text, "terms", 0 if self._is_term else 1)

    def _is_read(self, alternative: str) -> bool:
        """Return whether the text that stands for an image says something: in a cell any, else a few words."""
        return self._in_cell or says_something(alternative)

    def _look_at_table(self) -> None:
        """Note whether text belongs to a row of a table of data, after a table has begun or ended."""
        self._in_cell = bool(self._tables) and not self._tables[-1].is_layout

    def _boundary(self, opened: str) -> None:
        """Begin or end a block; in the cell of a table that is only a space."""
        if not self._in_cell:
            self.flush()
        elif opened == "li":
            self._drop_space()
            self._inline.append("; " if self._inline else "")
        else:
            self._inline.append(" ")

    def _drop_space(self) -> None:
        while self._inline and self._inline[-1].isspace():
            self._inline.pop()

    def _begin_item(self, element: Element) -> None:
        if self._in_cell:
            return
        # An item without a list has a bullet too.
        current = self._lists[-1] if self._lists else _List(None)
        if current.number is None:
            self._marker = "• "
        else:
            number = _integer(element.get("value"), current.number)
            self._marker = f"{number}. "
            current.number = number + current.step

    def _close_group(self, tag: str) -> None:
        """End a list or table, and set what comes next apart from it."""
        if tag == "table":
            if self._in_cell:
                self._write_table()
            self._tables.pop()
            self._look_at_table()
        elif tag == "dl":
            self._terms -= 1
            if self._term:
                self._composition.line(self._term, "terms")
                self._term = ""
        else:
            self._lists.pop()
        if not self._lists and not self._in_cell:
            self._composition.gap()

    def _open_other(self, element: Element) -> None:
        match element.tag:
            case "dl":
                self._terms += 1
            case "dt" | "dd":
                self._is_term = element.tag == "dt"
            case "pre":
                self._pre += 1
            case "sup":
                self._superscript += 1
            case "br":
                self._inline.append(" " if self._in_cell else "\n")
            case "q":
                self._inline.append("“")
            case "hr":
                self._composition.gap()
            case "img" if not _MATHS.isdisjoint(element.classes) or self._is_read(element.get("alt")):
                self._inline.append(f" {element.get('alt')} ")


def _is_to_be_had(address: str) -> bool:
    """Return whether an address leads to a file, a mailbox or a telephone; most lead to pages."""
    address = address.strip()
    return len(address) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(address) is not None


def link_address(address: str, text: str) -> str:
    """Return what is written after the text of a link: its address, if it leads to something to be had.

    That is a file, a mailbox or a telephone; nothing is written where the text says it already.
    """
    if not _is_to_be_had(address):
        return ""
    address = address.strip()
    shown = address.partition(":")[2].partition("?")[0] if address.startswith(("mailto:", "tel:")) else address
    return "" if _letters(shown) in _letters(text) else f" ({shown})"


def says_something(alternative: str) -> bool:
    """Return whether the text that stands for an image is more than its name: a few words."""
    return len(alternative.split()) >= _LEAST_ALT_WORDS and not _FILE_NAME.search(alternative)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _list(element: Element) -> _List:
    if element.tag != "ol":
        return _List(None)
    is_reversed = "reversed" in element.attributes
    return _List(_integer(element.get("start"), 1), -1 if is_reversed else 1)


def _cell(element: Element, text: str) -> Cell:
    """Make the cell of a ``td`` or ``th``; zero rows are all that follow in its group."""
    rows = _integer(element.get("rowspan"), 1)
    return Cell(text, max(_integer(element.get("colspan"), 1), 1), rows or _ALL_ROWS, element.tag == "th")


def _integer(value: str, default: int) -> int:
    return int(value) if re.fullmatch(r"-?[0-9]{1,9}", value.strip()) else default


# Where the standard makes browsers look; some pages have long comments before it.
_PRESCAN = 4_096
_META = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE
)


class HtmlReader:
    """A reader of ``text/html``: what the page says, without scripts, navigation and boilerplate.

    Paragraphs are apart by a blank line, items of lists have bullets or numbers, a row of a table is a line with its
    cells apart by " | ".
    """

    name = "html"
    version = "5"
    media_type = "text/html"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode_page(data)
        composition = Composition()
        title = write_page(decoded.text, composition)
        return composition.content([title], decoded.problems, metadata=_describe(decoded.text[:_LONGEST_HEAD]))


_LONGEST_HEAD = 65_536
_META_TAG = re.compile(r"<meta\s([^<>]{1,2000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(name|property|content)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_LANGUAGE = re.compile(r"""<html\s[^<>]{0,1000}?\blang\s*=\s*["']?([a-zA-Z]{2})\b""", re.IGNORECASE)


def _describe(head: str) -> Metadata:
    """Return what the head of a page says of it."""
    tags = []
    for tag in _META_TAG.findall(head):
        values = {found[1].lower(): found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(tag)}
        tags.append((values.get("name") or values.get("property") or "", unescape(values.get("content", ""))))
    language = _LANGUAGE.search(head)
    return describe([*tags, *([("language", language[1])] if language else [])])


def decode_page(data: bytes) -> Decoded:
    """Decode a page, in the encoding that its byte order mark, its bytes or its own declaration show.

    Raises:
        UnreadableDocument: it is not text.
    """
    return decode(data, _declared(data[:_PRESCAN]))


def web_page_of_archive(data: bytes) -> bytes:
    """Return the page in a web archive (.mht): the first part of the message that is HTML, or else nothing."""
    for part in message_from_bytes(data, policy=default).walk():
        if part.get_content_type() == "text/html" and isinstance(content := part.get_payload(decode=True), bytes):
            return content
    return b""


def _declared(head: bytes) -> str:
    """Return Python's name of the character encoding that a page declares, or nothing if it declares none."""
    labels = ((found[1] or found[2]).decode("ascii", "replace") for found in _META.finditer(head))
    return next(filter(None, map(charset, labels)), "")
