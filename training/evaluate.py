"""How well a reader reads: exact match and F1 of its best span, "no answer" included, as SQuAD measures them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.evaluation.measures import exact_match, f1
from qa.protocols import AnswerReader, Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.data import Example

# Tokens of the longest answer that is looked for.
LONGEST = 30
_PAIRS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Measures:
    """``em`` and ``f1`` are means over the questions with an answer, 0 to 1.

    ``null_f1`` and ``null_em`` are means over all questions at the threshold of "no answer" that is best for F1, and
    ``auroc`` and ``relevance_auroc`` tell how well the span's score above null, and relevance, part questions with an
    answer from those without; all four are ``None`` where every question has one.
    """

    questions: int
    answerable: int
    em: float
    f1: float
    null_em: float | None
    null_f1: float | None
    auroc: float | None
    relevance_auroc: float | None
    tokens_per_second: float


def best_span(reading: Reading, longest: int = LONGEST) -> tuple[int, int, float] | None:
    """Return the best span ``[start, end)`` in the text, and its score less that of "no answer here".

    ``None`` where nothing of the text was seen.
    """
    if not len(reading.starts):
        return None
    sums = reading.starts[:, None] + reading.ends[None, :]
    allowed = np.triu(np.tril(np.ones_like(sums, dtype=bool), longest - 1))
    first, last = np.unravel_index(np.where(allowed, sums, -np.inf).argmax(), sums.shape)
    return int(reading.offsets[first, 0]), int(reading.offsets[last, 1]), float(sums[first, last] - reading.null)


def evaluate(reader: AnswerReader, examples: Sequence[Example]) -> Measures:
    """Read each example's context and compare what is found with its answers."""
    reader.load()
    order = sorted(range(len(examples)), key=lambda at: len(examples[at].context))
    rows = np.zeros((len(examples), 4))
    begun, tokens = time.perf_counter(), 0
    for begin in range(0, len(order), _PAIRS_AT_ONCE):
        chosen = [examples[at] for at in order[begin : begin + _PAIRS_AT_ONCE]]
        readings = reader.read([(example.question, example.context) for example in chosen])
        tokens += sum(len(reading.starts) for reading in readings)
        for at, example, reading in zip(order[begin:], chosen, readings, strict=False):
            found = best_span(reading)
            text = "" if found is None else example.context[found[0] : found[1]]
            score = float("-inf") if found is None else found[2]
            rows[at] = exact_match(text, example.texts), f1(text, example.texts), score, reading.relevance
    seconds = time.perf_counter() - begun
    answerable = np.array([bool(example.answers) for example in examples])
    matches, overlaps, scores, relevances = rows.T
    null_em = null_f1 = auroc = relevance_auroc = None
    if answerable.any() and not answerable.all():
        null_f1, null_em = _with_null(scores, overlaps, matches, answerable)
        auroc, relevance_auroc = compute_auroc(scores, answerable), compute_auroc(relevances, answerable)
    return Measures(
        questions=len(examples),
        answerable=int(answerable.sum()),
        em=_mean(matches[answerable]),
        f1=_mean(overlaps[answerable]),
        null_em=null_em,
        null_f1=null_f1,
        auroc=auroc,
        relevance_auroc=relevance_auroc,
        tokens_per_second=tokens / max(seconds, 1e-9),
    )


def compute_auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Compute the share of pairs of a positive and a negative that are in the right order, equal ones counting half."""
    values, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    del values
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    count = int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(scores) - count)))


def _with_null(
    scores: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    matches: NDArray[np.float64],
    answerable: NDArray[np.bool_],
) -> tuple[float, float]:
    def at(threshold: float, values: NDArray[np.float64]) -> float:
        return float(np.where(scores > threshold, values * answerable, ~answerable).mean())

    thresholds = np.unique(np.quantile(scores[np.isfinite(scores)], np.linspace(0, 1, 101)))
    best = max(thresholds, key=lambda threshold: at(threshold, overlaps))
    return at(best, overlaps), at(best, matches)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
