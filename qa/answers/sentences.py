"""Which sentences of the passages found are worth reading: candidates, and what speaks for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import islice
from operator import itemgetter, or_
from typing import Literal

import numpy as np
import regex

from qa.answers.weekdays import is_timetable_line
from qa.index.index import Index
from qa.index.schema import window_key
from qa.search.retriever import Found
from qa.text.sentences import sentences
from qa.text.words import read_words
from qa.types import Hit, Span

# Passages that are read for an answer; those below get a highlight.
DEPTH = 5
# A sentence that adds fewer words to the question's is a heading, or repeats the question.
LEAST_NEW = 3

Kind = Literal["sentence", "item", "row"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a found passage, an item of a list or a row of a table.

    ``span`` is of the document. ``score`` ranks candidates of one question and means nothing else.
    """

    hit: Hit
    span: Span
    text: str
    kind: Kind
    score: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, item or row of a passage, and its words, as they are kept for the next question.

    ``span`` is of the passage, which has the text. ``places`` say of each form which of the ``words`` have it, the
    first in the lowest bit.
    """

    span: Span
    kind: Kind
    places: Mapping[str, int]
    words: int


@dataclass(frozen=True, slots=True)
class QuestionWords:
    """A question's words as sentences are compared with them.

    ``terms`` are the forms of each word, ``weights`` the inverse document frequency of each form, and ``most`` is the
    sum of the words' weights. ``bits`` say of each form which words it stands for, the first word in the lowest bit.
    """

    terms: Sequence[tuple[str, ...]]
    weights: Mapping[str, float]
    bits: Mapping[str, int]
    most: float
    languages: tuple[str, ...]

    def found_in(self, sentence: Sentence) -> tuple[int, int]:
        """Find the question's words in a sentence: their bits, and how many of its words are others."""
        places, held, known = sentence.places, 0, 0
        for form, bits in self.bits.items():
            if found := places.get(form):
                held |= bits
                known |= found
        return held, sentence.words - known.bit_count()

    def covered(self, held: int) -> float:
        """Give the share of the question's words, by weight, that ``held`` says are there."""
        found = sum(self.weights[forms[0]] for at, forms in enumerate(self.terms) if held >> at & 1)
        return found / self.most if self.most else 0.0


def weigh_question(index: Index, terms: Sequence[tuple[str, ...]]) -> QuestionWords:
    """Weigh a question's words. One that no passage has weighs as much as the rarest that one has."""
    rarest = index.lexical.rarest
    weights = {form: weight for forms in terms for weight in [index.lexical.idf(forms) or rarest] for form in forms}
    bits: dict[str, int] = {}
    for at, forms in enumerate(terms):
        for form in forms:
            bits[form] = bits.get(form, 0) | 1 << at
    most = sum(weights[forms[0]] for forms in terms)
    return QuestionWords(terms, weights, bits, most, index.lexical.languages)


def candidates(index: Index, found: Found, question: QuestionWords) -> list[Candidate]:
    """Score the sentences of all passages, passage by passage; one that two passages hold comes twice."""
    result: list[Candidate] = []
    for hit, cosines in zip(found.hits, _window_cosines(index, found), strict=True):
        start = hit.passage.start
        for sentence, score in _scored(hit, cosines, question):
            first, end = sentence.span.start, sentence.span.end
            said = hit.passage.text[first:end]
            result.append(Candidate(hit, Span(start + first, start + end), said, sentence.kind, score))
    return result


def best_sentences(index: Index, found: Found, question: QuestionWords) -> list[Span | None]:
    """Find the sentence of each passage that :func:`candidates` scores highest, as a span of the document."""
    best: list[Span | None] = []
    for hit, cosines in zip(found.hits, _window_cosines(index, found), strict=True):
        start = hit.passage.start
        scored = _scored(hit, cosines, question)
        span = max(scored, key=itemgetter(1))[0].span if scored else None
        best.append(None if span is None else Span(start + span.start, start + span.end))
    return best


def _scored(hit: Hit, cosines: Sequence[float], question: QuestionWords) -> list[tuple[Sentence, float]]:
    """Score each sentence of a passage, given the cosine of each of its windows."""
    passage = hit.passage
    read = _read(passage.text, passage.language, question.languages)
    said = [question.found_in(sentence) for sentence in read]
    held = [bits for bits, _ in said]
    shares = {bits: question.covered(bits) for bits in set(held)}
    windows = [
        (window.start - passage.start, window.end - passage.start, cosine)
        for window, cosine in zip(passage.windows, cosines, strict=False)
    ]
    result = []
    for at, sentence in enumerate(read):
        coverage = shares[held[at]]
        around = reduce(or_, held[max(at - 1, 0) : at + 2])
        near = (shares[around] if around in shares else question.covered(around)) - coverage
        start, end = sentence.span.start, sentence.span.end
        nearest = max([cosine for first, last, cosine in windows if first < end and last > start], default=0.0)
        is_bare = said[at][1] < LEAST_NEW and sentence.kind == "sentence"
        result.append((sentence, _score(hit, coverage, near, nearest, is_bare=is_bare)))
    return result


# The numbers of one bit, which nearly all words have: one object each, instead of one for every word that is kept.
_BITS = tuple(1 << at for at in range(256))


# About 5 kB each. As many as passages are kept: fewer drove each other out where a collection has a few thousand.
@lru_cache(maxsize=4096)
def _read(text: str, language: str, languages: tuple[str, ...]) -> tuple[Sentence, ...]:
    """Split a passage into its sentences, items and rows, with their words."""
    return tuple(_sentence(text, span, kind, languages) for span, kind in units(text, language))


def _sentence(text: str, span: Span, kind: Kind, languages: tuple[str, ...]) -> Sentence:
    forms_of = read_words(text[span.start : span.end], languages)
    places: dict[str, int] = {}
    for at, forms in enumerate(forms_of):
        bit = _BITS[at] if at < len(_BITS) else 1 << at
        for form in forms:
            places[form] = places[form] | bit if form in places else bit
    return Sentence(span, kind, places, len(forms_of))


def _score(hit: Hit, coverage: float, near: float, window: float, *, is_bare: bool) -> float:
    """Rank a sentence. The weights are of a conditional logit, fitted on the tuning halves of two question sets.

    Args:
        coverage: the share of the question's words that it holds, weighted by their inverse document frequency.
        near: that of the words that its neighbours hold and it does not.
        window: the highest cosine of the question and a window that it is in; 0 where nothing was compared.
        is_bare: whether it adds hardly a word to the question's.

    Encoding every sentence by itself as well chose no better than the windows' cosines, which cost nothing.
    """
    return (
        5.9 * coverage + 2.4 * near + 4.2 * window + 13.4 * (hit.scores.dense or 0.0) + 1.4 / hit.rank - 3.6 * is_bare
    )


def _window_cosines(index: Index, found: Found) -> list[list[float]]:
    """Compare the question with every window of each passage found; nothing where none was compared."""
    if found.vector is None:
        return [[] for _ in found.hits]
    keys = [window_key(hit.passage, window) for hit in found.hits for window in hit.passage.windows]
    cosines = iter(index.vectors.cosines(found.vector, np.array(keys, dtype=np.int64)).tolist())
    return [list(islice(cosines, len(hit.passage.windows))) for hit in found.hits]


_ROW = regex.compile(r"\S.*(?: \||\t)\s*\S")
_STAMPED = regex.compile(r"\W?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\W?\d\d:\d\d:\d\d\s")
# The beginning of an item of a list.
ITEM = regex.compile(r"[^\S\n]*(?:[•‣◦▪●∙·*+–-]|\(?\d{1,3}[.)]|\(?[a-z][.)])[^\S\n]+\S")
_LABELLED = regex.compile(r"[*_#\s]*(?:Q|A|Question|Answer)\s?\d*\s?[:.)]", regex.IGNORECASE)
# "Fee: 5 euros", "MAX_ATTEMPTS = 7".
_KEYED = regex.compile(r"[^\S\n]*[\p{L}_][\p{L}\p{N}_ .'’&/()-]{0,40}(?::[^\S\n]+|[^\S\n]*=[^\S\n]*)[^\n]*[^\s.!?]\s*")
_INDENTED = regex.compile(r"[^\S\n]{2,}\S")


def units(text: str, language: str = "") -> Iterator[tuple[Span, Kind]]:
    """Split a text into sentences, and what is no sentence into the lines that can be read by themselves.

    Rows of a table, entries of a log, items of a list, questions and answers of a FAQ and entries of a list of
    definitions each end where their line does, or before the next of their kind.
    """
    for span in sentences(text, language=language):
        for place in _lines(text, span):
            yield place, _kind(text[place.start : place.end])


def _kind(line: str) -> Kind:
    if _ROW.match(line) or _STAMPED.match(line):
        return "row"
    if is_timetable_line(line) or _KEYED.fullmatch(line):
        return "item"
    return "item" if ITEM.match(line) or "\n  " in line else "sentence"


def _lines(text: str, span: Span) -> Iterator[Span]:
    start, previous, at = span.start, "", span.start
    for line in text[span.start : span.end].splitlines(keepends=True):
        if at > start and _begins_unit(line, previous):
            yield from _stripped(text, start, at)
            start = at
        at += len(line)
        previous = line
    yield from _stripped(text, start, span.end)


def _begins_unit(line: str, previous: str) -> bool:
    """Tell whether a line is a unit of its own beside the one before it."""
    if is_timetable_line(line) or any(pattern.match(line) for pattern in (_ROW, _STAMPED, ITEM, _LABELLED)):
        return True
    if _KEYED.fullmatch(line) and _KEYED.fullmatch(previous):
        return True
    is_after_row = bool(_ROW.match(previous) or _STAMPED.match(previous))
    return is_after_row or (bool(_INDENTED.match(previous)) and not _INDENTED.match(line))


def _stripped(text: str, start: int, end: int) -> Iterator[Span]:
    piece = text[start:end]
    if ink := piece.strip():
        first = start + piece.index(ink)
        yield Span(first, first + len(ink))
