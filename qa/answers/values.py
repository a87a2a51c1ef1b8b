"""Values in a text: made whole where a reader cut them, and compared by what they say.

A value is a number with all that changes its meaning: sign, bound, currency, magnitude, unit, the other end of a range,
a tolerance; or a date with its day, month and year. The patterns are for English and for digits as Europe, America and
India write them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import regex

from qa.types import Span

_Key = TypeVar("_Key")

# Each unit as factor to the first of its kind; "1" is what has no unit.
_UNITS: Mapping[str, Mapping[float, str]] = {
    "duration": {
        1e-3: "ms milliseconds? msec",
        1: "s secs? seconds?",
        60: "mins? minutes?",
        3600: "h hrs? hours?",
        86_400: "days? nights?",
        604_800: "wks? weeks?",
        2_629_746: "months?",
        31_556_952: "yrs? years?",
        315_569_520: "decades?",
        3_155_695_200: "century centuries",
    },
    "length": {
        1e-3: "mm millimet(?:er|re)s?",
        1e-2: "cm centimet(?:er|re)s?",
        1: "m met(?:er|re)s?",
        1000: "km kilomet(?:er|re)s? kms",
        0.0254: "inch inches",
        0.3048: "ft feet foot ′",
        0.9144: "yds? yards?",
        1609.344: "mi miles?",
        1852: "nmi nautical\\smiles?",
    },
    "area": {
        1: "m² m2 square\\smet(?:er|re)s? sq\\sm",
        1e4: "ha hectares?",
        4046.856: "acres?",
        1e6: "km² km2 square\\skilomet(?:er|re)s? sq\\skm",
        2_589_988: "square\\smiles? sq\\smi mi²",
        0.0929: "square\\sfeet sq\\sft ft²",
    },
    "mass": {
        1e-6: "mg milligrams?",
        1e-3: "g grams?",
        1: "kg kilos? kilograms?",
        1000: "t tons? tonnes?",
        0.45359: "lbs? pounds?",
        0.02835: "oz ounces?",
        6.35: "stone",
    },
    "volume": {
        1e-3: "ml mL millilit(?:er|re)s?",
        1e-2: "cl",
        1: "l L lit(?:er|re)s?",
        3.7854: "gal gallons?",
        1000: "m³ m3 cubic\\smet(?:er|re)s?",
        0.5683: "pints?",
    },
    "speed": {1: "km/h kph kmh", 1.609344: "mph", 1.852: "knots? kn", 3.6: "m/s"},
    "power": {1: "W watts?", 1e3: "kW kilowatts?", 1e6: "MW megawatts?", 1e9: "GW gigawatts?"},
    "energy": {1: "kWh", 1e3: "MWh", 1e6: "GWh"},
    "voltage": {1e-3: "mV", 1: "V volts?", 1e3: "kV"},
    "current": {1e-3: "mA", 1: "A amps? amperes?"},
    "frequency": {1: "Hz hertz", 1e3: "kHz", 1e6: "MHz", 1e9: "GHz"},
    "pressure": {1: "Pa", 1e3: "kPa", 1e5: "bar bars", 1e6: "MPa", 6894.76: "psi"},
    "data": {1: "bytes?", 1e3: "KB kB kilobytes?", 1e6: "MB megabytes?", 1e9: "GB gigabytes?", 1e12: "TB terabytes?"},
    "temperature": {1: "°\\s?C ℃ degrees(?:\\sCelsius)? °"},
    "temperature-f": {1: "°\\s?F degrees\\sFahrenheit"},
    "percent": {1: "% percent per\\scent percentage\\spoints? pct"},
}
# Currencies are not converted: each is a kind of its own.
_CURRENCIES = {
    "$": r"US\$ \$ USD dollars? bucks",
    "€": "€ EUR euros?",
    "£": "£ GBP pounds\\ssterling quid",
    "¥": "¥ JPY yen CNY yuan RMB",
    "₹": "₹ INR Rs\\.? rupees?",
    "CHF": "CHF francs? Fr\\.",
    "kr": "kr SEK NOK DKK kronor kroner krona",
    "¢": "¢ cents?",
    "A$": r"A\$ AUD",
    "C$": r"C\$ CAD",
}
_MAGNITUDES = {
    12: "dozen",
    100: "hundred",
    1e3: "thousand k K",
    1e5: "lakhs?",
    1e6: "million mn m M mio",
    1e7: "crores?",
    1e9: "billion bn B",
    1e12: "trillion tn",
}
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: float(number) for number, word in enumerate(_SMALL)} | {
    word: 10.0 * number for number, word in enumerate(_TENS, start=2)
}
_MONTHS = "january february march april may june july august september october november december".split()


def _alternatives(table: Mapping[_Key, str]) -> str:
    """One pattern of all names in a table, the longest first, so that "minutes" is not "m" and a rest."""
    return "|".join(sorted((name for names in table.values() for name in names.split()), key=len, reverse=True))


_FLAT_UNITS = {(kind, factor): names for kind, units in _UNITS.items() for factor, names in units.items()}
_END = r"(?![\p{L}\p{N}])"
_UNIT = rf"(?:{_alternatives(_FLAT_UNITS)}){_END}"
_CURRENCY = rf"(?:{_alternatives(_CURRENCIES)})"
_DIGITS = (
    r"(?:\d{1,3}(?:[\u00a0\u2009\u202f ]\d{3})+(?!\d)|\d+(?:[.,'’]\d+)*)(?:\s?[½¼¾⅓⅔]|(?:\s\d+)?/\d+(?![/\d]))?"
    r"(?:\s?[×x·*]\s?10\s?(?:\^\s?[-−+]?\d+|[⁻⁺]?[⁰¹²³⁴-⁹]+)|[eE][-+]?\d+)?|[½¼¾⅓⅔]"
)
_WORDS = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_SMALL[1:10])}))?|{'|'.join(sorted(_SMALL, key=len, reverse=True))}"
    rf"|an?(?=\s(?:half|quarter|dozen|hundred|thousand|million|billion|trillion){_END})|half)(?![\p{{L}}])"
    r"(?:\sand\sa\shalf)?"
)
_MAGNITUDE = rf"(?:\s?(?:{_alternatives(_MAGNITUDES)}){_END})"
_NUMBER = rf"(?:{_DIGITS}|{_WORDS}){_MAGNITUDE}*"
_SIGN = r"(?:(?<![\p{L}\p{N})\]])[-−–+±](?=[\d$€£¥₹])|minus\s|plus\s)"
_ONE = (
    rf"(?:{_SIGN}?(?:{_CURRENCY}\s?)?{_SIGN}?{_NUMBER}(?:[\s-]?{_UNIT}|\s?{_CURRENCY}{_END})?"
    rf"(?:(?:,?\s(?:and\s)?){_NUMBER}\s?{_UNIT})*)"
)
_PER = (
    r"(?:\s?/\s?|\s(?:per|an?|each)\s)(?:hour|minute|second|day|week|month|year|night|head|person|lift|litre|liter|"
    rf"kg|km|mile|h|s|min|unit|member|head|square\smet(?:er|re)){_END}"
)
_TIMES = rf"(?:\s?[×x]\s?{_ONE})"
_TOLERANCE = rf"(?:\s?(?:±|\+/-|plus\sor\sminus)\s?{_ONE})"
_AMOUNT = rf"{_ONE}{_TIMES}*{_TOLERANCE}?"
_BOUND = (
    r"(?:(?:no|not)\s(?:more|less|fewer|later|earlier|longer|greater|higher|lower)\sthan|(?:more|less|fewer|greater|"
    r"higher|lower|longer|older|younger)\sthan|at\s(?:the\s)?(?:least|most)|up\sto|as\s(?:many|much|few|little)\sas|"
    r"(?:a\s)?(?:minimum|maximum)\sof|just\s(?:over|under)|an\sestimated|about|around|approximately|approx\.|roughly|"
    r"nearly|almost|over|under|above|below|exceeding|circa|ca?\.|[~≈≤≥<>])"
)
_AFTER = r"(?:\sor\s(?:more|less|fewer|over|older|younger|longer|above|below)|\sat\s(?:the\s)?(?:most|least))"
_TO = r"(?:\s?(?:[-–—]|to|up\sto|until|and|or|through)\s?)"

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_YEAR = r"(?:1\d{3}|20\d{2})(?!\d)"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?(?!\d)"
_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?(?:[ap]\.?m\b\.?|h\b))?|\d{1,2}(?:\.\d{2})?\s?[ap]\.?m\b\.?"
_DATE = (
    rf"(?:{_WEEKDAY},?\s)?(?:the\s)?(?:{_DAY}\s(?:of\s)?{_MONTH}(?:,?\s{_YEAR})?|{_MONTH}\s{_DAY}(?:,?\s{_YEAR})?"
    rf"|{_MONTH},?\s{_YEAR}|\d{{4}}-\d\d?-\d\d?(?:[T\s]\d\d?:\d\d(?::\d\d)?)?|\d\d?[./]\d\d?[./]\d{{2,4}}(?!\d))"
)
# Names of units and months are written in one way or two; everything else in any case.
_AMOUNTS = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}.,])(?:(?i:{_BOUND}\s?))?(?:(?i:between)\s)?(?:{_AMOUNT})(?:{_TO}(?:{_AMOUNT}))?"
    rf"(?:{_PER})?{_AFTER}?",
    regex.VERSION1,
)
_SINGLE = regex.compile(rf"(?<![\p{{L}}\p{{N}}.,])(?:{_AMOUNT})(?:{_PER})?", regex.VERSION1)
_ANY_NUMBER = regex.compile(rf"\d|\b(?:{_WORDS})", regex.VERSION1 | regex.IGNORECASE)
# "A diesel of 900 hp", "a fine of $200": what was found goes on with its measure.
_OF_MEASURE = regex.compile(
    rf"\sof\s(?:{_BOUND}\s)?(?:{_CURRENCY}\s?{_NUMBER}|{_NUMBER}[\s-]?(?:{_UNIT}|{_CURRENCY}{_END}|hp{_END}))",
    regex.VERSION1,
)
_YEARS = regex.compile(rf"{_YEAR}\s?[-–—]\s?(?:{_YEAR}|\d\d)")
_DATES = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}])(?:{_DATE})(?:{_TO}(?:{_DATE}))?(?:,?\s(?:at\s)?(?:{_CLOCK}))?", regex.VERSION1
)
_DAYS_OF_A_MONTH = regex.compile(
    rf"(?<!\p{{N}})(?:{_DAY}{_TO}{_DAY}\s{_MONTH}(?:,?\s{_YEAR})?|{_MONTH}\s{_DAY}{_TO}{_DAY}(?:,?\s{_YEAR})?"
    rf"|{_DATE}\sto\s{_DATE})",
    regex.VERSION1,
)
_TIMES_OF_DAY = regex.compile(rf"(?<![\p{{L}}\p{{N}}.])(?:{_CLOCK})(?:{_TO}(?:{_CLOCK}))?", regex.VERSION1)
# A run of characters that white space ends and that holds a digit: "$1.5M", "2024-03-05", "X-12".
_GLUED = regex.compile(r"[^\s–—]*\d[^\s–—]*")
# What is one word to those who use it: e-mail and web addresses, handles, file names, paths, names_with_underscores.
# After a point a small letter or a digit follows, so that two sentences without a space between them are not one name.
_NAMES = regex.compile(
    r"[\p{L}\p{N}._%+'’-]*[\p{L}\p{N}_]@[\p{L}\p{N}][\p{L}\p{N}-]*(?:\.[\p{L}\p{N}-]+)*+"
    r"|(?:https?://|www\.)[^\s<>\"|]*[^\s<>\"|.,;:!?)\]'’]"
    r"|(?<![\p{L}\p{N}])@[\p{L}\p{N}_](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_])?+"
    r"|(?<![^\s(\[\"'“‘])(?:~?/|\p{L}:\\)?[\p{L}\p{N}_-]++(?:\.[\p{Ll}\p{N}][\p{L}\p{N}_-]*|[/\\][\p{L}\p{N}_.-]*[\p{L}\p{N}_])*"
    r"\.\p{Ll}[\p{L}\p{N}]{1,9}(?:/[^\s<>\"|]*[\p{L}\p{N}/])?+(?![\p{L}\p{N}])"
    r"|[\p{L}\p{N}]++(?:_++[\p{L}\p{N}]++)+",
    regex.VERSION1,
)
# The name of a column that ends in a currency, before its value: "Price EUR: 489.00".
_PRICED = regex.compile(
    rf"(?:[\p{{L}}][\p{{L}}\p{{N}} ]{{0,39}}\s\(?)?{_CURRENCY}\)?:\s?(?=\d|[-−–]\d)", regex.VERSION1
)
_OUTER = "\"'“”‘’()[]{}<>,;:.!?*_|…"
_ASKS_YEAR = regex.compile(r"\b(?:what|which)\s(?:\w+\s)?year\b", regex.IGNORECASE)
_ASKS_WHEN = regex.compile(r"\bwhen\b|\b(?:what|which)\s(?:\w+\s)?(?:date|day)\b", regex.IGNORECASE)
_ASKS_TIME = regex.compile(r"\bwhat\stime\b|\b(?:what|which)\s(?:\w+\s)?(?:hour|month)\b", regex.IGNORECASE)


def whole(text: str, span: Span, question: str) -> Span:
    """Extend a span to the whole of every value, address and file name that it cuts, within ``text``.

    A unit that the question names ("how many days") is left out, and so is the rest of a date where a year, a month or
    a time is asked for.
    """
    span = _unglued(text, _with_whole_names(text, span))
    if not holds_number(text[span.start : span.end]):
        measure = _OF_MEASURE.match(text, span.end)
        return Span(span.start, measure.end()) if measure else span
    for found in _values(text, question):
        if found.start < span.end and span.start < found.end and _is_cut(text, span, found, question):
            span = Span(min(span.start, found.start), max(span.end, found.end))
    return _with_currency(text, span)


def _with_whole_names(text: str, span: Span) -> Span:
    """Extend a span to the whole of the addresses and file names that it begins or ends in."""
    for found in _matches(text, "name"):
        if span.start < found.end and found.start < span.end:
            span = Span(min(span.start, found.start), max(span.end, found.end))
    return span


def _with_currency(text: str, span: Span) -> Span:
    """Extend a span that a column's name with a currency stands before, or that begins within that name."""
    for found in _PRICED.finditer(text):
        if found.start() < span.start <= found.end() < span.end:
            return Span(found.start(), span.end)
    return span


def holds_number(text: str) -> bool:
    """Tell whether a text holds a number, in digits or words."""
    return bool(_ANY_NUMBER.search(text))


def _unglued(text: str, span: Span) -> Span:
    """Extend a span that begins or ends within a run of characters that holds a digit."""
    for match in _GLUED.finditer(text):
        run = match.group()
        start = match.start() + len(run) - len(run.lstrip(_OUTER))
        end = match.end() - (len(run) - len(run.rstrip(_OUTER)))
        if start < span.start < end and regex.search(r"\d", text[span.start : end]):
            span = Span(start, span.end)
        if start < span.end < end and regex.search(r"\d", text[start : span.end]):
            span = Span(span.start, end)
    return span


@lru_cache(maxsize=512)
def _matches(text: str, kind: str) -> tuple[Span, ...]:
    pattern = {"name": _NAMES, "date": _DATES, "days": _DAYS_OF_A_MONTH, "time": _TIMES_OF_DAY, "amount": _AMOUNTS}[
        kind
    ]
    return tuple(Span(match.start(), match.end()) for match in pattern.finditer(text))


def _values(text: str, question: str) -> Iterator[Span]:
    """Find the values in a text: dates and days first, since a day is a number too."""
    taken: list[Span] = []
    if not (_ASKS_YEAR.search(question) or _ASKS_TIME.search(question)):
        taken += [*_matches(text, "date"), *_matches(text, "days")]
    taken += _matches(text, "time")
    yield from taken
    for amount in _matches(text, "amount"):
        if _YEARS.fullmatch(text, amount.start, amount.end):
            # Years of a life, or of a reign: a reader that chose one of them was asked for it.
            continue
        if text[: amount.start].casefold().endswith("from "):
            # "It rose from 4 to 6" gives two values, not a range.
            yield from (Span(amount.start + each.start, amount.start + each.end) for each in _ends(text, amount))
        elif not any(amount.start < other.end and other.start < amount.end for other in taken):
            yield amount


def _ends(text: str, amount: Span) -> Iterator[Span]:
    """Find the values of a range, each by itself."""
    for match in _SINGLE.finditer(text[amount.start : amount.end]):
        yield Span(match.start(), match.end())


def _is_cut(text: str, span: Span, value: Span, question: str) -> bool:
    """Tell whether what a span leaves out of a value has to be there."""
    before, after = text[value.start : span.start], text[span.end : value.end]
    if before.strip() or not after.strip():
        return bool(before.strip())
    # "How many days" is answered by a number.
    asked = regex.findall(r"[\w²³]+", question.casefold())
    units = {_named(name, _FLAT_UNITS, ("", 1.0)) for name in (*asked, *map(" ".join, pairwise(asked)))}
    rest = after.strip().casefold()
    return _named(after.strip(), _FLAT_UNITS, ("", 0.0)) not in units and not all(
        word in asked for word in regex.findall(r"[\w²³%°]+", rest)
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


_AMOUNT_ALONE = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}])(?P<sign>{_SIGN})?(?:(?P<before>{_CURRENCY})\s?)?(?P<sign2>{_SIGN})?(?P<number>{_DIGITS}|{_WORDS})"
    rf"(?P<magnitude>{_MAGNITUDE}*)(?:[\s-]?(?P<unit>{_UNIT})|\s?(?P<behind>{_CURRENCY}){_END})?",
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
    found = [match for match in _AMOUNT_ALONE.finditer(text) if match.group("number")]
    if not found:
        return days
    first = _readings(found[0])
    if len(found) > 1:
        between = text[found[0].end() : found[1].start()]
        if regex.fullmatch(_TO, between) and regex.search(r"\S", between):
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
        scale *= _named(magnitude, _MAGNITUDES, 1.0)
    kind, factor = "", 1.0
    if match["unit"]:
        kind, factor = _named(match["unit"], _FLAT_UNITS, ("", 1.0))
    elif currency := match["before"] or match["behind"]:
        kind = _named(currency, _CURRENCIES, "")
    return [
        Quantity(kind, sign * n * scale * factor, sign * n * scale * factor, sign * n * scale, sign * n * scale)
        for n in _numbers(match["number"])
    ]


def _named(name: str, table: Mapping[_Key, str], default: _Key) -> _Key:
    """Find the entry whose names match; letters as they are written come before letters of any case ("M", "m")."""
    for flags in (0, regex.IGNORECASE):
        for key, names in table.items():
            if any(regex.fullmatch(pattern, name, flags) for pattern in names.split()):
                return key
    return default


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
    if all(word in _NUMBER_WORDS for word in words):
        return [sum(_NUMBER_WORDS[word] for word in words) + half]
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
        rf"(?P<day>{_DAY})\s(?:of\s)?(?P<month>{_MONTH})(?:,?\s(?P<year>{_YEAR}))?",
        rf"(?P<month>{_MONTH})\s(?P<day>{_DAY})(?:,?\s(?P<year>{_YEAR}))?",
        rf"(?P<day>)(?P<month>{_MONTH}),?\s(?P<year>{_YEAR})",
        r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)",
    )
]
_YEAR_ALONE = regex.compile(rf"(?:in\s|since\s|by\s)?(?P<year>{_YEAR})\W*", regex.VERSION1 | regex.IGNORECASE)


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
    return next(number for number, month in enumerate(_MONTHS, start=1) if month.startswith(short))
