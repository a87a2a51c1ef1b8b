"""Replies of several collections as one: the answer that wins, the order of passages, and what is said no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qa.answers.merging import merge_replies
from qa.errors import NotReady, QueryError
from qa.types import Answer, Citation, Hit, Leg, Passage, Reply, Scores

NOT_READY = NotReady("the snapshot is being loaded", "loading")


def hit(document: str, rank: int = 1, **scores: float) -> Hit:
    return Hit(rank, Passage(document, document, 0, 9, "some text"), document, Scores(**scores))


def answer(outcome: Any, confidence: float | None, score: float | None = None, **more: Any) -> Answer:
    cited = Citation("a.txt", 0, 4, None, None, "0" * 64, "0" * 64, "verified")
    return Answer(outcome, confidence, "some", cited, promised_error=0.2, score=score, **more)


def reply(best: Answer | None, *hits: Hit, snapshot: str = "one", **more: Any) -> Reply:
    return Reply("q", hits, snapshot, {"search": 1.0, "total": 2.0}, best, **more)


@pytest.mark.parametrize(
    ("hr", "it", "winner"),
    [
        (answer("answered", 0.6), answer("answered", 0.9), "it"),
        (answer("answered", 0.9), answer("answered", 0.9), "hr"),
        # An answer before a guess, however sure the other calibration is of its guess.
        (answer("answered", 0.6), answer("unsure", 0.9), "hr"),
        (answer("not_found", 0.1), answer("unsure", None), "it"),
        # Where one has no calibration, what the one reader gave to both.
        (answer("answered", 0.9, 2.0), answer("answered", None, 5.0), "it"),
        (answer("answered", None, 2.0), answer("answered", None), "hr"),
    ],
)
def test_the_surest_answer_wins(hr: Answer, it: Answer, winner: str) -> None:
    merged = merge_replies({"hr": reply(hr, snapshot="of hr"), "it": reply(it, snapshot="of it")}, 5)
    assert merged.answer is not None
    assert merged.answer.citation is not None
    assert (merged.answer.citation.collection, merged.snapshot) == (winner, f"of {winner}")
    assert [each.name for each in merged.collections] == ["hr", "it"]
    assert [each.confidence for each in merged.collections] == [hr.confidence, it.confidence]


def test_nothing_is_promised_of_the_best_of_several() -> None:
    sure = answer("answered", 0.9)
    both = merge_replies({"hr": reply(sure), "it": reply(answer("not_found", 0.1))}, 5).answer
    assert both is not None
    assert both.promised_error is None
    assert both.note == "errors are certified for each collection by itself, and not for the best answer of several"
    alone = merge_replies({"hr": reply(sure)}, 5).answer
    assert alone is not None
    assert alone.promised_error == 0.2


def test_files_that_were_not_read_are_those_of_all() -> None:
    none = answer("not_found", None, unread_files=2)
    merged = merge_replies({"hr": reply(none), "it": reply(replace(none, unread_files=3))}, 5)
    assert merged.answer is not None
    assert merged.answer.unread_files == 5


def test_passages_are_merged_by_scores_that_mean_the_same_and_keep_their_own_order() -> None:
    # Of hr the second is nearer than its first, which its own ranking put before it: it stays behind that.
    hr = (hit("a", dense=0.5, lexical=4.0, relevance=2.0), hit("b", 2, dense=0.6, lexical=0.0))
    # The best BM25 of it is a tenth of that of hr: it does not count as much.
    it = (hit("c", dense=0.3, lexical=0.4, relevance=-3.0), hit("d", 2, dense=0.29, lexical=0.0, relevance=-3.0))
    merged = merge_replies({"it": reply(None, *it), "hr": reply(None, *hr)}, 3)
    assert [(each.rank, each.passage.document, each.collection) for each in merged.hits] == [
        (1, "a", "hr"),
        (2, "b", "hr"),
        (3, "c", "it"),
    ]


def test_passages_of_a_cross_encoder_are_merged_by_its_logit() -> None:
    hr, it = hit("a", dense=0.9, rerank=-1.0), hit("b", dense=0.1, rerank=2.0)
    merged = merge_replies({"hr": reply(None, hr), "it": reply(None, it)}, 5)
    assert [each.passage.document for each in merged.hits] == ["b", "a"]


def test_one_that_failed_is_named_and_takes_nothing_from_the_others() -> None:
    merged = merge_replies({"hr": NOT_READY, "it": reply(answer("answered", 0.9), hit("a"))}, 5)
    assert [(each.name, each.problem) for each in merged.collections] == [("hr", str(NOT_READY)), ("it", "")]
    assert merged.answer is not None
    assert merged.answer.outcome == "answered"


def test_where_all_failed_the_first_error_is_raised() -> None:
    blank = QueryError("question", "the question is blank")
    with pytest.raises(QueryError, match="blank"):
        merge_replies({"hr": blank, "it": NOT_READY}, 5)


def test_a_leg_took_part_where_it_did_in_any() -> None:
    hr = reply(None, legs=(Leg("dense", True, ""), Leg("lexical", False, "no word of the question occurs")))
    it = reply(None, legs=(Leg("dense", True, ""), Leg("lexical", True, "")))
    merged = merge_replies({"hr": hr, "it": it}, 5)
    assert merged.legs == (Leg("dense", True, ""), Leg("lexical", True, ""))
    assert merged.timings_ms == {"search": 1.0, "total": 2.0}
