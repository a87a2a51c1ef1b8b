"""Outcomes of questions, and their numbers: what failed and why, what is measured and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qa.errors import QAError, QueryError, RunError
from qa.evaluation.outcomes import Evaluation, GivenAnswer, QuestionOutcome, ask_all
from qa.evaluation.summary import Summary, classify_question, summarise
from qa.questions.anchoring import anchor
from qa.questions.questions import JudgedQuestion, Question, QuestionSet, Quote
from qa.types import AnswerOutcome, Query, Reply, Span
from tests.support.evaluation_samples import Folder, WordSearch, inputs, outcome, question

FILE = QuestionSet(
    "q.jsonl",
    "0" * 64,
    (
        Question("noon", "ferry leaves at noon from the old quay", (Quote("ferry.txt", "leaves at noon, from"),),
                 ("The ferry leaves at noon, from the old quay.",), answerable=True, tags=("when",)),
        Question("price", "what does a ticket cost", (Quote("notes/tickets.txt", "three crowns"),), ("three crowns",),
                 answerable=True, tags=("how-many",)),
        Question("none", "zebra", answerable=False, tags=("how-many",)),
        Question("bare", "children"),
    ),
)  # fmt: skip


def evaluated(
    *, answers: bool = False, questions: Sequence[JudgedQuestion] | None = None
) -> tuple[Evaluation, Summary]:
    search = WordSearch(Folder(), answers=answers)
    asked = anchor(FILE, search.folder).questions if questions is None else questions
    steps = list(ask_all(asked, search.ask_many, inputs()))
    evaluation = Evaluation(
        inputs(), tuple(o for o, _ in steps), {id: t for _, texts in steps for id, t in texts.items()}
    )
    return evaluation, summarise(evaluation)


def test_without_answers_they_are_not_measured_and_that_is_said() -> None:
    _, summary = evaluated()
    assert not any(name.startswith("answers.") for name in summary.measures)
    assert summary.answering is None
    assert any("No reply had an answer" in note for note in summary.notes)
    assert any("not scored: 1." in note for note in summary.notes)


def test_with_answers_everything_is_measured() -> None:
    _, summary = evaluated(answers=True)
    assert summary.measures["answers.EM"].n == 2
    assert summary.measures["answers.EM"].value == 0.5
    assert summary.measures["answers.right"].n == 3
    assert summary.answering is not None
    assert summary.answering.auroc is not None
    assert summary.answering.auroc.value == 1.0
    assert summary.latency is not None
    assert summary.latency.p50 == 1.5


def got(*given: tuple[JudgedQuestion, AnswerOutcome, str]) -> Summary:
    made = [
        outcome(replace(asked, id=f"q{n}"), "a", answer=GivenAnswer(state, 0.5, text))
        for n, (asked, state, text) in enumerate(given)
    ]
    return summarise(Evaluation(inputs(), tuple(made), {}))


def test_what_a_person_gets_is_right_wrong_or_refused() -> None:
    when, price = replace(ASKED, text="When does it leave?"), replace(ASKED, text="What is the price?")
    answers = got(
        (when, "answered", "noon"),
        (when, "answered", "never"),
        (price, "unsure", "noon"),
        (price, "unsure", "never"),
        (price, "not_found", "noon"),
        (NONE, "answered", "noon"),
        (NONE, "unsure", "noon"),
        (NONE, "not_found", ""),
    ).answers
    assert answers is not None
    received = answers.received
    assert [received.right.value, received.wrong.value, received.refused.value] == [3 / 8, 2 / 8, 3 / 8]
    assert received.right.low is not None
    assert list(answers.answerable.values()) == [1, 1, 1, 1, 1]
    assert list(answers.unanswerable.values()) == [0, 1, 0, 1, 1]
    assert {kind: each.right.n for kind, each in answers.kinds.items()} == {"when": 2, "what, which": 3, "other": 3}
    assert answers.kinds["when"].right.value == 0.5


def test_without_judgments_of_answers_nothing_is_said_of_what_a_person_gets() -> None:
    assert got((JudgedQuestion("q", "?"), "answered", "noon")).answers is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("How many people does it carry?", "how many, how much"),
        ("At what price is it sold?", "how many, how much"),
        ("In which year was it built?", "when"),
        ("Since when is it closed?", "when"),
        ("In what city is the quay?", "where"),
        ("To whom does it belong?", "who"),
        ("How does it work?", "why, how"),
        ("  Is it slow?", "yes or no"),
        ("Which ferry is slow?", "what, which"),
        ("By what means?", "what, which"),
        ("Name the ferries.", "other"),
        ("Wann fährt die Fähre?", "other"),
    ],
)
def test_the_kind_of_a_question_is_in_its_first_words(text: str, kind: str) -> None:
    assert classify_question(text) == kind


def test_reading_has_its_own_milliseconds() -> None:
    made = [replace(outcome(ASKED, "a"), timings_ms={"total": 9.0, "read": float(ms)}) for ms in (1, 2, 6)]
    summary = summarise(Evaluation(inputs(), tuple(made), {}))
    assert summary.reading is not None
    assert (summary.reading.n, summary.reading.p50) == (3, 2.0)
    assert summarise(Evaluation(inputs(), (outcome(ASKED, "a"),), {})).reading is None


def test_tags_have_numbers_of_their_own() -> None:
    _, summary = evaluated()
    assert summary.tags["when"]["passages.R@5"].n == 1
    assert set(summary.tags) == {"when", "how-many"}


def test_few_questions_say_what_they_could_not_have_seen() -> None:
    made = [outcome(question(f"q{n}", ["a"]), *(["a"] if n % 3 else ["x", "a"])) for n in range(12)]
    summary = summarise(Evaluation(inputs(), tuple(made), {}))
    assert any("With 12 scored questions, a change of passages.nDCG@10 below 0.1" in note for note in summary.notes)


RIGHT = GivenAnswer("answered", 0.9, "noon")
ASKED = replace(question("q", ["a"]), answers=("noon",))
NONE = JudgedQuestion("q", "?", answerable=False)


@pytest.mark.parametrize(
    ("made", "failures"),
    [
        (outcome(ASKED, "a", answer=RIGHT), ()),
        (outcome(ASKED, "x", answer=RIGHT), ("not retrieved",)),
        (outcome(ASKED, *"uvwxya"), ("ranked low",)),
        (outcome(ASKED, "a", answer=GivenAnswer("unsure", 0.1, "noon")), ("wrongly refused",)),
        (outcome(ASKED, "a", answer=GivenAnswer("answered", 0.9, "never")), ("wrongly answered",)),
        (outcome(ASKED, "x", answer=GivenAnswer("answered", 0.9, "never")), ("not retrieved", "wrongly answered")),
        (outcome(NONE, "x", answer=GivenAnswer("answered", 0.9, "noon")), ("wrongly answered",)),
        (outcome(NONE, "x", answer=GivenAnswer("unsure", 0.1)), ()),
        (QuestionOutcome(ASKED, error="too long"), ("not asked",)),
        (outcome(JudgedQuestion("q", "?"), "x"), ()),
        (outcome(question("q", documents=["d"]), "e/1"), ("not retrieved",)),
    ],
    ids=lambda value: "" if isinstance(value, QuestionOutcome) else " ".join(value) or "fine",
)  # fmt: skip
def test_what_failed_and_why(made: QuestionOutcome, failures: tuple[str, ...]) -> None:
    assert made.failures == failures


def test_an_answer_without_gold_texts_is_right_by_its_citation() -> None:
    asked = question("q", ["a"])
    assert outcome(asked, "a", answer=GivenAnswer("answered", 0.9, "x", "d", Span(5, 8))).is_right is False
    assert outcome(asked, "a", answer=GivenAnswer("answered", 0.9, "x", "d", Span(0, 4))).is_right is True
    assert outcome(asked, "a", answer=GivenAnswer("answered", 0.9, "x", "e", Span(0, 4))).is_right is False


def test_a_question_that_cannot_be_asked_is_an_outcome_and_not_the_end() -> None:
    def ask_many(queries: Sequence[Query]) -> list[Reply | QAError]:
        if queries[0].question == "zebra":
            return [QueryError("question", "no zebras")]
        return WordSearch(Folder()).ask_many(queries)

    made = [each for each, _ in ask_all(anchor(FILE, Folder()).questions, ask_many, inputs())]
    assert [each.error for each in made] == ["", "", "no zebras", ""]
    assert summarise(Evaluation(inputs(), tuple(made), {})).failures["not asked"] == 1


def test_a_snapshot_that_is_switched_meanwhile_ends_it() -> None:
    with pytest.raises(RunError, match="the index changed while it was measured"):
        list(ask_all([NONE], WordSearch(Folder()).ask_many, inputs(snapshot="20200101T000000.000Z-00000000")))


def test_no_question_is_asked_ahead_of_its_turn() -> None:
    search = WordSearch(Folder())
    steps = ask_all([NONE, NONE, NONE], search.ask_many, inputs())
    next(steps)
    assert search.asked == 1
