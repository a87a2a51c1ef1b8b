"""Headings, lists, tables and notes of an OpenDocument text (OASIS OpenDocument 1.3, part 3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from qa.readers.archive import Archive, attribute, local
from qa.readers.composition import Composition, Content
from qa.readers.metadata import Metadata, describe
from qa.readers.tables import Cell, Grid, write_table

_CONTENT, _META = "content.xml", "meta.xml"
# What was deleted, remarks, what repeats the headings, and what is said of a picture besides its text.
_PASSED_OVER = frozenset(
    "tracked-changes annotation table-of-content table-index illustration-index alphabetical-index forms "
    "sequence-decls variable-decls user-field-decls note-citation title desc ruby-text bibliography-mark-list".split()
)
_CONTAINERS = frozenset("body text section index-body frame text-box list-header numbered-paragraph g a page".split())
_BOXES = frozenset({"text-box", "custom-shape"})
_MEANT = {"date": "modified", "creator": ""}
_MOST_SPACES = 100
_MOST_REPEATED = 1_000
_DEEPEST = 200


class OdtReader:
    """A reader of ``application/vnd.oasis.opendocument.text``.

    Notes come at the end, ``[1] …``, and ``[1]`` where they are referred to; contents and indexes are left out.
    """

    name = "odt"
    version = "4"
    media_type = "application/vnd.oasis.opendocument.text"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        archive = Archive(data)
        composition = Composition()
        writer = _Writer(composition)
        content = archive.xml(_CONTENT)
        writer.unseen = unseen_styles(content)
        body = next((element for element in content if local(element) == "body"), ())
        writer.write(body)
        writer.write_notes()
        titles, metadata = read_metadata(archive)
        problems = ["parts of it are nested too deep and left out"] if writer.is_cut else []
        return composition.content([*titles, writer.title], problems, metadata=metadata)


def read_metadata(archive: Archive) -> tuple[list[str], Metadata]:
    """Return the titles of an OpenDocument file, and what else it says of itself. Raises UnreadableDocument."""
    if _META not in archive:
        return [], ()
    meta = archive.xml(_META)
    titles = [element.text or "" for element in meta.iter() if local(element) == "title"]
    # Its date is that of the last change, and its creator who made that.
    return titles, describe((_MEANT.get(local(element), local(element)), element.text) for element in meta.iter())


class _Writer:
    def __init__(self, composition: Composition) -> None:
        self._composition = composition
        self._notes: list[Any] = []
        self.unseen: frozenset[str] = frozenset()
        self.title = ""
        self.is_cut = False

    def write(self, container: Any, level: int = 0, depth: int = 0) -> None:
        """Write the blocks in ``container``; ``level`` counts the lists around them."""
        if depth > _DEEPEST:
            self.is_cut = True
            return
        for element in container:
            name = local(element)
            if name == "h":
                self._composition.heading(self._text(element), number_of(element, "outline-level", 1))
            elif name == "p":
                self._write_paragraph(element, level, depth)
            elif name == "list":
                self._write_list(element, level, depth)
            elif name == "table":
                self._write_table(element, depth)
            elif name in _CONTAINERS:
                self.write(element, level, depth + 1)

    def write_notes(self) -> None:
        self._composition.gap()
        # Notes are appended to while they are written, where a note has notes.
        for number, note in enumerate(self._notes, 1):
            texts = [self._text(paragraph) for paragraph in _outermost(note, {"p", "h"}, with_boxes=True)]
            self._composition.paragraph(f"[{number}] " + "\n".join(texts))

    def _write_paragraph(self, element: Any, level: int, depth: int) -> None:
        text = self._text(element)
        if attribute(element, "style-name") == "Title" and text.strip():
            self.title = self.title or text
            self._composition.heading(text, 1)
        elif level:
            self._composition.line(text, "list", level)
        else:
            self._composition.paragraph(text)
        for box in _outermost(element, _BOXES):
            self.write(box, level, depth + 1)

    def _write_list(self, element: Any, level: int, depth: int) -> None:
        """Write items with bullets; which lists have numbers is in styles that few programs write alike."""
        for item in element:
            if local(item) not in {"list-item", "list-header"}:
                continue
            first, *rest = list(item) or [None]
            if first is not None and local(first) == "p":
                self._composition.line(f"• {self._text(first)}", "list", level)
            elif first is not None:
                rest = [first, *rest]
            self.write(rest, level + 1, depth + 1)
        if not level:
            self._composition.gap()

    def _write_table(self, table: Any, depth: int) -> None:
        """Write the rows of a table as lines; a table that holds tables is a frame, and its cells are blocks."""
        rows = [[cell for cell in row if local(cell) == "table-cell"] for row in _outermost(table, {"table-row"})]
        if any(_outermost(cell, {"table"}) for row in rows for cell in row):
            self._composition.gap()
            for cell in chain.from_iterable(rows):
                self.write(cell, 0, depth + 1)
            self._composition.gap()
        else:
            headings = sum(len(_outermost(group, {"table-row"})) for group in _outermost(table, {"table-header-rows"}))
            grid = Grid()
            texts = [grid.row(self._cells(row), is_heading=at < headings) for at, row in enumerate(rows)]
            write_table(self._composition, texts, headings or None)

    def _cells(self, row: list[Any]) -> Iterator[Cell]:
        for cell in row:
            texts = [self._text(paragraph).strip() for paragraph in _outermost(cell, {"p", "h"}, with_boxes=True)]
            spanned = number_of(cell, "number-columns-spanned", 1), number_of(cell, "number-rows-spanned", 1)
            repeated = min(number_of(cell, "number-columns-repeated", 1), _MOST_REPEATED)
            yield from [Cell("; ".join(filter(None, texts)), *spanned)] * repeated

    def _text(self, element: Any) -> str:
        return text_of(element, self.unseen, self._notes)


def text_of(element: Any, unseen: frozenset[str], notes: list[Any] | None = None) -> str:
    """Return the text of a paragraph.

    Args:
        unseen: the names of the styles whose text is left out.
        notes: takes the bodies of notes, which are referred to by their number in it; without it they are left out.
    """
    parts: list[str] = []
    pending: list[Any] = [element]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            parts.append(node)
            continue
        name = local(node)
        if node is not element:
            pending.append(node.tail or "")
        if name in {"span", "p", "h"} and attribute(node, "style-name") in unseen:
            continue
        if name == "note":
            if notes is not None:
                notes.extend(child for child in node if local(child) == "note-body")
                parts.append(f"[{len(notes)}]")
        elif name == "s":
            parts.append(" " * min(number_of(node, "c", 1), _MOST_SPACES))
        elif name in {"tab", "line-break"}:
            parts.append("\t" if name == "tab" else "\n")
        elif name and name not in _PASSED_OVER and name not in {"frame", "custom-shape"}:
            pending.extend(reversed(node))
            pending.append(node.text or "")
    return "".join(parts)


def unseen_styles(content: Any) -> frozenset[str]:
    """Return the names of the styles of a document whose text is struck out or hidden."""
    names = set()
    for style in content.iter():
        if local(style) == "style":
            for properties in style:
                line = attribute(properties, "text-line-through-style") or attribute(
                    properties, "text-line-through-type"
                )
                is_hidden = local(properties) == "text-properties" and attribute(properties, "display") == "none"
                if line not in {"", "none"} or is_hidden:
                    names.add(attribute(style, "name"))
    return frozenset(names)


def _outermost(container: Any, names: Collection[str], *, with_boxes: bool = False) -> list[Any]:
    """Return the descendants of these names in order, without those inside one another and inside notes.

    Args:
        with_boxes: whether those in the text boxes of one that was found follow it.
    """
    found = []
    pending = list(reversed(container))
    while pending:
        element = pending.pop()
        name = local(element)
        if name in names:
            found.append(element)
            if with_boxes:
                pending.extend(reversed(_outermost(element, _BOXES)))
        elif name not in _PASSED_OVER and name != "note":
            pending.extend(reversed(element))
    return found


def number_of(element: Any, name: str, default: int) -> int:
    """Return an attribute that is a whole number of at most seven digits; ``default`` where it is none."""
    value = attribute(element, name)
    return int(value) if value.isascii() and value.isdigit() and len(value) < 8 else default
