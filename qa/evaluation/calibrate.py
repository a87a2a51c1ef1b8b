"""A calibration from judged questions: guesses, a regression on them, and promises, written beside the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qa.answers.calibration import (
    CALIBRATION_FILE,
    LEVELS,
    OTHERS,
    THIS,
    Calibration,
    Feature,
    FittedOn,
    Measured,
    Model,
    load_calibrations,
)
from qa.answers.signals import SIGNALS, Signals
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

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
# Right and wrong answers that a regression takes at least, and for each of its features.
_LEAST = 10
_LEAST_EACH = 5
# Of the range of a signal that was fitted to, how far on either side it counts: a collection of one document lies a
# little outside, and one of near-copies far (decision 0010).
_FURTHER = 0.5
# What the regression takes. All the signals tell right from wrong no better on sets that were left out
# (benchmarks.calibration), and each that is left over is one more way to learn a set by heart.
FEATURES = ("score", "relevance", "share", "margin", "top", "passage")
# Right guesses that may be taken for irrelevant.
_LOST = 0.02


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


def examples(
    service: Service, judged: Judged, mode: Mode, held_out: Callable[[str], bool], asked: Callable[[], None]
) -> list[Example]:
    """Ask the questions one after the other, and return the guesses that can be judged."""
    found = []
    for question in judged.questions:
        (guess,) = service.guess_many([Query(question.text, mode=mode)])
        asked()
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


def fit(regime: str, found: Sequence[Example], base: Model | None = None) -> Model:
    """Fit a model of one regime, and measure and certify it on the examples that were held out.

    With few questions to fit to, only slope and intercept of ``base`` are fitted (Platt 1999).

    Raises:
        CalibrationError: there are too few questions, or all are right, or wrong.
    """
    fitted = [each for each in found if not each.held_out]
    held = [each for each in found if each.held_out]
    rights = sum(each.right for each in fitted)
    fewer = min(rights, len(fitted) - rights)
    if fewer < _LEAST or not held:
        raise CalibrationError(
            f"too few questions to calibrate {regime} from: of {len(fitted):,} to fit to, {rights:,} are answered "
            f"right and {len(fitted) - rights:,} wrong, and it takes {_LEAST} of each; add questions, with and without "
            "answer"
        )
    has_enough = fewer >= _LEAST_EACH * len(FEATURES)
    model = _regression(regime, fitted) if base is None or has_enough else _platt(base, fitted)
    of_fitted, of_held = ([model.confidence(e.signals) for e in part] for part in (fitted, held))
    right_fitted, right_held = ([e.right for e in part] for part in (fitted, held))
    promises = [learn_threshold(level, (of_fitted, right_fitted), (of_held, right_held)) for level in LEVELS]
    return replace(
        model,
        promises=tuple(promise for promise in promises if promise is not None),
        measured=_measured(of_held, right_held),
        relevant=_least_relevance(fitted),
        reliability=tuple(bins(of_held, right_held)),
    )


def _least_relevance(fitted: Sequence[Example]) -> float:
    """Find the relevance below which a guess is hardly ever right, but not one at which the reader sees an answer."""
    right = [each.relevance for each in fitted if each.right]
    return min(float(np.quantile(right, _LOST)), 0.0)


def _regression(regime: str, fitted: Sequence[Example]) -> Model:
    values = np.array([each.signals.values for each in fitted])
    least, most = values.min(axis=0), values.max(axis=0)
    further = _FURTHER * (most - least)
    means, scales = values.mean(axis=0), values.std(axis=0)
    # What never varies tells nothing, such as a cosine where no embeddings were compared.
    columns = [at for at, scale in enumerate(scales) if scale > 1e-9 and SIGNALS[at] in FEATURES]
    scaled = (values[:, columns] - means[columns]) / scales[columns]
    weights, intercept = _logistic(scaled, [each.right for each in fitted])
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
    confidence = np.clip([base.confidence(each.signals) for each in fitted], 1e-9, 1 - 1e-9)
    logits = np.log(confidence / (1 - confidence))
    (slope,), intercept = _logistic(logits[:, None], [each.right for each in fitted])
    features = tuple(replace(feature, weight=slope * feature.weight) for feature in base.features)
    return Model(base.regime, len(fitted), slope * base.intercept + intercept, features, (), _NOT_MEASURED)


def _logistic(values: Any, right: Sequence[bool]) -> tuple[list[float], float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000).fit(values, np.array(right))
    return [float(weight) for weight in model.coef_[0]], float(model.intercept_[0])


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
) -> Calibration:
    """Calibrate the regimes in ``parts`` that have enough questions.

    Raises:
        CalibrationError: none has.
    """
    models, errors = [], []
    for regime, found in parts.items():
        try:
            models.append(fit(regime, found, base(regime)))
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
    parts: dict[str, list[Example]] = {mode: examples(service, judged, mode, held_out, lambda: None) for mode in MODES}
    key = service.models_key()
    shipped = load_calibrations(None, key)
    on = FittedOn(questions.name, questions.sha256, len(judged.questions))
    calibration = calibrate(parts, [on], key, shipped.model, collection=THIS)
    path = Snapshots(settings.indexes, settings.name).folder / CALIBRATION_FILE
    calibration.write(path)
    return path, calibration
