"""HTML as a flat list of its elements and texts, without what is never read, in linear time.

Building the tree as the standard says takes quadratic time in the depth of nesting, and longer if formatting elements
are left open (https://github.com/lexbor/lexbor/issues/340). Browsers stop nesting at a depth of 512; so does this.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
_TAG = re.compile(
    r"""<(?:(/?[a-zA-Z][^\s/>]*+)[^>=]*+(?:=\s*+(?:"[^"]*+"|'[^']*+')?[^>=]*+)*+>(?:(?<=(/)>))?|[/a-zA-Z!?])"""
)
_PLAIN_TAGS = frozenset(f"{slash}{name}" for name in _VOID | _CLOSED_BY_THE_NEXT for slash in ("", "/"))
_NOT_COUNTED = _VOID | _CLOSED_BY_THE_NEXT | _RAW
_RAW_END = {name: re.compile(f"</{name}[\\s/>]", re.IGNORECASE) for name in _RAW}


def bounded(markup: str) -> str:
    """Remove the tags that nest deeper than 512, and write ``<x/>`` as ``<x></x>``.

    The text stays. XHTML closes empty elements by a slash that HTML ignores: ``<title/>`` would hide a whole page.
    """
    kept: list[str] = []
    position = 0
    for start, end, replacement in _changes(markup):
        kept += (markup[position:start], replacement)
        position = end
    kept.append(markup[position:])
    return "".join(kept)


def _changes(markup: str) -> list[tuple[int, int, str]]:
    """Return the tags to be replaced as ``(start, end, replacement)``, in order."""
    changes: list[tuple[int, int, str]] = []
    depths = _Depths()
    position: int | None = 0
    while position is not None:
        position = _scan(markup, position, depths, changes)
    return changes


class _Depths:
    """The number of elements that are open, as far as tags show."""

    def __init__(self) -> None:
        self._open: defaultdict[str, int] = defaultdict(int)
        self._dropped: defaultdict[str, int] = defaultdict(int)
        self._total = 0
        self._formatting = 0

    def opens(self, name: str) -> bool:
        """Count a start tag, and return whether it is kept."""
        if self._total >= _DEEPEST or (name in _FORMATTING and self._formatting >= _MOST_FORMATTING):
            self._dropped[name] += 1
            return False
        self._open[name] += 1
        self._total += 1
        self._formatting += name in _FORMATTING
        return True

    def closes(self, name: str) -> bool:
        """Count an end tag, and return whether it is kept."""
        if self._dropped and self._dropped[name]:
            self._dropped[name] -= 1
            return False
        if self._open[name]:
            self._open[name] -= 1
            self._total -= 1
            self._formatting -= name in _FORMATTING
        return True


def _scan(markup: str, position: int, depths: _Depths, changes: list[tuple[int, int, str]]) -> int | None:
    """Add the changes up to the next comment or element of raw text, and return where that ends; None at the end."""
    for tag in _TAG.finditer(markup, position):
        name, ends = tag[1], tag.lastindex
        if ends == 1 and name in _PLAIN_TAGS:
            continue  # as most are: one that neither nests nor changes
        if name is None:
            start = tag.start()
            if markup[start + 1] not in "!?/":
                return None  # a tag that never ends: what follows is no text either
            return _after(markup, "-->" if markup.startswith("<!--", start) else ">", start + 2)
        name = name.lower()
        if name[0] == "/":
            if name[1:] not in _NOT_COUNTED and not depths.closes(name[1:]):
                changes.append((*tag.span(), " "))
        elif ends == 2 and name not in _VOID:
            changes.append((*tag.span(), f"{tag[0][:-2].rstrip('/')}></{tag[1]}>"))
        elif name in _RAW:
            return _after_raw(markup, name, tag.end())
        elif name not in _NOT_COUNTED and not depths.opens(name):
            changes.append((*tag.span(), " "))
    return None


def _after(markup: str, mark: str, start: int) -> int:
    found = markup.find(mark, start)
    return len(markup) if found < 0 else found + len(mark)


def _after_raw(markup: str, name: str, start: int) -> int:
    """Return where the text of an element that holds no markup ends: before its end tag."""
    while (start := markup.find("</", start)) >= 0:
        if _RAW_END[name].match(markup, start):
            return start
        start += 2
    return len(markup)


HEADINGS = {f"h{level}": level for level in range(1, 7)}

# What browsers do not show as text, what is operated and not read, what is struck out, and pronunciations of ruby text.
_NEVER_READ = frozenset(
    "script style template iframe object embed applet canvas audio video map datalist input progress meter rt rp "
    "annotation annotation-xml noframes noembed param del s strike".split()
)
# Furniture of wikis and documentation generators: "[edit]", "¶", boxes of links.
_FURNITURE = frozenset(
    "mw-editsection mw-jump-link mw-indicators navbox noprint headerlink anchorjs-link anchor-link skip-link".split()
)
_HIDING = (
    r"display\s*:\s*none",
    r"visibility\s*:\s*hidden",
    r"opacity\s*:\s*0(?![.\d]*[1-9])",
    r"font-size\s*:\s*0(?![.\d]*[1-9])",
    r"text-decoration(?:-line)?\s*:[^;{}]{0,1000}line-through",
)
_INVISIBLE = re.compile("|".join(_HIDING), re.IGNORECASE)
# By what each begins with, which is found sooner than a pattern is.
_HIDES = {pattern.partition("\\")[0].partition("(")[0]: re.compile(pattern) for pattern in _HIDING}
# What is folded away until a person opens it: panels of accordions and tabs.
_PANEL = re.compile(
    r"(?:^|[-_ ])(?:panel|pane|accordion|collaps\w*|tabs?|tabs?(?:pane|panel|content)|faq|answer|expand\w*|toggle)"
    r"(?:$|[-_ ])",
    re.IGNORECASE,
)
_CONTROLS = ("aria-controls", "data-target", "data-bs-target")
_CONTROLLED = re.compile(r"""\s*=\s*["']?#?([^\s"'>]+)""")
_SELECTOR = re.compile(r"\s*(?:[a-z][a-z0-9]*)?([.#])([\w-]+)\s*", re.IGNORECASE)
_BRACE = re.compile(r"[{}]")
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_MOST_CSS = 1_000_000
_SHADOW_ROOT = re.compile(r"<template\s[^>]*shadowroot[^>]*>", re.IGNORECASE)
_SCRIPTING = re.compile(r"java\s?script|enable scripts", re.IGNORECASE)
_LEAST_NOSCRIPT = 20
_MOST_TOKENS = 1_000
_PERHAPS_UNREAD = frozenset({"button", "noscript"})
_NEVER_HIDDEN = frozenset({"html", "body"})
_DRAWN = frozenset({"svg", "text"})
_TEXT = "-text"
# Shorter ones are names of deeds: "Send", "Add to cart", "Copy link".
_LEAST_BUTTON_WORDS = 4
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
    classes: Sequence[str] = ()

    def get(self, name: str) -> str:
        return self.attributes.get(name) or ""


@dataclass(slots=True, eq=False)
class End:
    """The end of an element."""

    element: Element


@dataclass(frozen=True, slots=True)
class Tree:
    """``tokens`` are texts, elements and their ends, in order; ``elements`` are those among them.

    ``title`` is what stands in ``<title>``.
    """

    tokens: list[str | Element | End]
    elements: list[Element]
    title: str


def parse(markup: str) -> Tree:
    """Parse a page, in time linear in its length, however deep it is nested."""
    from selectolax.lexbor import LexborHTMLParser

    # NUL ends a string in C.
    markup = _open_shadow_roots(markup.replace("\0", ""))
    node: LexborNode | None = LexborHTMLParser(bounded(markup)).root
    builder = _Builder(markup)
    following: list[LexborNode | None] = []
    while node is not None or following:
        if node is None:
            builder.close()
            node = following.pop()
            continue
        tag = node.tag or ""
        if tag == _TEXT:
            builder.text(node.text_content or "")
        elif tag[:1] != "-" and builder.open(tag, node.attributes):
            following.append(node.next)
            node = node.first_child
            continue
        node = node.next
    return Tree(builder.tokens, builder.elements, one_line(builder.title))


class _Builder:
    """The list while it grows, from the elements of a page of this ``markup``."""

    def __init__(self, markup: str) -> None:
        self.tokens: list[str | Element | End] = []
        self.elements: list[Element] = []
        self.title = ""
        self._markup = markup
        # Selectors of classes and ids (".old", "#old") that the page's own style sheet hides.
        hidden = _hidden_by_style(markup)
        self._hidden_ids = {name[1:] for name in hidden if name[0] == "#"}
        self._hidden_classes = {name[1:] for name in hidden if name[0] == "."}
        self._open: list[Element] = []
        self._tables: list[Element] = []
        self._drawings = self._labels = 0

    @cached_property
    def _controlled(self) -> frozenset[str]:
        """The ids of elements that a button opens and closes."""
        return _controlled(self._markup)

    def open(self, tag: str, attributes: Mapping[str, str | None]) -> bool:
        """Begin an element, and return whether it is read."""
        if tag in _NEVER_READ or (tag == "option" and "selected" not in attributes):
            return False
        classes: Sequence[str] = ()
        if attributes:
            if names := attributes.get("class"):
                classes = names.split()
                if not _FURNITURE.isdisjoint(classes):
                    return False
            may_be_hidden = (
                "style" in attributes
                or "hidden" in attributes
                or self._hidden_ids
                or (classes and self._hidden_classes)
            )
            if may_be_hidden and tag not in _NEVER_HIDDEN and self._is_unseen(attributes, classes):
                return False
        element = Element(tag, attributes, len(self.tokens), 0, 0, 0, 0, False, classes)
        if tag == "table":
            if self._tables:
                self._tables[-1].is_layout = True
            element.is_layout = element.get("role") in {"presentation", "none"}
            self._tables.append(element)
        elif self._tables and tag in HEADINGS:
            self._tables[-1].is_layout = True
        elif tag in _DRAWN:
            self._drawings += tag == "svg"
            self._labels += tag == "text"
        self.tokens.append(element)
        self.elements.append(element)
        self._open.append(element)
        return True

    def close(self) -> None:
        """End the element that was begun last."""
        element = self._open.pop()
        tag = element.tag
        if tag in _DRAWN:
            self._drawings -= tag == "svg"
            self._labels -= tag == "text"
        elif tag in _PERHAPS_UNREAD and self._is_unread(element):
            del self.tokens[element.start :]
            while self.elements and self.elements[-1].start >= element.start:
                self.elements.pop()
            return
        element.end = len(self.tokens)
        self.tokens.append(End(element))
        if self._open:
            self._open[-1].weight += element.weight
        if not self._tables:
            return
        if tag == "table":
            self._tables.pop()
            # One cell to a row is a frame or a list.
            element.is_layout |= element.cells <= element.rows
        elif tag == "tr":
            self._tables[-1].rows += 1
        elif tag in {"td", "th"}:
            self._tables[-1].cells += 1
            self._tables[-1].is_layout |= element.weight > _LONG_CELL

    def text(self, text: str) -> None:
        """Add a text."""
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.tag == "title":
            if not self._drawings:
                self.title = self.title or text
            return
        if self._drawings and not self._labels:
            return
        self.tokens.append(text)
        if parent is not None:
            parent.weight += len(text.strip())

    def _is_unread(self, element: Element) -> bool:
        """Return whether an element that has ended turns out to say nothing to a reader, as most buttons do."""
        tokens = self.tokens[element.start : element.start + _MOST_TOKENS]
        text = "".join(token for token in tokens if isinstance(token, str))
        if element.tag == "noscript":
            return len(text.strip()) < _LEAST_NOSCRIPT or bool(_SCRIPTING.search(text))
        opens = "aria-expanded" in element.attributes or "aria-controls" in element.attributes
        in_heading = any(above.tag in HEADINGS or above.tag in {"summary", "dt"} for above in self._open)
        return not (opens or in_heading or len(text.split()) >= _LEAST_BUTTON_WORDS)

    def _is_unseen(self, attributes: Mapping[str, str | None], classes: Sequence[str]) -> bool:
        """Return whether an element is hidden, and is not a panel that a person can open."""
        style, id = attributes.get("style"), attributes.get("id") or ""
        hidden = (
            ("hidden" in attributes and attributes["hidden"] != "until-found")
            or (style and _INVISIBLE.search(style))
            or id in self._hidden_ids
            or not self._hidden_classes.isdisjoint(classes)
        )
        if not hidden:
            return False
        is_panel = attributes.get("role") == "tabpanel" or any(_PANEL.search(name) for name in classes)
        return not (is_panel or (id and id in self._controlled))


def _controlled(markup: str) -> frozenset[str]:
    """Return the ids of elements that a button opens and closes."""
    ids: set[str] = set()
    for attribute in _CONTROLS:
        place = markup.find(attribute)
        while place >= 0:
            if found := _CONTROLLED.match(markup, place + len(attribute)):
                ids.add(found[1])
            place = markup.find(attribute, place + 1)
    return frozenset(ids)


def _open_shadow_roots(markup: str) -> str:
    """Write the declarative shadow roots of a page, which browsers show, as ordinary elements."""
    if "shadowroot" not in markup:
        return markup
    parts: list[str] = []
    position = 0
    while found := _SHADOW_ROOT.search(markup, position):
        end = markup.find("</template>", found.end())
        if end < 0:
            break
        parts += [markup[position : found.start()], "<div>", markup[found.end() : end], "</div>"]
        position = end + len("</template>")
    return "".join([*parts, markup[position:]])


def _hidden_by_style(markup: str) -> frozenset[str]:
    """Return the classes and ids that the page's own style sheets hide or strike out, on every medium."""
    hidden: set[str] = set()
    position = 0
    while (start := markup.find("<style", position)) >= 0:
        position = _after_raw(markup, "style", start)
        sheet = _CSS_COMMENT.sub("", markup[markup.find(">", start) + 1 : position][:_MOST_CSS])
        for prelude in _hiding(sheet):
            selectors = (_SELECTOR.fullmatch(selector) for selector in prelude.split(","))
            hidden.update(f"{selector[1]}{selector[2]}" for selector in selectors if selector)
        position = max(position, start + 1)
    return frozenset(hidden)


def _places(sheet: str, word: str, pattern: re.Pattern[str]) -> Iterator[int]:
    """Yield where a pattern that begins with ``word`` is found."""
    place = sheet.find(word)
    while place >= 0:
        found = pattern.match(sheet, place)
        if found:
            yield place
        place = sheet.find(word, found.end() if found else place + 1)


def _hiding(sheet: str) -> Iterator[str]:
    """Yield what stands before the braces of the rules of a style sheet that hide, those for some media left out."""
    lower = sheet.lower()
    if len(lower) != len(sheet):
        lower = sheet  # a letter that is two in lower case
    places = sorted(place for word, pattern in _HIDES.items() for place in _places(lower, word, pattern))
    depth = reached = 0
    for place in places:
        opened, closed = sheet.rfind("{", 0, place) + 1, sheet.rfind("}", 0, place) + 1
        depth = _depth(sheet, reached, place, depth)
        reached = place
        prelude = sheet[max(sheet.rfind("{", 0, opened - 1), sheet.rfind("}", 0, opened - 1)) + 1 : opened - 1]
        if depth == 1 and opened > closed and "@" not in prelude:
            yield prelude


def _depth(sheet: str, start: int, end: int, depth: int) -> int:
    """Return how deep in braces ``end`` of a style sheet is, where ``start`` is ``depth`` deep."""
    if sheet.count("}", start, end) <= depth:
        return depth + sheet.count("{", start, end) - sheet.count("}", start, end)
    for brace in _BRACE.findall(sheet, start, end):
        depth = depth + 1 if brace == "{" else max(depth - 1, 0)
    return depth
