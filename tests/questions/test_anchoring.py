"""The places of quotes: white space may differ, words may not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.questions.anchoring import Anchored, anchor, find_nearest, occurrences
from qa.questions.questions import Question, QuestionSet, Quote
from tests.support.evaluation_samples import FERRY, Folder


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


@pytest.mark.parametrize("text", ["", "x", "the ferry leaves", FERRY])
def test_the_nearest_is_a_span_of_the_text(text: str) -> None:
    found = find_nearest("the ferry leaves at ten", text)
    assert found is None or 0 <= found[0] <= found[1] <= len(text)
