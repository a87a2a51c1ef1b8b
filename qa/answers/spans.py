"""The spans that a reader's scores speak for, compared over all excerpts of one question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.answers.excerpts import Excerpt
from qa.answers.sentences import Candidate
from qa.protocols import Reading
from qa.types import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Tokens of the longest span, as the reader was trained.
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """The best span of those that begin in one sentence.

    ``span`` is of the document, ``text`` what it holds. ``score`` is the sum of the logits of its start and end less
    that of "no answer here" (Devlin et al. 2019, section 4.3): above 0 the reader takes it for an answer. ``share`` is
    its probability among the spans of all excerpts that were read, ``relevance`` the logit of its excerpt's holding
    the answer.
    """

    excerpt: Excerpt
    sentence: Candidate
    span: Span
    text: str
    score: float
    share: float
    relevance: float


def best_spans(excerpts: Sequence[Excerpt], readings: Sequence[Reading]) -> list[Choice]:
    """Find the best span of each sentence, best first; of equal scores that of the earlier excerpt comes first."""
    total = _log_sum(reading.starts for reading in readings) + _log_sum(reading.ends for reading in readings)
    found = []
    for excerpt, reading in zip(excerpts, readings, strict=True):
        for logits, start, end in _candidates(excerpt, reading):
            place = excerpt.place(start, end)
            if place is None:
                continue
            sentence = next((c for c in excerpt.candidates if place.start < c.span.end), excerpt.candidates[-1])
            share = float(np.exp(min(logits - total, 0.0)))
            text = excerpt.text[start:end]
            found.append(Choice(excerpt, sentence, place, text, logits - reading.null, share, float(reading.relevance)))
    return sorted(found, key=lambda choice: -choice.score)


def _log_sum(rows: Iterable[NDArray[np.float32]]) -> float:
    joined = np.concatenate([np.asarray(row, np.float64) for row in rows] or [np.zeros(1)])
    if not joined.size:
        return 0.0
    largest = joined.max()
    return float(largest + np.log(np.exp(joined - largest).sum()))


def _candidates(excerpt: Excerpt, reading: Reading) -> Iterator[tuple[float, int, int]]:
    """Find, for each sentence, the pair of start and end with the highest sum: the sum, and the span of the text."""
    count = len(reading.starts)
    if not count:
        return
    parts = _parts(excerpt, reading.offsets)
    sums = reading.starts[:, None].astype(np.float64) + reading.ends[None, :]
    allowed = np.triu(np.tril(np.ones((count, count), dtype=bool), _LONGEST - 1))
    allowed &= (parts[:, None] == parts[None, :]) & (parts >= 0)[:, None]
    sums = np.where(allowed, sums, -np.inf)
    lasts = sums.argmax(axis=1)
    best = sums[np.arange(count), lasts]
    sentences = _sentences(excerpt, reading.offsets)
    for number in np.unique(sentences):
        rows = np.flatnonzero(sentences == number)
        first = int(rows[best[rows].argmax()])
        if np.isfinite(best[first]):
            yield float(best[first]), int(reading.offsets[first, 0]), int(reading.offsets[lasts[first], 1])


def _sentences(excerpt: Excerpt, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the sentence that each token begins in; a row is one."""
    if len(excerpt.pieces) != 1:
        return np.zeros(len(offsets), dtype=np.int64)
    piece = excerpt.pieces[0]
    edges = [candidate.span.start - piece.at + piece.start for candidate in excerpt.candidates]
    return np.searchsorted(np.array(edges, dtype=np.int64), offsets[:, 0], side="right")


def _parts(excerpt: Excerpt, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the part of the excerpt that each token is in; no span crosses into another.

    A part is a cell or an item of a list, and sentences that follow each other are one; -1 is what is in no document.
    """
    parts = np.full(len(offsets), -1, dtype=np.int64)
    for number, piece in enumerate(excerpt.pieces):
        parts[(offsets[:, 0] >= piece.start) & (offsets[:, 1] <= piece.end)] = 1000 * number
    if len(excerpt.pieces) == 1:
        piece = excerpt.pieces[0]
        for number, candidate in enumerate(excerpt.candidates, start=1):
            if candidate.kind != "sentence":
                start, end = (edge - piece.at + piece.start for edge in (candidate.span.start, candidate.span.end))
                parts[(offsets[:, 0] >= start) & (offsets[:, 1] <= end)] = number
    return parts
