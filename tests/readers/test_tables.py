from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qa.errors import UnreadableDocument
from qa.readers.registry import read_document
from qa.readers.sheets import DelimitedReader
from qa.readers.tables import format_rows, is_probably_named
from qa.readers.xlsx import XlsxReader
from qa.types import Document, Source
from tests.support.reader_samples import zipped


def _csv(folder: Path, data: str) -> str:
    path = folder / "a.csv"
    path.write_bytes(data.encode())
    return read_document(DelimitedReader(), Source("a.csv", path, path.stat().st_size)).text


def _workbook(*rows: tuple[object, ...]) -> Any:
    import openpyxl

    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    return workbook


def _saved(folder: Path, workbook: Any, *, hidden: bool = False) -> Document:
    buffer = io.BytesIO()
    workbook.save(buffer)
    path = folder / "a.xlsx"
    path.write_bytes(buffer.getvalue())
    return read_document(XlsxReader(hidden=hidden), Source("a.xlsx", path, path.stat().st_size))


def _xlsx(folder: Path, *rows: tuple[object, ...]) -> str:
    return _saved(folder, _workbook(*rows)).text


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["Name", "Age"], ["Ann", "3"], ["Bob", ""]], ["Name | Age", "Name: Ann | Age: 3", "Name: Bob"]),
        ([["1", "2"], ["3", "4"]], ["1 | 2", "3 | 4"]),
        ([["Name", "Age"], ["Ann", "3", "more"]], ["Name | Age", "Name: Ann | Age: 3 | more"]),
        ([["Name", "Age"], ["Ann", "3", ""], ["", "4"]], ["Name | Age", "Name: Ann | Age: 3", "Age: 4"]),
        ([["Name", "Age", "Home"], ["Ann", "3"]], ["Name | Age | Home", "Name: Ann | Age: 3"]),
        ([["Town", "2020", "2021"], ["Ashby", "1", "2"]], ["Town | 2020 | 2021", "Town: Ashby | 2020: 1 | 2021: 2"]),
        ([["2020", "2021"], ["1", "2"]], ["2020 | 2021", "1 | 2"]),
        ([["", "Jan", "Feb"], ["Rent", "1", "2"]], ["Jan | Feb", "Rent | Jan: 1 | Feb: 2"]),
        (
            [["Rates of 2024", ""], ["Item", "Net"], ["Berth", "9"]],
            ["Rates of 2024", "Item | Net", "Item: Berth | Net: 9"],
        ),
        ([["Item", "Net"], ["Berth", "9"], ["Source: us"]], ["Item | Net", "Item: Berth | Net: 9", "Source: us"]),
        ([["Item:", "Net:"], ["Berth", "9"]], ["Item: | Net:", "Item: Berth | Net: 9"]),
        ([["Q" * 150, "B"], ["1", "2"]], [f"{'Q' * 150} | B", f"{'Q' * 150}: 1 | B: 2"]),
        ([["Q" * 201, "B"], ["1", "2"]], [f"{'Q' * 201} | B", "1 | 2"]),
        ([["A", "B"], ["A", "B"], ["1", "2"]], ["A | B", "A | B", "A: 1 | B: 2"]),
        (
            [["Land", "Eggs", "Land", "Eggs"], ["Chad", "3", "Mali", "5"], ["Togo", "8"]],
            ["Land | Eggs", "Land: Chad | Eggs: 3", "Land: Mali | Eggs: 5", "Land: Togo | Eggs: 8"],
        ),
        ([["", ""], ["one"], ["two"]], ["one", "two"]),
    ],
)
def test_rows_name_their_columns_where_the_first_does(rows: list[list[str]], lines: list[str]) -> None:
    assert list(format_rows(rows)) == lines


def test_rows_of_headings_that_stand_below_one_another_name_columns_together() -> None:
    rows = [["Room", "Low season", "Low season"], ["Room", "Adult", "Child"], ["Hut", "9", "4"]]
    assert list(format_rows(rows, headings=2))[-1] == "Room: Hut | Low season Adult: 9 | Low season Child: 4"


def test_a_table_without_headings_has_none_made_for_it() -> None:
    rows = [["Voltage", "230 V", "50 Hz"], ["Weight", "12 kg", "full"]]
    assert list(format_rows(rows, headings=0)) == ["Voltage | 230 V | 50 Hz", "Weight | 12 kg | full"]


def test_a_small_table_of_pairs_in_a_text_stays_as_it_is_and_a_long_one_names_its_columns() -> None:
    rows = [["Item", "Price"], *([f"Berth {n}", str(n)] for n in range(20))]
    assert list(format_rows(rows[:4], headings=1, keep_pairs=True))[-1] == "Berth 2 | 2"
    assert list(format_rows(rows, headings=1, keep_pairs=True))[-1] == "Item: Berth 19 | Price: 19"


def test_names_that_are_many_and_long_are_not_repeated_in_every_row() -> None:
    rows = [["name" * 40] * 30, *([["1"] * 30] * 100)]
    assert sum(map(len, format_rows(rows))) < 20_000


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
        ("sep=;\na,b;c\n1,5;2\n", "a,b | c\na,b: 1,5 | c: 2"),
        ("a,b\n1,2,\n3,4,\n", "a | b\na: 1 | b: 2\na: 3 | b: 4"),
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


def test_a_table_goes_on_after_a_blank_row(tmp_path: Path) -> None:
    names, people = ("Name", "Role"), [("Ann", "Pilot"), ("Bob", "Cook"), ("Cid", "Nurse")]
    text = _xlsx(
        tmp_path, (*names, "Town"), ("Ann", "Pilot", "Leeds"), ("Ann", "Cook", "York"), (), (*people[2], "Hull")
    )
    assert text.endswith("\n\nName: Cid | Role: Nurse | Town: Hull")


def test_a_table_with_names_of_its_own_does_not_go_on(tmp_path: Path) -> None:
    text = _xlsx(tmp_path, ("Name", "Age"), ("Ann", 3), (), ("Boat", "Length"), ("Tern", 9))
    assert text.endswith("Name: Ann | Age: 3\n\nBoat | Length\nBoat: Tern | Length: 9")


def test_tables_side_by_side_are_two(tmp_path: Path) -> None:
    text = _xlsx(tmp_path, ("A", "B", None, "C", "D"), (1, 2, None, 3, 4), (None, None, None, 5, 6))
    assert text == "Sheet\n\nA | B\nA: 1 | B: 2\n\nC | D\nC: 3 | D: 4\nC: 5 | D: 6"


def test_merged_cells_say_in_each_row_what_they_say(tmp_path: Path) -> None:
    workbook = _workbook(("Depot", "Driver", "Age"), ("North", "Ann", 3), (None, "Bob", 4))
    workbook.active.merge_cells("A2:A3")
    assert _saved(tmp_path, workbook).text.endswith("Depot: North | Driver: Bob | Age: 4")


def test_hidden_sheets_rows_and_columns_are_left_out(tmp_path: Path) -> None:
    document = _saved(tmp_path, _with_hidden_parts())
    assert document.text == "Sheet\n\nName | Age\nName: Bob | Age: 4"
    assert document.problems == (
        "1 hidden row of the sheet Sheet",
        "1 hidden column of the sheet Sheet",
        "the sheet Keys is hidden and left out",
    )


def test_hidden_sheets_rows_and_columns_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    document = _saved(tmp_path, _with_hidden_parts(), hidden=True)
    rows = "Name | Age | Pay\nName: Ann | Age: 3 | Pay: 9\nName: Bob | Age: 4 | Pay: 8"
    assert document.text == f"Sheet\n\n{rows}\n\nKeys\n\neast gate"
    assert not document.problems


def _with_hidden_parts() -> Any:
    workbook = _workbook(("Name", "Age", "Pay"), ("Ann", 3, 9), ("Bob", 4, 8))
    workbook.active.row_dimensions[2].hidden = True
    workbook.active.column_dimensions["C"].hidden = True
    secret = workbook.create_sheet("Keys")
    secret.append(("east gate",))
    secret.sheet_state = "hidden"
    return workbook


def test_a_comment_on_a_cell_stands_below_the_table(tmp_path: Path) -> None:
    from openpyxl.comments import Comment

    workbook = _workbook(("Item", "Price"), ("Rope", 9))
    workbook.active["B2"].comment = Comment("raised in May", "Ann")
    assert _saved(tmp_path, workbook).text.endswith("Item: Rope | Price: 9\nComment on Rope: raised in May")


def test_a_formula_that_was_never_computed_is_reported(tmp_path: Path) -> None:
    document = _saved(tmp_path, _workbook(("Item", "Price"), ("Rope", 9), ("Sum", "=SUM(B2:B2)")))
    assert "1 formulas without a value" in document.problems[0]


def test_struck_out_cells_and_escapes_are_read_as_they_are_seen(tmp_path: Path) -> None:
    from openpyxl.styles import Font

    workbook = _workbook(("Item", "Price"), ("Rope", 9), ("Rope", 12), ("a_x000D_\nb", 1))
    workbook.active["A2"].font = workbook.active["B2"].font = Font(strike=True)
    assert _saved(tmp_path, workbook).text.split("\n")[3:] == ["Item: Rope | Price: 12", "Item: a b | Price: 1"]


@pytest.mark.parametrize(
    ("value", "format", "shown"),
    [
        (2134, "00000", "02134"),
        (1250, "$#,##0.00", "$1,250.00"),
        (datetime.timedelta(hours=26, minutes=30), "[h]:mm", "26:30"),
        (datetime.time(9, 30), "h:mm", "9:30"),
        (datetime.date(2024, 2, 29), "d/m/yyyy", "2024-02-29"),
        (45351.5625, "yyyy-mm-dd hh:mm", "2024-02-29 13:30:00"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (61, "yyyy-mm-dd", "1900-03-01"),
        (1e12, "yyyy-mm-dd", "1000000000000"),
    ],
)
def test_a_cell_is_read_by_its_format(tmp_path: Path, value: object, format: str, shown: str) -> None:
    workbook = _workbook(("Item", "Value"), ("x", value))
    workbook.active["B2"].number_format = format
    assert _saved(tmp_path, workbook).text.endswith(shown)


def test_a_strict_workbook_without_a_part_it_refers_to_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    _workbook(("Item", "Price"), ("Rope", 9)).save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "theme" not in name}
    strict = {
        name: re.sub(rb"http://schemas.openxmlformats.org/(\w+)/2006/", rb"http://purl.oclc.org/ooxml/\1/", content)
        for name, content in members.items()
    }
    path = tmp_path / "a.xlsx"
    path.write_bytes(zipped(strict))
    assert read_document(XlsxReader(), Source("a.xlsx", path, 1)).text.endswith("Item: Rope | Price: 9")


def test_wide_cells_above_names_are_names_of_groups(tmp_path: Path) -> None:
    workbook = _workbook(
        ("Rates", None, None), ("Hut", "Season", None), (None, "low", "high"), ("A", 4, 9), ("B", 5, 8)
    )
    for cells in ("A1:C1", "A2:A3", "B2:C2"):
        workbook.active.merge_cells(cells)
    assert _saved(tmp_path, workbook).text.split("\n")[2:] == [
        "Rates",
        "Hut | Season",
        "Hut | low | high",
        "Hut: A | Season low: 4 | Season high: 9",
        "Hut: B | Season low: 5 | Season high: 8",
    ]


def test_a_value_of_several_columns_is_said_in_each(tmp_path: Path) -> None:
    workbook = _workbook(("Hut", "May", "June"), ("A", 4, 9), ("B", "closed", None))
    workbook.active.merge_cells("B3:C3")
    assert _saved(tmp_path, workbook).text.endswith("Hut: B | May: closed | June: closed")
