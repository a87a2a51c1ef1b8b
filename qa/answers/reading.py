"""The span that an answer reader chooses, as the phrase of the sentence that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qa.answers.extraction import Phrase
from qa.answers.sentence_scoring import DEPTH, Candidate
from qa.protocols import AnswerReader
from qa.search.retriever import Found
from qa.types import Span


@dataclass(frozen=True, slots=True)
class Read:
    """The sentence that holds the chosen span, with that as its phrase, and the reader's score of it."""

    candidate: Candidate
    score: float


def read_span(reader: AnswerReader, found: Found, candidates: Sequence[Candidate]) -> Read | None:
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
