"""HTML as written to HTML that a tree can be built of in linear time.

Building the tree as the standard says takes quadratic time in the depth of nesting, and worse where formatting elements
are left open (https://github.com/lexbor/lexbor/issues/340). Browsers stop nesting at a depth of 512; so does this.
"""

from __future__ import annotations

import re
from collections import Counter

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
    """``markup`` without the tags that nest deeper than 512, and with ``<x/>`` written as ``<x></x>``.

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
    """How many elements are open, as far as tags tell."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._total = 0
        self._formatting = 0

    def opens(self, name: str) -> bool:
        """Whether a start tag is kept."""
        formatting = name in _FORMATTING
        if self._total >= _DEEPEST or (formatting and self._formatting >= _MOST_FORMATTING):
            self._dropped[name] += 1
            return False
        self._open[name] += 1
        self._total += 1
        self._formatting += formatting
        return True

    def closes(self, name: str) -> bool:
        """Whether an end tag is kept."""
        if self._dropped[name]:
            self._dropped[name] -= 1
            return False
        if self._open[name]:
            self._open[name] -= 1
            self._total -= 1
            self._formatting -= name in _FORMATTING
        return True


def _tags(markup: str, depths: _Depths) -> list[tuple[int, int, str]]:
    """The tags to be replaced: ``(start, end, replacement)``, in order."""
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
    """What stands for a tag, ``None`` where it stays."""
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
    """Where the text of an element that holds no markup ends: before its end tag."""
    found = re.compile(f"</{name}[\\s/>]", re.IGNORECASE).search(markup, start)
    return found.start() if found else len(markup)
