"""Confidence from raw signals: exact bounds, promises that hold, and a file that says what it is of."""

from __future__ import annotations

import json
import re
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from qa.answers.calibration import (
    CALIBRATION_FILE,
    RELEVANT,
    SHIPPED,
    SIGNALS,
    THIS,
    Calibration,
    Calibrations,
    FittedOn,
    Signals,
    Verdict,
    models_key,
    regime_of,
)
from qa.errors import CalibrationError
from qa.evaluation.calibrate import Example, adapt, alternating, calibrate, fit, fit_apart
from qa.models.files import locate
from qa.service.service import Service
from qa.settings import DEFAULT_MODEL, Settings
from qa.statistics.risk import clopper_pearson, learn_threshold, least_error
from qa.types import Leg, Query
from tests.conftest import Build, hashing_encoder, shared_reader

ENCODER = {"weights": "w", "tokenizer": "t", "precision": "bf16", "runtime": "openvino"}
READER = {"weights": "r"}
KEY = models_key(ENCODER, READER)


def drawn(n: int, seed: int = 0) -> list[Example]:
    """Examples whose first signal tells how likely they are right."""
    random = np.random.default_rng(seed)
    values = random.uniform(size=(n, len(SIGNALS)))
    rights = random.uniform(size=n) < 1 / (1 + np.exp(-8 * (values[:, 0] - 0.4)))
    return [
        Example(Signals(*map(float, row)), bool(r), at % 2 == 1)
        for at, (row, r) in enumerate(zip(values, rights, strict=True))
    ]


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys(counts: tuple[int, int]) -> None:
    errors, n = counts
    exact = binomtest(errors, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(errors, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_what_cannot_be_certified() -> None:
    assert least_error(60) == pytest.approx(clopper_pearson(0, 60, 0.9)[1])
    assert 0.048 < least_error(60) < 0.049
    assert least_error(0) == 1
    assert least_error(59) <= 0.05 < least_error(58)


def test_a_promise_is_kept() -> None:
    """Over repeated draws the true error at the learned threshold exceeds the promise no oftener than delta allows."""
    random = np.random.default_rng(1)
    broken = learned = 0
    for _ in range(400):
        confidence = random.uniform(size=1500)
        right = random.uniform(size=1500) < confidence
        promise = learn_threshold(0.2, (confidence[:750], right[:750]), (confidence[750:], right[750:]))
        if promise is not None:
            learned += 1
            # Of confidences that are uniform and true, the error above t is (1 - t) / 2.
            broken += (1 - promise.threshold) / 2 > 0.2
    assert learned > 300
    assert broken <= 0.08 * 400


def test_too_few_questions_promise_nothing() -> None:
    confidence, right = np.linspace(0.9, 1, 10), np.ones(10, bool)
    assert learn_threshold(0.05, (confidence, right), (confidence, right)) is None
    assert learn_threshold(0.05, ([], []), ([], [])) is None


def test_a_fitted_model_tells_right_from_wrong_and_is_calibrated() -> None:
    model = fit("hybrid", drawn(2000))
    assert model.measured.auroc is not None
    assert model.measured.auroc > 0.8
    assert model.measured.calibration_error < 0.06
    promise = model.promise(0.1)
    assert promise is not None
    assert promise.wrong <= 0.1 * promise.answered
    assert model.promise(0.001) is None


def test_what_lies_far_outside_what_was_fitted_counts_as_its_edge() -> None:
    """Such as a collection of near-copies, whose best cosine stands out twice as far as in any collection fitted to."""
    model = fit("hybrid", drawn(2000))
    usual = drawn(1, seed=3)[0].signals
    edge, beyond, far = (model.confidence(replace(usual, cosine=value)) for value in (1.5, 2.0, 31.0))
    assert beyond == far == pytest.approx(edge, abs=0.01)


def test_with_few_questions_the_base_is_rescaled() -> None:
    base = fit("hybrid", drawn(2000))
    model = fit("hybrid", drawn(80, seed=5), base)
    pairs = [(f.weight, b.weight) for f, b in zip(model.features, base.features, strict=True) if b.weight > 1e-6]
    ratios = {round(mine / its, 6) for mine, its in pairs}
    assert len(ratios) == 1


def test_too_few_are_refused_in_words() -> None:
    with pytest.raises(
        CalibrationError, match=r"too few questions .* it takes 10 that are answered right and 10 wrong"
    ):
        fit("hybrid", drawn(12))


def test_it_is_written_and_read_whole(tmp_path: Path) -> None:
    calibration = calibrate({"hybrid": drawn(300)}, [FittedOn("q", "0" * 64, 300)], KEY)
    calibration.write(tmp_path / CALIBRATION_FILE)
    assert Calibration.read(tmp_path / CALIBRATION_FILE) == calibration
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION_FILE]


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"format": 1}', "version", "signal", "infinite", "changed"], ids=lambda damage: damage[:8]
)
def test_a_damaged_one_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / CALIBRATION_FILE
    calibrate({"hybrid": drawn(300)}, [FittedOn("q", "0" * 64, 300)], KEY).write(path)
    content = json.loads(path.read_text())
    if damage == "version":
        content["signals"] = "0"
    elif damage == "signal":
        content["models"][0]["features"][0]["name"] = "none such"
    elif damage == "infinite":
        content["models"][0]["intercept"] = float("nan")
    elif damage == "changed":
        content["models"][0]["intercept"] += 1
    if damage != "changed":
        del content["sha256"]
    path.write_text(damage if damage[0] in "{[" else json.dumps(content))
    with pytest.raises(CalibrationError, match=r"calibration\.json is .*qa calibrate again"):
        Calibration.read(path)


def judge(calibrations: Calibrations, signals: Signals, max_error: float, regime: str = "hybrid") -> Verdict:
    return calibrations.judge(regime, signals, 0.0, max_error)


def test_an_encoder_is_known_by_its_files_and_not_by_its_precision() -> None:
    assert models_key({**ENCODER, "precision": "float32"}, READER) == KEY
    assert models_key({**ENCODER, "weights": "v"}, READER) != KEY
    assert models_key(ENCODER, {"weights": "s"}) != KEY


def test_what_was_not_calibrated_has_no_confidence_and_says_so() -> None:
    calibration = calibrate({"hybrid": drawn(300)}, [FittedOn("q", "0" * 64, 300)], KEY)
    signals = drawn(1)[0].signals
    assert judge(Calibrations([calibration], KEY), signals, 0.2).confidence is not None
    other = judge(Calibrations([calibration], "another"), signals, 0.2)
    assert other.confidence is None
    assert "these models" in other.note
    unsearched = judge(Calibrations([calibration], KEY), signals, 0.2, "hybrid+rerank")
    assert unsearched.confidence is None
    assert "hybrid+rerank" in unsearched.note


def test_a_guess_is_unsure_and_what_is_irrelevant_is_not_found() -> None:
    model = replace(fit("hybrid", drawn(2000)), relevant=-1.0)
    calibrations = Calibrations([replace(calibrate({"hybrid": drawn(300)}, [], KEY), models=(model,))], KEY)
    surest, least = (
        pick(drawn(200, seed=4), key=lambda each: model.confidence(each.signals)).signals for pick in (max, min)
    )
    outcomes = [
        calibrations.judge("hybrid", signals, relevance, 0.2).outcome
        for signals, relevance in ((surest, 0.0), (least, 0.0), (least, -2.0))
    ]
    assert outcomes == ["answered", "unsure", "not_found"]


@pytest.mark.parametrize(
    ("score", "relevance", "outcome"),
    [(3.0, 2.0, "answered"), (-3.0, 2.0, "unsure"), (3.0, -1.0, "unsure"), (-3.0, RELEVANT - 1, "not_found")],
)
def test_without_a_calibration_the_reader_decides(score: float, relevance: float, outcome: str) -> None:
    signals = replace(drawn(1)[0].signals, score=score)
    assert Calibrations((), KEY).judge("hybrid", signals, relevance, 0.2).outcome == outcome


def test_the_basis_says_what_the_figure_is_of() -> None:
    model = fit("hybrid", drawn(2000))
    calibration = replace(calibrate({"hybrid": drawn(300)}, [], KEY), models=(model,))
    basis = judge(Calibrations([calibration], KEY), drawn(1)[0].signals, 0.2).basis
    assert re.fullmatch(
        r"of 1,000 questions over other collections, \d+ had an answer about as sure as this one, and \d+ of 10 of "
        "these were right",
        basis,
    )


def test_a_calibration_of_few_questions_leaves_the_basis_to_the_one_that_ships() -> None:
    shipped = calibrate({"hybrid": drawn(2000)}, [], KEY)
    few = calibrate({"hybrid": drawn(40, seed=3)}, [], KEY, Calibrations([shipped], KEY).model, collection=THIS)
    signals = drawn(1)[0].signals
    assert "over other collections" in judge(Calibrations([few, shipped], KEY), signals, 0.2).basis
    assert judge(Calibrations([few], KEY), signals, 0.2).basis == ""
    many = calibrate({"hybrid": drawn(200, seed=3)}, [], KEY, collection=THIS)
    assert "over this collection" in judge(Calibrations([many, shipped], KEY), signals, 0.2).basis


def test_a_calibration_of_few_questions_comes_with_a_warning_and_the_way_back(tmp_path: Path) -> None:
    from qa.cli.evaluate import describe_way_back

    path = tmp_path / CALIBRATION_FILE
    shipped = calibrate({"hybrid": drawn(2000)}, [], KEY)
    few = calibrate({"hybrid": drawn(40, seed=3)}, [], KEY, Calibrations([shipped], KEY).model)
    warning, back = describe_way_back(few, path)
    assert warning.startswith("Warning: only 20 questions were held out")
    assert back == f"To go back to the calibration that ships, remove {path}."
    assert describe_way_back(shipped, path) == [back]


def test_less_error_answers_less() -> None:
    calibrations = Calibrations([calibrate({"hybrid": drawn(2000)}, [], KEY)], KEY)
    answered = [
        sum(judge(calibrations, each.signals, error).outcome == "answered" for each in drawn(500, seed=9))
        for error in (0.05, 0.1, 0.2, 0.4)
    ]
    assert answered == sorted(answered)
    assert answered[0] < answered[-1]


def test_what_is_not_certified_is_said() -> None:
    model = replace(fit("hybrid", drawn(300)), promises=())
    calibration = replace(calibrate({"hybrid": drawn(300)}, [], KEY), models=(model,))
    verdict = judge(Calibrations([calibration], KEY), drawn(1)[0].signals, 0.05)
    assert verdict.promised_error is None
    assert "could not be certified" in verdict.note


def test_the_legs_that_took_part_decide_the_regime() -> None:
    both = (Leg("dense", True), Leg("lexical", True))
    assert regime_of(Query("?"), both) == "hybrid"
    assert regime_of(Query("?"), (Leg("dense", False, "blind"), both[1])) == "lexical"
    assert regime_of(Query("?", rerank=True), both) == "hybrid+rerank"


def test_the_one_that_ships_fits_the_default_model() -> None:
    shipped = Calibrations(
        [Calibration.read(SHIPPED)], models_key(locate(DEFAULT_MODEL).fingerprint, shared_reader().fingerprint)
    )
    for mode in ("hybrid", "dense", "lexical"):
        model = shipped.model(mode)
        assert model is not None
        assert model.promises
        assert model.measured.n >= 200


def test_collections_weigh_the_same_and_are_certified_left_out() -> None:
    model = fit_apart("hybrid", {"small": drawn(200), "large": drawn(1500, seed=3), "other": drawn(300, seed=4)})
    assert model.measured.n == 2000
    assert all(feature.weight >= 0 for feature in model.features)
    promise = model.promise(0.2)
    assert promise is not None
    assert promise.wrong <= 0.2 * promise.answered


def test_half_of_the_questions_are_held_out() -> None:
    held_out = alternating(["a", "b", "c", "d"])
    assert [held_out(id) for id in "abcd"] == [False, True, False, True]


def test_an_index_refuses_a_damaged_calibration(settings: Settings, build: Build) -> None:
    build()
    (settings.indexes / settings.name / CALIBRATION_FILE).write_text("{")
    with pytest.raises(CalibrationError):
        Service(settings, make=hashing_encoder).reload()


def test_signals_are_numbers_in_the_order_of_their_names() -> None:
    signals = drawn(1)[0].signals
    assert signals.values == astuple(signals)
    assert len(SIGNALS) == len(signals.values)


def test_the_command_writes_it_beside_the_index(settings: Settings, build: Build, tmp_path: Path) -> None:
    from qa.cli.evaluate import describe_calibration
    from qa.evaluation.calibrate import calibrate_index
    from qa.questions.formats import load_questions

    build()
    path = tmp_path / "questions.jsonl"
    asked = [
        {"id": f"q{at}", "question": "What ripens in autumn?", "answers": ["Pears"]}
        if at % 4 < 2
        else {"id": f"q{at}", "question": f"Who sold number {at}?", "answerable": False}
        for at in range(48)
    ]
    path.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    # One of an older program, which no service would take.
    (settings.indexes / settings.name / CALIBRATION_FILE).write_text('{"format": 0}', encoding="utf-8")
    written, calibration = calibrate_index(settings, load_questions(path), hashing_encoder)
    assert written == settings.indexes / settings.name / CALIBRATION_FILE
    assert Calibration.read(written) == calibration
    assert calibration.fitted_on == (FittedOn("questions.jsonl", load_questions(path).sha256, 48),)
    assert any(
        "with 24 held-out questions an error below 11.7% cannot be certified" in line
        for line in describe_calibration(calibration)
    )
    service = Service(settings, make=hashing_encoder)
    service.reload()
    answer = service.ask(Query("What ripens in autumn?")).answer
    assert answer is not None
    assert answer.confidence is not None


def test_questions_that_all_have_an_answer_certify_nothing(settings: Settings, build: Build, tmp_path: Path) -> None:
    from qa.cli.evaluate import describe_calibration
    from qa.evaluation.calibrate import calibrate_index
    from qa.questions.formats import load_questions

    build()
    path = tmp_path / "questions.jsonl"
    asked = [
        {"id": f"q{at}", "question": f"What ripens in autumn {at}?", "answers": ["Pears" if at % 4 < 2 else "Cherries"]}
        for at in range(48)
    ]
    path.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    _, calibration = calibrate_index(settings, load_questions(path), hashing_encoder)
    assert calibration.models
    assert not any(model.promises for model in calibration.models)
    lines = describe_calibration(calibration, has_refusals=False)
    assert lines[-1].startswith("Nothing is certified of refusals")
    assert not any("cannot be certified" in line for line in lines[:-1])


def test_a_few_answers_move_a_confidence_a_little() -> None:
    base = fit("hybrid", drawn(2000))
    few, many = ([replace(each, right=at % 4 < 2) for at, each in enumerate(drawn(n, seed=7))] for n in (20, 2000))
    signals = [each.signals for each in drawn(200, seed=3)]
    before = np.array(list(map(base.confidence, signals)))
    moved = [abs(np.array(list(map(adapt(found, base).confidence, signals))) - before).mean() for found in (few, many)]
    assert 0 < moved[0] < moved[1]
    with pytest.raises(CalibrationError, match="it takes 3 that are answered right and 3 wrong"):
        adapt([replace(each, right=True) for each in few], base)


def test_questions_that_all_have_an_answer_leave_refusals_as_they_were() -> None:
    base = fit("hybrid", drawn(400))
    assert base.promises
    # The same answers, but more of them are right: confidence rises, and refusals must not follow it.
    kind = [replace(each, right=each.right or at % 3 == 0) for at, each in enumerate(drawn(200, seed=1))]
    (adapted,) = calibrate({"hybrid": kind}, [], "key", lambda regime: base, has_refusals=False).models
    sure = [each.signals for each in kind]
    assert sum(map(adapted.confidence, sure)) > sum(map(base.confidence, sure))
    assert [promise.error for promise in adapted.promises] == [promise.error for promise in base.promises]
    for before, after in zip(base.promises, adapted.promises, strict=True):
        refused = [base.confidence(signals) < before.threshold for signals in sure]
        assert [adapted.confidence(signals) < after.threshold for signals in sure] == refused
