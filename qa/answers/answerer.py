"""The span that an answer reader chooses, as the phrase of the sentence that it is in.

What was found to an answer: the sentence that answers, the phrase in it, its citation, and highlights.

``answer.text`` is what its citation's span holds, character for character; so is every alternative.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qa.answers.calibration import Calibrations, Signals, regime_of, signals
from qa.answers.phrases import Phrase, answer_types
from qa.answers.sentences import DEPTH, Candidate, alternatives, asked, candidates, phrase_span, phrase_text
from qa.index.index import Index
from qa.protocols import Cite, SpanReader
from qa.search.retriever import Found
from qa.types import Alternative, Answer, Hit, Query, Reply, Span


@dataclass(frozen=True, slots=True)
class Read:
    """The sentence that holds the chosen span, with that as its phrase, and the reader's score of it."""

    candidate: Candidate
    score: float


def read_span(reader: SpanReader, found: Found, candidates: Sequence[Candidate]) -> Read | None:
    """The best span of the first passages, within the sentence that it begins in; ``None`` where there is none.

    Args:
        candidates: the sentences of those passages.
    """
    hits = found.hits[:DEPTH]
    readings = reader.read(found.reply.question, [hit.passage.text for hit in hits])
    pairs = [(reading, hit.passage) for hit, reading in zip(hits, readings, strict=True) if reading is not None]
    # Of equal scores the first passage's stays first.
    for reading, passage in sorted(pairs, key=lambda pair: -pair[0].score):
        start, end = passage.start + reading.span.start, passage.start + reading.span.end
        for candidate in candidates:
            sentence = candidate.span
            if candidate.hit.passage.document == passage.document and sentence.start <= start < sentence.end:
                place = Span(start - sentence.start, min(end, sentence.end) - sentence.start)
                kind = candidate.phrase.type if candidate.phrase is not None else "name"
                return Read(replace(candidate, phrase=Phrase(place, kind)), reading.score)
    return None


@dataclass(frozen=True, slots=True)
class Guess:
    """A reply with its best guess and the signals of it, ``None`` where no passage was found."""

    reply: Reply
    signals: Signals | None


class Answerer:
    """Answers from one open index. Thread-safe.

    Args:
        calibrations: what turns signals into a confidence; without one that fits an answer has none.
        max_error: how often what is answered may be wrong.
        reader: chooses the span that answers; without one, sentences are scored by meaning and words.
    """

    def __init__(
        self,
        index: Index,
        cite: Cite,
        calibrations: Calibrations,
        max_error: float,
        reader: SpanReader | None = None,
    ) -> None:
        self._index = index
        self._cite = cite
        self._calibrations = calibrations
        self._max_error = max_error
        self._reader = reader

    def answer(self, query: Query, found: Found) -> Reply:
        """The reply with an answer, or the best guess marked as not answerable."""
        started = time.perf_counter()
        guess = self.guess(found)
        answer = guess.reply.answer
        if answer is not None and guess.signals is not None:
            regime = regime_of(query, found.reply.legs, reads=self._reader is not None)
            verdict = self._calibrations.judge(regime, guess.signals, query.max_error or self._max_error)
            answer = replace(
                answer,
                outcome="answered" if verdict.answerable else "unsure",
                confidence=verdict.confidence,
                promised_error=verdict.promised_error,
                note=verdict.note,
            )
        spent = 1000 * (time.perf_counter() - started)
        timings = {**found.reply.timings_ms, "answer": spent}
        timings["total"] = timings.get("total", 0.0) + spent
        return replace(guess.reply, answer=answer, timings_ms=timings)

    def guess(self, found: Found) -> Guess:
        """The best guess, whatever it is worth."""
        question = asked(self._index, found.terms, answer_types(found.reply.question))
        every = candidates(self._index, found, question)
        reply = replace(found.reply, hits=tuple(_highlighted(hit, every) for hit in found.reply.hits))
        ranked = _distinct(sorted((c for c in every if c.hit.rank <= DEPTH), key=lambda each: -each.score))
        if not ranked:
            return Guess(replace(reply, answer=Answer("not_found", confidence=None)), None)
        read = None
        if self._reader is not None and (read := read_span(self._reader, found, ranked)) is not None:
            ranked = [read.candidate, *(each for each in ranked if each.span != read.candidate.span)]
        best = ranked[0]
        span = phrase_span(best)
        document = best.hit.passage.document
        others = [
            Alternative(phrase_text(other), self._cite(other.hit.passage.document, place.start, place.end))
            for other, place in alternatives(best, ranked, question)
        ]
        answer = Answer(
            outcome="answered",
            confidence=None,
            text=phrase_text(best),
            citation=self._cite(document, span.start, span.end),
            sentence=best.span,
            alternatives=tuple(others),
        )
        return Guess(replace(reply, answer=answer), signals(found, ranked, question, read.score if read else 0.0))


def _distinct(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Without the sentences that overlapping passages repeat."""
    seen: set[tuple[str, int, int]] = set()
    kept = []
    for each in ranked:
        key = (each.hit.passage.document, each.span.start, each.span.end)
        if key not in seen:
            seen.add(key)
            kept.append(each)
    return kept


def _highlighted(hit: Hit, every: Sequence[Candidate]) -> Hit:
    """With the sentence that matches the question best."""
    mine = [each for each in every if each.hit.rank == hit.rank]
    if not mine:
        return hit
    best = max(mine, key=lambda each: each.score).span
    return replace(hit, highlights=(Span(best.start, best.end),))
