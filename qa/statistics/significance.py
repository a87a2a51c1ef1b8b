"""Intervals of means, paired tests, and the difference that could have been detected.

Everything is seeded, so that the same values give the same numbers. scipy computes; it is imported late.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.95
POWER = 0.80
RESAMPLES = 9999
# Statistics other than means take longer to compute, and their intervals need no third digit.
_SLOW_RESAMPLES = 1999
# Values drawn at a time: this bounds memory, and how long other threads wait for this one.
_AT_A_TIME = 500_000
_SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its 95 % interval and how many questions it is of.

    ``low`` and ``high`` are ``None`` if there is no interval; ``method`` names how they were computed.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference: ``estimate`` of candidate minus baseline, two-sided ``p``, ``sd`` of the differences.

    ``detectable`` is the difference that a test at 5 % would have found with 80 % probability; ``is_any`` whether any
    pair differs.
    """

    estimate: Estimate
    p: float
    sd: float
    detectable: float | None
    is_any: bool


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Estimate the mean of values in [0, 1], with its BCa bootstrap interval (Efron 1987).

    If all are 0 or all are 1, the bootstrap sees no variation and would promise certainty. The interval is then that
    of Clopper and Pearson (1934), which also holds for values between the two.
    """
    x = np.asarray(values, float)
    if len(x) and np.ptp(x) == 0 and x[0] in (0.0, 1.0):
        return _certain(float(x[0]), len(x))
    return _bootstrap_mean(x)


def estimate_unbounded_mean(values: Sequence[float]) -> Estimate:
    """Estimate the mean of values without bounds, such as differences. Equal values have no other interval."""
    x = np.asarray(values, float)
    if len(x) > 1 and np.ptp(x) == 0:
        return Estimate(float(x[0]), len(x), float(x[0]), float(x[0]), "all equal")
    return _bootstrap_mean(x)


def estimate(statistic: Callable[..., Any], *columns: Sequence[float]) -> Estimate:
    """Estimate a statistic of paired columns, each ``(n,)``, with its BCa interval over questions.

    Args:
        statistic: a function of ``(n,)`` arrays to a number. It may be NaN for a resample, such as an AUROC of one
            class; the interval then consists of percentiles of the other resamples.
    """
    from scipy.stats import bootstrap

    data = tuple(np.asarray(column, float) for column in columns)
    n = len(data[0])
    value = float(statistic(*data)) if n else float("nan")
    if n < 2 or not np.isfinite(value):
        return Estimate(value, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=_SLOW_RESAMPLES,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        )
    low, high, method = found.confidence_interval.low, found.confidence_interval.high, "BCa bootstrap"
    resampled = found.bootstrap_distribution
    finite = resampled[np.isfinite(resampled)]
    # BCa's correction is not defined where resamples have no value, nor for degenerate data.
    if len(finite) < len(resampled) or not (np.isfinite(low) and np.isfinite(high)):
        low, high = np.percentile(finite, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
        method = "percentile bootstrap"
    return Estimate(value, n, float(low), float(high), method)


def difference(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    """Compare candidate and baseline over the same questions in the same order.

    The p-value is of the paired randomisation test (Fisher; Smucker et al. 2007): exact where few pairs differ.
    """
    d = np.asarray(candidate, float) - np.asarray(baseline, float)
    sd = float(d.std(ddof=1)) if len(d) > 1 and np.ptp(d) > 0 else 0.0
    return Difference(estimate_unbounded_mean(d), randomisation_p(d), sd, detectable(sd, len(d)), bool(d.any()))


def randomisation_p(differences: Any) -> float:
    """Compute the two-sided p of paired differences by random signs: scipy's permutation test.

    Pairs that do not differ are left out: turning their sign changes nothing.
    """
    from scipy.stats import permutation_test

    d = np.asarray(differences, float)
    d = d[d != 0]
    if len(d) < 2:
        # One pair that differs is as likely to differ the other way.
        return 1.0
    # One column is a paired test: scipy then turns the signs.
    result = permutation_test(
        (d,),
        _sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_batch(len(d)),
        rng=np.random.default_rng(_SEED),
    )
    return float(min(1.0, result.pvalue))


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979), in the order given."""
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, ps[number] * (len(ps) - place)))
        adjusted[number] = largest
    return adjusted


def detectable(sd: float, n: int) -> float | None:
    """Compute the smallest true mean difference that a paired test at 5 % finds with a power of 80 %.

    ``(t(0.975) + t(0.8)) * sd / sqrt(n)`` with ``n - 1`` degrees of freedom, the usual approximation to the noncentral
    t; ``None`` if the differences do not vary.
    """
    from scipy.stats import t

    if n < 2 or sd == 0:
        return None
    return float((t.ppf((1 + LEVEL) / 2, n - 1) + t.ppf(POWER, n - 1)) * sd / np.sqrt(n))


def _bootstrap_mean(x: Any) -> Estimate:
    from scipy.stats import bootstrap

    value = float(x.mean()) if len(x) else float("nan")
    if len(x) < 2 or np.ptp(x) == 0:
        return Estimate(value, len(x))
    for method, name in (("BCa", "BCa bootstrap"), ("percentile", "percentile bootstrap")):
        with warnings.catch_warnings():
            # Of degenerate data, where the percentiles are taken instead.
            warnings.simplefilter("ignore")
            interval = bootstrap(
                (x,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=LEVEL,
                method=method,
                batch=_batch(len(x)),
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        if np.isfinite(interval.low) and np.isfinite(interval.high):
            return Estimate(value, len(x), float(interval.low), float(interval.high), name)
    return Estimate(value, len(x))


def _certain(value: float, n: int) -> Estimate:
    edge = ((1 - LEVEL) / 2) ** (1 / n)
    low, high = (edge, 1.0) if value == 1.0 else (0.0, 1.0 - edge)
    return Estimate(value, n, low, high, "Clopper-Pearson")


def _batch(n: int) -> int:
    return max(1, _AT_A_TIME // max(n, 1))


def _sum(values: Any, axis: int = -1) -> Any:
    return values.sum(axis=axis)
