"""Values compared by what they say: quantities with their units, and dates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import regex

from qa.answers.notation import (
    CURRENCIES,
    CURRENCY,
    DAY,
    DIGITS,
    END,
    MAGNITUDE,
    MAGNITUDES,
    MONTH,
    MONTHS,
    NUMBER_WORDS,
    SIGN,
    TO,
    UNIT,
    UNITS,
    WORDS,
    YEAR,
    LatePattern,
    named,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as an interval ``[low, high]`` of a kind: "duration" in seconds, "$", or "" where it has no unit.

    ``raw_low`` and ``raw_high`` are the same before the unit's factor. ``tolerance`` is the relative difference below
    which two quantities are one: wide where a text says "about".
    """

    kind: str
    low: float
    high: float
    raw_low: float
    raw_high: float
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True)
class Day:
    """A date; what is not known is ``None``."""

    year: int | None
    month: int | None
    day: int | None


def contradicts(one: str, other: str) -> bool:
    """Tell whether two texts give different values of one kind.

    What cannot be compared, such as a length with a duration or two names, does not contradict; nor does a value that
    only says more exactly what the other says. A point that may be of thousands or of decimals ("5.000") counts as
    either.
    """
    mine, theirs = parse(one), parse(other)
    comparable = [pair for pair in ((a, b) for a in mine for b in theirs) if _is_comparable(*pair)]
    return bool(comparable) and not any(_agree(a, b) for a, b in comparable)


def _is_comparable(one: Quantity | Day, other: Quantity | Day) -> bool:
    if isinstance(one, Day) or isinstance(other, Day):
        return isinstance(one, Day) and isinstance(other, Day) and _shared(one, other) != []
    return one.kind == other.kind or not one.kind or not other.kind


def _shared(one: Day, other: Day) -> list[tuple[int, int]]:
    pairs = ((one.year, other.year), (one.month, other.month), (one.day, other.day))
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _agree(one: Quantity | Day, other: Quantity | Day) -> bool:
    if isinstance(one, Day) or isinstance(other, Day):
        return isinstance(one, Day) and isinstance(other, Day) and all(a == b for a, b in _shared(one, other))
    if one.kind == other.kind:
        bounds = (one.low, one.high, other.low, other.high)
    else:
        bounds = (one.raw_low, one.raw_high, other.raw_low, other.raw_high)
    largest = max((abs(bound) for bound in bounds if math.isfinite(bound)), default=0.0)
    room = max(one.tolerance, other.tolerance) * largest
    return bounds[0] <= bounds[3] + room and bounds[2] <= bounds[1] + room


_AMOUNT_ALONE = LatePattern(
    rf"(?<![\p{{L}}\p{{N}}])(?P<sign>{SIGN})?(?:(?P<before>{CURRENCY})\s?)?(?P<sign2>{SIGN})?(?P<number>{DIGITS}|{WORDS})"
    rf"(?P<magnitude>{MAGNITUDE}*)(?:[\s-]?(?P<unit>{UNIT})|\s?(?P<behind>{CURRENCY}){END})?",
    regex.VERSION1 | regex.IGNORECASE,
)
_AT_MOST = regex.compile(
    r"(?:(?:no|not)\s(?:more|later|longer|greater|higher)\sthan|(?:less|fewer|lower|younger)\sthan|at\s(?:the\s)?most|up\sto"
    r"|maximum|just\sunder|under|below|[≤<]|or\s(?:less|fewer))(?=\W|$)",
    regex.IGNORECASE,
)
_AT_LEAST = regex.compile(
    r"(?:(?:no|not)\s(?:less|fewer|earlier|lower)\sthan|(?:more|greater|higher|longer|older)\sthan|at\s(?:the\s)?least|"
    r"minimum|just\sover|over|above|exceeding|[≥>]|or\s(?:more|over|older|longer|above))(?=\W|$)",
    regex.IGNORECASE,
)
_VAGUE = regex.compile(r"(?i:\b(?:about|around|approx|roughly|nearly|almost|some|estimated|circa|ca)\b)|[~≈]")
# "About 5,000" and 4,700 do not disagree.
_ROUNDED = 0.1


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Quantity | Day, ...]:
    """Read the first value of a text; several where its digits can be read in more than one way, none where none is."""
    day = _day(text)
    # "1200" may be a year or a number.
    if day is not None and not _YEAR_ALONE.fullmatch(text.strip()):
        return (day,)
    days = () if day is None else (day,)
    found = [match for match in _AMOUNT_ALONE.compiled.finditer(text) if match.group("number")]
    if not found:
        return days
    first = _readings(found[0])
    if len(found) > 1:
        between = text[found[0].end() : found[1].start()]
        if regex.fullmatch(TO, between) and regex.search(r"\S", between):
            second = _readings(found[1])
            first = [_span_of(a, b) for a, b in zip(_like(first, second), second, strict=False)] or first
        else:
            first = _compound(found, first, text)
    return (*days, *(_bounded(quantity, text) for quantity in first))


def _like(readings: list[Quantity], others: list[Quantity]) -> list[Quantity]:
    """Give the first end of a range the unit that only its second end names: "2 to 3 hours"."""
    if not others:
        return readings
    kind, raw = others[0].kind, others[0].raw_low
    factor = others[0].low / raw if raw else 1.0
    return [q if q.kind else Quantity(kind, q.low * factor, q.high * factor, q.raw_low, q.raw_high) for q in readings]


def _span_of(low: Quantity, high: Quantity) -> Quantity:
    if low.kind != high.kind:
        return low
    (a, b), (c, d) = sorted((low.low, high.low)), sorted((low.raw_low, high.raw_low))
    return Quantity(high.kind, a, b, c, d)


def _compound(found: list[regex.Match[str]], first: list[Quantity], text: str) -> list[Quantity]:
    """Add the parts of "2 hours 30 minutes"."""
    total = first
    for previous, match in pairwise(found):
        part = _readings(match)
        between = text[previous.end() : match.start()]
        if not regex.fullmatch(r"\s|,?\s(?:and\s)?", between) or not part or not total:
            break
        if total[0].kind != part[0].kind or not part[0].kind or part[0].low >= total[0].low:
            break
        whole_of = total[0].low + part[0].low
        total = [Quantity(total[0].kind, whole_of, whole_of, total[0].raw_low, total[0].raw_high)]
    return total


def _bounded(quantity: Quantity, text: str) -> Quantity:
    low, high, raw_low, raw_high = quantity.low, quantity.high, quantity.raw_low, quantity.raw_high
    # "Not more than" holds "more than": the upper bound is looked for first.
    if _AT_MOST.search(text):
        low = raw_low = -math.inf
    elif _AT_LEAST.search(text):
        high = raw_high = math.inf
    tolerance = _ROUNDED if _VAGUE.search(text) else quantity.tolerance
    return Quantity(quantity.kind, low, high, raw_low, raw_high, tolerance)


def _readings(match: regex.Match[str]) -> list[Quantity]:
    sign = -1.0 if regex.match(r"[-−–]|minus", (match["sign"] or match["sign2"] or "").casefold()) else 1.0
    scale = 1.0
    for magnitude in (match["magnitude"] or "").split():
        scale *= named(magnitude, MAGNITUDES, 1.0)
    kind, factor = "", 1.0
    if match["unit"]:
        kind, factor = named(match["unit"], UNITS, ("", 1.0))
    elif currency := match["before"] or match["behind"]:
        kind = named(currency, CURRENCIES, "")
    return [
        Quantity(kind, sign * n * scale * factor, sign * n * scale * factor, sign * n * scale, sign * n * scale)
        for n in _numbers(match["number"])
    ]


def _numbers(text: str) -> list[float]:
    """Read digits or words; two readings where a point or comma may part thousands or decimals."""
    text = text.strip().casefold()
    half = 0.5 if text.endswith("and a half") else 0.0
    text = text.removesuffix("and a half").strip()
    if text in ("a", "an"):
        return [1.0]
    if text == "half":
        return [0.5]
    words = regex.split(r"[-\s]", text)
    if all(word in NUMBER_WORDS for word in words):
        return [sum(NUMBER_WORDS[word] for word in words) + half]
    power = regex.search(r"(?:[×x·*]\s?10\s?\^?\s?|e)([-−+]?\d+|[⁻⁺]?[⁰¹²³⁴-⁹]+)$", text)
    scale = 1.0
    if power:
        scale = 10.0 ** int(power[1].translate(str.maketrans("−⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "--+0123456789")))
        text = text[: power.start()].strip()
    fraction = regex.search(r"(?:(?<=^|\s)(\d+)/(\d+)|([½¼¾⅓⅔]))$", text)
    part = 0.0
    if fraction:
        signs = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
        below = int(fraction[2] or 1)
        part = signs[fraction[3]] if fraction[3] else int(fraction[1]) / below if below else 0.0
        text = text[: fraction.start()].strip()
    return [(plain + part + half) * scale for plain in _plain(text)]


def _plain(digits: str) -> list[float]:
    if not digits:
        return [0.0]
    digits = regex.sub(r"[\s'’]", "", digits)
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        last = max(digits.rfind("."), digits.rfind(","))
        return [float(regex.sub(r"[.,]", "", digits[:last]) + "." + regex.sub(r"[.,]", "", digits[last + 1 :]))]
    if points + commas == 1:
        before, after = regex.split(r"[.,]", digits)
        decimal = float(f"{before}.{after}")
        if len(after) == 3 and before != "0" and len(before) <= 3:
            # An English text parts thousands with commas; what another means by either is not known.
            return [float(before + after)] if commas else [float(before + after), decimal]
        return [decimal]
    return [float(regex.sub(r"[.,]", "", digits))]


_SPELT = [
    regex.compile(pattern, regex.VERSION1)
    for pattern in (
        rf"(?P<day>{DAY})\s(?:of\s)?(?P<month>{MONTH})(?:,?\s(?P<year>{YEAR}))?",
        rf"(?P<month>{MONTH})\s(?P<day>{DAY})(?:,?\s(?P<year>{YEAR}))?",
        rf"(?P<day>)(?P<month>{MONTH}),?\s(?P<year>{YEAR})",
        r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)",
    )
]
_YEAR_ALONE = regex.compile(rf"(?:in\s|since\s|by\s)?(?P<year>{YEAR})\W*", regex.VERSION1 | regex.IGNORECASE)


def _day(text: str) -> Day | None:
    """Read a date whose month is not in doubt, or a year alone."""
    if year := _YEAR_ALONE.fullmatch(text.strip()):
        return Day(int(year["year"]), None, None)
    for pattern in _SPELT:
        if match := pattern.search(text):
            day = regex.sub(r"\D", "", match["day"])
            return Day(int(match["year"]) if match["year"] else None, _month(match["month"]), int(day) if day else None)
    return None


def _month(name: str) -> int:
    if name.isdigit():
        return int(name)
    short = name.casefold()[:3]
    return next(number for number, month in enumerate(MONTHS, start=1) if month.startswith(short))
