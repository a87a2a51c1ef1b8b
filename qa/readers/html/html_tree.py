"""HTML to a flat list of its elements and texts, without what is never read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qa.readers.composition import one_line
from qa.readers.html.markup import bounded

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

HEADINGS = {f"h{level}": level for level in range(1, 7)}

# What browsers do not show as text, what is operated and not read, and pronunciations of ruby text.
_NEVER_READ = frozenset(
    "script style noscript template iframe object embed applet svg canvas audio video map select datalist button input "
    "textarea progress meter rt rp annotation annotation-xml noframes noembed param".split()
)
# Furniture of wikis and documentation generators: "[edit]", "¶", boxes of links.
_FURNITURE = frozenset(
    "mw-editsection mw-jump-link mw-indicators navbox noprint headerlink anchorjs-link anchor-link skip-link".split()
)
_INVISIBLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_LONG_CELL = 1_500


@dataclass(slots=True, eq=False)
class Element:
    """An element. ``weight`` is the characters of text in it; ``start`` and ``end`` are its places in the list.

    Of a table, ``rows`` and ``cells`` are counted, and ``is_layout`` is whether it holds what no cell of data does.
    """

    tag: str
    attributes: Mapping[str, str | None]
    start: int
    end: int = 0
    weight: int = 0
    rows: int = 0
    cells: int = 0
    is_layout: bool = False
    classes: frozenset[str] = field(default_factory=frozenset)

    def get(self, name: str) -> str:
        return self.attributes.get(name) or ""


@dataclass(frozen=True, slots=True)
class End:
    """Where an element ends."""

    element: Element


@dataclass(frozen=True, slots=True)
class Tree:
    """``tokens`` are texts, elements and their ends, in order; ``title`` is what stands in ``<title>``."""

    tokens: list[str | Element | End]
    title: str


def parse(markup: str) -> Tree:
    """The tree of a page, in time linear in its length, however deep it is nested."""
    from selectolax.lexbor import LexborHTMLParser

    # NUL ends a string in C.
    root = LexborHTMLParser(bounded(markup.replace("\0", ""))).root
    builder = _Builder()
    pending: list[LexborNode | End] = [root] if root is not None else []
    while pending:
        node = pending.pop()
        if isinstance(node, End):
            builder.close(node)
            continue
        if (following := node.next) is not None:
            pending.append(following)
        if node.is_text_node:
            builder.text(node.text_content or "")
        elif node.is_element_node and (element := builder.open(node.tag or "", node.attributes)) is not None:
            pending.append(End(element))
            if (child := node.first_child) is not None:
                pending.append(child)
    return Tree(builder.tokens, one_line(builder.title))


class _Builder:
    def __init__(self) -> None:
        self.tokens: list[str | Element | End] = []
        self.title = ""
        self._open: list[Element] = []
        self._tables: list[Element] = []

    def open(self, tag: str, attributes: Mapping[str, str | None]) -> Element | None:
        """The element, or ``None`` where it is not read."""
        if tag in _NEVER_READ or (attributes and tag not in {"html", "body"} and _is_unseen(attributes)):
            return None
        classes = frozenset((attributes.get("class") or "").split()) if attributes else frozenset()
        if classes & _FURNITURE:
            return None
        element = Element(tag, attributes, len(self.tokens), classes=classes)
        if tag == "table":
            if self._tables:
                self._tables[-1].is_layout = True
            element.is_layout = element.get("role") in {"presentation", "none"}
            self._tables.append(element)
        elif tag in HEADINGS and self._tables:
            self._tables[-1].is_layout = True
        self.tokens.append(element)
        self._open.append(element)
        return element

    def close(self, end: End) -> None:
        element = self._open.pop()
        element.end = len(self.tokens)
        self.tokens.append(end)
        if self._open:
            self._open[-1].weight += element.weight
        if element.tag == "table":
            self._tables.pop()
            # One cell to a row is a frame or a list.
            element.is_layout |= element.cells <= element.rows
        elif self._tables and element.tag == "tr":
            self._tables[-1].rows += 1
        elif self._tables and element.tag in {"td", "th"}:
            self._tables[-1].cells += 1
            self._tables[-1].is_layout |= element.weight > _LONG_CELL

    def text(self, text: str) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.tag == "title":
            self.title = self.title or text
            return
        self.tokens.append(text)
        if parent is not None:
            parent.weight += len(text.strip())


def _is_unseen(attributes: Mapping[str, str | None]) -> bool:
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return True
    style = attributes.get("style")
    return bool(style and _INVISIBLE.search(style))
