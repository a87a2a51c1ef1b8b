"""What tells an answer that is right from one that is not: raw scores only, never the one that ranks.

Raw signals to the probability that an answer is right, and the thresholds that keep an error promised.

A calibration is a JSON file: a logistic regression for each way of searching, what it was fitted on, how well it did
on questions that it was not fitted to, and for each error that could be certified the threshold (``risk_control``).
Applying it is plain arithmetic.

An answer in lines of words, for a terminal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from qa.answers.sentences import Asked, Candidate
from qa.errors import CalibrationError
from qa.files import write_atomically
from qa.search.retriever import Found
from qa.statistics.risk import Promise
from qa.types import Answer, Citation, Leg, Query

# Told in calibrations: one that was fitted to signals of another version fits no more.
SIGNALS_VERSION = "1"

# BM25 gives a word at most k1 + 1 times its inverse document frequency.
_MOST = 2.2


@dataclass(frozen=True, slots=True)
class Signals:
    """Of one question and the sentence chosen for it. Cosines are 0 where no embeddings were compared.

    ``top`` is the best cosine of the passages read, ``gap`` how far it is above the best of another document,
    ``beyond`` how many standard deviations it is above the mean of windows chosen at random. ``words`` is the best BM25
    score as a share of the most that the question's words could give. ``passage`` and ``sentence`` are shares of the
    question's words, by inverse document frequency, that the chosen sentence's passage and it itself hold, ``near``
    that of its neighbours; ``window`` is its cosine, ``margin`` how far it is above the second. ``agree`` is 1 where
    meaning and words put the same passage first, ``first`` the reciprocal of the passage's rank. ``phrase`` is 1 where
    it holds one clear phrase of the kind that is asked for, ``no_phrase`` where a kind is asked for and it holds none,
    ``heading`` where it adds hardly a word. ``reader`` is the score of the reader's span; 0 without a reader.
    """

    top: float
    gap: float
    beyond: float
    words: float
    passage: float
    sentence: float
    near: float
    window: float
    margin: float
    agree: float
    first: float
    phrase: float
    no_phrase: float
    heading: float
    reader: float = 0.0

    @property
    def values(self) -> tuple[float, ...]:
        """In the order of :data:`SIGNALS`."""
        return astuple(self)


SIGNALS = tuple(field.name for field in fields(Signals))


def signals(found: Found, ranked: Sequence[Candidate], question: Asked, reader: float = 0.0) -> Signals:
    """Of the best of ``ranked``, which is not empty."""
    best = ranked[0]
    dense = [(hit.scores.dense or 0.0, hit.passage.document) for hit in found.hits]
    lexical = [hit.scores.lexical or 0.0 for hit in found.hits]
    top, document = max(dense)
    others = [cosine for cosine, other in dense if other != document]
    mean, deviation = found.chance or (0.0, 0.0)
    return Signals(
        top=top,
        gap=top - max(others, default=0.0),
        beyond=(top - mean) / deviation if deviation and found.vector is not None else 0.0,
        words=max(lexical) / (_MOST * question.most) if question.most else 0.0,
        passage=best.passage_coverage,
        sentence=best.coverage,
        near=best.near,
        window=best.window,
        margin=best.score - ranked[1].score if len(ranked) > 1 else best.score,
        agree=float(max(lexical) > 0 and lexical.index(max(lexical)) == dense.index((top, document))),
        first=1 / best.hit.rank,
        phrase=float(best.phrase is not None and best.phrase.is_clear),
        no_phrase=float(bool(question.types) and best.phrase is None),
        heading=float(best.new < 3),
        reader=reader,
    )


FORMAT = 2
CALIBRATION_FILE = "calibration.json"
SHIPPED = Path(__file__).parent / "calibrations" / "default.json"
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
        """What the signal adds to the logit."""
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
    """Of one regime: a way of searching, such as ``hybrid`` or ``hybrid+rerank``. ``n`` questions it was fitted to."""

    regime: str
    n: int
    intercept: float
    features: tuple[Feature, ...]
    promises: tuple[Promise, ...]
    measured: Measured

    def confidence(self, signals: Signals) -> float:
        """The probability that the answer is right."""
        values = dict(zip(SIGNALS, signals.values, strict=True))
        logit = self.intercept + sum(feature.part(values[feature.name]) for feature in self.features)
        return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0

    def promise(self, max_error: float) -> Promise | None:
        """The one that answers most of those that keep to an error; ``None`` where none was certified."""
        kept = [promise for promise in self.promises if promise.error <= max_error + 1e-9]
        return min(kept, key=lambda promise: (promise.threshold, promise.error), default=None)


@dataclass(frozen=True, slots=True)
class FittedOn:
    """A file of questions: its name, the SHA-256 of its bytes, and how many of its questions were asked."""

    name: str
    sha256: str
    questions: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a guess; see :class:`qa.types.Answer`."""

    answerable: bool
    confidence: float | None
    promised_error: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """``encoder`` is :func:`encoder_key` of the encoder whose cosines it was fitted to."""

    encoder: str
    fitted_on: tuple[FittedOn, ...]
    models: tuple[Model, ...]

    def write(self, path: Path) -> None:
        """Write the file whole or not at all. Raises StorageError."""
        content = {"format": FORMAT, "signals": SIGNALS_VERSION, **asdict(self)}
        write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Raises CalibrationError, naming the file and what is wrong with it."""
        try:
            content = json.loads(path.read_bytes())
            if (content["format"], content["signals"]) != (FORMAT, SIGNALS_VERSION):
                raise CalibrationError(f"{path} is of another version of the program; run qa calibrate again")
            fitted_on = tuple(FittedOn(**each) for each in content["fitted_on"])
            return cls(content["encoder"], fitted_on, tuple(map(_model_of, content["models"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CalibrationError(f"{path} is no calibration ({error}); run qa calibrate again") from error


def _model_of(content: Mapping[str, Any]) -> Model:
    features = tuple(Feature(**each) for each in content["features"])
    numbers = [content["intercept"], *(n for f in features for n in (f.low, f.high, f.mean, f.scale, f.weight))]
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers) or any(
        f.scale <= 0 or f.low > f.high for f in features
    ):
        raise ValueError("a number of its regression is wrong")
    if unknown := {feature.name for feature in features} - set(SIGNALS):
        raise ValueError(f"it knows signals that do not exist: {', '.join(sorted(unknown))}")
    promises = tuple(Promise(**each) for each in content["promises"])
    measured = Measured(**content["measured"])
    return Model(content["regime"], content["n"], content["intercept"], features, promises, measured)


class Calibrations:
    """Calibrations for one encoder, the first that fits wins.

    Args:
        known: such as that of a collection before the one that ships.
        encoder: the fingerprint of the encoder in use.
    """

    def __init__(self, known: Sequence[Calibration], encoder: Mapping[str, Any]) -> None:
        key = encoder_key(encoder)
        fitting = [calibration for calibration in known if calibration.encoder == key]
        self._models = {m.regime: m for calibration in reversed(fitting) for m in calibration.models}

    def model(self, regime: str) -> Model | None:
        return self._models.get(regime)

    def judge(self, regime: str, signals: Signals, max_error: float) -> Verdict:
        """Whether to answer, so that answers are wrong at most ``max_error`` of the time."""
        model = self._models.get(regime)
        if model is None:
            which = "this encoder" if not self._models else f"searching {regime}"
            return Verdict(True, None, None, f"nothing was calibrated for {which}; qa calibrate does it")
        confidence = model.confidence(signals)
        promise = model.promise(max_error)
        if promise is None:
            # The best that can be done without a promise, and said to be without.
            note = f"an error of {max_error:.0%} could not be certified from {model.measured.n:,} held-out questions"
            return Verdict(confidence >= 1 - max_error, confidence, None, note)
        return Verdict(confidence >= promise.threshold, confidence, promise.error, "")


def regime_of(query: Query, legs: Sequence[Leg], *, reads: bool = False) -> str:
    """By the legs that took part, whatever was asked for, and what chose among what they found: a cross-encoder the
    order, an answer reader the span (``reads``).
    """
    used = {leg.name for leg in legs if leg.used}
    searched = "hybrid" if len(used) > 1 else next(iter(used), query.mode)
    return searched + "+rerank" * query.rerank + "+reader" * reads


def encoder_key(fingerprint: Mapping[str, Any]) -> str:
    """A hash of what decides its cosines."""
    decides = {name: fingerprint[name] for name in _DECIDES if name in fingerprint}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def load_calibrations(folder: Path | None, encoder: Mapping[str, Any]) -> Calibrations:
    """That of an index's folder, where there is one, and the one that ships. Raises CalibrationError."""
    known = [Calibration.read(folder / CALIBRATION_FILE)] if folder and (folder / CALIBRATION_FILE).exists() else []
    shipped = [Calibration.read(SHIPPED)] if SHIPPED.exists() else []
    return Calibrations([*known, *shipped], encoder)


_SURE = ((0.9, "very likely right"), (0.75, "probably right"), (0.5, "more likely right than not"), (0.0, "uncertain"))


def told(answer: Answer) -> Iterator[str]:
    """The answer first, then its citation, how sure it is, and what the documents say otherwise."""
    if not answer.answerable or answer.citation is None:
        yield "The documents do not answer this, as far as can be told."
    else:
        yield " ".join((answer.text or "").split())
        yield f"  {_place(answer.citation)}"
    yield f"  {sureness(answer)}"
    for other in answer.alternatives if answer.answerable else ():
        yield f"  Otherwise: {' '.join(other.text.split())} ({_place(other.citation)})"


def sureness(answer: Answer) -> str:
    """The confidence in words and as a number, and what is promised."""
    if answer.confidence is None:
        return f"How sure this is was not calibrated: {answer.note}."
    words = next(words for least, words in _SURE if answer.confidence >= least)
    said = f"{words} ({answer.confidence:.0%})" if answer.answerable else f"best guess {answer.confidence:.0%} sure"
    if answer.promised_error is not None:
        return f"{said}; what is answered is wrong at most {answer.promised_error:.0%} of the time"
    return f"{said}; {answer.note}" if answer.note else said


def _place(citation: Citation) -> str:
    parts = [citation.document, f"characters {citation.start} to {citation.end}", citation.status]
    parts += [f"page {citation.page}"] if citation.page else []
    parts += [citation.section] if citation.section else []
    return " \u00b7 ".join(parts)
