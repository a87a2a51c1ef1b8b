"""Sentences that answer the same question otherwise: 5,000 fighters in one place, 7,000 in another."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from qa.answers.answer_types import AnswerType
from qa.answers.sentence_scoring import Asked, Candidate
from qa.text.terms import words
from qa.types import Span

MOST = 3
# How much of the question a sentence must hold, with its neighbours, beside the one that was chosen.
_LEAST_SHARE = 0.8
# And of the cosine of that one's window.
_LEAST_COSINE = 0.7
_NUMERIC = frozenset({"duration", "age", "measure", "percent", "money", "count", "year"})
_COMPARED = _NUMERIC | {"date"}
_NUMBER = regex.compile(r"\d+(?:[,.’]\d{3})*(?:\.\d+)?")
_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
_LETTERS = regex.compile(r"[\p{L}\p{N}]+")


def value(text: str, kind: AnswerType) -> frozenset[str]:
    """What a phrase of a kind says, apart from how it is written: its numbers, or its words."""
    found = [word.casefold() for word in _LETTERS.findall(text)]
    if kind in _NUMERIC:
        numbers = [regex.sub(r"[,’](?=\d{3})", "", number) for number in _NUMBER.findall(text)]
        numbers += [_WORDS[word] for word in found if word in _WORDS]
        if numbers:
            return frozenset(numbers)
    return frozenset(found)


def differs(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two values are of two things: one that is part of the other only says it more exactly."""
    return not (one <= other or other <= one)


def alternatives(best: Candidate, ranked: Sequence[Candidate], question: Asked) -> list[tuple[Candidate, Span]]:
    """Sentences that answer with another value of the same kind, best first, each with its phrase's span of the
    document; none where the kind is not known, or is a name: a text that names another answers another question."""
    if best.phrase is None or not best.phrase.is_clear or best.phrase.type not in _COMPARED:
        return []
    kind = best.phrase.type
    said = [value(phrase_text(best), kind)]
    found: list[tuple[Candidate, Span]] = []
    for candidate in ranked:
        if len(found) == MOST:
            break
        phrase = candidate.phrase
        if candidate is best or phrase is None or phrase.type != kind or not phrase.is_clear:
            continue
        enough = candidate.coverage + candidate.near >= _LEAST_SHARE * (best.coverage + best.near)
        if not enough or candidate.window < _LEAST_COSINE * best.window or not _is_of_the_same(candidate, question):
            continue
        mine = value(phrase_text(candidate), kind)
        if all(differs(mine, other) for other in said):
            said.append(mine)
            found.append((candidate, phrase_span(candidate)))
    return found


def _is_of_the_same(candidate: Candidate, question: Asked) -> bool:
    """Whether what is counted is what was asked for: the word behind the number, where there is one."""
    if candidate.phrase is None or candidate.phrase.type != "count":
        return True
    behind = candidate.text[candidate.phrase.span.end :].lstrip(" ")
    first = next(words(behind, question.languages), None) if behind[:1].isalpha() else None
    return first is None or not question.weights.keys().isdisjoint(first.forms)


def phrase_span(candidate: Candidate) -> Span:
    """Where a candidate's phrase, or the sentence where it has no clear one, stands in the document."""
    if candidate.phrase is None or not candidate.phrase.is_clear:
        return candidate.span
    span = candidate.phrase.span
    return Span(candidate.span.start + span.start, candidate.span.start + span.end)


def phrase_text(candidate: Candidate) -> str:
    if candidate.phrase is None or not candidate.phrase.is_clear:
        return candidate.text
    return candidate.text[candidate.phrase.span.start : candidate.phrase.span.end]
