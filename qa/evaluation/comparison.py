"""Two evaluations of the same questions: what changed, and whether chance could have done it.

A gate says whether a change may go in: whether it is shown with confidence to lose less than a margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qa.errors import RunError
from qa.evaluation.outcomes import Evaluation, QuestionOutcome
from qa.evaluation.summary import ANSWERING, HEADLINES, RECEIVED, compute_values
from qa.statistics.significance import LEVEL, Difference, difference, holm

# With fewer questions the usual tests mean nothing.
MIN_QUESTIONS = 10
# A difference that people would act on. If it could not have been detected, finding none says little.
WORTH_SEEING = 0.05

Verdict = Literal["better", "worse", "no difference found", "too few questions to tell"]

# Not every measure: each test makes the correction for all of them stricter.
_TESTED = ("nDCG@10", "RR@10", "AP", "R@1", "R@5", "R@10", "P@5")
COMPARED = (*ANSWERING, *(f"{level}.{name}" for level in ("passages", "documents") for name in _TESTED))
# Of these lower is better.
LOSSES = frozenset({"answers.wrong", "answers.refused"})


@dataclass(frozen=True, slots=True)
class MeasureComparison:
    """The means of a measure over the questions that both runs score, compared.

    ``p`` is adjusted for all measures compared (Holm).
    """

    name: str
    baseline: float
    candidate: float
    difference: Difference
    p: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A question whose value changed, with both rankings."""

    before: QuestionOutcome
    after: QuestionOutcome
    was: float
    became: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared.

    ``measures`` begin with the headline, which decides the verdict: what a person gets if both runs have answers, else
    the ranking. ``better`` and ``worse`` are the changes of the headline, the greatest first.
    """

    baseline: Evaluation
    candidate: Evaluation
    measures: tuple[MeasureComparison, ...]
    better: tuple[Change, ...]
    worse: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def headline(self) -> MeasureComparison:
        return self.measures[0]

    @property
    def verdict(self) -> Verdict:
        return self.headline.verdict


@dataclass(frozen=True, slots=True)
class Paired:
    """The outcomes of both runs for the questions that are in both, with their values, in one order."""

    pairs: tuple[tuple[QuestionOutcome, QuestionOutcome], ...]
    values: tuple[tuple[Mapping[str, float], Mapping[str, float]], ...]
    notes: tuple[str, ...]

    def columns(self, name: str) -> tuple[list[float], list[float]]:
        """Return both runs' values of a measure, for the questions that have it in both."""
        rows = [(before[name], after[name]) for before, after in self.values if name in before and name in after]
        return [row[0] for row in rows], [row[1] for row in rows]

    def names(self) -> list[str]:
        """Return the measures that both runs have of at least one question."""
        return [name for name in COMPARED if self.columns(name)[0]]


def pair_runs(baseline: Evaluation, candidate: Evaluation) -> Paired:
    """Match the questions of two runs by id and words.

    Raises:
        RunError: no question is in both.
    """
    depth = min(baseline.inputs.options.top_k, candidate.inputs.options.top_k)
    first, second = _as_deep(baseline, depth), _as_deep(candidate, depth)
    theirs = {
        (o.question.id, o.question.text): (o, v) for o, v in zip(second.outcomes, compute_values(second), strict=True)
    }
    pairs, values = [], []
    for outcome, value in zip(first.outcomes, compute_values(first), strict=True):
        found = theirs.pop((outcome.question.id, outcome.question.text), None)
        if found is not None:
            pairs.append((outcome, found[0]))
            values.append((value, found[1]))
    if not pairs:
        raise RunError("the two runs have no question in common: compare runs of the same question file")
    notes = _describe_inputs(baseline, candidate, depth)
    for name, count in (("baseline", len(first.outcomes) - len(pairs)), ("candidate", len(theirs))):
        if count:
            notes.append(f"Questions that only the {name} has: {count:,}; they are left out.")
    return Paired(tuple(pairs), tuple(values), tuple(notes))


def compare_runs(baseline: Evaluation, candidate: Evaluation, headline: str | None = None) -> Comparison:
    """Test every measure that both runs have.

    Args:
        headline: the measure to judge by; by default ``answers.right``, or the first of ``HEADLINES`` that both have.

    Raises:
        RunError: no question is in both runs, or none is scored (by ``headline``, if that is given).
    """
    paired = pair_runs(baseline, candidate)
    names = paired.names()
    main = choose_measure(names, headline)
    names = [main, *(name for name in names if name != main)]
    differences = [difference(*paired.columns(name)) for name in names]
    adjusted = _adjusted(differences)
    measures = tuple(
        MeasureComparison(name, _mean(before), _mean(after), found, p, _verdict(name, found, p))
        for name, found, p in zip(names, differences, adjusted, strict=True)
        for before, after in [paired.columns(name)]
    )
    changes = [
        Change(before, after, values[0][main], values[1][main])
        for (before, after), values in zip(paired.pairs, paired.values, strict=True)
        if main in values[0] and main in values[1] and values[0][main] != values[1][main]
    ]
    sign = -1 if main in LOSSES else 1
    better = sorted((c for c in changes if sign * (c.became - c.was) > 0), key=lambda c: -abs(c.became - c.was))
    worse = sorted((c for c in changes if sign * (c.became - c.was) < 0), key=lambda c: -abs(c.became - c.was))
    return Comparison(baseline, candidate, measures, tuple(better), tuple(worse), paired.notes)


def choose_measure(names: Sequence[str], wanted: str | None) -> str:
    """Return the measure to judge by. Raises RunError if it was not measured in both runs."""
    if wanted is not None and wanted not in names:
        raise RunError(f"{wanted!r} is not measured in both runs; there are: {', '.join(names) or 'none'}")
    main = wanted or next((name for name in (RECEIVED[0], *HEADLINES, *names) if name in names), None)
    if main is None:
        raise RunError("no question is scored in both runs: the question file has no judgments that apply")
    return main


def _choose_for_gate(names: Sequence[str]) -> list[str]:
    """Return what a gate looks at by default: what a person gets, and the ranking."""
    rankings = [name for name in HEADLINES if name in names][:1]
    return [*(name for name in RECEIVED[:1] if name in names), *rankings] or [choose_measure(names, None)]


def _verdict(name: str, found: Difference, p: float) -> Verdict:
    if found.estimate.n < MIN_QUESTIONS:
        return "too few questions to tell"
    if p < 1 - LEVEL:
        return "better" if (found.estimate.value > 0) == (name not in LOSSES) else "worse"
    if found.detectable is not None and found.detectable > WORTH_SEEING:
        return "too few questions to tell"
    return "no difference found"


def _adjusted(differences: Sequence[Difference]) -> list[float]:
    """Adjust p by Holm over the measures that changed for any question. The others cannot come out significant.

    Tarone 1990: a test that cannot reach the level costs the others nothing.
    """
    adjusted = iter(holm([found.p for found in differences if found.is_any]))
    return [next(adjusted) if found.is_any else 1.0 for found in differences]


def _as_deep(evaluation: Evaluation, depth: int) -> Evaluation:
    """Return the evaluation as if it had asked for ``depth`` passages."""
    options = evaluation.inputs.options
    if options.top_k == depth:
        return evaluation
    outcomes = tuple(replace(outcome, found=outcome.found[:depth]) for outcome in evaluation.outcomes)
    return replace(
        evaluation, outcomes=outcomes, inputs=replace(evaluation.inputs, options=replace(options, top_k=depth))
    )


def _describe_inputs(baseline: Evaluation, candidate: Evaluation, depth: int) -> list[str]:
    one, two = baseline.inputs, candidate.inputs
    notes = []
    if one.questions_sha256 != two.questions_sha256:
        notes.append("The question files differ: questions with the same id and words are compared.")
    if one.snapshot != two.snapshot:
        notes.append(f"The snapshots differ: {one.snapshot} and {two.snapshot}; evidence was looked up in each.")
    if one.options.top_k != two.options.top_k:
        notes.append(f"The runs are of different depth: the first {depth} passages of both are compared.")
    for name in ("mode", "rerank", "answer", "max_error"):
        if (was := getattr(one.options, name)) != (became := getattr(two.options, name)):
            notes.append(f"They differ in {name.replace('_', ' ')}: {_in_words(was)} and {_in_words(became)}.")
    if one.calibration and two.calibration and one.calibration != two.calibration:
        notes.append("They differ in calibration: confidence, and which questions are refused, may differ by it.")
    return notes


def _in_words(option: object) -> str:
    if option is None:
        return "as the settings say"
    return {True: "yes", False: "no"}[option] if isinstance(option, bool) else str(option)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


GateOutcome = Literal["passed", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Check:
    """One measure at a gate: candidate minus baseline, what follows from it, and why in words."""

    name: str
    difference: Difference
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The checks of a gate. Its outcome is the worst of theirs.

    To pass, every measure must be non-inferior, so none needs adjusting for the others.
    """

    checks: tuple[Check, ...]
    notes: tuple[str, ...]

    @property
    def outcome(self) -> GateOutcome:
        return max((check.outcome for check in self.checks), key=["passed", "cannot tell", "worse"].index)


def check_gate(baseline: Evaluation, candidate: Evaluation, *, margin: float, measures: Sequence[str] = ()) -> Gate:
    """Compare by the worse end of the paired difference's 95 % interval.

    The candidate passes if the loss there is below ``margin``, and is worse if the whole interval is a loss. Otherwise
    more questions are needed. Piaggio et al. 2012 (CONSORT for non-inferiority trials).

    Args:
        margin: the largest loss that still passes.
        measures: all of these must pass; by default ``answers.right`` and the headline of the ranking, if both runs
            have them.

    Raises:
        RunError: the runs cannot be compared, or not by these measures, or the margin is not between 0 and 1.
    """
    if not 0 < margin < 1:
        raise RunError(f"the margin is {margin}: it must be between 0 and 1, such as 0.02")
    paired = pair_runs(baseline, candidate)
    names = paired.names()
    wanted = [choose_measure(names, name) for name in measures] or _choose_for_gate(names)
    checks = [_check(name, difference(*paired.columns(name)), margin) for name in dict.fromkeys(wanted)]
    return Gate(tuple(checks), paired.notes)


def _check(name: str, found: Difference, margin: float) -> Check:
    estimate = found.estimate
    if estimate.n < MIN_QUESTIONS or estimate.low is None or estimate.high is None:
        scored = "1 question is scored" if estimate.n == 1 else f"{estimate.n} questions are scored"
        reason = f"{scored}; at least {MIN_QUESTIONS} are needed"
        return Check(name, found, "cannot tell", reason)
    interval = (
        f"the change is {estimate.value:+.4f}, with 95 % confidence from {estimate.low:+.4f} to {estimate.high:+.4f}"
    )
    least, most = (-estimate.high, -estimate.low) if name in LOSSES else (estimate.low, estimate.high)
    if least > -margin:
        return Check(name, found, "passed", f"{interval}: the loss is below {margin}")
    if most < 0:
        return Check(name, found, "worse", f"{interval}: all of it is a loss, which may be {margin} or more")
    return Check(name, found, "cannot tell", f"{interval}: the loss may be {margin} or more, or there may be none")
