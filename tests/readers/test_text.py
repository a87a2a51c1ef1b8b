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


@given(st.text(st.sampled_from("Aa.•1 \n\n:,é中")))
def test_sections_lie_in_the_text_in_order(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    document = _read(tmp_path_factory.getbasetemp(), text)
    position = 0
    for section in document.sections:
        assert position <= section.start < section.body <= section.end <= len(text)
        assert document.text[section.start : section.body].split() == section.title.split()
        position = section.end


def test_one_enormous_line_and_many_blank_lines_are_read(tmp_path: Path) -> None:
    assert _read(tmp_path, "word " * 1_000_000).sections == ()
    assert _read(tmp_path, "\n" * 1_000_000 + "a" + " " * 1_000_000).sections == ()


def test_form_feeds_end_pages(tmp_path: Path) -> None:
    document = _read(tmp_path, "The first rule.\n\fThe second.\f\fThe last.")
    assert document.text == "The first rule.\n\nThe second.\n\nThe last."
    pages = [document.text[page.start : page.end].strip() for page in document.pages]
    assert pages == ["The first rule.", "The second.", "", "The last."]
