"""Two evaluations of the same questions: what changed, and whether chance could have done it.

Whether a change may go in: non-inferiority by a margin, shown with confidence, or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qa.errors import RunError
from qa.evaluation.outcomes import Evaluation, Outcome
from qa.evaluation.summary import ANSWERING, HEADLINES, values_of
from qa.statistics.significance import LEVEL, Difference, difference, holm

# With fewer, no test of the usual kind means anything, whatever it says.
MIN_QUESTIONS = 10
# A difference that somebody would act on: where it could not have been seen, seeing none says little.
WORTH_SEEING = 0.05

Verdict = Literal["better", "worse", "no difference found", "too few questions to tell"]

# Not every measure: each that is tested makes it harder for the others to be believed.
_TESTED = ("nDCG@10", "RR@10", "AP", "R@1", "R@5", "R@10", "P@5")
COMPARED = (*(f"{level}.{name}" for level in ("passages", "documents") for name in _TESTED), *ANSWERING)


@dataclass(frozen=True, slots=True)
class MeasureComparison:
    """Means over the questions that both runs score; ``p`` is adjusted for all measures compared (Holm)."""

    name: str
    baseline: float
    candidate: float
    difference: Difference
    p: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A question whose value changed, with both rankings."""

    before: Outcome
    after: Outcome
    was: float
    became: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """``measures`` begin with the headline, on which ``verdict`` is; ``changes`` are of it, the greatest first."""

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

    pairs: tuple[tuple[Outcome, Outcome], ...]
    values: tuple[tuple[Mapping[str, float], Mapping[str, float]], ...]
    notes: tuple[str, ...]

    def columns(self, name: str) -> tuple[list[float], list[float]]:
        """Both runs' values of a measure, of the questions that have it in both."""
        rows = [(before[name], after[name]) for before, after in self.values if name in before and name in after]
        return [row[0] for row in rows], [row[1] for row in rows]

    def names(self) -> list[str]:
        """Measures that both runs have of at least one question."""
        return [name for name in COMPARED if self.columns(name)[0]]


def pair(baseline: Evaluation, candidate: Evaluation) -> Paired:
    """Match the questions by id and words.

    Raises:
        RunError: no question is in both.
    """
    depth = min(baseline.inputs.options.top_k, candidate.inputs.options.top_k)
    first, second = _as_deep(baseline, depth), _as_deep(candidate, depth)
    theirs = {(o.question.id, o.question.text): (o, v) for o, v in zip(second.outcomes, values_of(second), strict=True)}
    pairs, values = [], []
    for outcome, value in zip(first.outcomes, values_of(first), strict=True):
        found = theirs.pop((outcome.question.id, outcome.question.text), None)
        if found is not None:
            pairs.append((outcome, found[0]))
            values.append((value, found[1]))
    if not pairs:
        raise RunError("the two runs have no question in common: compare runs of the same question file")
    notes = _differences(baseline, candidate, depth)
    for name, count in (("baseline", len(first.outcomes) - len(pairs)), ("candidate", len(theirs))):
        if count:
            notes.append(f"Questions that only the {name} has: {count:,}; they are left out.")
    return Paired(tuple(pairs), tuple(values), tuple(notes))


def compare(baseline: Evaluation, candidate: Evaluation, headline: str | None = None) -> Comparison:
    """Test every measure that both runs have.

    Args:
        headline: the measure to judge by; by default the first of ``HEADLINES`` that both have.

    Raises:
        RunError: no question is in both, or nothing of it is scored, or not by ``headline``.
    """
    paired = pair(baseline, candidate)
    names = paired.names()
    main = chosen(names, headline)
    names = [main, *(name for name in names if name != main)]
    differences = [difference(*paired.columns(name)) for name in names]
    adjusted = _adjusted(differences)
    measures = tuple(
        MeasureComparison(name, _mean(before), _mean(after), found, p, _verdict(found, p))
        for name, found, p in zip(names, differences, adjusted, strict=True)
        for before, after in [paired.columns(name)]
    )
    changes = [
        Change(before, after, values[0][main], values[1][main])
        for (before, after), values in zip(paired.pairs, paired.values, strict=True)
        if main in values[0] and main in values[1] and values[0][main] != values[1][main]
    ]
    better = sorted((c for c in changes if c.became > c.was), key=lambda c: c.was - c.became)
    worse = sorted((c for c in changes if c.became < c.was), key=lambda c: c.became - c.was)
    return Comparison(baseline, candidate, measures, tuple(better), tuple(worse), paired.notes)


def chosen(names: Sequence[str], wanted: str | None) -> str:
    """The measure to judge by. Raises RunError where it was not measured in both runs."""
    if wanted is not None and wanted not in names:
        raise RunError(f"{wanted!r} is not measured in both runs; there are: {', '.join(names) or 'none'}")
    main = wanted or next((name for name in (*HEADLINES, *names) if name in names), None)
    if main is None:
        raise RunError("no question is scored in both runs: the question file has no judgments that apply")
    return main


def _verdict(found: Difference, p: float) -> Verdict:
    if found.estimate.n < MIN_QUESTIONS:
        return "too few questions to tell"
    if p < 1 - LEVEL:
        return "better" if found.estimate.value > 0 else "worse"
    if found.detectable is not None and found.detectable > WORTH_SEEING:
        return "too few questions to tell"
    return "no difference found"


def _adjusted(differences: Sequence[Difference]) -> list[float]:
    """Holm over the measures of which any question changed: the others could not have come out significant at all.

    Tarone 1990: what cannot reach the level costs the rest nothing.
    """
    adjusted = iter(holm([found.p for found in differences if found.is_any]))
    return [next(adjusted) if found.is_any else 1.0 for found in differences]


def _as_deep(evaluation: Evaluation, depth: int) -> Evaluation:
    """The same as if it had been asked for ``depth`` passages."""
    options = evaluation.inputs.options
    if options.top_k == depth:
        return evaluation
    outcomes = tuple(replace(outcome, found=outcome.found[:depth]) for outcome in evaluation.outcomes)
    return replace(
        evaluation, outcomes=outcomes, inputs=replace(evaluation.inputs, options=replace(options, top_k=depth))
    )


def _differences(baseline: Evaluation, candidate: Evaluation, depth: int) -> list[str]:
    one, two = baseline.inputs, candidate.inputs
    notes = []
    if one.questions_sha256 != two.questions_sha256:
        notes.append("The question files differ: questions with the same id and words are compared.")
    if one.snapshot != two.snapshot:
        notes.append(f"The snapshots differ: {one.snapshot} and {two.snapshot}; evidence was looked up in each.")
    if one.options.top_k != two.options.top_k:
        notes.append(f"The runs are of different depth: both are compared as of the first {depth} passages.")
    for name in ("mode", "rerank"):
        if (was := getattr(one.options, name)) != (became := getattr(two.options, name)):
            notes.append(f"They differ in {name}: {was} and {became}.")
    return notes


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


GateOutcome = Literal["passed", "worse", "cannot be told"]
EXIT_CODES: dict[GateOutcome, int] = {"passed": 0, "worse": 1, "cannot be told": 2}
# Neither of the three: wrong usage, or folders that hold no runs that can be compared.
EXIT_ERROR = 3
MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One measure: candidate minus baseline with its 95 % interval, and what that says in words."""

    name: str
    difference: Difference
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The outcome is the worst of the checks: passing means every measure is non-inferior, so none needs adjusting."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]

    @property
    def outcome(self) -> GateOutcome:
        return max((check.outcome for check in self.checks), key=["passed", "cannot be told", "worse"].index)


def gate(baseline: Evaluation, candidate: Evaluation, *, margin: float = MARGIN, measures: Sequence[str] = ()) -> Gate:
    """Compare by the lower end of the paired difference's 95 % interval.

    Passed if that is above ``-margin``; worse if the whole interval is below 0; otherwise more questions are needed.
    Piaggio et al. 2012 (CONSORT for non-inferiority trials).

    Raises:
        RunError: the runs cannot be compared, or not by these measures, or the margin is none.
    """
    if not 0 < margin < 1:
        raise RunError(f"the margin is {margin}: it must be between 0 and 1, such as {MARGIN}")
    paired = pair(baseline, candidate)
    names = paired.names()
    wanted = [chosen(names, name) for name in measures] or [chosen(names, None)]
    checks = [_check(name, difference(*paired.columns(name)), margin) for name in dict.fromkeys(wanted)]
    return Gate(tuple(checks), paired.notes)


def _check(name: str, found: Difference, margin: float) -> Check:
    estimate = found.estimate
    if estimate.n < MIN_QUESTIONS or estimate.low is None or estimate.high is None:
        reason = f"{estimate.n} questions are scored, and at least {MIN_QUESTIONS} are needed"
        return Check(name, found, "cannot be told", reason)
    interval = (
        f"the change is {estimate.value:+.4f}, with 95 % confidence from {estimate.low:+.4f} to {estimate.high:+.4f}"
    )
    if estimate.low > -margin:
        return Check(name, found, "passed", f"{interval}: not worse by {margin} or more")
    if estimate.high < 0:
        return Check(name, found, "worse", f"{interval}: all of it below 0, and not within the margin of {margin}")
    return Check(
        name, found, "cannot be told", f"{interval}: it may be worse by {margin} or more, and may not be worse"
    )
