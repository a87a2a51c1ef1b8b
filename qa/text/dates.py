"""Dates in ISO 8601, which are as long as they are: a year, a month, a day, a minute or a second."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.IGNORECASE
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_date(value: str) -> tuple[int, int] | None:
    """Return the first and the last second of an ISO 8601 date or moment, since 1970; ``None`` where it is none.

    A year, a month and a day are as long as they are. Without a time zone it is in UTC.
    """
    found = _DATE.fullmatch(value.strip())
    if not found or not value.isascii():
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    zone = (found[7] or "Z").upper().replace(":", "")
    given = [1 if part is None else part for part in (month, day)]
    try:
        offset = (
            timedelta() if zone == "Z" else timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * int(f"{zone[0]}1")
        )
        start = datetime(year or 0, given[0], given[1], hour or 0, minute or 0, second or 0, tzinfo=UTC)
        if month is None:
            long = timedelta(days=366 if monthrange(start.year, 2)[1] == 29 else 365)
        elif day is None:
            long = timedelta(days=monthrange(start.year, start.month)[1])
        elif hour is None:
            long = timedelta(days=1)
        else:
            long = timedelta(seconds=60 if second is None else 1)
    except ValueError:
        return None
    first = (start - _EPOCH - offset) // timedelta(seconds=1)
    return first, first + long // timedelta(seconds=1) - 1
