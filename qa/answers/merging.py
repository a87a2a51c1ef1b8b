"""The replies of several collections to one question as one reply.

Each collection has judged its own best answer, with its own calibration. Of these the surest outcome wins: ``answered``
before ``unsure`` before ``not_found``. Among equal outcomes the highest confidence does, because every calibration
gives the same quantity, the probability that the answer is right. Where one of them has none, all are compared by the
reader's score of the span, which one reader gave to all. An error that was certified for the answers of one collection
is not certified for the best of several, so nothing is promised (docs/decisions/0028).

Passages are merged by cosine, BM25 and relevance weighed as each collection weighs them, with BM25 divided by the best
of all; those of one collection keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qa.answers.answerer import RELEVANCE_WEIGHT, UNREAD_RELEVANCE
from qa.errors import QAError
from qa.search.ranking import LEXICAL_WEIGHT
from qa.types import Answer, AnswerOutcome, CollectionOutcome, Hit, Leg, Reply

_RANK: Mapping[AnswerOutcome, int] = {"answered": 2, "unsure": 1, "not_found": 0}
_NO_PROMISE = "errors are certified for each collection by itself, and not for the best answer of several"


def merge_replies(outcomes: Mapping[str, Reply | QAError], top_k: int) -> Reply:
    """Merge what each collection replied, by its name; one that failed is named with its error, and left out.

    Raises:
        QAError: all failed; this is the first one's error.
    """
    replies = {name: _named(name, each) for name, each in outcomes.items() if isinstance(each, Reply)}
    if not replies:
        raise next(error for error in outcomes.values() if isinstance(error, QAError))
    answer = _choose({name: each.answer for name, each in replies.items() if each.answer is not None})
    first = replies[answer.citation.collection] if answer and answer.citation else next(iter(replies.values()))
    hits = _merge_hits([each.hits for each in replies.values()])[:top_k]
    return replace(
        first,
        hits=tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)),
        answer=answer,
        timings_ms=_longest([each.timings_ms for each in replies.values()]),
        legs=_merge_legs([each.legs for each in replies.values()]),
        collections=tuple(_describe(name, each) for name, each in outcomes.items()),
    )


def _named(name: str, reply: Reply) -> Reply:
    """Give the hits and the citations of a reply the name of their collection."""
    hits = tuple(replace(hit, collection=name) for hit in reply.hits)
    answer = reply.answer
    if answer is not None and answer.citation is not None:
        others = tuple(
            replace(other, citation=replace(other.citation, collection=name)) for other in answer.alternatives
        )
        answer = replace(answer, citation=replace(answer.citation, collection=name), alternatives=others)
    return replace(reply, hits=hits, answer=answer)


def _choose(answers: Mapping[str, Answer]) -> Answer | None:
    """Choose the best answer; the first collection's where two are equal."""
    if not answers:
        return None
    surest = max(_RANK[answer.outcome] for answer in answers.values())
    rivals = [answer for answer in answers.values() if _RANK[answer.outcome] == surest]
    has_confidence = all(answer.confidence is not None for answer in rivals)

    def worth(answer: Answer) -> float:
        value = answer.confidence if has_confidence else answer.score
        return -float("inf") if value is None else value

    best = max(rivals, key=worth)
    unread = sum(answer.unread_files for answer in answers.values())
    if len(answers) == 1 or best.outcome == "not_found":
        return replace(best, unread_files=unread)
    return replace(best, promised_error=None, note="; ".join(filter(None, [best.note, _NO_PROMISE])))


def _merge_hits(ranked: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Merge ranked hits: the next one is the best of those that stand first now."""
    best = max((hit.scores.lexical or 0.0 for hits in ranked for hit in hits), default=0.0) or 1.0
    ahead = [list(hits) for hits in ranked if hits]
    merged: list[Hit] = []
    while ahead:
        # Equal ones in the order of the collections.
        at = max(range(len(ahead)), key=lambda n: (_score(ahead[n][0], best), -n))
        merged.append(ahead[at].pop(0))
        ahead = [hits for hits in ahead if hits]
    return merged


def _score(hit: Hit, best: float) -> float:
    """Return a score that can be compared between collections: what one model gave, and shares of one best BM25."""
    scores = hit.scores
    if scores.rerank is not None:
        return scores.rerank
    relevance = UNREAD_RELEVANCE if scores.relevance is None else scores.relevance
    lexical = LEXICAL_WEIGHT * (scores.lexical or 0.0) / best
    return (scores.dense or 0.0) + lexical + RELEVANCE_WEIGHT * relevance


def _longest(timings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the longest time of each stage: questions that are answered together have the time of all of them."""
    names = dict.fromkeys(name for each in timings for name in each)
    return {name: max(each.get(name, 0.0) for each in timings) for name in names}


def _merge_legs(replies: Sequence[Sequence[Leg]]) -> tuple[Leg, ...]:
    """Say of each leg that it took part where it did in any collection."""
    by_name: dict[str, Leg] = {}
    for leg in (leg for legs in replies for leg in legs):
        known = by_name.setdefault(leg.name, leg)
        if leg.used and not known.used:
            by_name[leg.name] = leg
    return tuple(by_name.values())


def _describe(name: str, outcome: Reply | QAError) -> CollectionOutcome:
    if isinstance(outcome, QAError):
        return CollectionOutcome(name, problem=str(outcome))
    answer = outcome.answer
    return CollectionOutcome(
        name,
        outcome.snapshot,
        None if answer is None else answer.outcome,
        None if answer is None else answer.confidence,
    )
