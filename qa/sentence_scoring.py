"""Which sentence of the passages found answers: candidates, and what speaks for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.answer_types import AnswerType
from qa.extraction import Phrase, best_phrase
from qa.index import Index
from qa.retriever import Found
from qa.sentences import sentences
from qa.store_schema import window_key
from qa.terms import Word, words
from qa.types import Hit, Span

if TYPE_CHECKING:
    from collections.abc import Set

# Passages that are read for an answer; those below get a highlight.
DEPTH = 5
# A sentence that adds fewer words to the question's is a heading, or the question over again.
_LEAST_NEW = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a found passage. ``span`` is of the document, ``phrase`` of ``text``.

    ``coverage`` is the share of the question's words that it holds, weighted by their inverse document frequency, and
    ``near`` that of the words that its neighbours hold and it does not; ``passage_coverage`` is that of its passage.
    ``window`` is the highest cosine of the question and a window that it is in; 0 where nothing was compared.
    ``new`` counts its words that are not the question's. ``score`` ranks candidates of one question and means nothing
    else.
    """

    hit: Hit
    span: Span
    text: str
    coverage: float
    near: float
    passage_coverage: float
    window: float
    new: int
    phrase: Phrase | None
    score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as sentences are compared with it: the kinds of phrase that would answer, and its words' weights.

    ``weights`` are of each form of its words the inverse document frequency; ``most`` is their sum over the words.
    """

    types: Sequence[AnswerType]
    terms: Sequence[tuple[str, ...]]
    weights: Mapping[str, float]
    most: float
    languages: Sequence[str]

    def covered(self, held: Set[str]) -> float:
        """The share of the question's words among ``held`` forms."""
        found = sum(self.weights[forms[0]] for forms in self.terms if not held.isdisjoint(forms))
        return found / self.most if self.most else 0.0


def asked(index: Index, question: str, types: Sequence[AnswerType]) -> Asked:
    """Weighs a question's words. One that no passage has weighs as much as the rarest that one has."""
    terms = index.lexical.question_terms(question)
    rarest = index.lexical.rarest
    weights = {form: weight for forms in terms for weight in [index.lexical.idf(forms) or rarest] for form in forms}
    return Asked(types, terms, weights, sum(weights[forms[0]] for forms in terms), index.lexical.languages)


def candidates(index: Index, found: Found, question: Asked) -> list[Candidate]:
    """The sentences of all passages, passage by passage; one that two passages hold comes twice."""
    return [candidate for hit in found.hits for candidate in _of_passage(index, found, hit, question)]


def _of_passage(index: Index, found: Found, hit: Hit, question: Asked) -> list[Candidate]:
    passage, languages = hit.passage, index.lexical.languages
    windows = _windows(index, found, hit)
    spans = list(sentences(passage.text))
    texts = [passage.text[span.start : span.end] for span in spans]
    found_words = [list(words(text, languages)) for text in texts]
    held = [_forms(each) for each in found_words]
    context = _forms(words(passage.context, languages)) if passage.context else set()
    passage_coverage = question.covered(context.union(*held))
    result = []
    for at, span in enumerate(spans):
        place = Span(passage.start + span.start, passage.start + span.end)
        around = held[at].union(*held[max(at - 1, 0) : at + 2])
        coverage = question.covered(held[at])
        near = question.covered(around) - coverage
        window = max((c for w, c in windows if w.start < place.end and w.end > place.start), default=0.0)
        new = sum(question.weights.keys().isdisjoint(word.forms) for word in found_words[at])
        phrase = best_phrase(texts[at], found_words[at], question.types, question.weights)
        score = _score(hit, (coverage, near, window, new), is_without=bool(question.types) and phrase is None)
        result.append(Candidate(hit, place, texts[at], coverage, near, passage_coverage, window, new, phrase, score))
    return result


def _score(hit: Hit, values: tuple[float, float, float, int], *, is_without: bool) -> float:
    """The weights are of a conditional logit, fitted on the tuning halves of two question sets.

    Encoding every sentence by itself as well chose no better than the windows' cosines, which cost nothing.
    """
    coverage, near, window, new = values
    return (
        5.9 * coverage
        + 2.4 * near
        + 4.2 * window
        + 13.4 * (hit.scores.dense or 0.0)
        + 1.4 / hit.rank
        - 2.8 * is_without
        - 3.6 * (new < _LEAST_NEW)
    )


def _forms(found: Iterable[Word]) -> set[str]:
    return {form for word in found for form in word.forms}


def _windows(index: Index, found: Found, hit: Hit) -> list[tuple[Span, float]]:
    if found.vector is None:
        return []
    windows = hit.passage.windows
    keys = np.array([window_key(hit.passage, window) for window in windows], dtype=np.int64)
    cosines = index.vectors.cosines(found.vector, keys)
    return [(Span(w.start, w.end), float(c)) for w, c in zip(windows, cosines, strict=True)]
