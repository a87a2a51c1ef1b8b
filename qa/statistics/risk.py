"""How far a confidence can be trusted, and which error can be promised of answers.

The first half measures whether a confidence separates right from wrong, what is risked at each coverage, and whether it
is calibrated. The second half gives exact bounds, and thresholds with a promised error.

``confidence`` is an answer's probability of being right, ``right`` whether it was, both by question. A promise holds
for questions like those that it was learned from (exchangeable with them), and for no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers with a confidence in ``[low, high)``; the last bin includes 1.

    ``confidence`` is their mean confidence, ``accuracy`` the share that is right, ``n`` their number."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def auroc(confidence: Any, positive: Any) -> float:
    """Compute the probability that a positive has a higher confidence than a negative; ties count half.

    ``(..., n)`` arrays are reduced along the last axis. NaN where there is but one kind.

    Mann and Whitney 1947; the same as the area under the ROC curve.
    """
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=bool)
    ranks = rankdata(confidence, axis=-1)
    positives = positive.sum(axis=-1)
    negatives = positive.shape[-1] - positives
    above = (ranks * positive).sum(axis=-1) - positives * (positives + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return above / (positives * negatives)  # type: ignore[no-any-return]


def risk_coverage(confidence: Any, right: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute coverage and risk if only the ``i`` surest are answered, for each ``i``: ``(n,)`` each.

    Equal confidences are answered together or not at all, so that their order does not matter: between them the curve
    is straight. El-Yaniv and Wiener 2010.
    """
    confidence, wrong = np.asarray(confidence, float), 1.0 - np.asarray(right, float)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], wrong[order]
    n = len(confidence)
    # Each question gets the mean error of those it is tied with.
    _, group = np.unique(-confidence, return_inverse=True)
    counts = np.bincount(group)
    expected = (np.bincount(group, weights=wrong) / counts)[group]
    answered = np.arange(1, n + 1)
    return answered / n, np.cumsum(expected) / answered


def aurc(confidence: Any, right: Any) -> float:
    """Compute the area under the risk-coverage curve: the mean risk over all coverages. Geifman et al. 2019."""
    return float(risk_coverage(confidence, right)[1].mean())


def bins(confidence: Any, right: Any) -> list[Bin]:
    """Sort answers by confidence into ``BINS`` of equal width; empty bins are left out."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    which = _bin_numbers(confidence)
    found = []
    for number in range(BINS):
        inside = which == number
        if inside.any():
            edges = (number / BINS, (number + 1) / BINS)
            found.append(Bin(*edges, float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return found


def calibration_error(confidence: Any, right: Any) -> Any:
    """Compute the expected calibration error over ``BINS`` of equal width (Naeini et al. 2015), along the last axis.

    With few questions it is too high even for a perfect confidence.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    gap, which = confidence - right, _bin_numbers(confidence)
    errors = sum(abs(np.where(which == number, gap, 0.0).sum(axis=-1)) for number in range(BINS))
    return errors / confidence.shape[-1]


def brier(confidence: Any, right: Any) -> Any:
    """Compute the squared difference by question; its mean is the score of Brier 1950."""
    return (np.asarray(confidence, float) - np.asarray(right, float)) ** 2


def _bin_numbers(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


# A promise may be broken with this probability, over the questions that it was learned from.
DELTA = 0.05
# The coverages whose thresholds are tried.
_STEPS = 50


@dataclass(frozen=True, slots=True)
class Promise:
    """The promise that answers whose confidence is at least ``threshold`` are wrong at most ``error`` of the time.

    Of ``n`` questions that nothing was fitted to, ``answered`` reached the threshold and ``wrong`` of those were wrong.
    """

    error: float
    threshold: float
    answered: int
    wrong: int
    n: int


def clopper_pearson(errors: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Compute the exact two-sided interval of a rate, of ``errors`` in ``n``. Clopper and Pearson 1934."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, errors, n - errors + 1)) if errors else 0.0
    high = float(beta.ppf(1 - tail, errors + 1, n - errors)) if errors < n else 1.0
    return low, high


def least_error(n: int, delta: float = DELTA) -> float:
    """Return the least error that can be certified from ``n`` answers, even if all of them are right."""
    return 1 - delta ** (1 / n) if n else 1.0


def learn_threshold(
    error: float, fitted: tuple[Any, Any], held_out: tuple[Any, Any], delta: float = DELTA
) -> Promise | None:
    """Return the promise of an error with the lowest threshold; ``None`` if it cannot be promised.

    Learn then Test (Angelopoulos et al. 2021) by split fixed sequences: the questions that the confidence was fitted to
    decide at which threshold to begin, those that were held out test it and then ever lower ones, until one fails. Each
    test is exact (binomial), at ``delta``, so that the chance of promising too much is at most ``delta`` in all.

    Args:
        fitted: confidences ``(m,)`` and whether each answer was right ``(m,)``; they cost nothing of the promise.
        held_out: the same ``(n,)`` of the others.
    """
    confidence, right = _arrays(held_out)
    sequence = _sequence(error, fitted)
    promised = None
    for threshold in sequence:
        answered = confidence >= threshold
        n, wrong = int(answered.sum()), int((answered & ~right).sum())
        if _p_value(wrong, n, error) > delta:
            break
        promised = Promise(error, float(threshold), n, wrong, len(confidence))
    return promised


def _sequence(error: float, fitted: tuple[Any, Any]) -> Sequence[float]:
    """Return the thresholds to try, from the one that the fitted questions support most down to the lowest."""
    confidence, right = _arrays(fitted)
    if not len(confidence):
        return ()
    grid = np.unique(np.quantile(confidence, np.linspace(0, 1, _STEPS + 1), method="lower"))[::-1]
    p_values = []
    for threshold in grid:
        answered = confidence >= threshold
        p_values.append(_p_value(int((answered & ~right).sum()), int(answered.sum()), error))
    # The fitted questions are a little too kind, because the confidence was fitted to them: that costs only power.
    return [float(threshold) for threshold in grid[int(np.argmin(p_values)) :]]


def _p_value(wrong: int, n: int, error: float) -> float:
    """Return the probability of this few wrong answers, or fewer, if the rate were ``error``."""
    from scipy.stats import binom

    return float(binom.cdf(wrong, n, error)) if n else 1.0


def _arrays(judged: tuple[Any, Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    confidence, right = judged
    return np.asarray(confidence, float), np.asarray(right, bool)
