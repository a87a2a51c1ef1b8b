"""What the styles of a Word document make of a paragraph: a heading, an item of a list, a line of contents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qa.readers.archive import attribute, local

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
    """Args: root: of the styles part; ``None`` where there is none."""

    def __init__(self, root: Any) -> None:
        self._elements = {}
        self._known: dict[str, ParagraphStyle] = {}
        self._default = ""
        for element in root if root is not None else ():
            if local(element) == "style" and attribute(element, "type") == "paragraph":
                id = attribute(element, "styleId")
                self._elements[id] = element
                if attribute(element, "default") in {"1", "true"}:
                    self._default = id

    def of(self, properties: Any) -> ParagraphStyle:
        """What a paragraph is by its own properties (``w:pPr`` or ``None``) and the style that they name."""
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
        """A style by itself and those it is based on; Word's own have English names in any language."""
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


class _Properties:
    """What of a ``w:pPr`` is looked at."""

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
