"""What tells an answer that is right from one that is not: raw scores only, never one that ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from qa.answers.spans import Choice
from qa.types import Hit

# Named in calibrations: one that was fitted to signals of another version fits no more.
SIGNALS_VERSION = "2"


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of one question and the answer chosen for it.

    Of the reader: ``score`` of the span, ``relevance`` of its excerpt, the span's ``share`` of probability among all
    that was read, and ``margin``, how far the score is above the best that answers otherwise.

    Of the search: ``top`` is the best cosine of the passages that are read, 0 where no embeddings were compared;
    ``passage`` is the share of the question's words, by inverse document frequency, that the chosen passage holds.

    Agreement of excerpts, BM25, coverage by the sentence and the distance of the best cosine to chance were tried
    beside these and told no more on sets that were left out.
    """

    score: float
    relevance: float
    share: float
    margin: float
    top: float
    passage: float

    @property
    def values(self) -> tuple[float, ...]:
        """Return the signals in the order of :data:`SIGNALS`."""
        return astuple(self)


SIGNALS = tuple(field.name for field in fields(Signals))


def measure_signals(hits: Sequence[Hit], choices: Sequence[Choice]) -> Signals:
    """Take the signals of the best of ``choices``.

    Args:
        hits: the passages that were read.
        choices: best first; not empty.
    """
    best = choices[0]
    mine = _plain(best.text)
    others = [choice.score for choice in choices[1:] if not _says_the_same(mine, _plain(choice.text))]
    return Signals(
        score=best.score,
        relevance=best.relevance,
        share=best.share,
        margin=best.score - max(others, default=0.0),
        top=max(hit.scores.dense or 0.0 for hit in hits),
        passage=best.sentence.passage_coverage,
    )


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _says_the_same(one: str, other: str) -> bool:
    return bool(one and other) and (f" {one} " in f" {other} " or f" {other} " in f" {one} ")
