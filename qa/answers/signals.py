"""What tells an answer that is right from one that is not: raw scores only, never the one that ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from qa.answers.sentence_scoring import Asked, Candidate
from qa.search.retriever import Found

# Told in calibrations: one that was fitted to signals of another version fits no more.
SIGNALS_VERSION = "1"

# BM25 gives a word at most k1 + 1 times its inverse document frequency.
_MOST = 2.2


@dataclass(frozen=True, slots=True)
class Signals:
    """Of one question and the sentence chosen for it. Cosines are 0 where no embeddings were compared.

    ``top`` is the best cosine of the passages read, ``gap`` how far it is above the best of another document,
    ``beyond`` how many standard deviations it is above the mean of windows chosen at random. ``words`` is the best BM25
    score as a share of the most that the question's words could give. ``passage`` and ``sentence`` are shares of the
    question's words, by inverse document frequency, that the chosen sentence's passage and it itself hold, ``near``
    that of its neighbours; ``window`` is its cosine, ``margin`` how far it is above the second. ``agree`` is 1 where
    meaning and words put the same passage first, ``first`` the reciprocal of the passage's rank. ``phrase`` is 1 where
    it holds one clear phrase of the kind that is asked for, ``no_phrase`` where a kind is asked for and it holds none,
    ``heading`` where it adds hardly a word. ``reader`` is the score of the reader's span; 0 without a reader.
    """

    top: float
    gap: float
    beyond: float
    words: float
    passage: float
    sentence: float
    near: float
    window: float
    margin: float
    agree: float
    first: float
    phrase: float
    no_phrase: float
    heading: float
    reader: float = 0.0

    @property
    def values(self) -> tuple[float, ...]:
        """In the order of :data:`SIGNALS`."""
        return astuple(self)


SIGNALS = tuple(field.name for field in fields(Signals))


def signals(found: Found, ranked: Sequence[Candidate], question: Asked, reader: float = 0.0) -> Signals:
    """Of the best of ``ranked``, which is not empty."""
    best = ranked[0]
    dense = [(hit.scores.dense or 0.0, hit.passage.document) for hit in found.hits]
    lexical = [hit.scores.lexical or 0.0 for hit in found.hits]
    top, document = max(dense)
    others = [cosine for cosine, other in dense if other != document]
    mean, deviation = found.chance or (0.0, 0.0)
    return Signals(
        top=top,
        gap=top - max(others, default=0.0),
        beyond=(top - mean) / deviation if deviation and found.vector is not None else 0.0,
        words=max(lexical) / (_MOST * question.most) if question.most else 0.0,
        passage=best.passage_coverage,
        sentence=best.coverage,
        near=best.near,
        window=best.window,
        margin=best.score - ranked[1].score if len(ranked) > 1 else best.score,
        agree=float(max(lexical) > 0 and lexical.index(max(lexical)) == dense.index((top, document))),
        first=1 / best.hit.rank,
        phrase=float(best.phrase is not None and best.phrase.is_clear),
        no_phrase=float(bool(question.types) and best.phrase is None),
        heading=float(best.new < 3),
        reader=reader,
    )
