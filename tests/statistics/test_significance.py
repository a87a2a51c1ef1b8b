"""Intervals and tests: equal to scipy's on worked examples, and right as often as they say (simulated, seeded)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qa.statistics import risk
from qa.statistics.significance import (
    LEVEL,
    RESAMPLES,
    detectable,
    difference,
    estimate,
    estimate_mean,
    estimate_unbounded_mean,
    holm,
    randomisation_p,
)

BEFORE = [0.6, 0.3, 1.0, 0.0, 0.5, 0.63, 0.39, 1.0, 0.43, 0.0]
AFTER = [0.9, 0.5, 1.0, 0.31, 0.43, 1.0, 0.5, 1.0, 0.63, 0.2]


def test_the_interval_of_a_mean_is_scipys_bca() -> None:
    expected = stats.bootstrap(
        (BEFORE,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="BCa",
        rng=np.random.default_rng(20_240_501),
    ).confidence_interval
    found = estimate_mean(BEFORE)
    assert found.value == pytest.approx(np.mean(BEFORE))
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])
    assert (found.n, found.method) == (10, "BCa bootstrap")


def test_the_paired_test_is_scipys_exact_one() -> None:
    expected = stats.permutation_test(
        (AFTER, BEFORE), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf,
        vectorized=True,
    ).pvalue  # fmt: skip
    found = difference(BEFORE, AFTER)
    assert found.p == pytest.approx(expected)
    assert found.estimate.value == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))


def test_a_sign_test_by_hand() -> None:
    """Six differences of one sign: 2 of 64 sign patterns are as extreme."""
    assert randomisation_p([1.0] * 6 + [0.0] * 50) == pytest.approx(2 / 64)


def test_statistics_that_are_no_means_have_scipys_interval() -> None:
    confidence, right = np.linspace(0.05, 0.95, 40), (np.arange(40) % 3 > 0).astype(float)
    expected = stats.bootstrap(
        (confidence, right), risk.calibration_error, paired=True, vectorized=False, n_resamples=1999, method="BCa",
        rng=np.random.default_rng(20_240_501),
    ).confidence_interval  # fmt: skip
    found = estimate(risk.calibration_error, list(confidence), list(right))
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])


def test_no_resample_is_computed_twice() -> None:
    calls = 0

    def counted(confidence: np.ndarray, right: np.ndarray) -> float:
        nonlocal calls
        calls += 1
        return float(risk.calibration_error(confidence, right))

    estimate(counted, list(np.linspace(0.05, 0.95, 40)), list((np.arange(40) % 3 > 0).astype(float)))
    # 1,999 resamples, the value itself (scipy computes it again) and BCa's jackknife over 40 questions.
    assert calls <= 1999 + 2 + 40


def test_values_that_are_all_one_promise_no_certainty() -> None:
    found = estimate_mean([1.0] * 20)
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 20, 1))
    assert (found.high, found.method) == (1.0, "Clopper-Pearson")
    assert estimate_mean([0.0] * 20).high == pytest.approx(1 - stats.beta.ppf(0.025, 20, 1))


@pytest.mark.parametrize("values", [[], [0.4], [0.4, 0.4, 0.4]])
def test_where_nothing_can_be_said_there_is_no_interval(values: list[float]) -> None:
    found = estimate_mean(values)
    assert (found.low, found.high, found.n) == (None, None, len(values))


def test_differences_that_are_all_equal() -> None:
    found = difference([0.5] * 9, [0.5] * 9)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (0.0, 0.0, 0.0)
    assert (found.p, found.detectable) == (1.0, None)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert risk.auroc([0.9, 0.4, 0.5, 0.4], [1, 1, 0, 0]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert np.isnan(risk.auroc([0.9, 0.4], [1, 1]))


@pytest.mark.parametrize("digits", [1, 12])
def test_auroc_and_brier_are_scikit_learns(digits: int) -> None:
    from sklearn.metrics import brier_score_loss, roc_auc_score

    rng = np.random.default_rng(5)
    confidence = rng.random(200).round(digits)
    right = rng.random(200) < confidence
    assert risk.auroc(confidence, right) == pytest.approx(roc_auc_score(right, confidence))
    assert risk.brier(confidence, right).mean() == pytest.approx(brier_score_loss(right, confidence))


def test_an_interval_of_auroc_with_few_negatives() -> None:
    """Some resamples hold no negative at all."""
    found = estimate(risk.auroc, [0.9, 0.8, 0.7, 0.2, 0.6], [1.0, 1.0, 1.0, 0.0, 1.0])
    assert found.value == 1.0
    assert found.low is not None
    assert 0.0 <= found.low <= 1.0


def test_risk_and_coverage_by_hand() -> None:
    coverage, risks = risk.risk_coverage([0.2, 0.9, 0.5, 0.7], [0, 1, 0, 1])
    assert list(coverage) == [0.25, 0.5, 0.75, 1.0]
    assert list(risks) == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert risk.aurc([0.2, 0.9, 0.5, 0.7], [0, 1, 0, 1]) == pytest.approx((1 / 3 + 1 / 2) / 4)


def test_ties_of_confidence_are_in_no_order() -> None:
    first, second = risk.risk_coverage([0.5, 0.5], [0, 1]), risk.risk_coverage([0.5, 0.5], [1, 0])
    assert list(first[1]) == list(second[1]) == [0.5, 0.5]


def test_calibration_error_by_hand() -> None:
    # 0.9, 0.95: right half of the time; 0.1: never right.
    assert risk.calibration_error([0.9, 0.95, 0.1], [1, 0, 0]) == pytest.approx((2 * (0.925 - 0.5) + 0.1) / 3)
    assert [each.n for each in risk.bins([0.9, 0.95, 0.1, 1.0], [1, 0, 0, 1])] == [1, 3]


def test_holm_by_hand() -> None:
    """Holm 1979: the smallest p times 3, the next times 2, and never less than the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= a <= 1.0 for p, a in zip(ps, adjusted, strict=True))
    in_order = [adjusted[i] for i in sorted(range(len(ps)), key=lambda i: ps[i])]
    assert in_order == sorted(in_order)


def test_what_is_detectable_is_found_as_often_as_the_power_says() -> None:
    n, sd = 40, 0.3
    shift = detectable(sd, n)
    assert shift is not None
    rng = np.random.default_rng(7)
    found = sum(stats.ttest_1samp(rng.normal(shift, sd, n), 0).pvalue < 0.05 for _ in range(1000))
    low, high = stats.binom.ppf([0.0005, 0.9995], 1000, 0.80)
    assert low <= found <= high


def per_question(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw values like those of ranking measures: many 0 and 1, and some between."""
    return rng.choice([0.0, 0.39, 0.43, 0.5, 0.63, 1.0], n, p=[0.2, 0.05, 0.1, 0.15, 0.2, 0.3])


def test_the_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.statistics.significance.RESAMPLES", 999)
    rng = np.random.default_rng(11)
    truth = 0.39 * 0.05 + 0.43 * 0.1 + 0.5 * 0.15 + 0.63 * 0.2 + 0.3
    covered, runs = 0, 600
    for _ in range(runs):
        found = estimate_mean(list(per_question(rng, 60)))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    # BCa is a little short of its level with 60 questions; a wrong interval would be far outside.
    assert stats.binom.ppf(0.0005, runs, 0.935) <= covered <= stats.binom.ppf(0.9995, runs, 0.96)


def test_the_interval_of_a_difference_covers_zero_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.statistics.significance.RESAMPLES", 999)
    rng = np.random.default_rng(13)
    covered, runs = 0, 600
    for _ in range(runs):
        found = estimate_unbounded_mean(list(per_question(rng, 60) - per_question(rng, 60)))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.0 <= found.high
    assert stats.binom.ppf(0.0005, runs, 0.935) <= covered <= stats.binom.ppf(0.9995, runs, 0.96)


def test_where_nothing_differs_the_paired_test_says_so_95_times_in_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.statistics.significance.RESAMPLES", 999)
    rng = np.random.default_rng(17)
    runs = 1000
    false = sum(randomisation_p(per_question(rng, 60) - per_question(rng, 60)) <= 0.05 for _ in range(runs))
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.05)
    assert low <= false <= high
