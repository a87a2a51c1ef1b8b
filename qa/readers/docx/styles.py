"""Styles and numbering of a Word document.

A style makes a paragraph a heading, an item of a list or a line of contents. Numbering is what Word writes before the
items of a list: bullets, and numbers that it counts while it shows them. Characters of the fonts Symbol and Wingdings,
which have no Unicode of their own, are given one here: bullets, boxes that are ticked, Greek.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from qa.readers.archive import attribute, local

_WINGDINGS = {
    **dict.fromkeys((0xA8, 0x6F, 0x71, 0x72), "☐"),
    **dict.fromkeys((0xFE,), "☑"),
    **dict.fromkeys((0xFD, 0x78), "☒"),
    **{0xFC: "✓", 0xFB: "✗", 0x4A: "☺", 0x28: "☎", 0x2A: "✉"},
    **dict.fromkeys((0x6C, 0x6E, 0x76, 0x77, 0x9F, 0xA7, 0xD8, 0xB7), "•"),
    **{0xE0: "→", 0xDF: "←", 0xE1: "↑", 0xE2: "↓", 0xF0: "⇒"},
}
_WINGDINGS_2 = {0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐", 0x50: "✓", 0x4F: "✗", 0x97: "•", 0x98: "•"}
_SYMBOL = {
    **dict(zip(b"abgdezhqiklmnxoprstufcyw", "αβγδεζηθικλμνξοπρστυφχψω", strict=True)),
    **dict(zip(b"ABGDEZHQIKLMNXOPRSTUFCYW", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", strict=True)),
    **{0xB0: "°", 0xB1: "±", 0xB4: "×", 0xB8: "÷", 0xA3: "≤", 0xB3: "≥", 0xB9: "≠", 0xBB: "≈", 0xA5: "∞"},
    **{0xB7: "•", 0xAC: "←", 0xAE: "→", 0xDE: "⇒", 0xD7: "·", 0xC5: "⊕", 0xD2: "®", 0xD3: "©", 0xD4: "™"},
}
_FONTS = {"wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2, "symbol": _SYMBOL}


def symbol(font: str, code: int) -> str:
    """Return the character that a font shows for a code, such as 0xF0FE; nothing where it only decorates."""
    return _FONTS.get(font.lower(), {}).get(code & 0xFF, "")


_HEADING = re.compile(r"heading ([1-9])")
_CONTENTS = re.compile(r"toc [1-9]|toc heading|table of figures|index [1-9]")
_BODY_TEXT = 9
_MOST_ANCESTORS = 20


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """``level`` is a heading's, from 1, else 0. ``list_id`` and ``list_level`` are of a list's numbering, if any."""

    level: int = 0
    is_title: bool = False
    is_contents: bool = False
    list_id: str = ""
    list_level: int = 0


class Styles:
    """The styles of one document; ``unseen`` are the character styles that hide text or strike it out.

    Args:
        root: the root of the styles part; ``None`` if there is none.
    """

    def __init__(self, root: Any) -> None:
        self._elements = {}
        self._known: dict[str, ParagraphStyle] = {}
        self._default = ""
        self.unseen: set[str] = set()
        for element in root if root is not None else ():
            if local(element) == "style" and attribute(element, "type") == "character" and _is_unseen(element):
                self.unseen.add(attribute(element, "styleId"))
            if local(element) == "style" and attribute(element, "type") == "paragraph":
                id = attribute(element, "styleId")
                self._elements[id] = element
                if attribute(element, "default") in {"1", "true"}:
                    self._default = id

    def of(self, properties: Any) -> ParagraphStyle:
        """Resolve what a paragraph is by its own properties (``w:pPr`` or ``None``) and the style that they name."""
        own = _Properties(properties)
        style = self._style(own.style or self._default)
        level = own.outline + 1 if own.outline is not None and own.outline < _BODY_TEXT else style.level
        if own.outline == _BODY_TEXT:
            level = 0
        if own.list_id is None:
            list_id, list_level = style.list_id, style.list_level
        else:
            # Number 0 takes a paragraph out of its style's list.
            list_id = "" if own.list_id == "0" else own.list_id
            list_level = own.list_level
        return ParagraphStyle(level, style.is_title, style.is_contents, list_id, list_level)

    def _style(self, id: str) -> ParagraphStyle:
        if id not in self._known:
            self._known[id] = self._resolve(id)
        return self._known[id]

    def _resolve(self, id: str) -> ParagraphStyle:
        """Resolve a style and those it is based on; Word's own have English names in any language."""
        level: int | None = None
        list_id: str | None = None
        list_level = 0
        is_title = is_contents = False
        for _ in range(_MOST_ANCESTORS):
            element = self._elements.get(id)
            if element is None:
                break
            name = next((attribute(child, "val").lower() for child in element if local(child) == "name"), "")
            own = _Properties(next((child for child in element if local(child) == "pPr"), None))
            if level is None:
                heading = _HEADING.fullmatch(name)
                level = int(heading[1]) if heading else None if own.outline is None else (own.outline + 1) % 10
            if list_id is None and own.list_id is not None:
                list_id, list_level = own.list_id, own.list_level
            is_title |= name == "title"
            is_contents |= bool(_CONTENTS.fullmatch(name))
            id = next((attribute(child, "val") for child in element if local(child) == "basedOn"), "")
        return ParagraphStyle(level or 0, is_title, is_contents, "" if list_id == "0" else list_id or "", list_level)


def _is_unseen(style: Any) -> bool:
    """Return whether text in a character style is hidden or struck out."""
    return any(
        local(part) in {"vanish", "strike", "dstrike"} and attribute(part, "val") not in {"0", "false", "off"}
        for properties in style
        if local(properties) == "rPr"
        for part in properties
    )


class _Properties:
    """The parts of a ``w:pPr`` that are looked at."""

    def __init__(self, element: Any) -> None:
        self.style = ""
        self.outline: int | None = None
        self.list_id: str | None = None
        self.list_level = 0
        for child in element if element is not None else ():
            name = local(child)
            if name == "pStyle":
                self.style = attribute(child, "val")
            elif name == "outlineLvl":
                self.outline = _digit(attribute(child, "val"))
            elif name == "numPr":
                for part in child:
                    if local(part) == "numId":
                        self.list_id = attribute(part, "val")
                    elif local(part) == "ilvl":
                        self.list_level = _digit(attribute(part, "val"))


def _digit(value: str) -> int:
    return int(value) if re.fullmatch("[0-9]", value) else 0


_BULLET = "•"
_PLACE = re.compile(r"%([1-9])")
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc")),
    *((50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LEVELS = 9


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of a list (ECMA-376 17.9.6): its format, the pattern of its label, its first number."""

    format: str = "bullet"
    pattern: str = ""
    first: int = 1


class Numbering:
    """A counter of the items of all lists of one document, in the order in which they are asked for.

    Args:
        root: the root of the numbering part; ``None`` if there is none.
    """

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._abstract_of: dict[str, str] = {}
        self._restarts: dict[str, dict[int, int]] = defaultdict(dict)
        self._counts: dict[str, list[int]] = {}
        self._begun: set[str] = set()
        for element in root if root is not None else ():
            if local(element) == "abstractNum":
                self._levels[attribute(element, "abstractNumId")] = _levels(element)
            elif local(element) == "num":
                self._read_instance(element)

    def label(self, list_id: str, level: int) -> str:
        """Return the label of the next item of a list, a bullet or a number; it is empty if the item shows none."""
        abstract = self._abstract_of.get(list_id)
        if abstract is None:
            return ""
        level = min(max(level, 0), _LEVELS - 1)
        levels = self._levels.get(abstract, {})
        counts = self._counts.setdefault(abstract, [0] * _LEVELS)
        if list_id not in self._begun:
            self._begun.add(list_id)
            for restarted, first in self._restarts[list_id].items():
                counts[restarted] = first - levels.get(restarted, _Level()).first
        shown = levels.get(level, _Level())
        counts[level] += 1
        counts[level + 1 :] = [0] * (_LEVELS - level - 1)
        if shown.format in {"bullet", "none"}:
            return _BULLET if shown.format == "bullet" else ""

        def number(place: re.Match[str]) -> str:
            at = int(place[1]) - 1
            other = levels.get(at, _Level("decimal"))
            return _written(other.first - 1 + max(counts[at], 1), other.format)

        return _PLACE.sub(number, shown.pattern).strip()

    def _read_instance(self, element: Any) -> None:
        list_id = attribute(element, "numId")
        for child in element:
            if local(child) == "abstractNumId":
                self._abstract_of[list_id] = attribute(child, "val")
            elif local(child) == "lvlOverride":
                for override in child:
                    if local(override) == "startOverride":
                        level = _integer(attribute(child, "ilvl"), -1)
                        # Some programs write levels that no list has (ECMA-376 17.9.3 has 0 to 8).
                        if 0 <= level < _LEVELS:
                            self._restarts[list_id][level] = _integer(attribute(override, "val"), 1)


def _levels(abstract: Any) -> dict[int, _Level]:
    levels = {}
    for element in abstract:
        if local(element) == "lvl":
            found = {local(child): attribute(child, "val") for child in element}
            levels[_integer(attribute(element, "ilvl"), 0)] = _Level(
                found.get("numFmt", "decimal"), found.get("lvlText", ""), _integer(found.get("start", ""), 1)
            )
    return levels


def _written(number: int, format: str) -> str:
    """Write a number in one of Word's formats; those of other scripts are written in digits."""
    if format in {"lowerLetter", "upperLetter"} and number > 0:
        letters = chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 9)
        return letters.upper() if format == "upperLetter" else letters
    if format in {"lowerRoman", "upperRoman"} and 0 < number < 4000:
        roman = ""
        for value, letters in _ROMAN:
            roman += letters * (number // value)
            number %= value
        return roman.upper() if format == "upperRoman" else roman
    return f"{number:02}" if format == "decimalZero" else str(number)


def _integer(value: str, default: int) -> int:
    return int(value) if re.fullmatch(r"-?[0-9]{1,9}", value) else default
