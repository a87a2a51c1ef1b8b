from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.readers.registry import read_document
from qa.readers.text import TextReader
from qa.types import Document, Source
from tests.conftest import SEED


def _read(folder: Path, text: str) -> Document:
    path = folder / "a.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return read_document(TextReader(), Source("notes/a.txt", path, path.stat().st_size))


def _titles(folder: Path, *blocks: str) -> list[str]:
    return [section.title for section in _read(folder, "\n\n".join(blocks)).sections]


def test_the_seed_has_its_three_headings() -> None:
    document = read_document(TextReader(), Source(SEED.name, SEED, SEED.stat().st_size))
    assert [section.title for section in document.sections] == [
        "Edging closer",
        "Freed from ISIS — but not from fear",
        "US involvement",
    ]
    assert document.title == SEED.name
    assert document.source_sha256 == hashlib.sha256(SEED.read_bytes()).hexdigest()


def test_sections_are_spans_that_follow_one_another(tmp_path: Path) -> None:
    document = _read(tmp_path, "Before it.\n\n  First  thing \n\nProse one.\n\nSecond\n\nProse two.\n")
    first, second = document.sections
    assert (first.title, document.text[first.start : first.body]) == ("First thing", "First  thing")
    assert document.text[second.start : second.end] == "Second\n\nProse two.\n"
    assert (first.end, first.level, second.level) == (second.start, 1, 1)


def test_a_heading_at_the_start_is_the_title(tmp_path: Path) -> None:
    assert _read(tmp_path, "\n\nOn Mice\n\nMice are small.").title == "On Mice"
    assert _read(tmp_path, "Small words.\n\nOn Mice\n\nMice are small.").title == "a.txt"


@pytest.mark.parametrize(
    "heading",
    [
        "Edging closer",
        "CHAPTER I",
        "1. Scope",
        "1.2 Scope and purpose",
        "What happened next?",
        "Что было дальше",
        "第二章",
        "الفصل الأول",
        "24 hours in Paris",
    ],
)
def test_headings(tmp_path: Path, heading: str) -> None:
    assert _titles(tmp_path, "It was late.", heading, "The rain fell on the town.") == [heading]


@pytest.mark.parametrize(
    "line",
    [
        "He said no.",
        "He said:",
        "Well, then,",
        "他走了。",
        "هل كان له ولدان؟ نعم،",
        "and then he left",
        "• A bullet",
        "- An item",
        "a) An item",
        "“Quoted” words",
        "12,000",
        "Name      Age",
        "See https://example.org",
        "one two three four five six seven eight nine ten eleven twelve thirteen",
        "A" * 81,
        "Two lines\nin one block",
    ],
)
def test_lines_that_are_no_headings(tmp_path: Path, line: str) -> None:
    assert _titles(tmp_path, "It was late.", line, "The rain fell on the town.") == []


def test_a_sentence_broken_by_blank_lines_has_no_heading(tmp_path: Path) -> None:
    broken = ["It was late.", "Freed at last", "A CNN team", "encountered about 200 people", ", including children."]
    assert _titles(tmp_path, *broken) == ["Freed at last"]


def test_lists_of_short_lines_have_no_headings(tmp_path: Path) -> None:
    shopping = ["Milk", "Eggs", "Bread", "Butter"]
    assert _titles(tmp_path, *shopping) == []
    assert _titles(tmp_path, *shopping, "Then come home.") == []
    assert _titles(tmp_path, "1. Milk", "2. Eggs", "Then come home.") == []
    assert _titles(tmp_path, "Roses are red\nViolets are blue", "Sugar is sweet", "And so are you") == []


def test_up_to_three_headings_may_stand_in_a_row(tmp_path: Path) -> None:
    title_page = ["THE WHALE", "By Herman Melville", "CHAPTER I"]
    assert _titles(tmp_path, *title_page, "Call me Ishmael.") == title_page
    assert _titles(tmp_path, "A Novel", *title_page, "Call me Ishmael.") == ["CHAPTER I"]


def test_a_heading_may_have_a_list_under_it(tmp_path: Path) -> None:
    assert _titles(tmp_path, "Ingredients", "• Flour", "• Eggs", "Method", "Mix them.") == ["Ingredients", "Method"]


OPENING_HOURS = {
    "blocks": "Northside branch\nMon-Fri 9-17\nSat 10-14\nSun closed\n\n"
    "Riverside branch\nMon-Fri 8-16\nSat closed\nSun 11-15\n",
    "one block": "Northside branch\nMon-Fri 9-17\nSat 10-14\nRiverside branch\nMon-Fri 8-16\nSat closed\n",
    "items": "Northside branch\n- Mon-Fri 9-17\n- Sat 10-14\nRiverside branch\n- Mon-Fri 8-16\n- Sat closed\n",
    "colons": "Northside branch:\n• Mon-Fri 9-17\n\nRiverside branch:\n• Mon-Fri 8-16\n",
    "indented": "Northside branch\n  Monday to Friday: 9 to 5\n  Saturday: closed\n"
    "Riverside branch\n  Monday to Friday: 8 to 4\n",
    "one line each": "Northside branch\nMon-Fri 9-17\n\nRiverside branch\nMon-Fri 8-16",
}


@pytest.mark.parametrize("layout", OPENING_HOURS)
def test_a_bare_line_is_the_heading_of_the_lines_that_it_introduces(tmp_path: Path, layout: str) -> None:
    document = _read(tmp_path, OPENING_HOURS[layout])
    north, river = document.sections
    assert (north.title, river.title) == ("Northside branch", "Riverside branch")
    assert "9" in document.text[north.body : north.end]
    assert "8" not in document.text[north.start : north.end]
    assert "8" in document.text[river.body : river.end]


def test_headings_above_lines_are_within_the_one_by_itself(tmp_path: Path) -> None:
    for first in ("Opening hours\n\n", "OPENING HOURS 2026\n"):
        document = _read(tmp_path, f"{first}{OPENING_HOURS['indented']}")
        levels = [(section.title.split()[0].lower(), section.level) for section in document.sections]
        assert levels == [("opening", 1), ("northside", 2), ("riverside", 2)]


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        (
            "1. Introduction\nThis policy applies to all staff of the company and to\nothers.\n"
            "1.1 Scope\nIt covers laptops.\n2. Duties\nStaff must lock their screens when they leave the desk.",
            [("1. Introduction", 1), ("1.1 Scope", 2), ("2. Duties", 1)],
        ),
        ("1. Introduction\n\nText.\n\n1.1 Scope\n\nText.", [("1. Introduction", 1), ("1.1 Scope", 2)]),
        (
            "ANNUAL LEAVE\nStaff have 25 days of annual leave in each calendar\nyear.\nSICK LEAVE\nTell your manager.",
            [("ANNUAL LEAVE", 1), ("SICK LEAVE", 1)],
        ),
        (
            "Parking\nVisitors park for free on weekends and public holidays, and pay\ntwo euros an hour otherwise.",
            [("Parking", 1)],
        ),
        (
            "Berth\n    A place where a ship can be moored.\nDraught\n    the depth of water that a ship needs,\n"
            "    at its deepest point.",
            [("Berth", 1), ("Draught", 1)],
        ),
        ("Prices 2026\nHerring roll $4\nCrab soup $7.50", [("Prices 2026", 1)]),
        ("Ada Hall\nHead of sales\nPhone: 555 0199", [("Ada Hall", 1)]),
    ],
)
def test_headings_right_above_their_text(tmp_path: Path, text: str, titles: list[tuple[str, int]]) -> None:
    assert [(section.title, section.level) for section in _read(tmp_path, text).sections] == titles


@pytest.mark.parametrize(
    "text",
    [
        "Mon-Fri 9-17\nSat closed\nSun 11-15",
        "Herring roll $4\nCrab soup $7.50",
        "1. Milk\n2. Eggs\n3. Bread",
        "The woods are lovely\nDark and deep\nAnd miles to go",
        "The harbour office is open from nine to five\nMonday to Friday, and on 3 Saturdays in May.",
        "- Put the key into the lock of the\nDoor\n- Turn it",
        "Name: Ada\nBoat: Evening Tide",
        "He said:\nNo.",
        "Dear Ada,\nThank you for the herring, which we received on the third of May.",
        "12:01 engine started\n12:04 engine stopped",
        "He went to the Northside branch\nand 3 others",
    ],
)
def test_first_lines_that_introduce_nothing(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text).sections == ()


def test_what_follows_an_address_is_not_under_its_first_line(tmp_path: Path) -> None:
    letter = "Acme Ltd\n12 High Street\nLondon SW1\n\nBob Jones\n4 Low Road\nLeeds LS1\n\nDear Bob,\n\nThank you."
    document = _read(tmp_path, letter)
    assert [document.text[s.start : s.end].strip()[-3:] for s in document.sections] == ["SW1", "LS1"]
    assert document.title == "a.txt"


@given(st.text(st.sampled_from("Aa.•1- \n\n:,é中")))
def test_sections_lie_in_the_text_in_order_and_within_one_another(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    document = _read(tmp_path_factory.getbasetemp(), text)
    position, ends = 0, [len(text)]
    for section in document.sections:
        assert position <= section.start < section.body <= section.end <= len(text)
        assert document.text[section.start : section.body].rstrip(":").split() == section.title.split()
        while ends[-1] <= section.start:
            ends.pop()
        assert section.end <= ends[-1]
        ends.append(section.end)
        position = section.body


def test_one_enormous_line_and_many_blank_lines_are_read(tmp_path: Path) -> None:
    assert _read(tmp_path, "word " * 1_000_000).sections == ()
    assert _read(tmp_path, "\n" * 1_000_000 + "a" + " " * 1_000_000).sections == ()


def test_form_feeds_end_pages(tmp_path: Path) -> None:
    document = _read(tmp_path, "The first rule.\n\fThe second.\f\fThe last.")
    assert document.text == "The first rule.\n\nThe second.\n\nThe last."
    pages = [document.text[page.start : page.end].strip() for page in document.pages]
    assert pages == ["The first rule.", "The second.", "", "The last."]
