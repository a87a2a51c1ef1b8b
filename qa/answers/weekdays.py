"""Weekdays that a question asks for, and the lines of opening hours and timetables that are of them.

The reader takes "Sat" for no Saturday, sees no Wednesday in "Mon-Fri", and of five such lines it likes the first best.
"""

from __future__ import annotations

import regex

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = r"(?<!\p{L})(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)(?!\p{L})\.?"
_ASKED = regex.compile(rf"\b({'|'.join(_DAYS)})s?\b", regex.IGNORECASE)
# What is open, or closed, stands in the same line.
_GIVEN = regex.compile(rf"({_DAY})(?:\s?(?:[-–—]|to|until|through)\s?({_DAY}))?(?=[^\n]*(?:\d|(?i:closed)))")
# "Sat 11:00-15:00", "- Mon to Fri: 9 - 17", "Sunday | closed".
_LINE = regex.compile(
    r"[^\S\n]*(?:[-•*·]\s+)?(?:mon|tues?|wed|wednes|thu(?:rs?)?|fri|sat|satur|sun)(?:days?)?\b\.?"
    r"(?:\s?(?:[-–—&/,]|to|and)\s?\w+\b\.?)?\s?[:|]?\s?(?:\d{1,2}(?:[:.h]\d\d|\s?[ap]\.?m|\s?[-–—])|closed)",
    regex.IGNORECASE,
)
# What a line of opening hours says beside days and times.
_OF_HOURS = regex.compile(
    rf"{_DAY}|\b(?:closed|open|noon|midnight|from|until|till|and|to|am|pm|hrs?|hours?|uhr|public|bank|holidays?)\b",
    regex.IGNORECASE,
)
_WORD = regex.compile(r"\p{L}{3,}")


def is_timetable_line(line: str) -> bool:
    """Tell whether a line says when something is open, or goes, on a day or from one to another."""
    return bool(_LINE.match(line))


def is_opening_hours(line: str) -> bool:
    """Tell whether a line of a timetable says only when something is open, and nothing of what there is then."""
    return is_timetable_line(line) and not _WORD.search(_OF_HOURS.sub(" ", line))


def asked_day(question: str) -> int | None:
    """Find the day that a question names, 0 for Monday; ``None`` where it names none."""
    asked = _ASKED.search(question)
    return None if asked is None else _DAYS.index(asked[1].casefold())


def find_day(text: str, day: int) -> str | None:
    """Find how a text writes the first day, or range of days, that holds ``day``."""
    for match in _GIVEN.finditer(text):
        first = _number(match[1])
        last = _number(match[2]) if match[2] else first
        if (day - first) % 7 <= (last - first) % 7:
            return str(match[0])
    return None


def ask_as_written(question: str, text: str) -> str:
    """Name the day of a question as a text does. What the text names in full is left as it is."""
    asked = _ASKED.search(question)
    if asked is None or asked[1].casefold() in text.casefold():
        return question
    written = find_day(text, _DAYS.index(asked[1].casefold()))
    return question if written is None else f"{question[: asked.start()]}{written}{question[asked.end() :]}"


def _number(day: str) -> int:
    return next(number for number, name in enumerate(_DAYS) if name.startswith(day[:3].casefold()))
