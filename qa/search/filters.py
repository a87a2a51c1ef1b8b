"""The filter of a question: its text, its bounds, and what is wrong with it.

A condition is written ``field=value``, ``field>=date`` or ``field<=date``. Several values of one field are
alternatives, and a beginning and an end are one range: ``folder=hr type=pdf type=docx date>=2024`` are three
conditions, which all must hold.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from qa.errors import QueryError
from qa.text.dates import parse_date
from qa.types import Condition, Eq, In, Range

if TYPE_CHECKING:
    from qa.index.field_writer import FieldKind

# Conditions of one filter, values of all of them, and their characters.
MOST_CONDITIONS = 20
MOST_VALUES = 200
MOST_CHARACTERS = 10_000
LONGEST_VALUE = 1024
_LONGEST_SHOWN = 80
_OPERATOR = re.compile(r">=|<=|=")
_DATES = "2024, 2024-05, 2024-05-01 or 2024-05-01T12:00Z"


def parse_filter(texts: Iterable[str]) -> tuple[Condition, ...]:
    """Parse conditions as people write them, in the order of their fields' first mention.

    Raises:
        QueryError: one is no condition, there are too many, or a field has two beginnings or two ends.
    """
    values: dict[str, dict[str, None]] = {}
    ranges: dict[str, dict[str, str]] = {}
    fields: dict[str, None] = {}
    for number, text in enumerate(texts):
        if number == MOST_VALUES:
            raise QueryError("filter", f"filter has more than {MOST_VALUES} values; shorten it")
        found = _OPERATOR.search(text)
        field, operator, value = (
            (text[: found.start()].strip(), found[0], text[found.end() :].strip()) if found else [""] * 3
        )
        if not field or not value:
            raise QueryError(
                "filter",
                f"filter: {_shown(text)} is no condition; write field=value, or field>=2024 and field<=2024 for dates",
            )
        fields[field] = None
        if operator == "=":
            values.setdefault(field, {})[value] = None
        elif operator in ranges.setdefault(field, {}):
            raise QueryError("filter", f"filter: {_shown(field)} has two conditions with {operator}; keep one")
        else:
            ranges[field][operator] = value
    conditions: list[Condition] = []
    for field in fields:
        if field in values:
            each = tuple(values[field])
            conditions.append(Eq(field, each[0]) if len(each) == 1 else In(field, each))
        if field in ranges:
            conditions.append(Range(field, ranges[field].get(">="), ranges[field].get("<=")))
    return tuple(conditions)


def write_filter(conditions: Iterable[Condition]) -> list[str]:
    """Write conditions as :func:`parse_filter` reads them."""
    texts = []
    for condition in conditions:
        match condition:
            case Eq(field, value):
                texts.append(f"{field}={value}")
            case In(field, values):
                texts += [f"{field}={value}" for value in values]
            case Range(field, low, high):
                texts += [f"{field}{sign}{value}" for sign, value in ((">=", low), ("<=", high)) if value is not None]
    return texts


def filter_excess(conditions: Sequence[Condition]) -> QueryError | None:
    """Return which bound a filter exceeds, if any, or which of its values no document can have."""
    values = [value for condition in conditions for value in values_of(condition)]
    for most, counted, noun in (
        (MOST_CONDITIONS, len(conditions), "conditions"),
        (MOST_VALUES, len(values), "values"),
        (MOST_CHARACTERS, sum(map(len, values)) + sum(len(each.column) for each in conditions), "characters"),
        (LONGEST_VALUE, max(map(len, values), default=0), "characters in one value"),
    ):
        if counted > most:
            return QueryError("filter", f"filter has {counted:,} {noun}; at most {most:,} are allowed")
    for condition in conditions:
        wrong = ""
        if not (named := values_of(condition)):
            wrong = "no value"
        elif not all(named):
            wrong = "an empty value"
        elif flaw := next(filter(None, map(flaw_of, named)), ""):
            wrong = f"a value with {flaw}"
        if wrong:
            return QueryError("filter", f"filter: {_shown(condition.column)} has {wrong}; give one, or leave it out")
    return None


def flaw_of(text: str) -> str:
    """Say what a text of a question holds that no document can; empty where there is nothing."""
    if "\0" in text:
        return "a NUL character"
    # JSON can escape one alone (RFC 8259, section 8.2); no encoding can write it.
    return "half of a surrogate pair" if any("\ud800" <= c <= "\udfff" for c in text) else ""


def values_of(condition: Condition) -> list[str]:
    """Return the values that a condition names."""
    match condition:
        case Eq(_, value):
            return [value]
        case In(_, values):
            return list(values)
        case Range(_, low, high):
            return [value for value in (low, high) if value is not None]


def filter_faults(conditions: Sequence[Condition], kinds: Mapping[str, FieldKind]) -> list[QueryError]:
    """List what is wrong with the conditions of a filter, in a snapshot that has fields of these kinds."""
    found = []
    for condition in conditions:
        field = condition.column
        if field not in kinds:
            near = difflib.get_close_matches(field[:_LONGEST_SHOWN], kinds, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            message = f"filter: there is no field {_shown(field)}{hint} Fields: {', '.join(kinds)}"
            found.append(QueryError("filter", message, "unknown-field"))
        elif kinds[field] == "date":
            found += [
                QueryError("filter", f"filter: {_shown(value)} is no date for the field {field}; write {_DATES}")
                for value in values_of(condition)
                if parse_date(value) is None
            ]
        elif isinstance(condition, Range):
            message = f"filter: the field {field} has no order, so that >= and <= cannot be used; write {field}=value"
            found.append(QueryError("filter", message))
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
