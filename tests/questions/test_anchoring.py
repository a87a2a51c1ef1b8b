"""The places of quotes: white space may differ, words may not."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.questions.anchoring import Anchored, anchor, find_nearest, occurrences
from qa.questions.questions import Question, QuestionSet, Quote
from tests.support.evaluation_samples import FERRY, Folder

FEES = "Die Übersicht\nder Gebühren hängt am Büro. Das Café öffnet um neun."
FORMS: list[Literal["NFC", "NFD"]] = ["NFC", "NFD"]
# Letters with and without marks, one that has two code points, marks alone, one that is two, and Hangul in parts.
MARKED = st.text("aK\u212aeéạ\u0301\u0323\u0344가각\u1100\u1161\u11a8 \n", max_size=12)


def anchored(*questions: Question, folder: Folder | None = None) -> Anchored:
    return anchor(QuestionSet("q.jsonl", "0" * 64, questions), folder or Folder())


def fault(*quotes: Quote, folder: Folder | None = None, **fields: dict[str, int]) -> str:
    found = anchored(Question("a", "Why?", quotes, line=7, **fields), folder=folder)  # type: ignore[arg-type]
    assert found.questions == ()
    (only,) = found.faults
    return str(only)


def test_a_quote_is_a_span_and_the_passages_over_it() -> None:
    (judged,) = anchored(Question("a", "When?", (Quote("ferry.txt", "from the  old quay."),))).questions
    (evidence,) = judged.evidence
    assert evidence.text == FERRY[evidence.start : evidence.end] == "from the old\nquay."
    assert evidence.passages == ("ferry.txt:1",)
    assert judged.documents == {"ferry.txt": 1}


def test_a_quote_over_two_passages_makes_both_relevant() -> None:
    (judged,) = anchored(Question("a", "When?", (Quote("ferry.txt", "quay. It carries forty"),))).questions
    assert judged.relevant == {"ferry.txt:1", "ferry.txt:2"}


def test_words_are_not_forgiven_and_the_nearest_is_shown() -> None:
    assert fault(Quote("ferry.txt", "The ferry left at noon, from the old quay")) == (
        "q.jsonl, line 7, evidence[0]: the quote “The ferry left at noon, from the old quay” is not in ferry.txt; "
        "the nearest is, at 18 to 62: “The ferry leaves at noon, from the old quay.”"
    )


def test_a_quote_that_occurs_twice() -> None:
    assert "occurs 2 times (ferry.txt at 64 to 66, ferry.txt at 89 to 91)" in fault(
        Quote("ferry.txt", "It"), folder=Folder({"ferry.txt": FERRY})
    )


def test_a_document_that_is_not_indexed() -> None:
    assert fault(Quote("fery.txt", "noon")).endswith(
        "no indexed document is called “fery.txt”; the nearest id is ferry.txt"
    )
    assert "no indexed document is called “zzz”" in fault(documents={"zzz": 1})


def test_a_document_that_is_judged_not_relevant_may_be_missing() -> None:
    (judged,) = anchored(Question("a", "Why?", documents={"zzz": 0, "ferry.txt": 2})).questions
    assert judged.documents == {"ferry.txt": 2}


def test_a_document_by_its_name_without_suffix() -> None:
    (judged,) = anchored(Question("a", "Why?", documents={"tickets": 1, "notes/tickets": 1})).questions
    assert judged.documents == {"notes/tickets.txt": 1}
    twice = Folder({"a/x.txt": "1", "b/x.md": "2"})
    assert "“x” may be a/x.txt or b/x.md" in fault(documents={"x": 1}, folder=twice)


def test_a_context_without_a_document_is_looked_for_everywhere() -> None:
    context = "A ticket  costs three crowns."
    (judged,) = anchored(Question("a", "How much?", (Quote(None, context, (16, 28)),))).questions
    (evidence,) = judged.evidence
    assert (evidence.document, evidence.text) == ("notes/tickets.txt", "three crowns")
    assert "no indexed document holds the text" in fault(Quote(None, "Nowhere."))
    assert "occurs 2 times" in fault(Quote(None, "The ferry leaves at noon"))


def test_only_what_is_faulty_is_left_out() -> None:
    sound, wrong = Question("a", "When?", (Quote("ferry.txt", "noon"),)), Question("b", "Why?", (Quote("x", "y"),))
    found = anchored(sound, wrong)
    assert [question.id for question in found.questions] == ["a"]
    (left_out,) = found.faults
    assert str(left_out).startswith("q.jsonl, evidence[0]: question b: no indexed document")


@settings(deadline=None)
@given(st.text("ab \n\t", max_size=40), st.text("ab \n", min_size=1, max_size=6))
def test_occurrences_are_all_places_where_the_words_are_equal(text: str, quote: str) -> None:
    def squeeze(value: str) -> str:
        return re.sub(r"\s+", " ", value)

    wanted = squeeze(quote.strip())
    expected = {
        (start, end)
        for start in range(len(text))
        for end in range(start + 1, len(text) + 1)
        if wanted and squeeze(text[start:end]) == wanted and not (text[start].isspace() or text[end - 1].isspace())
    }
    assert set(occurrences(quote, text)) == expected


@pytest.mark.parametrize("typed", FORMS)
@pytest.mark.parametrize("stored", FORMS)
def test_a_quote_and_a_name_may_be_in_another_unicode_form(
    typed: Literal["NFC", "NFD"], stored: Literal["NFC", "NFD"]
) -> None:
    text = unicodedata.normalize(stored, FEES)
    name, context = unicodedata.normalize(stored, "müll/gebühren.txt"), unicodedata.normalize(typed, FEES)
    start = len(unicodedata.normalize(typed, "Die Übersicht der "))
    part = (start, start + len(unicodedata.normalize(typed, "Gebühren")))
    quotes = (
        Quote(unicodedata.normalize(typed, "müll/gebühren.txt"), unicodedata.normalize(typed, "Gebühren  hängt")),
        Quote(unicodedata.normalize(typed, "gebühren"), unicodedata.normalize(typed, "Das Café")),
        Quote(None, context, part),
    )
    (judged,) = anchored(Question("a", "Wo?", quotes), folder=Folder({name: text})).questions
    found = [unicodedata.normalize("NFC", each.text) for each in judged.evidence]
    assert found == ["Gebühren hängt", "Das Café", "Gebühren"]
    assert all(each.text == text[each.start : each.end] for each in judged.evidence)
    assert judged.documents == {name: 1}


def test_a_quote_that_occurs_in_both_forms_occurs_twice() -> None:
    folder = Folder({"a.txt": "Im Büro. Am Bu\u0308ro."})
    assert "occurs 2 times (a.txt at 3 to 7, a.txt at 12 to 17)" in fault(Quote("a.txt", "Büro"), folder=folder)


def test_names_that_differ_in_form_alone_are_two_documents() -> None:
    folder = Folder({"Büro.txt": "1", "Bu\u0308ro.txt": "2"})
    (judged,) = anchored(Question("a", "Wo?", documents={"Büro.txt": 1}), folder=folder).questions
    assert judged.documents == {"Büro.txt": 1}
    assert "may be" in fault(documents={"Büro": 1}, folder=folder)


def test_the_sign_of_kelvin_is_a_letter_in_every_form() -> None:
    assert occurrences("5 \u212a", "It has 5 K.") == occurrences("5 K", "It has 5 \u212a.") == [(7, 10)]


def test_a_letter_is_not_found_in_one_with_a_mark() -> None:
    for form in FORMS:
        text = unicodedata.normalize(form, "Café und Cafe")
        assert occurrences("Cafe", text) == [(len(text) - 4, len(text))]


def test_an_answer_that_ends_within_a_letter_of_the_document() -> None:
    assert "the answer “Bu” does not stand where the file says" in fault(
        Quote("a.txt", "Im Bu\u0308ro", (3, 5)), folder=Folder({"a.txt": "Im Büro."})
    )


@settings(deadline=None)
@given(MARKED, st.integers(0, 12), st.integers(0, 12), st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_each_part_of_a_text_is_found_in_every_form(
    text: str, first: int, last: int, typed: Literal["NFC", "NFD"], stored: Literal["NFC", "NFD"]
) -> None:
    before, quote, behind = text[:first], text[first:last].strip(), text[last:]
    # Else the parts of the text melt together.
    stored_text = "x ".join(unicodedata.normalize(stored, each) for each in (before, f"x{quote}x ", behind))
    wanted = re.sub(r"\s+", " ", unicodedata.normalize("NFD", f"x{quote}x"))
    spans = occurrences(unicodedata.normalize(typed, f"x{quote}x"), stored_text)
    assert spans
    for start, end in spans:
        assert re.sub(r"\s+", " ", unicodedata.normalize("NFD", stored_text[start:end])) == wanted


@settings(deadline=None)
@given(MARKED, MARKED)
def test_occurrences_are_all_whole_letters_that_are_equal_in_nfd(text: str, quote: str) -> None:
    def squeeze(value: str) -> str:
        return re.sub(r"\s+", " ", unicodedata.normalize("NFD", value))

    def is_whole(at: int) -> bool:
        return at == len(text) or not unicodedata.combining(unicodedata.normalize("NFD", text[at])[0])

    wanted = squeeze(quote.strip())
    expected = [
        (start, end)
        for start in range(len(text))
        for end in range(start + 1, len(text) + 1)
        if squeeze(text[start:end]) == wanted and is_whole(start) and is_whole(end)
    ]
    found = occurrences(quote, text)
    if wanted and expected:
        assert found == expected
    else:
        # What begins or ends within a letter is found where the text has it so.
        assert all(re.sub(r"\s+", " ", text[a:b]) == re.sub(r"\s+", " ", quote.strip()) for a, b in found)


@settings(deadline=None)
@given(MARKED, st.integers(0, 12), st.integers(0, 12))
def test_what_is_cut_anywhere_is_found_again(text: str, first: int, last: int) -> None:
    quote = text[first:last]
    assert bool(occurrences(quote, text)) == bool(quote.strip())


@pytest.mark.parametrize("text", ["", "x", "the ferry leaves", FERRY])
def test_the_nearest_is_a_span_of_the_text(text: str) -> None:
    found = find_nearest("the ferry leaves at ten", text)
    assert found is None or 0 <= found[0] <= found[1] <= len(text)
