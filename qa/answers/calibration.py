"""Signals of an answer to the probability that it is right, and the thresholds that keep a promised error.

A signal is a raw score, never one that only ranks. A calibration is a JSON file: a logistic regression for each way of
searching, what it was fitted on, how well it did on questions that it was not fitted to, and for each error that could
be certified the threshold (``qa.statistics.risk``). Applying it is plain arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from qa.answers.spans import Choice
from qa.errors import CalibrationError
from qa.files import sum_of_values, write_atomically
from qa.statistics.risk import Bin, Promise
from qa.types import AnswerOutcome, Leg, Query

# Named in calibrations: one that was fitted to signals of another version fits no more.
SIGNALS_VERSION = "3"


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of one question and the answer chosen for it.

    Of the reader: ``score`` of the span, ``relevance`` of its excerpt, and ``margin``, how far the score is above the
    best that answers otherwise. Of the search: ``cosine`` of the chosen passage, 0 where no embeddings were compared,
    and ``place``, 1 divided by its rank.

    docs/decisions/0019 says what was tried beside these and told no more on sets that were left out.
    """

    score: float
    relevance: float
    margin: float
    cosine: float
    place: float

    @property
    def values(self) -> tuple[float, ...]:
        """Return the signals in the order of :data:`SIGNALS`."""
        return astuple(self)


SIGNALS = tuple(field.name for field in fields(Signals))


def measure_signals(choices: Sequence[Choice]) -> Signals:
    """Take the signals of the best of ``choices``, which are best first and not empty."""
    best = choices[0]
    mine = _plain(best.text)
    others = [choice.score for choice in choices[1:] if not _says_the_same(mine, _plain(choice.text))]
    return Signals(
        score=best.score,
        relevance=best.relevance,
        margin=best.score - max(others, default=0.0),
        cosine=best.excerpt.hit.scores.dense or 0.0,
        place=1 / best.excerpt.hit.rank,
    )


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _says_the_same(one: str, other: str) -> bool:
    return bool(one and other) and (f" {one} " in f" {other} " or f" {other} " in f" {one} ")


FORMAT = 3
CALIBRATION_FILE = "calibration.json"
_SUM = "sha256"
OTHERS = "other collections"
THIS = "this collection"
# The relevance logit below which nothing was found, where nothing was calibrated.
RELEVANT = -2.0
SHIPPED = Path(__file__).parent / "calibrations" / "default.json"
# Held-out questions from which a calibration says how often answers as sure were right; fewer are an anecdote.
LEAST_MEASURED = 50
# The errors for which thresholds are learned.
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
# What of an encoder's fingerprint decides cosines: not the precision, nor what runs it.
_DECIDES = ("weights", "architecture", "tokenizer", "modules", "prompts", "window")


@dataclass(frozen=True, slots=True)
class Feature:
    """A signal as the regression takes it: ``weight * (value - mean) / scale``, with a value below ``low`` or above
    ``high`` taken as that, because nothing was fitted to what lies far outside.
    """

    name: str
    low: float
    high: float
    mean: float
    scale: float
    weight: float

    def part(self, value: float) -> float:
        """Return what the signal adds to the logit."""
        return self.weight * (min(max(value, self.low), self.high) - self.mean) / self.scale


@dataclass(frozen=True, slots=True)
class Measured:
    """On ``n`` questions that nothing was fitted to: the share of right answers, and how well confidence tells them.

    ``auroc`` is ``None`` where all were right, or none.
    """

    n: int
    accuracy: float
    auroc: float | None
    calibration_error: float
    brier: float


@dataclass(frozen=True, slots=True)
class Model:
    """The model of one regime: a way of searching, such as ``hybrid`` or ``hybrid+rerank``.

    ``n`` questions it was fitted to. ``relevant`` is the relevance logit below which nothing that was read holds the
    answer. ``reliability`` says, by confidence, how often answers were right on questions that it was not fitted to.
    """

    regime: str
    n: int
    intercept: float
    features: tuple[Feature, ...]
    promises: tuple[Promise, ...]
    measured: Measured
    relevant: float = RELEVANT
    reliability: tuple[Bin, ...] = ()

    def confidence(self, signals: Signals) -> float:
        """Give the probability that the answer is right."""
        values = dict(zip(SIGNALS, signals.values, strict=True))
        logit = self.intercept + sum(feature.part(values[feature.name]) for feature in self.features)
        return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0

    def promise(self, max_error: float) -> Promise | None:
        """Find the one that answers most of those that keep to an error; ``None`` where none was certified."""
        kept = [promise for promise in self.promises if promise.error <= max_error + 1e-9]
        return min(kept, key=lambda promise: (promise.threshold, promise.error), default=None)

    def basis(self, confidence: float, collection: str) -> str:
        """Say what a confidence is of: how often answers as sure were right, and on what; empty if not measured."""
        for each in self.reliability:
            if each.low <= confidence < each.high or (each.high >= 1.0 <= confidence):
                return (
                    f"of {self.measured.n:,} questions over {collection}, {each.n:,} had an answer about as sure as "
                    f"this one, and {round(10 * each.accuracy)} of 10 of these were right"
                )
        return ""


@dataclass(frozen=True, slots=True)
class FittedOn:
    """A file of questions: its name, the SHA-256 of its bytes, and how many of its questions were asked."""

    name: str
    sha256: str
    questions: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a guess; see :class:`qa.types.Answer`."""

    outcome: AnswerOutcome
    confidence: float | None
    promised_error: float | None = None
    note: str = ""
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The models of one pair of encoder and reader, of which ``key`` is :func:`models_key`.

    ``collection`` says in words whose questions they were fitted to: those of this collection, or of others.
    """

    key: str
    fitted_on: tuple[FittedOn, ...]
    models: tuple[Model, ...]
    collection: str = OTHERS

    def write(self, path: Path) -> None:
        """Write the file whole or not at all. Raises StorageError."""
        values = {"format": FORMAT, "signals": SIGNALS_VERSION, **asdict(self)}
        content = {**values, _SUM: sum_of_values(values)}
        write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read and check a file. Raises CalibrationError, naming the file and what is wrong with it."""
        try:
            content = json.loads(path.read_bytes())
            if (content["format"], content["signals"]) != (FORMAT, SIGNALS_VERSION):
                raise CalibrationError(f"{path} is of another version of the program; run qa calibrate again")
            expected = content.pop(_SUM, None)
            if expected is not None and expected != sum_of_values(content):
                raise ValueError("its values are not those that were written")
            fitted_on = tuple(FittedOn(**each) for each in content["fitted_on"])
            models = tuple(map(_parse_model, content["models"]))
            return cls(content["key"], fitted_on, models, content["collection"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CalibrationError(f"{path} is no calibration ({error}); run qa calibrate again") from error


def _parse_model(content: Mapping[str, Any]) -> Model:
    features = tuple(Feature(**each) for each in content["features"])
    numbers = [
        content["intercept"],
        content["relevant"],
        *(n for f in features for n in (f.low, f.high, f.mean, f.scale, f.weight)),
    ]
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers) or any(
        f.scale <= 0 or f.low > f.high for f in features
    ):
        raise ValueError("a number of its regression is wrong")
    if unknown := {feature.name for feature in features} - set(SIGNALS):
        raise ValueError(f"it knows signals that do not exist: {', '.join(sorted(unknown))}")
    promises = tuple(Promise(**each) for each in content["promises"])
    measured = Measured(**content["measured"])
    reliability = tuple(Bin(**each) for each in content["reliability"])
    return Model(
        content["regime"],
        content["n"],
        content["intercept"],
        features,
        promises,
        measured,
        content["relevant"],
        reliability,
    )


class Calibrations:
    """Calibrations for one pair of encoder and reader, the first that fits wins.

    Args:
        known: such as that of a collection before the one that ships.
        key: :func:`models_key` of the models in use.

    ``collection`` says whose questions the first of them was fitted to; empty where none fits.
    """

    def __init__(self, known: Sequence[Calibration], key: str) -> None:
        fitting = [calibration for calibration in known if calibration.key == key]
        self._models = {model.regime: model for each in reversed(fitting) for model in each.models}
        self._measured = {
            model.regime: (model, each.collection)
            for each in reversed(fitting)
            for model in each.models
            if model.measured.n >= LEAST_MEASURED
        }

        self.collection = fitting[0].collection if fitting else ""

    def model(self, regime: str) -> Model | None:
        return self._models.get(regime)

    def judge(self, regime: str, signals: Signals, relevance: float, max_error: float) -> Verdict:
        """Decide whether to answer, so that answers are wrong at most ``max_error`` of the time.

        Args:
            relevance: the highest of all that was read.
        """
        if regime not in self._models:
            which = "these models" if not self._models else f"searching {regime}"
            is_sure = signals.score > 0 and relevance > 0
            outcome: AnswerOutcome = "answered" if is_sure else "unsure" if relevance > RELEVANT else "not_found"
            return Verdict(outcome, None, note=f"nothing was calibrated for {which}; qa calibrate does it")
        model = self._models[regime]
        confidence = model.confidence(signals)
        promise = model.promise(max_error)
        # Without a promise, the best that can be done, and said to be without.
        least = 1 - max_error if promise is None else promise.threshold
        outcome = "answered" if confidence >= least else "unsure" if relevance >= model.relevant else "not_found"
        note = f"an error of {max_error:.0%} could not be certified from {model.measured.n:,} held-out questions"
        return Verdict(
            outcome,
            confidence,
            None if promise is None else promise.error,
            note if promise is None else "",
            self._basis(regime, confidence),
        )

    def _basis(self, regime: str, confidence: float) -> str:
        """Say what a confidence rests on, by the first calibration that was measured on enough questions."""
        if regime not in self._measured:
            return ""
        model, collection = self._measured[regime]
        return model.basis(confidence, collection)


def regime_of(query: Query, legs: Sequence[Leg]) -> str:
    """Name the way of searching by the legs that took part, and by whether a cross-encoder gave the order."""
    used = {leg.name for leg in legs if leg.used}
    searched = "hybrid" if len(used) > 1 else next(iter(used), query.mode)
    return searched + "+rerank" * query.rerank


def models_key(encoder: Mapping[str, Any], reader: Mapping[str, Any]) -> str:
    """Hash what decides an encoder's cosines and a reader's logits."""
    decides = {name: encoder[name] for name in _DECIDES if name in encoder}
    both = json.dumps([decides, dict(reader)], sort_keys=True)
    return hashlib.sha256(both.encode()).hexdigest()[:16]


def load_calibrations(folder: Path | None, key: str) -> Calibrations:
    """Read that of an index's folder, where there is one, and the one that ships. Raises CalibrationError."""
    known = [Calibration.read(folder / CALIBRATION_FILE)] if folder and (folder / CALIBRATION_FILE).exists() else []
    shipped = [Calibration.read(SHIPPED)] if SHIPPED.exists() else []
    return Calibrations([*known, *shipped], key)
