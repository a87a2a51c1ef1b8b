"""The filters of a page: what is chosen, each with the address without it, and a form of what else could be.

The form needs no script. Its checkboxes are conditions as ``GET /v1/ask`` takes them. Its other fields, in which a
person writes a day or a name, have names of their own, and the page redirects to the filter that they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.datastructures import QueryParams

from qa.errors import NotReady, QueryError
from qa.index.field_writer import DATE
from qa.index.fields import Facet, Facets
from qa.search.filters import parse_filter, values_of, write_filter
from qa.service.service import Service
from qa.text.dates import parse_date
from qa.text.globs import fold
from qa.types import Condition, Eq, Range

# The fields that pages offer, in their order, in words. The others are of whoever knows the exact value.
LABELS = {
    **{"folder": "Folder", "type": "Type", "language": "Language", DATE: "Date", "author": "Author", "sender": "From"},
    **{"recipient": "To", "keyword": "About", "sheet": "Sheet"},
}
# Values with a checkbox, and values that are suggested where another is written.
_CHECKED = 8
_SUGGESTED = 40
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Fields of the form: two days, and a name in a field whose values are too many for checkboxes.
SINCE, UNTIL, NAMED = "since", "until", "named."


@dataclass(frozen=True, slots=True)
class Choice:
    """A checkbox: the condition that it stands for, and how many documents have the value, if that was counted."""

    text: str
    value: str
    documents: int | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A field with its choices; where it has more ``distinct`` values, ``others`` are some of those."""

    field: str
    label: str
    choices: tuple[Choice, ...]
    others: tuple[str, ...]
    distinct: int


@dataclass(frozen=True, slots=True)
class Form:
    """What can be chosen. ``kept`` are conditions that have no place in it; ``days`` are the first and the last one.

    ``days`` is ``None`` where no document has a date.
    """

    groups: tuple[Group, ...] = ()
    kept: tuple[str, ...] = ()
    days: tuple[str, str] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to choose."""
        return not self.groups and self.days is None


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition in words, and the ``rest`` of the filter without it."""

    words: str
    rest: tuple[Condition, ...]


def read_form(parameters: QueryParams) -> list[str] | None:
    """Return the conditions that the form's own fields mean; ``None`` where the address has none of these fields."""
    own = [name for name in parameters if name in (SINCE, UNTIL) or name.startswith(NAMED)]
    if not own:
        return None
    signs: Mapping[str, str] = {SINCE: f"{DATE}>=", UNTIL: f"{DATE}<="}
    texts = []
    for name, value in parameters.multi_items():
        if name in own and value.strip():
            texts.append(f"{signs.get(name) or name.removeprefix(NAMED) + '='}{value.strip()}")
    return texts


def keep(filter: tuple[Condition, ...]) -> Form:
    """Make a form that offers nothing and keeps a filter."""
    return Form(kept=tuple(write_filter(filter)))


def make_form(service: Service, filter: tuple[Condition, ...]) -> Form:
    """Make the form of what else could be chosen, from the facets under a filter."""
    try:
        facets = service.facets(filter, _CHECKED + _SUGGESTED)
    except (NotReady, QueryError):
        # A wrong filter beside a wrong question is named when the question is right.
        return keep(filter)
    counted = {facet.field: facet for facet in facets.fields}
    chosen: dict[str, list[str]] = {}
    days: tuple[str, str] | None = None
    kept: list[str] = []
    for condition in filter:
        field = condition.column
        if field == DATE and days is None and (found := _days(condition)) is not None:
            days = found
        elif field in LABELS and field != DATE and field not in chosen:
            chosen[field] = values_of(condition)
        else:
            kept += write_filter([condition])
    groups = [
        _group(field, counted.get(field), chosen.get(field, []))
        for field in LABELS
        if field != DATE and (field in chosen or (field in counted and _divides(counted[field], facets)))
    ]
    return Form(tuple(groups), tuple(kept), ("", "") if days is None and DATE in counted else days)


def _divides(facet: Facet, facets: Facets) -> bool:
    """Tell whether to choose a value of a field changes anything."""
    return facet.distinct > 1 or 0 < facet.documents < facets.documents


def _group(field: str, facet: Facet | None, chosen: Sequence[str]) -> Group:
    values = facet.values if facet is not None else ()
    folded = {fold(value): value for value in chosen}
    shown = [
        Choice(f"{field}={each.value}", each.value, each.documents, folded.pop(fold(each.value), None) is not None)
        for each in values[:_CHECKED]
    ]
    counts = {fold(each.value): each.documents for each in values}
    # What is chosen stays in sight, however rare it is.
    shown += [Choice(f"{field}={value}", value, counts.get(name), True) for name, value in folded.items()]
    others = tuple(each.value for each in values[_CHECKED:] if fold(each.value) not in folded)
    return Group(field, LABELS[field], tuple(shown), others, facet.distinct if facet is not None else len(shown))


def _days(condition: Condition) -> tuple[str, str] | None:
    """Return the first and the last day of a condition on dates, empty where an end is open.

    ``None`` where it is none of whole days one after the other.
    """
    match condition:
        case Range(_, low, high):
            ends = (low, high)
        case Eq(_, value):
            ends = (value, value)
        case _:
            return None
    days = []
    for end, date in enumerate(ends):
        seconds = parse_date(date or "")
        if seconds is not None and (seconds[end] + end) % _DAY:
            return None
        days.append("" if seconds is None else (_EPOCH + timedelta(seconds=seconds[end])).date().isoformat())
    return days[0], days[1]


def chips(filter: tuple[Condition, ...]) -> list[Chip]:
    """Put the conditions of a filter into words, each with the others."""
    texts = write_filter(filter)
    return [Chip(_say(text), parse_filter([*texts[:at], *texts[at + 1 :]])) for at, text in enumerate(texts)]


def _say(text: str) -> str:
    (condition,) = parse_filter([text])
    label = LABELS.get(condition.column, condition.column.capitalize())
    if isinstance(condition, Range):
        return f"{label} from {condition.low}" if condition.low is not None else f"{label} to {condition.high}"
    return f"{label}: {values_of(condition)[0]}"
