"""A calibration from judged questions: guesses, a regression on them, and promises, written beside the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from qa.answers.calibration import (
    CALIBRATION_FILE,
    LEVELS,
    OTHERS,
    SIGNALS,
    THIS,
    Calibration,
    Feature,
    FittedOn,
    Measured,
    Model,
    Signals,
    load_calibrations,
)
from qa.errors import CalibrationError, QueryError
from qa.evaluation.evaluate import Judged, judge
from qa.evaluation.measures import is_right
from qa.evaluation.outcomes import AskingOptions
from qa.index.snapshots import Snapshots
from qa.models.loading import EncoderFactory, make_encoder
from qa.questions.questions import QuestionSet
from qa.service.service import Service
from qa.settings import Settings
from qa.statistics.risk import auroc, bins, brier, calibration_error, learn_threshold
from qa.types import Mode, Query, Span

MODES: tuple[Mode, ...] = get_args(Mode)
# Right and wrong answers that a regression takes at least, and for each of its features; and those that it takes to
# adapt slope and intercept of another.
_LEAST = 10
_LEAST_EACH = 5
_LEAST_TO_ADAPT = 3
# How far slope and intercept are expected to lie from 1 and 0, as standard deviations.
_SLOPE_SPREAD, _INTERCEPT_SPREAD = 0.5, 2.0
# Of the range of a signal that was fitted to, how far on either side it counts: a collection of one document lies a
# little outside, and one of near-copies far (decision 0010).
_FURTHER = 0.5
# Right guesses that may be taken for irrelevant, unless they are sure enough to be answers.
_LOST = 0.05


@dataclass(frozen=True, slots=True)
class Example:
    """The signals of one guess, and whether it was right. Nothing is fitted to those that are ``held_out``.

    ``relevance`` is the highest of all that was read, ``answerable`` whether the documents answer the question.
    """

    signals: Signals
    right: bool
    held_out: bool
    relevance: float = 0.0
    answerable: bool = True


def collect_examples(service: Service, judged: Judged, mode: Mode, held_out: Callable[[str], bool]) -> list[Example]:
    """Ask the questions one after the other, and return the guesses that can be judged."""
    found = []
    for question in judged.questions:
        (guess,) = service.guess_many([Query(question.text, mode=mode)])
        if isinstance(guess, QueryError) or guess.signals is None:
            continue
        answer = guess.reply.answer
        cited = answer.citation if answer else None
        if answer is None or cited is None:
            continue
        right = is_right(question, answer.text, cited.document, Span(cited.start, cited.end))
        if right is not None:
            answerable = question.answerable is not False
            found.append(Example(guess.signals, right, held_out(question.id), guess.relevance, answerable))
    return found


def alternating(ids: Sequence[str]) -> Callable[[str], bool]:
    """Return whether a question is held out: every second one of a file is."""
    out = frozenset(ids[1::2])
    return out.__contains__


def adapt(found: Sequence[Example], base: Model) -> Model:
    """Adapt slope and intercept of a model to questions that all have an answer.

    They say nothing of when to refuse, so that is left as it was: the thresholds move with the confidence, and their
    promises remain those that were certified on other questions.

    Raises:
        CalibrationError: there are too few questions, or all are answered right, or wrong.
    """
    fitted, held = _split(base.regime, found, _LEAST_TO_ADAPT)
    model = _platt(base, fitted)
    confidence, right = [model.confidence(each.signals) for each in held], [each.right for each in held]
    return replace(model, measured=_measured(confidence, right), reliability=tuple(bins(confidence, right)))


def _split(regime: str, found: Sequence[Example], least: int) -> tuple[list[Example], list[Example]]:
    """Return the examples to fit to, and those that are held out. Raises CalibrationError if there are too few."""
    fitted = [each for each in found if not each.held_out]
    held = [each for each in found if each.held_out]
    rights = sum(each.right for each in fitted)
    if min(rights, len(fitted) - rights) < least or not held:
        raise CalibrationError(
            f"too few questions to calibrate {regime}: half of them are fitted to, and of those it takes {least} that "
            f"are answered right and {least} wrong; here {rights:,} and {len(fitted) - rights:,} are; add questions, "
            "with and without an answer"
        )
    return fitted, held


def fit(regime: str, found: Sequence[Example], base: Model | None = None) -> Model:
    """Fit a model of one regime, and measure and certify it on the examples that were held out.

    With few questions to fit to, only slope and intercept of ``base`` are fitted (Platt 1999).

    Raises:
        CalibrationError: there are too few questions, or all are right, or wrong.
    """
    fitted, held = _split(regime, found, _LEAST if base is None else _LEAST_TO_ADAPT)
    rights = sum(each.right for each in fitted)
    has_enough = min(rights, len(fitted) - rights) >= _LEAST_EACH * len(SIGNALS)
    model = _regression(regime, fitted) if base is None or has_enough else _platt(base, fitted)
    return _certified(model, fitted, [model.confidence(each.signals) for each in held], [each.right for each in held])


def fit_apart(regime: str, collections: Mapping[str, Sequence[Example]]) -> Model:
    """Fit a model on several collections, each weighing the same, and certify it by leaving each of them out in turn.

    What is measured and promised is of confidences that models of the other collections gave, so that it is what held
    on collections that nothing was fitted to. None of the examples needs to be held out.
    """
    model = _regression(regime, *_weighed(collections))
    confidence: list[float] = []
    right: list[bool] = []
    for name, found in collections.items():
        others = {other: each for other, each in collections.items() if other != name}
        without = _regression(regime, *_weighed(others))
        confidence += [without.confidence(each.signals) for each in found]
        right += [each.right for each in found]
    return _certified(model, _weighed(collections)[0], confidence, right)


def _weighed(collections: Mapping[str, Sequence[Example]]) -> tuple[list[Example], list[float]]:
    """Join collections, each example with its share of its collection."""
    joined = [(each, 1 / len(found)) for found in collections.values() for each in found]
    mean = sum(weight for _, weight in joined) / max(len(joined), 1)
    return [each for each, _ in joined], [weight / mean for _, weight in joined]


def _certified(model: Model, fitted: Sequence[Example], confidence: Sequence[float], right: Sequence[bool]) -> Model:
    """Measure a model, and learn its promises, on answers that were held out: ``(n,)`` confidences and verdicts."""
    before = [model.confidence(each.signals) for each in fitted], [each.right for each in fitted]
    promises = [learn_threshold(level, before, (confidence, right)) for level in LEVELS]
    return replace(
        model,
        promises=tuple(promise for promise in promises if promise is not None),
        measured=_measured(confidence, right),
        relevant=_least_relevance(fitted),
        reliability=tuple(bins(confidence, right)),
    )


def _least_relevance(fitted: Sequence[Example]) -> float:
    """Find the relevance below which a guess is hardly ever right, but not one at which the reader sees an answer."""
    right = [each.relevance for each in fitted if each.right]
    return min(float(np.quantile(right, _LOST)), 0.0)


def _regression(regime: str, fitted: Sequence[Example], shares: Sequence[float] | None = None) -> Model:
    values = np.array([each.signals.values for each in fitted])
    least, most = values.min(axis=0), values.max(axis=0)
    further = _FURTHER * (most - least)
    means, scales = values.mean(axis=0), values.std(axis=0)
    # What never varies tells nothing, such as a cosine where no embeddings were compared.
    columns = [at for at, scale in enumerate(scales) if scale > 1e-9]
    scaled = (values[:, columns] - means[columns]) / scales[columns]
    weights, intercept = _logistic(scaled, [each.right for each in fitted], shares)
    features = tuple(
        Feature(
            SIGNALS[column],
            low=float(least[column] - further[column]),
            high=float(most[column] + further[column]),
            mean=float(means[column]),
            scale=float(scales[column]),
            weight=weight,
        )
        for column, weight in zip(columns, weights, strict=True)
    )
    return Model(regime, len(fitted), intercept, features, (), _NOT_MEASURED)


def _platt(base: Model, fitted: Sequence[Example]) -> Model:
    """Adapt slope and intercept of ``base``, and move the thresholds of its promises with its confidence."""
    logits = _logits([base.confidence(each.signals) for each in fitted])
    slope, intercept = _fit_slope_and_intercept(logits, [each.right for each in fitted])
    features = tuple(replace(feature, weight=slope * feature.weight) for feature in base.features)
    thresholds = 1 / (1 + np.exp(-slope * _logits([promise.threshold for promise in base.promises]) - intercept))
    moved = zip(base.promises, thresholds, strict=True)
    return replace(
        base,
        n=len(fitted),
        intercept=slope * base.intercept + intercept,
        features=features,
        promises=tuple(replace(promise, threshold=float(threshold)) for promise, threshold in moved),
    )


def _fit_slope_and_intercept(logits: Any, right: Sequence[bool]) -> tuple[float, float]:
    """Fit by penalised likelihood: few answers leave a slope near 1 and an intercept near 0, as they were."""
    from scipy.optimize import minimize

    signs = np.where(right, 1.0, -1.0)

    def loss(parameters: Any) -> float:
        slope, intercept = parameters
        misfit = np.logaddexp(0, -signs * (slope * logits + intercept)).sum()
        unlikely = ((slope - 1) / _SLOPE_SPREAD) ** 2 + (intercept / _INTERCEPT_SPREAD) ** 2
        return float(misfit + unlikely / 2)

    found = minimize(loss, [1.0, 0.0], method="L-BFGS-B", bounds=[(1e-3, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def _logits(confidence: Sequence[float]) -> Any:
    clipped = np.clip(confidence, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _logistic(values: Any, right: Sequence[bool], shares: Sequence[float] | None = None) -> tuple[list[float], float]:
    """Fit a logistic regression with a ridge penalty of 1 and weights that are not negative; weights and intercept.

    Every signal is one that more of makes an answer likelier to be right. A negative weight would only make up for
    another signal that says nearly the same, and go wrong where the two part.
    """
    from scipy.optimize import minimize

    truth = np.array(right, dtype=float)
    share = np.ones(len(truth)) if shares is None else np.array(shares)

    def loss(weights: Any) -> tuple[float, Any]:
        logits = values @ weights[1:] + weights[0]
        error = share * (1 / (1 + np.exp(-logits)) - truth)
        total = share @ (np.logaddexp(0, logits) - truth * logits) + weights[1:] @ weights[1:] / 2
        return float(total), np.concatenate([[error.sum()], values.T @ error + weights[1:]])

    bounds = [(None, None)] + [(0, None)] * values.shape[1]
    found = minimize(loss, np.zeros(values.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return [float(weight) for weight in found[1:]], float(found[0])


_NOT_MEASURED = Measured(0, 0.0, None, 0.0, 0.0)


def _measured(confidence: Sequence[float], right: Sequence[bool]) -> Measured:
    is_mixed = 0 < sum(right) < len(right)
    return Measured(
        n=len(right),
        accuracy=float(np.mean(right)),
        auroc=float(auroc(confidence, right)) if is_mixed else None,
        calibration_error=float(calibration_error(confidence, right)),
        brier=float(np.mean(brier(confidence, right))),
    )


def calibrate(
    parts: Mapping[str, Sequence[Example]],
    fitted_on: Sequence[FittedOn],
    key: str,
    base: Callable[[str], Model | None] = lambda regime: None,
    *,
    collection: str = OTHERS,
    has_refusals: bool = True,
) -> Calibration:
    """Calibrate the regimes in ``parts`` that have enough questions.

    Args:
        base: returns the model of a regime to start from, if there is one.
        has_refusals: whether some questions have no answer. Without them nothing is certified, and a base is adapted.

    Raises:
        CalibrationError: none has.
    """
    models, errors = [], []
    for regime, found in parts.items():
        try:
            known = base(regime)
            if has_refusals:
                models.append(fit(regime, found, known))
            else:
                models.append(replace(fit(regime, found), promises=()) if known is None else adapt(found, known))
        except CalibrationError as error:
            errors.append(error)
    if not models:
        raise errors[0]
    return Calibration(key, tuple(fitted_on), tuple(models), collection)


def calibrate_index(
    settings: Settings, questions: QuestionSet, make: EncoderFactory = make_encoder
) -> tuple[Path, Calibration]:
    """Calibrate an index by a question file, and write the result beside the index.

    Raises:
        CalibrationError: there are too few questions.
        QuestionFileError, IndexNotFound: as an evaluation does.
    """
    judged = judge(settings, questions, AskingOptions())
    service = Service(settings, make, snapshot=judged.inputs.snapshot, is_calibrated=False)
    service.reload()
    held_out = alternating([question.id for question in judged.questions])
    parts: dict[str, list[Example]] = {mode: collect_examples(service, judged, mode, held_out) for mode in MODES}
    key = service.models_key()
    shipped = load_calibrations(None, key)
    on = FittedOn(questions.name, questions.sha256, len(judged.questions))
    has_refusals = any(question.answerable is False for question in judged.questions)
    collection = THIS if has_refusals else f"{THIS}, all with an answer,"
    calibration = calibrate(parts, [on], key, shipped.model, collection=collection, has_refusals=has_refusals)
    path = Snapshots.of(settings).folder / CALIBRATION_FILE
    calibration.write(path)
    return path, calibration
