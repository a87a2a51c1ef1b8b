"""From headings to sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qa.types import Section


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading where it stands: ``start`` is where it begins and ``body`` where its line ends; level from 1."""

    title: str
    level: int
    start: int
    body: int


def nested(headings: Iterable[Heading], length: int) -> tuple[Section, ...]:
    """Sections of a text of ``length`` characters: each lasts to the next heading that is not deeper than its own.

    ``headings`` are in order of their start.
    """
    found = list(headings)
    nearest = [length] * (max((heading.level for heading in found), default=0) + 1)
    sections = []
    for heading in reversed(found):
        end = min(nearest[: heading.level + 1])
        nearest[heading.level] = heading.start
        sections.append(Section(heading.title, heading.level, heading.start, heading.body, end))
    return tuple(reversed(sections))
