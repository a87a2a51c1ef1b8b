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
    """In order, apart, stripped, and nothing but white space is left out."""
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
