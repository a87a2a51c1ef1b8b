"""What Word writes before the paragraphs of a list: bullets, and numbers that it counts while it shows them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from qa.readers.archive import attribute, local

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
    """Counts the items of all lists of one document, in the order in which they are asked for.

    Args:
        root: of the numbering part; ``None`` where there is none.
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
        """The label of the next item of a list, a bullet or its number; empty where it shows none."""
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
                        level = _integer(attribute(child, "ilvl"), 0)
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
    """A number in one of Word's formats; those of other scripts are written in digits."""
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
