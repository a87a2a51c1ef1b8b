"""Numbers as Excel shows them: each expectation was read off a format code's definition in ECMA-376 18.8.31."""

from __future__ import annotations

import datetime

import pytest

from qa.readers.number_formats import shown

_ACCOUNTING = '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)'


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (5, '0"%"', "5%"),
        (5, r"0\%", "5%"),
        (0.5, "0%", "50%"),
        (0.1234, "0.0%", "12.3%"),
        (2134, "00000", "02134"),
        (12, "0000.00", "0012.00"),
        (1250, "00,000", "01,250"),
        (1250, '"$"#,##0.00', "$1,250.00"),
        (1250, "[$€-407] #,##0.00", "€ 1,250.00"),
        (12.5, '#,##0.00\\ "€"', "12.50 €"),
        (-1250, _ACCOUNTING, "$(1,250.00)"),
        (0, _ACCOUNTING, "$-"),
        (5550199, r"000\-0000", "555-0199"),
        (1234567, "#,##0,", "1,235"),
        (2.5, "0", "3"),
        (1.005, "0.00", "1.01"),
        (1.5, "0.##", "1.5"),
        (1, "0.##", "1"),
        (0.5, "#.00", ".50"),
        (3, '"Level "0', "Level 3"),
        (-3, "0.0", "-3.0"),
        (7, ";;;", ""),
        (150, '[>100]"many";0', "many"),
        (50, '[>100]"many";0', "50"),
        (1e20, "#,##0", "100,000,000,000,000,000,000"),
        (3.25, "General", "3.25"),
        (0.5, "# ?/?", "0.5"),
        (1e300, "0.00", "1e+300"),
        (float("nan"), "0.00", "nan"),
        (5, "0" * 1_000, "5"),
    ],
)
def test_a_number_is_written_as_its_cell_shows_it(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (datetime.timedelta(days=1, hours=2, minutes=30), "[h]:mm", "26:30"),
        (datetime.timedelta(days=1, hours=2, minutes=30), "[h]:mm:ss", "26:30:00"),
        (datetime.timedelta(hours=-1), "[h]:mm", "-1:00"),
        (datetime.time(9, 0), "h:mm", "9:00"),
        (datetime.time(21, 5), "h:mm AM/PM", "9:05 PM"),
        (datetime.time(21, 5, 7), "h:mm:ss", "21:05:07"),
    ],
)
def test_times_and_durations_are_written_as_their_cell_shows_them(
    value: datetime.time | datetime.timedelta, code: str, text: str
) -> None:
    assert shown(value, code) == text
