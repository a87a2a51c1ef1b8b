"""Values made whole where a reader cut them.

A value is a number with all that changes its meaning: sign, bound, currency, magnitude, unit, the other end of a range,
a tolerance; or a date with its day, month and year. Addresses and file names are whole as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import regex

from qa.answers.notation import (
    AFTER,
    AMOUNT,
    BOUND,
    CLOCK,
    CURRENCY,
    DATE,
    DAY,
    END,
    MONTH,
    NUMBER,
    PER,
    TO,
    UNIT,
    UNITS,
    WORDS,
    YEAR,
    LatePattern,
    named,
)
from qa.types import Span

# Names of units and months are written in one way or two; everything else in any case.
_AMOUNTS = LatePattern(
    rf"(?<![\p{{L}}\p{{N}}.,])(?:(?i:{BOUND}\s?))?(?:(?i:between)\s)?(?:{AMOUNT})(?:{TO}(?:{AMOUNT}))?"
    rf"(?:{PER})?{AFTER}?",
    regex.VERSION1,
)
_SINGLE = LatePattern(rf"(?<![\p{{L}}\p{{N}}.,])(?:{AMOUNT})(?:{PER})?", regex.VERSION1)
_ANY_NUMBER = LatePattern(rf"\d|\b(?:{WORDS})", regex.VERSION1 | regex.IGNORECASE)
# "A diesel of 900 hp", "a fine of $200": what was found goes on with its measure.
_OF_MEASURE = LatePattern(
    rf"\sof\s(?:{BOUND}\s)?(?:{CURRENCY}\s?{NUMBER}|{NUMBER}[\s-]?(?:{UNIT}|{CURRENCY}{END}|hp{END}))",
    regex.VERSION1,
)
_YEARS = regex.compile(rf"{YEAR}\s?[-–—]\s?(?:{YEAR}|\d\d)")
_DATES = LatePattern(
    rf"(?<![\p{{L}}\p{{N}}])(?:{DATE})(?:{TO}(?:{DATE}))?(?:,?\s(?:at\s)?(?:{CLOCK}))?", regex.VERSION1
)
_DAYS_OF_A_MONTH = LatePattern(
    rf"(?<!\p{{N}})(?:{DAY}{TO}{DAY}\s{MONTH}(?:,?\s{YEAR})?|{MONTH}\s{DAY}{TO}{DAY}(?:,?\s{YEAR})?"
    rf"|{DATE}\sto\s{DATE})",
    regex.VERSION1,
)
_TIMES_OF_DAY = LatePattern(rf"(?<![\p{{L}}\p{{N}}.])(?:{CLOCK})(?:{TO}(?:{CLOCK}))?", regex.VERSION1)
# A run of characters that white space ends and that holds a digit: "$1.5M", "2024-03-05", "X-12".
_GLUED = regex.compile(r"[^\s–—]*\d[^\s–—]*")
# What is one word to those who use it: e-mail and web addresses, handles, file names, paths, names_with_underscores.
# After a point a small letter or a digit follows, so that two sentences without a space between them are not one name.
_NAMES = LatePattern(
    r"[\p{L}\p{N}._%+'’-]*[\p{L}\p{N}_]@[\p{L}\p{N}][\p{L}\p{N}-]*(?:\.[\p{L}\p{N}-]+)*+"
    r"|(?:https?://|www\.)[^\s<>\"|]*[^\s<>\"|.,;:!?)\]'’]"
    r"|(?<![\p{L}\p{N}])@[\p{L}\p{N}_](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_])?+"
    r"|(?<![^\s(\[\"'“‘])(?:~?/|\p{L}:\\)?[\p{L}\p{N}_-]++(?:\.[\p{Ll}\p{N}][\p{L}\p{N}_-]*|[/\\][\p{L}\p{N}_.-]*[\p{L}\p{N}_])*"
    r"\.\p{Ll}[\p{L}\p{N}]{1,9}(?:/[^\s<>\"|]*[\p{L}\p{N}/])?+(?![\p{L}\p{N}])"
    r"|[\p{L}\p{N}]++(?:_++[\p{L}\p{N}]++)+",
    regex.VERSION1,
)
# The name of a column that ends in a currency, before its value: "Price EUR: 489.00".
_PRICED = LatePattern(rf"(?:[\p{{L}}][\p{{L}}\p{{N}} ]{{0,39}}\s\(?)?{CURRENCY}\)?:\s?(?=\d|[-−–]\d)", regex.VERSION1)
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
        measure = _OF_MEASURE.compiled.match(text, span.end)
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
    for found in _PRICED.compiled.finditer(text):
        if found.start() < span.start <= found.end() < span.end:
            return Span(found.start(), span.end)
    return span


def holds_number(text: str) -> bool:
    """Tell whether a text holds a number, in digits or words."""
    return bool(_ANY_NUMBER.compiled.search(text))


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
    ].compiled
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
    for match in _SINGLE.compiled.finditer(text[amount.start : amount.end]):
        yield Span(match.start(), match.end())


def _is_cut(text: str, span: Span, value: Span, question: str) -> bool:
    """Tell whether what a span leaves out of a value has to be there."""
    before, after = text[value.start : span.start], text[span.end : value.end]
    if before.strip() or not after.strip():
        return bool(before.strip())
    # "How many days" is answered by a number.
    asked = regex.findall(r"[\w²³]+", question.casefold())
    units = {named(name, UNITS, ("", 1.0)) for name in (*asked, *map(" ".join, pairwise(asked)))}
    rest = after.strip().casefold()
    return named(after.strip(), UNITS, ("", 0.0)) not in units and not all(
        word in asked for word in regex.findall(r"[\w²³%°]+", rest)
    )
