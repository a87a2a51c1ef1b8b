"""An evaluation in numbers: what a person gets, and means with their intervals, over all questions and by tag."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qa.evaluation.measures import first_ranks, ranking_measures, recall_at
from qa.evaluation.outcomes import FAILURES, Evaluation, Failure, QuestionOutcome
from qa.statistics.risk import Bin, aurc, auroc, brier, calibration_error, risk_coverage
from qa.statistics.risk import bins as bins_of
from qa.statistics.significance import Estimate, detectable, estimate, estimate_mean

# What a person gets, of every question whose answer can be judged: one of the three is 1.
RECEIVED = ("answers.right", "answers.wrong", "answers.refused")
ANSWERING = (*RECEIVED, "answers.EM", "answers.F1")
# The measures of each tag: few questions allow no more.
OF_TAGS = (*ANSWERING, "passages.nDCG@10", "passages.R@5", "documents.nDCG@10", "documents.R@5")
# The measure that stands for the ranking is the first of these by which the questions can be scored.
HEADLINES = (
    "passages.nDCG@10",
    "documents.nDCG@10",
    "passages.RR@10",
    "documents.RR@10",
    "passages.AP",
    "documents.AP",
)


# Kinds of questions by their first words, in English; the first that matches counts.
_KINDS = {
    "how many, how much": r"how (many|much|long|old|far|often|big|large|tall|high|deep|fast)\b"
    r"|(at )?(what|which) (price|cost|percentage|number|age|height|distance)\b",
    "when": r"((since|until|by) )?when\b|((in|on|at|by) )?(what|which) (year|date|day|month|time|century)\b",
    "where": r"((from|to) )?where\b|((in|at|to|from) )?(what|which) (country|city|town|place|street|room)\b",
    "who": r"((by|to|for|with|of) )?(who|whom|whose)\b",
    "why, how": r"(why|how)\b",
    "yes or no": r"(is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b",
    "what, which": r"(\w+ )?(what|which)\b",
}
_OTHER_KIND = "other"
_ALL_KINDS = (*_KINDS, _OTHER_KIND)


@dataclass(frozen=True, slots=True)
class Received:
    """What a person gets: shares of the questions whose answers can be judged, which sum to 1.

    ``right`` counts answers that are right and refusals of questions without an answer; ``refused`` those of questions
    that have one.
    """

    right: Estimate
    wrong: Estimate
    refused: Estimate


Got = Literal[
    "answered, right", "answered, wrong", "not sure, the guess right", "not sure, the guess wrong", "not found"
]
GOT: Sequence[Got] = (
    "answered, right", "answered, wrong", "not sure, the guess right", "not sure, the guess wrong", "not found",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person gets of all questions and of each kind, and counts of questions with and without an answer."""

    received: Received
    kinds: Mapping[str, Received]
    answerable: Mapping[Got, int]
    unanswerable: Mapping[Got, int]


@dataclass(frozen=True, slots=True)
class Latency:
    """The milliseconds that a question took, asked by itself, in all or for one step: percentiles over questions."""

    n: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Answering:
    """Measures of how far answers and refusals can be trusted.

    ``coverage`` is the share of questions that were answered, ``risk`` that of wrong ones among them. ``auroc`` is of
    telling questions that have an answer from those that have none; the others are of the confidence in being right.
    ``curve`` holds coverage and risk of answering only the surest.
    """

    coverage: Estimate
    risk: Estimate | None
    auroc: Estimate | None
    aurc: Estimate | None
    calibration_error: Estimate | None
    brier: Estimate | None
    curve: tuple[tuple[float, float], ...] = ()
    bins: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """An evaluation in numbers.

    ``answers`` says what a person gets; it is ``None`` if no answer can be judged. ``reading`` is the part of the
    latency in which the reader looked for answers. ``depths`` is the recall of quotes (of documents, if none is quoted)
    at each depth from 1. ``values`` are by question, in their order; ``notes`` say in words what was not measured, and
    why.
    """

    measures: Mapping[str, Estimate]
    tags: Mapping[str, Mapping[str, Estimate]]
    answers: Answers | None
    answering: Answering | None
    latency: Latency | None
    reading: Latency | None
    failures: Mapping[Failure, int]
    depths: tuple[float, ...]
    values: tuple[Mapping[str, float], ...]
    notes: tuple[str, ...]

    @property
    def headline(self) -> str | None:
        """The measure that stands for the ranking; ``None`` if none was scored."""
        return next((name for name in HEADLINES if name in self.measures), None)


def compute_values(evaluation: Evaluation) -> list[dict[str, float]]:
    """Compute each question's measures; none for a question that cannot be scored."""
    rankings = ranking_measures(evaluation.outcomes, evaluation.inputs.options.top_k)
    pairs = zip(evaluation.outcomes, rankings, strict=True)
    return [{**outcome.compute_answer_values(), **ranking} for outcome, ranking in pairs]


def summarise(evaluation: Evaluation) -> Summary:
    """Measure an evaluation."""
    values = compute_values(evaluation)
    outcomes = evaluation.outcomes
    names = list(dict.fromkeys(name for each in values for name in each))
    measures = {name: estimate_mean([each[name] for each in values if name in each]) for name in names}
    ranks = [ranks for outcome in outcomes if (ranks := first_ranks(outcome))]
    depth = evaluation.inputs.options.top_k
    summary = Summary(
        measures=measures,
        tags=_by_tag(outcomes, values),
        answers=_answers(outcomes, values),
        answering=_answering(outcomes),
        latency=_latency(outcomes, "total"),
        reading=_latency(outcomes, "read"),
        failures={failure: sum(failure in o.failures for o in outcomes) for failure in FAILURES},
        depths=tuple(float(np.mean([recall_at(r, k) for r in ranks])) for k in range(1, depth + 1)) if ranks else (),
        values=tuple(values),
        notes=(),
    )
    return _with_notes(summary, evaluation)


def _by_tag(
    outcomes: Sequence[QuestionOutcome], values: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, Estimate]]:
    tags = sorted({tag for outcome in outcomes for tag in outcome.question.tags})
    found = {}
    for tag in tags:
        tagged = [v for o, v in zip(outcomes, values, strict=True) if tag in o.question.tags]
        columns = {name: [v[name] for v in tagged if name in v] for name in OF_TAGS}
        found[tag] = {name: estimate_mean(column) for name, column in columns.items() if column}
    return {tag: estimates for tag, estimates in found.items() if estimates}


def classify_question(text: str) -> str:
    """Return the kind of a question by its first words, such as "when"."""
    words = " ".join(text.lower().split())
    return next((kind for kind, pattern in _KINDS.items() if re.match(pattern, words)), _OTHER_KIND)


def _answers(outcomes: Sequence[QuestionOutcome], values: Sequence[Mapping[str, float]]) -> Answers | None:
    judged = [(o, v) for o, v in zip(outcomes, values, strict=True) if RECEIVED[0] in v]
    if not judged:
        return None
    kinds = {kind: [v for o, v in judged if classify_question(o.question.text) == kind] for kind in _ALL_KINDS}
    return Answers(
        received=_received([v for _, v in judged]),
        kinds={kind: _received(of_kind) for kind, of_kind in kinds.items() if of_kind},
        answerable=_count_got([o for o, _ in judged if o.question.answerable is not False]),
        unanswerable=_count_got([o for o, _ in judged if o.question.answerable is False]),
    )


def _received(values: Sequence[Mapping[str, float]]) -> Received:
    return Received(*(estimate_mean([each[name] for each in values]) for name in RECEIVED))


def _count_got(outcomes: Sequence[QuestionOutcome]) -> dict[Got, int]:
    counts = Counter(_got(outcome) for outcome in outcomes)
    return {name: counts[name] for name in GOT}


def _got(outcome: QuestionOutcome) -> Got:
    if outcome.answer is None or outcome.answer.outcome == "not_found":
        return "not found"
    if outcome.answer.outcome == "answered":
        return "answered, right" if outcome.is_right else "answered, wrong"
    return "not sure, the guess right" if outcome.is_right else "not sure, the guess wrong"


def _latency(outcomes: Sequence[QuestionOutcome], step: str) -> Latency | None:
    times = [outcome.timings_ms[step] for outcome in outcomes if step in outcome.timings_ms]
    if not times:
        return None
    return Latency(len(times), *(float(p) for p in np.percentile(times, [50, 95, 99])))


def _answering(outcomes: Sequence[QuestionOutcome]) -> Answering | None:
    answered = [(o, o.answer, o.is_right) for o in outcomes if o.answer is not None]
    judged = [(answer, right) for _, answer, right in answered if right is not None]
    if not judged:
        return None
    shown = [float(not right) for answer, right in judged if answer.answerable]
    sure = [(answer.confidence, float(right)) for answer, right in judged if answer.confidence is not None]
    confidence, rights = [c for c, _ in sure], [r for _, r in sure]
    known = [(answer.confidence, float(o.question.answerable)) for o, answer, _ in answered
             if answer.confidence is not None and o.question.answerable is not None]  # fmt: skip
    coverage, risks = risk_coverage(confidence, rights) if sure else ((), ())
    return Answering(
        coverage=estimate_mean([float(answer.answerable) for answer, _ in judged]),
        risk=estimate_mean(shown) if shown else None,
        auroc=_auroc([c for c, _ in known], [a for _, a in known]),
        aurc=estimate(aurc, confidence, rights) if sure else None,
        calibration_error=estimate(calibration_error, confidence, rights) if sure else None,
        brier=estimate_mean(list(brier(confidence, rights))) if sure else None,
        curve=tuple((float(c), float(r)) for c, r in zip(coverage, risks, strict=True)),
        bins=tuple(bins_of(confidence, rights)) if sure else (),
    )


def _auroc(confidence: list[float], answerable: list[float]) -> Estimate | None:
    return estimate(auroc, confidence, answerable) if 0 < sum(answerable) < len(answerable) else None


def _with_notes(summary: Summary, evaluation: Evaluation) -> Summary:
    outcomes = evaluation.outcomes
    notes = []
    pairs = zip(summary.values, outcomes, strict=True)
    unjudged = sum(not values and o.question.answerable is not False for values, o in pairs)
    if unjudged:
        notes.append(f"Questions without judgments that apply, which were asked and not scored: {unjudged:,}.")
    if evaluation.left_out:
        notes.append(
            f"Records of the question file that were left out: {len(evaluation.left_out):,}; the list is below."
        )
    if all(outcome.answer is None for outcome in outcomes):
        notes.append("No reply had an answer, only passages: answers, refusals and confidence are not measured.")
    elif summary.answering and summary.answering.aurc is None:
        notes.append("Answers carry no confidence: it is not measured whether it can be trusted.")
    if summary.answering and summary.answering.auroc is None:
        notes.append("AUROC needs questions with and without an answer, and confidences.")
    for name in (RECEIVED[0], summary.headline):
        if name is not None and name in summary.measures:
            notes.append(_detectable(name, [values[name] for values in summary.values if name in values]))
    return replace(summary, notes=tuple(notes))


def _detectable(name: str, values: Sequence[float]) -> str:
    """Say which difference could be detected if the two runs' values correlate by one half."""
    found = detectable(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, len(values))
    scored = f"{len(values):,} scored {'question' if len(values) == 1 else 'questions'}"
    if found is None:
        return f"With {scored} no detectable difference can be given."
    return (
        f"With {scored}, a change of {name} below {found:.3f} would probably go undetected "
        "(paired test at 5 %, power 80 %, if the two runs' values correlate by one half)."
    )
