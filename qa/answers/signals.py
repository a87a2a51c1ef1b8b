"""What tells an answer that is right from one that is not: raw scores only, never one that ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from qa.answers.sentences import QuestionWords
from qa.answers.spans import Choice
from qa.search.retriever import Found
from qa.types import AnswerForm, Hit

# Named in calibrations: one that was fitted to signals of another version fits no more.
SIGNALS_VERSION = "2"

# BM25 gives a word at most k1 + 1 times its inverse document frequency.
_MOST = 2.2


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of one question and the answer chosen for it.

    Of the reader: ``score`` of the span, ``relevance`` of its excerpt, the span's ``share`` of probability among all
    that was read; ``margin``, how far the score is above the best that answers otherwise; ``agree``, how many other
    excerpts say the same.

    Of the search, over the passages that are read: ``top`` is the best cosine and ``beyond`` how many standard
    deviations it is above the mean of windows chosen at random, both 0 where no embeddings were compared; ``words`` is
    the best BM25 score as a share of the most that the question's words could give. ``passage`` and ``sentence`` are
    the shares of the question's words, by inverse document frequency, that the chosen sentence's passage and it itself
    hold.

    ``explains`` is 1 where whole sentences are given, 0 for a span.
    """

    score: float
    relevance: float
    share: float
    margin: float
    agree: float
    top: float
    beyond: float
    words: float
    passage: float
    sentence: float
    explains: float

    @property
    def values(self) -> tuple[float, ...]:
        """Return the signals in the order of :data:`SIGNALS`."""
        return astuple(self)


SIGNALS = tuple(field.name for field in fields(Signals))


def measure_signals(
    found: Found,
    hits: Sequence[Hit],
    question: QuestionWords,
    choices: Sequence[Choice],
    form: AnswerForm,
) -> Signals:
    """Take the signals of the best of ``choices``.

    Args:
        hits: the passages that were read.
        choices: best first; not empty.
    """
    best = choices[0]
    mine = _plain(best.text)
    others = [choice for choice in choices[1:] if not _says_the_same(mine, _plain(choice.text))]
    dense = [hit.scores.dense or 0.0 for hit in hits]
    lexical = [hit.scores.lexical or 0.0 for hit in hits]
    mean, deviation = found.chance or (0.0, 0.0)
    return Signals(
        score=best.score,
        relevance=best.relevance,
        share=best.share,
        margin=best.score - max((choice.score for choice in others), default=0.0),
        agree=float(min(len(choices) - 1 - len(others), 2)),
        top=max(dense),
        beyond=(max(dense) - mean) / deviation if deviation and found.vector is not None else 0.0,
        words=max(lexical) / (_MOST * question.most) if question.most else 0.0,
        passage=best.sentence.passage_coverage,
        sentence=best.sentence.coverage,
        explains=float(form != "span"),
    )


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _says_the_same(one: str, other: str) -> bool:
    return bool(one and other) and (f" {one} " in f" {other} " or f" {other} " in f" {one} ")
