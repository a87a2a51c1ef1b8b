"""Ranking measures: worked by hand, equal to trec_eval's on the same judgments, and bounded for any ranking."""

from __future__ import annotations

import math
from dataclasses import replace

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.evaluation.measures import (
    LEVELS,
    RANKING,
    calculate,
    exact_match,
    f1,
    first_ranks,
    is_right,
    make_qrels,
    make_quote_topics,
    make_run,
    ranking_measures,
)
from qa.evaluation.outcomes import QuestionOutcome
from qa.questions.questions import JudgedQuestion
from tests.support.evaluation_samples import outcome, question


def measured(*outcomes: QuestionOutcome, depth: int = 20) -> list[dict[str, float]]:
    return ranking_measures(outcomes, depth)


def test_a_ranking_worked_by_hand() -> None:
    (values,) = measured(outcome(question("q", ["a"], ["b"]), "x", "a", "y", "b"))
    ideal = 1 + 1 / math.log2(3)
    assert values["passages.nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert values["passages.RR@10"] == 0.5
    assert values["passages.AP"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert (values["passages.R@1"], values["passages.R@5"]) == (0.0, 1.0)
    assert (values["passages.P@1"], values["passages.P@5"]) == (0.0, 0.4)
    assert values["passages.Success@5"] == 1.0


def test_a_document_stands_where_its_first_passage_does() -> None:
    asked = question("q", documents=["two", "three"])
    (values,) = measured(outcome(asked, "one/1", "two/1", "one/2", "two/2", "three/1"))
    assert values["documents.AP"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert not any(name.startswith("passages.") for name in values)


def test_several_passages_over_one_quote_are_one_quote_found() -> None:
    overlapping = question("q", ["a", "b", "c"], ["d"])
    (values,) = measured(outcome(overlapping, "a", "b", "c", "x", "y"))
    assert values["passages.R@5"] == 0.5
    assert values["passages.P@5"] == 0.6


def test_one_passage_over_two_quotes_finds_both() -> None:
    (values,) = measured(outcome(question("q", ["a"], ["a"]), "a"))
    assert values["passages.R@1"] == values["passages.nDCG@10"] == 1.0


def test_a_passage_that_is_returned_twice_counts_once() -> None:
    once, twice = outcome(question("q", ["a"], ["b"]), "a", "b"), outcome(question("q", ["a"], ["b"]), "a", "a", "b")
    assert measured(once) == measured(twice)


def test_nothing_found_and_a_quote_that_no_passage_holds_are_zero_and_not_left_out() -> None:
    for missed in (outcome(question("q", ["a"])), outcome(question("q", []), "a")):
        (values,) = measured(missed)
        assert set(values.values()) == {0.0}
        assert len(values) > 5


def test_measures_that_look_deeper_than_was_asked_are_left_out() -> None:
    (values,) = measured(outcome(question("q", ["a"]), "a"), depth=5)
    assert "passages.P@5" in values
    assert not any(name.endswith(("@10", "@20")) for name in values)


def test_a_question_without_judgments_has_no_value() -> None:
    assert measured(outcome(question("q"), "a"))[0] == {}


def test_first_ranks_are_of_quotes_or_else_of_documents() -> None:
    assert first_ranks(outcome(question("q", ["b"], ["z"]), "a", "b")) == [2, None]
    assert first_ranks(outcome(question("q", documents=["d", "e"]), "a/1", "d/1")) == [2, None]


@st.composite
def evaluations(draw: st.DrawFn) -> list[QuestionOutcome]:
    ids = [f"{document}/{number}" for document in "de" for number in range(4)]
    made = []
    for number in range(draw(st.integers(1, 4))):
        quotes = draw(st.lists(st.lists(st.sampled_from(ids), max_size=3, unique=True), max_size=3))
        documents = draw(st.lists(st.sampled_from(["d", "e", "f"]), max_size=2, unique=True))
        ranked = draw(st.lists(st.sampled_from(ids), max_size=10))
        made.append(outcome(question(f"q{number}", *quotes, documents=documents), *ranked))
    return made


@settings(deadline=None)
@given(evaluations())
def test_every_measure_is_from_0_to_1(outcomes: list[QuestionOutcome]) -> None:
    for values in measured(*outcomes):
        assert all(0.0 <= value <= 1.0 + 1e-12 for value in values.values())


@settings(deadline=None)
@given(evaluations(), st.randoms(use_true_random=False))
def test_the_order_of_questions_changes_nothing(outcomes: list[QuestionOutcome], random: object) -> None:
    shuffled = list(outcomes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    by_id = {o.question.id: v for o, v in zip(shuffled, measured(*shuffled), strict=True)}
    assert [by_id[o.question.id] for o in outcomes] == measured(*outcomes)


@settings(deadline=None)
@given(evaluations())
def test_the_values_are_those_of_trec_eval_on_the_same_run(outcomes: list[QuestionOutcome]) -> None:
    """pytrec_eval, called past ir-measures."""
    import pytrec_eval

    names = {"nDCG@10": "ndcg_cut_10", "AP": "map", "P@5": "P_5", "R@5": "recall_5"}
    values = measured(*outcomes)
    for level in LEVELS:
        qrels = {id: grades for id, grades in make_qrels(outcomes, level).items() if grades}
        run = {id: scores for id, scores in make_run(outcomes, level).items() if id in qrels and scores}
        found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "P.5", "recall.5"}).evaluate(run)
        for each, mine in zip(outcomes, values, strict=True):
            for name, theirs in names.items():
                if each.question.id in found and (level, name) != ("passages", "R@5"):
                    assert mine[f"{level}.{name}"] == pytest.approx(found[each.question.id][theirs])


@settings(deadline=None)
@given(evaluations())
def test_recall_of_passages_is_the_mean_over_quotes_of_success(outcomes: list[QuestionOutcome]) -> None:
    qrels, run = make_quote_topics(outcomes)
    found = calculate(["Success@5"], qrels, run)["Success@5"]
    for each, values in zip(outcomes, measured(*outcomes), strict=True):
        quotes = [found[f"{each.question.id}#{n}"] for n in range(1, len(each.question.evidence) + 1)]
        assert values.get("passages.R@5") == (pytest.approx(sum(quotes) / len(quotes)) if quotes else None)


def test_every_name_is_one_of_ir_measures() -> None:
    assert [str(ir_measures.parse_measure(name)) for name in RANKING] == list(RANKING)


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "overlap"),
    [
        ("The Cat!", ["a cat"], 1.0, 1.0),
        ("three to four miles away", ["two", "three to four miles"], 0.0, 8 / 9),
        ("", ["cat"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),
        ("cat cat", ["cat"], 0.0, 2 / 3),
        ("cat", [], 0.0, 0.0),
    ],
)
def test_exact_match_and_f1_as_in_squad(answer: str, golds: list[str], exact: float, overlap: float) -> None:
    assert exact_match(answer, golds) == exact
    assert f1(answer, golds) == pytest.approx(overlap)


@settings(deadline=None)
@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=3))
def test_an_exact_match_has_an_f1_of_1_and_f1_is_never_less(answer: str, golds: list[str]) -> None:
    assert 0.0 <= exact_match(answer, golds) <= f1(answer, golds) <= 1.0


def test_a_sentence_that_holds_the_answer_is_right_from_a_relevant_document() -> None:
    asked = JudgedQuestion("q", "Where?", documents={"a": 1}, answers=("Kraków",), answerable=True)
    text = "Such cities are for example Lublin, Kraków, Gdańsk, Poznań and several others of their kind."
    assert is_right(asked, text, "a", None) is True
    assert is_right(asked, text, "b", None) is False
    assert is_right(asked, "Kraków", "b", None) is True
    assert is_right(replace(asked, documents={}), text, "b", None) is True
    assert is_right(replace(asked, answerable=False), "Kraków", "a", None) is False
