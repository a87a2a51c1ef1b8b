"""Packing units of text into drafts of passages. Counts are given; nothing is counted here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qa.types import Span

# White space wider than this ends a draft: nobody reads it, and it would be part of a passage's text.
_WIDEST_GAP = 256


@dataclass(frozen=True, slots=True)
class Unit:
    """A span that is kept whole: a heading or a sentence, or with ``is_whole`` false a piece of one.

    ``cost`` is its tokens, the white space before it included.
    """

    span: Span
    cost: int = 0
    is_heading: bool = False
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """Units that are planned to be one passage; the first ``repeated`` of them end the draft before, too."""

    units: Sequence[Unit]
    repeated: int = 0


def packed(units: Iterable[Unit], first_room: int, later_room: int, overlap: int) -> Iterator[Draft]:
    """Units, in order, as drafts that cost no more than the room there is: in the first, and in those after it.

    A draft starts with the last whole sentences of the one before that take up to ``overlap``. Where little is left
    for the last draft it shares evenly with the one before. A unit that is over the room is a draft by itself.
    """
    room = first_room
    held: Draft | None = None  # until it is known what comes after it
    current: list[Unit] = []
    repeated = 0
    for unit in units:
        is_apart = bool(current) and unit.span.start - current[-1].span.end > _WIDEST_GAP
        if is_apart or (current and _total(current) + unit.cost > room):
            if held:
                yield held
            held, room = Draft(current, repeated), later_room
            current = _last_sentences(held.units, min(overlap, room - unit.cost))
            repeated = len(current)
        if is_apart and held:
            yield held
            held, current, repeated = None, [], 0
        current.append(unit)
    last = Draft(current, repeated)
    if held and _total(current[repeated:]) < later_room // 4:
        held, last = _balanced(held, current[repeated:])
    if held:
        yield held
    if current:
        yield last


def _total(units: Sequence[Unit]) -> int:
    return sum(unit.cost for unit in units)


def _last_sentences(units: Sequence[Unit], tokens: int) -> list[Unit]:
    """Whole sentences at the end of a draft that take at most ``tokens``."""
    kept = len(units)
    while kept and units[kept - 1].is_whole and not units[kept - 1].is_heading:
        tokens -= units[kept - 1].cost
        if tokens < 0:
            break
        kept -= 1
    return list(units[kept:])


def _balanced(draft: Draft, rest: Sequence[Unit]) -> tuple[Draft, Draft]:
    """Two drafts of about the same cost, in place of a full one and a very small one."""
    units = [*draft.units, *rest]
    half = _total(units) / 2
    middle = len(draft.units)
    while middle > draft.repeated + 1 and not units[middle - 1].is_heading and _total(units[middle - 1 :]) <= half:
        middle -= 1
    return Draft(units[:middle], draft.repeated), Draft(units[middle:])
