"""Which rows of a vector index may be found: closed nodes over string columns that the index declares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Eq:
    """Rows whose ``column`` equals ``value``."""

    column: str
    value: str


@dataclass(frozen=True, slots=True)
class In:
    """Rows whose ``column`` is one of ``values``."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Rows with ``low <= column <= high``, compared as strings by code point; ``None`` leaves an end open."""

    column: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True)
class And:
    """Rows that pass every one of ``filters``; all rows where there are none."""

    filters: tuple[Filter, ...]


Filter = Eq | In | Range | And
