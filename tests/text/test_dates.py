"""Dates as the seconds that they are long, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from qa.text.dates import parse_date


@pytest.mark.parametrize(
    ("date", "first", "last"),
    [
        ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2023-02", "2023-02-01T00:00:00", "2023-02-28T23:59:59"),
        ("1969-12-31", "1969-12-31T00:00:00", "1969-12-31T23:59:59"),
        ("2024-05-01T12:30", "2024-05-01T12:30:00", "2024-05-01T12:30:59"),
        ("2024-05-01t12:30:15z", "2024-05-01T12:30:15", "2024-05-01T12:30:15"),
        ("2024-05-01T00:30:15+01:30", "2024-04-30T23:00:15", "2024-04-30T23:00:15"),
        ("2024-05-01 00:30:15.123-0200", "2024-05-01T02:30:15", "2024-05-01T02:30:15"),
        ("9999", "9999-01-01T00:00:00", "9999-12-31T23:59:59"),
    ],
)
def test_a_date_is_as_long_as_it_is(date: str, first: str, last: str) -> None:
    seconds = tuple(int(np.datetime64(each, "s").astype(np.int64)) for each in (first, last))
    assert parse_date(date) == seconds


@pytest.mark.parametrize(
    "text", ["", "24", "0000", "2024-00", "2024-1", "2023-02-29", "2024-05-01T25:00", "٢٠٢٤", "now"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None
