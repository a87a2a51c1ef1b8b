from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qa.text.sentences import sentences
from tests.conftest import SEED
from tests.support.texts import SCRIPTS, derived

# Pieces that decide about boundaries, in any order: what the segmenter has rules for, and what has crashed it.
PIECES = st.lists(
    st.sampled_from(
        [
            *"aBé中ทмم.!?。؟।,;:•-*1)(\"“”«»'…😀\u0301\u200d\ufe0f👍🏽İß\ud800 \n\t\u00a0\u0085\u2028\u3000\x1c",
            *("  ", "\n\n", "\n \n", "Mr. ", "A. ", "e.g. ", "http://a.b "),
        ]
    )
)
TEXTS = st.one_of(st.text(st.characters()), PIECES.map("".join))


def _texts(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)]


def _assert_covers(text: str, start: int, end: int) -> None:
    """Check that they are in order, apart and stripped, and leave out nothing but white space."""
    position = start
    for span in sentences(text, start, end):
        assert position <= span.start < span.end <= end
        assert not text[position : span.start].strip()
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        assert span.end - span.start <= 2_000
        position = span.end
    assert not text[position:end].strip()


@given(TEXTS)
@example("\u0085م.?.\u200d")
def test_sentences_cover_any_text(text: str) -> None:
    _assert_covers(text, 0, len(text))


@given(TEXTS, st.integers(0, 30), st.integers(0, 30))
def test_sentences_stay_within_their_bounds(text: str, start: int, length: int) -> None:
    start = min(start, len(text))
    _assert_covers(text, start, min(start + length, len(text)))


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("separator", ["", " ", "\n", "\n\n"])
def test_sentences_cover_long_texts_in_every_script(script: str, separator: str) -> None:
    text = separator.join([SCRIPTS[script]] * 300)
    _assert_covers(text, 0, len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Smith paid $3.50. He left.", ["Mr. Smith paid $3.50.", "He left."]),
        ("Всё смешалось. Жена узнала.", ["Всё смешалось.", "Жена узнала."]),
        ("道可道，非常道。名可名，非常名。", ["道可道，非常道。", "名可名，非常名。"]),
        ("هل كان له ولدان؟ نعم.", ["هل كان له ولدان؟", "نعم."]),
        ("Wrapped over\ntwo lines. Next.", ["Wrapped over\ntwo lines.", "Next."]),
        ("A heading\n\nA sentence.", ["A heading", "A sentence."]),
        ("To buy:\n- milk\n- eggs\n1. first\n2. second", ["To buy:", "- milk", "- eggs", "1. first", "2. second"]),
        ("J.\u00a0R. said no.\u00a0Then yes.", ["J.\u00a0R. said no.", "Then yes."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_examples(text: str, expected: list[str]) -> None:
    assert _texts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It lifts approx. 5 tonnes, acc. to the plate. It is green.",
         ["It lifts approx. 5 tonnes, acc. to the plate.", "It is green."]),
        ("See fig. 3 and pp. 12 to 14. Call tel. 22 11.", ["See fig. 3 and pp. 12 to 14.", "Call tel. 22 11."]),
        ("It costs the max. The min. is lower.", ["It costs the max.", "The min. is lower."]),
        ("we met at noon. the shop was closed.", ["we met at noon.", "the shop was closed."]),
    ],
)  # fmt: skip
def test_an_abbreviation_ends_no_english_sentence(text: str, expected: list[str]) -> None:
    assert [text[span.start : span.end] for span in sentences(text, 0, None, "en")] == expected


def test_sentences_end_by_the_rules_of_their_language() -> None:
    text = "Der Preis beträgt bzw. betrug 3 Euro, vgl. Abb. 2. Am 3. Oktober fährt nichts."
    found = [text[span.start : span.end] for span in sentences(text, language="de")]
    assert found[-1] == "Am 3. Oktober fährt nichts."
    assert len(found) <= 3
    assert len(_texts(text)) > 4


@given(TEXTS, st.sampled_from(["", "de", "fr", "ar", "hi", "zh", "ja", "xx", "el", "hy", "my"]))
def test_any_text_is_covered_in_any_language(text: str, language: str) -> None:
    position = 0
    for span in sentences(text, language=language):
        assert position <= span.start < span.end
        assert not text[position : span.start].strip()
        position = span.end
    assert not text[position:].strip()


LISTS = {
    "rows": "Town: Tor | People: 12400\nTown: Barrow | People: 8200\ntown: Ness | people: 61300",
    "cells": "Tor\t12400\nBarrow\t8200",
    "columns": "Herring roll      $4\nChowder           $19",
    "a price list": "Herring roll $4\nCrab soup $7.50\nSmoked eel with bread $19",
    "prices in a wide list": "Herring roll on dark bread with onions 4 EUR\nSoup of the day 7,50 EUR\nEel 19 EUR",
    "a card": "Ada Hall\nSkipper of the Evening Tide\nPhone: 555 0199",
    "keys and values": "Name: Ines Roth\nBoat: Evening Tide\nBerth: 12, the long one by the fish market",
    "a log": "2024-05-08 03:14:15 pump 2 failed with code 77\n2024-05-08 03:14:16 pump 3 failed with code 12 again",
    "bracketed stamps": "[12:01] engine started at the second attempt\n[12:04] engine stopped again by the keeper",
    "dot leaders": "Crane hire ...... 95\nSlip ............ 10",
    "names after a colon": "The crew of the year, in the order in which they were chosen:\nAda Hall\nInes Roth",
    "bullets": "- Milk\n- eggs\n* Bread",
    "code": "int a = harbour_depth(today);\nreturn a;",
    "short lines": "Monday closed\nTuesday 9 to 5\nWednesday 9 to 5",
    "Chinese": "鲱鱼卷四元\n螃蟹汤七元\n熏鳗鱼十九元",
    "paragraphs without blank lines": f"{'The harbour office is open all week. ' * 3}\nTor has a lift.\nDogs stay.",
}


@pytest.mark.parametrize("name", LISTS)
def test_rows_and_lines_of_a_list_are_sentences_of_their_own(name: str) -> None:
    text = LISTS[name]
    found = _texts(text)
    starts = {text.index(line.strip()) for line in text.split("\n")}
    assert starts <= {span.start for span in sentences(text)}, found


PROSE = {
    "wrapped": "The harbour office in Tor is open from nine to five on weekdays, and\n"
    "Mrs Hall, who keeps it, is there on Saturdays too when a ship of the\nline or one of the ferries is due.",
    "German": "Das Hafenamt in der Altstadt ist werktags von neun bis siebzehn\nUhr geöffnet, und Frau Hall, die es"
    " seit vielen Jahren leitet, ist am\nSamstag auch da, wenn ein Schiff erwartet wird.",
    "narrow": "The harbour office in Tor is open\nfrom nine to five on weekdays and\nSaturdays when a ship is due or\n"
    "Mrs Hall has time.",
    "an item of two lines": "- Milk from the farm\n  Ness, and eggs",
    "numbers": "The tower was built between the winter of 1871 and the summer of 1874\nand cost more than planned.",
    "two lines": "Wrapped over\ntwo lines",
    "Chinese": "\n".join(["灯塔建于一八七四年位于离岸两英里的礁石上九十年来每次都有三名"] * 3),
    "Arabic": "بنيت المنارة عام 1874 على شعاب مرجانية تبعد ميلين عن الشاطئ\nفيها ثلاثة حراس في كل مرة لمدة تسعين سنة",
}


@pytest.mark.parametrize("name", PROSE)
def test_a_sentence_of_wrapped_prose_is_one(name: str) -> None:
    assert _texts(PROSE[name]) == [PROSE[name]]


@pytest.mark.parametrize(
    "text",
    [
        "A CNN team\n\nmet people\n\n, with children.",
        "He (she\n\n) left.",
        "A dash\n \n— and on.",
        "He went\n\n\n\nhome.",
    ],
)
def test_a_sentence_broken_by_blank_lines_is_one(text: str) -> None:
    assert _texts(text) == [text]


@pytest.mark.parametrize(
    "text",
    ["He left.\n\nand she stayed", "As follows:\n\nlower case", "• a bullet\n\nlower case", "Head\n\nUpper case"],
)
def test_what_blank_lines_do_separate(text: str) -> None:
    assert _texts(text) == text.split("\n\n")


def test_broken_sentences_are_joined_up_to_a_length() -> None:
    text = "word\n\n" * 2_000
    _assert_covers(text, 0, len(text))
    assert len(_texts(text)) == 7


def test_long_lines_are_cut_at_white_space_and_never_within_a_character() -> None:
    assert all(piece.split(" ")[-1] == "word" for piece in _texts("word " * 20_000))
    assert {piece[0] for piece in _texts("e\u0301" * 20_000)} == {"e"}
    assert {piece[0] for piece in _texts("👨‍👩‍👧" * 5_000)} == {"👨"}


def test_the_seed_has_its_broken_sentence_whole() -> None:
    found = _texts(SEED.read_text(encoding="utf-8"))
    assert any(text.startswith("A CNN team\n\nencountered") and text.endswith("counterattack.") for text in found)
    assert sum(text.startswith("•") for text in found) == 4
    assert "Edging closer" in found


@pytest.mark.parametrize("name", ["utf8_bom.txt", "one_line_3MB.txt"])
def test_real_texts_are_covered(name: str) -> None:
    text = derived(name).read_text(encoding="utf-8")[:400_000]
    _assert_covers(text, 0, len(text))
