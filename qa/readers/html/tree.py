"""HTML as a flat list of its elements and texts, without what is never read, in linear time.

Building the tree as the standard says takes quadratic time in the depth of nesting, and longer if formatting elements
are left open (https://github.com/lexbor/lexbor/issues/340). Browsers stop nesting at a depth of 512; so does this.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qa.readers.composition import one_line

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DEEPEST = 512
# Open formatting elements are opened again in every paragraph after them, all of them.
_MOST_FORMATTING = 24
_FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
# An open one is closed by the next of its kind, so that they only nest in elements that are counted.
_CLOSED_BY_THE_NEXT = frozenset(
    "p li dt dd tr td th thead tbody tfoot option optgroup rt rp rb colgroup html head body caption".split()
)
_RAW = frozenset("script style textarea title xmp iframe noembed noframes".split())
# After the name, quotes hold ">" only where a value begins (HTML standard, 13.2.5.32 to 40).
_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>]*+)((?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?)*+)>""")
_OPENING = re.compile(r"<(?=[/a-zA-Z!?])")


def bounded(markup: str) -> str:
    """Remove the tags that nest deeper than 512, and write ``<x/>`` as ``<x></x>``.

    The text stays. XHTML closes empty elements by a slash that HTML ignores: ``<title/>`` would hide a whole page.
    """
    kept: list[str] = []
    depths = _Depths()
    position = 0
    for start, end, replacement in _tags(markup, depths):
        kept += (markup[position:start], replacement)
        position = end
    kept.append(markup[position:])
    return "".join(kept)


class _Depths:
    """The number of elements that are open, as far as tags show."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._total = 0
        self._formatting = 0

    def opens(self, name: str) -> bool:
        """Count a start tag, and return whether it is kept."""
        formatting = name in _FORMATTING
        if self._total >= _DEEPEST or (formatting and self._formatting >= _MOST_FORMATTING):
            self._dropped[name] += 1
            return False
        self._open[name] += 1
        self._total += 1
        self._formatting += formatting
        return True

    def closes(self, name: str) -> bool:
        """Count an end tag, and return whether it is kept."""
        if self._dropped[name]:
            self._dropped[name] -= 1
            return False
        if self._open[name]:
            self._open[name] -= 1
            self._total -= 1
            self._formatting -= name in _FORMATTING
        return True


def _tags(markup: str, depths: _Depths) -> list[tuple[int, int, str]]:
    """Return the tags to be replaced as ``(start, end, replacement)``, in order."""
    changes: list[tuple[int, int, str]] = []
    position = 0
    while opening := _OPENING.search(markup, position):
        start = opening.start()
        tag = _TAG.match(markup, start)
        if tag is None:
            if markup[start + 1] not in "!?/":
                break  # a tag that never ends: what follows is no text either
            mark = "-->" if markup.startswith("<!--", start) else ">"
            position = _after(markup, mark, start + 2)
            continue
        position = tag.end()
        name = tag[2].lower()
        replacement = _replacement(tag, name, depths)
        if replacement is not None:
            changes.append((start, position, replacement))
        elif name in _RAW and not tag[1]:
            position = _after_raw(markup, name, position)
    return changes


def _replacement(tag: re.Match[str], name: str, depths: _Depths) -> str | None:
    """Return the replacement of a tag, or ``None`` if it stays."""
    if name in _VOID:
        return None
    if not tag[1] and tag[3].endswith("/"):
        return f"{tag[0][:-2].rstrip('/')}></{tag[2]}>"
    if name in _CLOSED_BY_THE_NEXT or name in _RAW:
        return None
    is_kept = depths.closes(name) if tag[1] else depths.opens(name)
    return None if is_kept else " "


def _after(markup: str, mark: str, start: int) -> int:
    found = markup.find(mark, start)
    return len(markup) if found < 0 else found + len(mark)


def _after_raw(markup: str, name: str, start: int) -> int:
    """Return where the text of an element that holds no markup ends: before its end tag."""
    found = re.compile(f"</{name}[\\s/>]", re.IGNORECASE).search(markup, start)
    return found.start() if found else len(markup)


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
    """An element. ``weight`` is the number of characters in it; ``start`` and ``end`` are its places in the list.

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
    """The end of an element."""

    element: Element


@dataclass(frozen=True, slots=True)
class Tree:
    """``tokens`` are texts, elements and their ends, in order; ``title`` is what stands in ``<title>``."""

    tokens: list[str | Element | End]
    title: str


def parse(markup: str) -> Tree:
    """Parse a page, in time linear in its length, however deep it is nested."""
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
        """Begin an element, and return it, or ``None`` if it is not read."""
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
