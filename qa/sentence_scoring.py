"""Which sentence of the first passages answers: candidates, and what speaks for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.answer_types import AnswerType
from qa.extraction import Phrase, best_phrase
from qa.index import Index
from qa.retriever import Found
from qa.sentences import sentences
from qa.store_schema import window_key
from qa.terms import words
from qa.types import Hit, Span

if TYPE_CHECKING:
    from qa.types import Vectors

# Passages that are read for an answer.
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a found passage. ``span`` is of the document, ``phrase`` of ``text``.

    ``coverage`` is the share of the question's words that it holds, weighted by their inverse document frequency;
    ``passage_coverage`` that of its passage. ``window`` is the highest cosine of the question and a window that it is
    in; 0 where nothing was compared.
    """

    hit: Hit
    span: Span
    text: str
    coverage: float
    passage_coverage: float
    window: float
    phrase: Phrase | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and what it ranks by, which means nothing else."""

    candidate: Candidate
    score: float


def ranked(found: Sequence[Candidate], asked: bool) -> list[Ranked]:
    """Best first, equal ones in their order. ``asked`` says whether the question asks for a known kind of phrase.

    The weights are of a logistic regression on the tuning halves of the question sets. Encoding every sentence by
    itself as well chose no better than the windows' cosines, which cost nothing.
    """
    return sorted((Ranked(each, _score(each, asked)) for each in found), key=lambda each: -each.score)


def _score(candidate: Candidate, asked: bool) -> float:
    return (
        8.0 * candidate.coverage
        + 2.3 * candidate.window
        + 6.4 / candidate.hit.rank
        - 1.2 * (asked and candidate.phrase is None)
    )


def question_weights(index: Index, terms: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Of each form of the question's words its inverse document frequency; of those that no passage has, the highest."""
    rarest = index.lexical.rarest
    return {form: index.lexical.idf(forms) or rarest for forms in terms for form in forms}


def candidates(
    index: Index, found: Found, types: Sequence[AnswerType], weights: Mapping[str, float]
) -> list[Candidate]:
    """The sentences of the first passages, in the order of those; one that two passages hold comes once."""
    total = sum(max(weights[form] for form in forms) for forms in found.terms) or 1.0
    seen: set[tuple[str, int, int]] = set()
    result = []
    for hit in found.hits[:DEPTH]:
        passage = hit.passage
        windows = _windows(index, found, hit)
        covered = _covered(passage.searched_text, index.lexical.languages, found.terms, weights) / total
        for span in sentences(passage.text):
            place = Span(passage.start + span.start, passage.start + span.end)
            key = (passage.document, place.start, place.end)
            text = passage.text[span.start : span.end]
            if key in seen:
                continue
            seen.add(key)
            result.append(
                Candidate(
                    hit,
                    place,
                    text,
                    coverage=_covered(text, index.lexical.languages, found.terms, weights) / total,
                    passage_coverage=covered,
                    window=max((c for w, c in windows if w.start < place.end and w.end > place.start), default=0.0),
                    phrase=best_phrase(text, list(words(text, index.lexical.languages)), types, weights),
                )
            )
    return result


def _windows(index: Index, found: Found, hit: Hit) -> list[tuple[Span, float]]:
    if found.vector is None:
        return []
    windows = hit.passage.windows
    keys = np.array([window_key(hit.passage, window) for window in windows], dtype=np.int64)
    cosines = index.vectors.cosines(found.vector, keys)
    return [(Span(w.start, w.end), float(c)) for w, c in zip(windows, cosines, strict=True)]


def _covered(
    text: str, languages: Sequence[str], terms: Sequence[tuple[str, ...]], weights: Mapping[str, float]
) -> float:
    held = {form for word in words(text, languages) for form in word.forms}
    return sum(max(weights[form] for form in forms) for forms in terms if not held.isdisjoint(forms))

