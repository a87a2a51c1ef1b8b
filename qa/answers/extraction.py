"""The phrase of a sentence that answers: of the kind that is asked for, and nearest to the words of the question."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from qa.answers.answer_types import AnswerType
from qa.answers.phrases import phrases
from qa.text.terms import Words
from qa.types import Span

# Words after which the weight of a neighbour has fallen to 1/e.
_REACH = 4.0
# What is counted, or measured, stands right behind its number.
_BEHIND = 2.0
# How far a phrase must be ahead of the next of its sentence to be given by itself.
_LEAD = 1.3
_LEAD_OF_NAMES = 2.0
_NUMERIC = frozenset({"duration", "age", "measure", "percent", "money", "count"})


@dataclass(frozen=True, slots=True)
class Phrase:
    """``span`` of the sentence's text, of a kind.

    ``is_clear`` says whether no other phrase of the sentence could as well be meant: else the sentence is the answer.
    """

    span: Span
    type: AnswerType
    is_clear: bool = True


def best_phrase(text: str, found: Words, types: Sequence[AnswerType], weights: Sequence[float]) -> Phrase | None:
    """The phrase of a sentence that answers, of the first of the kinds that is in it.

    A phrase of nothing but words of the question answers nothing.

    Args:
        text: the sentence.
        found: its ``n`` words.
        weights: ``(n,)``, of those that are words of the question their inverse document frequency; 0 of the others.
    """
    places = [(at, weight) for at, weight in enumerate(weights) if weight]
    for kind in types:
        scored = []
        for span in phrases(text, kind):
            first, last = bisect_left(found.starts, span.start), bisect_left(found.starts, span.end)
            if not all(weights[first:last]):
                scored.append((_nearness(first, last, kind, places), -span.start, span))
        if scored:
            scored.sort(key=lambda each: each[:2], reverse=True)
            lead = _LEAD if kind in _NUMERIC else _LEAD_OF_NAMES
            return Phrase(scored[0][2], kind, len(scored) == 1 or scored[0][0] > lead * scored[1][0])
    return None


def _nearness(first: int, last: int, kind: AnswerType, places: Sequence[tuple[int, float]]) -> float:
    """Of the words ``[first, last)`` to those of the question, which come with their weights."""
    total = 0.0
    for at, weight in places:
        gap = first - at if at < first else max(at - last + 1, 0)
        behind = _BEHIND if kind in _NUMERIC and at >= last else 1.0
        total += behind * weight * math.exp(-gap / _REACH)
    return total
