"""Whether a change may go in: non-inferiority by a margin, shown with confidence, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qa.errors import RunError
from qa.evaluation.comparing import MIN_QUESTIONS, chosen, pair
from qa.evaluation.evaluation import Evaluation
from qa.statistics.significance import Difference, difference

Outcome = Literal["passed", "worse", "cannot be told"]
EXIT_CODES: dict[Outcome, int] = {"passed": 0, "worse": 1, "cannot be told": 2}
# Neither of the three: wrong usage, or folders that hold no runs that can be compared.
EXIT_ERROR = 3
MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One measure: candidate minus baseline with its 95 % interval, and what that says in words."""

    name: str
    difference: Difference
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The outcome is the worst of the checks: passing means every measure is non-inferior, so none needs adjusting."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
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
