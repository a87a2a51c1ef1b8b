"""The phrase of a sentence that answers: of the kind that is asked for, and nearest to the words of the question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qa.answer_types import AnswerType
from qa.phrases import phrases
from qa.terms import Word
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


def best_phrase(
    text: str, found: Sequence[Word], types: Sequence[AnswerType], weights: Mapping[str, float]
) -> Phrase | None:
    """The phrase of a sentence that answers, of the first of the kinds that is in it.

    A phrase of nothing but words of the question answers nothing.

    Args:
        text: the sentence.
        found: its words.
        weights: of the forms of the question's words, their inverse document frequency.
    """
    places = [(word.span, weight) for word in found if (weight := _weight(word, weights)) > 0]
    for kind in types:
        scored = [
            (_nearness(span, kind, found, places), -span.start, span)
            for span in phrases(text, kind)
            if _says_more(span, found, weights)
        ]
        if scored:
            scored.sort(key=lambda each: each[:2], reverse=True)
            lead = _LEAD if kind in _NUMERIC else _LEAD_OF_NAMES
            return Phrase(scored[0][2], kind, len(scored) == 1 or scored[0][0] > lead * scored[1][0])
    return None


def _weight(word: Word, weights: Mapping[str, float]) -> float:
    return max((weights.get(form, 0.0) for form in word.forms), default=0.0)


def _says_more(span: Span, found: Sequence[Word], weights: Mapping[str, float]) -> bool:
    inside = [word for word in found if span.start <= word.span.start < span.end]
    return any(all(form not in weights for form in word.forms) for word in inside)


def _nearness(span: Span, kind: AnswerType, found: Sequence[Word], places: Sequence[tuple[Span, float]]) -> float:
    first = sum(word.span.start < span.start for word in found)
    last = sum(word.span.start < span.end for word in found)
    order = {word.span: at for at, word in enumerate(found)}
    total = 0.0
    for place, weight in places:
        at = order[place]
        gap = first - at if at < first else max(at - last + 1, 0)
        behind = _BEHIND if kind in _NUMERIC and at >= last else 1.0
        total += behind * weight * math.exp(-gap / _REACH)
    return total
