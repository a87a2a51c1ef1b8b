"""Numbers of a spreadsheet as a cell shows them (ECMA-376 part 1, 18.8.31)."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import lru_cache
from typing import Literal

# One element of a format code: a text in quotes, an escaped character, a space as wide as a character, a filling
# character, something in brackets, an exponent, a word, or any other character.
_ELEMENT = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[(?P<bracket>[^\]]*)\]|E[+-]|(?P<word>General|AM/PM|A/P)|(?P<other>.)',
    re.DOTALL | re.IGNORECASE,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_CURRENCY = re.compile(r"\$([^-\]]*)(?:-.*)?")
_THOUSANDS = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")
# Elements of dates, durations, fractions and exponents.
_DATE = re.compile(r"[ymdhsbeg/]|\[[hms]+\]|E[+-]|AM/PM|A/P", re.IGNORECASE)
_LONGEST_CODE = 255
_MOST_DECIMALS = 30
_PRECISION = 400


@dataclass(frozen=True, slots=True)
class _Section:
    """One of the up to four parts of a format code.

    ``elements`` are pairs of a kind and a text: a ``digit`` is one of ``0#?``, a ``literal`` stands as it is, and
    ``point``, ``comma``, ``percent`` and ``general`` are what they are called. ``is_plain`` is false where the section
    is a date, a fraction or an exponent, which are shown as general numbers.
    """

    elements: tuple[tuple[str, str], ...]
    condition: tuple[str, float] | None
    is_plain: bool


def shown(value: float | datetime.time | datetime.timedelta, code: str) -> str:
    """Write a number, a time of day or a duration as its format code says."""
    if isinstance(value, datetime.time):
        return shown_time(value, code)
    if isinstance(value, datetime.timedelta):
        return shown_duration(value, code)
    return shown_number(value, code)


def shown_number(value: float, code: str) -> str:
    """Write a number as its format code says: percents, currencies, leading zeros, groups of thousands.

    Dates, fractions and exponents are written as if there were no format.
    """
    if code in {"", "General"} or len(code) > _LONGEST_CODE or not abs(value) < 1e300:
        return general(value)
    sections = _sections(code)
    section, signed = _choose(sections, value)
    if section is None:
        return ""
    if not section.is_plain:
        return general(value)
    return ("-" if signed and value < 0 else "") + _write(section, abs(value))


def shown_duration(value: datetime.timedelta, code: str) -> str:
    """Write an elapsed time in hours, minutes and seconds: "26:30:00" is a day and two and a half hours."""
    seconds = round(value.total_seconds())
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    hours, minutes = f"{sign}{seconds // 3600}", f"{seconds // 60 % 60:02}"
    return f"{hours}:{minutes}:{seconds % 60:02}" if "s" in code.lower() or seconds % 60 else f"{hours}:{minutes}"


def shown_time(value: datetime.time, code: str) -> str:
    """Write a time of day, with seconds where its format has them and "AM" or "PM" where it has that."""
    seconds = f":{value.second:02}" if "s" in code.lower() or value.second else ""
    if "am/pm" in code.lower() or "a/p" in code.lower():
        return f"{value.hour % 12 or 12}:{value.minute:02}{seconds} {'AM' if value.hour < 12 else 'PM'}"
    return f"{value.hour}:{value.minute:02}{seconds}"


def general(value: float) -> str:
    """Write a number without a format, with the 15 digits that a spreadsheet keeps."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=1024)
def temporal_kind(code: str) -> Literal["", "date", "time", "datetime", "duration"]:
    """Return what of time a format code shows, if it shows any."""
    letters = ""
    for found in _ELEMENT.finditer(code[:_LONGEST_CODE]):
        bracket, other = found["bracket"], found["other"]
        if other == ";":
            break
        if bracket and bracket.lower() in {"h", "hh", "m", "mm", "s", "ss"}:
            return "duration"
        if found["word"] and found["word"].lower() == "general":
            return ""
        letters += (other or "").lower()
    is_date, is_time = bool(set(letters) & set("ydb")), bool(set(letters) & set("hs"))
    if is_date or is_time:
        return "datetime" if is_date and is_time else "date" if is_date else "time"
    return "date" if "m" in letters else ""


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[_Section, ...]:
    sections: list[_Section] = []
    elements: list[tuple[str, str]] = []
    condition: tuple[str, float] | None = None
    is_plain = True
    for found in _ELEMENT.finditer(code):
        bracket = found["bracket"]
        if found["other"] == ";":
            sections.append(_Section(tuple(elements), condition, is_plain))
            elements, condition, is_plain = [], None, True
        elif bracket and (compared := _CONDITION.fullmatch(bracket)):
            condition = (compared[1], float(compared[2]))
        else:
            elements += _elements(found)
            is_plain &= _DATE.fullmatch(found[0]) is None
    sections.append(_Section(tuple(elements), condition, is_plain))
    return tuple(sections)


def _elements(found: re.Match[str]) -> list[tuple[str, str]]:
    """Return what an element of a format code shows, if it shows anything."""
    if (literal := found["quoted"] or found["escaped"]) is not None:
        return [("literal", literal)]
    if (bracket := found["bracket"]) is not None:
        currency = _CURRENCY.fullmatch(bracket)
        return [("literal", currency[1])] if currency else []
    if found["word"]:
        return [("general", "")]
    if (other := found["other"]) is None:
        return []
    if other in "0#?":
        return [("digit", other)]
    return [({".": "point", ",": "comma", "%": "percent", "@": "general"}.get(other, "literal"), other)]


def _choose(sections: tuple[_Section, ...], value: float) -> tuple[_Section | None, bool]:
    """Return the section for a value, and whether it shows the sign of a negative number."""
    if any(section.condition for section in sections):
        for section in sections:
            if section.condition is None or _holds(section.condition, value):
                return section, True
        return None, True
    # Positive numbers, negative ones, zeros; a fourth section is for texts.
    numeric = sections[:3]
    if value < 0 and len(numeric) > 1:
        return numeric[1], False
    if value == 0 and len(numeric) > 2:
        return numeric[2], True
    return numeric[0], True


def _holds(condition: tuple[str, float], value: float) -> bool:
    sign, limit = condition
    return ("=" in sign and value == limit) or ("<" in sign and value < limit) or (">" in sign and value > limit)


def _write(section: _Section, value: float) -> str:
    kinds = [kind for kind, _ in section.elements]
    if "digit" not in kinds:
        return "".join(general(value) if kind == "general" else text for kind, text in section.elements)
    point = kinds.index("point") if "point" in kinds else len(kinds)
    digits = [at for at, kind in enumerate(kinds) if kind == "digit"]
    whole, decimals = [at for at in digits if at < point], [at for at in digits if at > point][:_MOST_DECIMALS]
    number = Decimal(repr(value)) * 100 ** min(kinds.count("percent"), 3)
    last = max(whole, default=-1)
    number /= 1000 ** _scaling(kinds, max(digits))
    grouped = any(kind == "comma" for kind in kinds[min(whole, default=0) : last + 1])
    with localcontext(prec=_PRECISION):
        rounded = number.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    integer, _, fraction = f"{rounded:f}".partition(".")
    least = sum(section.elements[at][1] == "0" for at in whole)
    integer = (integer.lstrip("0") or "").rjust(least, "0")
    while fraction.endswith("0") and section.elements[decimals[len(fraction) - 1]][1] != "0":
        fraction = fraction[:-1]
    placed = _place(integer, whole, grouped)
    placed.update(dict(zip(decimals, fraction, strict=False)))
    return "".join(
        _piece(kind, text, placed.get(at, ""), bool(fraction)) for at, (kind, text) in enumerate(section.elements)
    )


def _scaling(kinds: list[str], last: int) -> int:
    """Count the commas right after the last digit: each divides by a thousand."""
    count = 0
    while last + count + 1 < len(kinds) and kinds[last + count + 1] == "comma" and count < 4:
        count += 1
    return count


def _place(integer: str, places: list[int], grouped: bool) -> dict[int, str]:
    """Distribute the digits over their places from the right; the first place takes those that are left."""
    if not places:
        return {}
    if grouped:
        return {places[0]: _THOUSANDS.sub(",", integer)}
    placed: dict[int, str] = {}
    for at in reversed(places[1:]):
        placed[at], integer = integer[-1:], integer[:-1]
    placed[places[0]] = integer
    return placed


def _piece(kind: str, text: str, digits: str, has_fraction: bool) -> str:
    if kind == "digit":
        return digits
    if kind == "point":
        return "." if has_fraction else ""
    return text if kind in {"literal", "percent"} else ""
