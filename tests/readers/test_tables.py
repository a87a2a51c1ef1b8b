from __future__ import annotations

import datetime
import io
from pathlib import Path

import pytest

from qa.errors import UnreadableDocument
from qa.readers.delimited import DelimitedReader
from qa.readers.registry import read_document
from qa.readers.tables import format_rows, is_probably_named
from qa.readers.xlsx import XlsxReader
from qa.types import Source


def _csv(folder: Path, data: str) -> str:
    path = folder / "a.csv"
    path.write_bytes(data.encode())
    return read_document(DelimitedReader(), Source("a.csv", path, path.stat().st_size)).text


def _xlsx(folder: Path, *rows: tuple[object, ...]) -> str:
    import openpyxl

    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    buffer = io.BytesIO()
    workbook.save(buffer)
    path = folder / "a.xlsx"
    path.write_bytes(buffer.getvalue())
    return read_document(XlsxReader(), Source("a.xlsx", path, path.stat().st_size)).text


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["Name", "Age"], ["Ann", "3"], ["Bob", ""]], ["Name | Age", "Name: Ann | Age: 3", "Name: Bob"]),
        ([["1", "2"], ["3", "4"]], ["1 | 2", "3 | 4"]),
        ([["A", "A"], ["3", "4"]], ["A | A", "3 | 4"]),
        ([["Name", "Age"], ["Ann", "3", "more"]], ["Name | Age", "Ann | 3 | more"]),
        ([["", ""], ["one"], ["two"]], ["one", "two"]),
    ],
)
def test_rows_name_their_columns_where_the_first_does(rows: list[list[str]], lines: list[str]) -> None:
    assert list(format_rows(rows)) == lines


def test_pairs_of_words_are_not_taken_for_a_table_with_names() -> None:
    assert not is_probably_named([["Owner", "Ann"], ["Status", "Open"]])
    assert is_probably_named([["Name", "Age"], ["Ann", "3"]])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a,b\n1,2\n", "a | b\na: 1 | b: 2"),
        ("a;b\n1,5;2,5\n", "a | b\na: 1,5 | b: 2,5"),
        ("a\tb\r\n1\t2\r\n", "a | b\na: 1 | b: 2"),
        ('a,b\n"x, ""y""\nz",2\n', 'a | b\na: x, "y" z | b: 2'),
        ("only\nwords\n", "only\nwords"),
    ],
)
def test_delimiters_and_quotes(tmp_path: Path, data: str, text: str) -> None:
    assert _csv(tmp_path, data) == text


def test_a_field_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="not comma-separated"):
        _csv(tmp_path, 'a,b\n"' + "x" * 10_000_001)


def test_cells_read_as_they_are_shown(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 2, 29, 13, 5)
    text = _xlsx(tmp_path, ("What", "Value", "When"), ("share", 0.1 + 0.2, when), (True, 10**12, when.date()))
    assert text.split("\n")[2:] == [
        "What | Value | When",
        "What: share | Value: 0.3 | When: 2024-02-29 13:05:00",
        "What: TRUE | Value: 1000000000000 | When: 2024-02-29",
    ]


def test_blank_rows_part_tables(tmp_path: Path) -> None:
    text = _xlsx(tmp_path, ("A title",), (), (None, "Name", None, "Age"), (None, "Ann", None, 3))
    assert text == "Sheet\n\nA title\n\nName | Age\nName: Ann | Age: 3"


def test_a_cell_far_away_is_read(tmp_path: Path) -> None:
    assert _xlsx(tmp_path, *[()] * 30_000, (None, None, "far")) == "Sheet\n\nfar"
