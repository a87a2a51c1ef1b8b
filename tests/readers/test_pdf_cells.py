"""Tables of a PDF whose cells have several lines, as programs write them: cell by cell, without ruled columns."""

from __future__ import annotations

from qa.readers.pdf.document import PdfReader
from tests.support.pdfs import Text, lines, pdf


def _read(*texts: Text) -> str:
    return PdfReader().read(pdf([*texts])).text


def _row(y: float, *cells: tuple[float, str], leading: float = 12) -> list[Text]:
    """Place the cells of a row by the points at which they begin, each line of a cell below the one before."""
    return [text for x, cell in cells for text in lines(*cell.split("\n"), x=x, y=y, leading=leading)]


def test_the_lines_of_a_cell_are_one_cell() -> None:
    text = _read(
        *_row(700, (72, "Plan"), (180, "Fee"), (240, "Support")),
        *_row(
            680, (72, "Starter for very\nsmall teams"), (180, "$9"), (240, "Answers by mail within\ntwo working days")
        ),
        *_row(648, (72, "Pro"), (180, "$25"), (240, "By telephone")),
        *_row(628, (72, "Enterprise with a\ncontract of its\nown"), (180, "$99"), (240, "Around the clock")),
    )
    assert text.split("\n") == [
        "Plan\tFee\tSupport",
        "Starter for very small teams\t$9\tAnswers by mail within two working days",
        "Pro\t$25\tBy telephone",
        "Enterprise with a contract of its own\t$99\tAround the clock",
    ]


def test_names_of_columns_in_two_lines_are_joined() -> None:
    text = _read(
        *lines("The fees of this year:", y=740),
        *_row(700, (72, "Plan"), (150, "Per\nmonth"), (230, "Storage\nper user")),
        *_row(672, (72, "Pro"), (150, "$25"), (230, "50 GB")),
        *_row(656, (72, "Starter"), (150, "$9"), (230, "5 GB")),
    )
    assert text.split("\n\n") == [
        "The fees of this year:",
        "Plan\tPer month\tStorage per user\nPro\t$25\t50 GB\nStarter\t$9\t5 GB",
    ]


def test_names_that_stand_on_the_ground_of_their_row_are_joined() -> None:
    text = _read(
        *_row(676, (72, "Year")),
        *_row(688, (130, "Ships that\narrived")),
        *_row(700, (220, "Ships that\nleft in\nwinter")),
        *_row(656, (72, "1901"), (130, "210"), (220, "31")),
        *_row(640, (72, "1902"), (130, "198"), (220, "29")),
    )
    assert text.split("\n") == ["Year\tShips that arrived\tShips that left in winter", "1901\t210\t31", "1902\t198\t29"]


def test_cells_in_the_middle_of_their_row_belong_to_it() -> None:
    text = _read(
        *_row(700, (72, "Item"), (150, "In stock"), (230, "Remark")),
        *_row(668, (72, "Rope"), (150, "140")),
        *_row(674, (230, "Sold by the metre;\nask for lengths")),
        *_row(640, (72, "Anchor"), (150, "7"), (230, "Galvanised")),
    )
    assert text.split("\n") == [
        "Item\tIn stock\tRemark",
        "Rope\t140\tSold by the metre; ask for lengths",
        "Anchor\t7\tGalvanised",
    ]


def test_a_value_below_another_is_no_second_line_of_it() -> None:
    text = _read(
        *_row(700, (72, "Code"), (150, "Place"), (230, "State")),
        *_row(688, (72, "A-1"), (150, "North quay\nand mole"), (230, "let")),
        *_row(664, (230, "free")),
        *_row(652, (72, "A-3"), (150, "West"), (230, "let")),
    )
    assert "let free" not in text.replace("\t", " ").replace("\n", " | ")


def test_blocks_of_text_beside_each_other_are_no_row() -> None:
    text = _read(
        *_row(740, (72, "From"), (300, "To")),
        *_row(720, (72, "The Harbour Board\n1 Pier\n4021 Port"), (300, "Anna Berg\n3 Dock Road\n4022 Port")),
    )
    assert "The Harbour Board\n1 Pier\n4021 Port" in text
    assert "Anna Berg\n3 Dock Road\n4022 Port" in text


def test_what_follows_a_table_is_not_of_its_last_row() -> None:
    text = _read(
        *_row(700, (72, "Plan"), (180, "Per\nmonth")),
        *_row(672, (72, "Pro"), (180, "$25")),
        *_row(656, (72, "Starter"), (180, "$9")),
        *lines("Prices are without taxes, which depend on the", "country in which a team works.", y=620),
    )
    assert text.split("\n\n") == [
        "Plan\tPer month\nPro\t$25\nStarter\t$9",
        "Prices are without taxes, which depend on the country in which a team works.",
    ]


def test_names_and_cells_that_are_written_line_by_line_are_joined() -> None:
    text = _read(
        *_row(700, (72, "Plan"), (150, "Per"), (230, "Storage")),
        *_row(688, (150, "month"), (230, "per user")),
        *_row(664, (72, "Pro for"), (150, "$25"), (230, "50 GB")),
        *_row(652, (72, "large teams")),
        *_row(628, (72, "Starter"), (150, "$9"), (230, "5 GB")),
    )
    assert text.split("\n") == [
        "Plan\tPer month\tStorage per user",
        "Pro for large teams\t$25\t50 GB",
        "Starter\t$9\t5 GB",
    ]


def test_rows_in_groups_stay_rows() -> None:
    text = _read(
        *_row(700, (72, "Berth"), (150, "Length"), (230, "Fee")),
        *_row(676, (72, "North 1"), (150, "12 m"), (230, "310")),
        *_row(664, (72, "North 2"), (230, "340")),
        *_row(640, (72, "South 1"), (150, "15 m"), (230, "420")),
        *_row(628, (72, "South 2"), (150, "15 m"), (230, "430")),
    )
    rows = [line for line in text.split("\n") if line]
    assert rows == [
        "Berth\tLength\tFee",
        "North 1\t12 m\t310",
        "North 2\t\t340",
        "South 1\t15 m\t420",
        "South 2\t15 m\t430",
    ]
