"""Which sentence of the passages found answers: candidates, and what speaks for each of them.

Sentences that answer the same question otherwise: 5,000 fighters in one place, 7,000 in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

import numpy as np
import regex

from qa.answers.phrases import AnswerType, Phrase, best_phrase
from qa.index.index import Index
from qa.index.store import window_key
from qa.search.retriever import Found
from qa.text.sentences import sentences
from qa.text.words import Words, read_words, words
from qa.types import Hit, Span

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
    ``bits`` are of each form those of the words that it stands for, the first word the lowest.
    """

    types: Sequence[AnswerType]
    terms: Sequence[tuple[str, ...]]
    weights: Mapping[str, float]
    bits: Mapping[str, int]
    most: float
    languages: tuple[str, ...]

    def found_in(self, words: Iterable[tuple[str, ...]]) -> tuple[int, list[float]]:
        """The question's words among those of a text, given by their forms: their bits, and of each word of the text
        the weight; 0 where it is not one of the question's."""
        unknown, held, weights = self.weights.keys().isdisjoint, 0, []
        for forms in words:
            if unknown(forms):
                weights.append(0.0)
            else:
                weights.append(max(self.weights.get(form, 0.0) for form in forms))
                for form in forms:
                    held |= self.bits.get(form, 0)
        return held, weights

    def covered(self, held: int) -> float:
        """The share of the question's words among those ``held``."""
        found = sum(self.weights[forms[0]] for at, forms in enumerate(self.terms) if held >> at & 1)
        return found / self.most if self.most else 0.0


def asked(index: Index, terms: Sequence[tuple[str, ...]], types: Sequence[AnswerType]) -> Asked:
    """Weighs a question's words. One that no passage has weighs as much as the rarest that one has."""
    rarest = index.lexical.rarest
    weights = {form: weight for forms in terms for weight in [index.lexical.idf(forms) or rarest] for form in forms}
    bits: dict[str, int] = {}
    for at, forms in enumerate(terms):
        for form in forms:
            bits[form] = bits.get(form, 0) | 1 << at
    most = sum(weights[forms[0]] for forms in terms)
    return Asked(types, terms, weights, bits, most, index.lexical.languages)


def candidates(index: Index, found: Found, question: Asked) -> list[Candidate]:
    """The sentences of all passages, passage by passage; one that two passages hold comes twice."""
    cosines = iter(_window_cosines(index, found))
    result: list[Candidate] = []
    for hit in found.hits:
        windows = [(Span(window.start, window.end), next(cosines, 0.0)) for window in hit.passage.windows]
        result += _of_passage(hit, windows, question)
    return result


def _of_passage(hit: Hit, windows: Sequence[tuple[Span, float]], question: Asked) -> Iterator[Candidate]:
    passage, languages = hit.passage, question.languages
    read = _read(passage.text, languages)
    said = [question.found_in(words.forms) for _, _, words in read]
    held = [bits for bits, _ in said]
    context = question.found_in(read_words(passage.context, languages).forms)[0] if passage.context else 0
    passage_coverage = question.covered(reduce(or_, held, context))
    for at, (span, text, found) in enumerate(read):
        place = Span(passage.start + span.start, passage.start + span.end)
        coverage = question.covered(held[at])
        near = question.covered(reduce(or_, held[max(at - 1, 0) : at + 2])) - coverage
        window = max((c for w, c in windows if w.start < place.end and w.end > place.start), default=0.0)
        weights = said[at][1]
        new = weights.count(0.0)
        phrase = best_phrase(text, found, question.types, weights)
        score = _score(hit, (coverage, near, window, new), is_without=bool(question.types) and phrase is None)
        yield Candidate(hit, place, text, coverage, near, passage_coverage, window, new, phrase, score)


# About 10 kB each.
@lru_cache(maxsize=2048)
def _read(text: str, languages: tuple[str, ...]) -> tuple[tuple[Span, str, Words], ...]:
    """The sentences of a passage, with their words."""
    found = [(span, text[span.start : span.end]) for span in sentences(text)]
    return tuple((span, sentence, read_words(sentence, languages)) for span, sentence in found)


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


def _window_cosines(index: Index, found: Found) -> list[float]:
    """Of the question and every window of the passages found, in their order; nothing where none was compared."""
    if found.vector is None:
        return []
    keys = [window_key(hit.passage, window) for hit in found.hits for window in hit.passage.windows]
    cosines: list[float] = index.vectors.cosines(found.vector, np.array(keys, dtype=np.int64)).tolist()
    return cosines


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
