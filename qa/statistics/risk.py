"""How far a confidence can be trusted: whether it separates, what is risked at each coverage, whether it is calibrated.

``confidence`` is an answer's probability of being right, ``right`` whether it was, both by question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with a confidence in ``[low, high)``, the last bin including 1: how sure, how often right, how many."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def auroc(confidence: Any, positive: Any) -> float:
    """The probability that a positive has the higher confidence than a negative, ties counting half.

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
    """Coverage and risk if only the ``i`` surest are answered, for each ``i``: ``(n,)`` each.

    Equal confidences are answered together or not at all, so that their order decides nothing: within them the curve
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
    """The area under the risk-coverage curve: the mean risk over all coverages. Geifman et al. 2019. 0 is best."""
    return float(risk_coverage(confidence, right)[1].mean())


def bins(confidence: Any, right: Any) -> list[Bin]:
    """Answers by confidence, in ``BINS`` of equal width; those without answers are left out."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    which = _bin_of(confidence)
    found = []
    for number in range(BINS):
        inside = which == number
        if inside.any():
            edges = (number / BINS, (number + 1) / BINS)
            found.append(Bin(*edges, float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return found


def calibration_error(confidence: Any, right: Any) -> Any:
    """Expected calibration error over ``BINS`` of equal width (Naeini et al. 2015), along the last axis.

    With few questions it is too high even of a perfect confidence.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    gap, which = confidence - right, _bin_of(confidence)
    errors = sum(abs(np.where(which == number, gap, 0.0).sum(axis=-1)) for number in range(BINS))
    return errors / confidence.shape[-1]


def brier(confidence: Any, right: Any) -> Any:
    """The mean squared difference (Brier 1950), by question: its mean is the score."""
    return (np.asarray(confidence, float) - np.asarray(right, float)) ** 2


def _bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
