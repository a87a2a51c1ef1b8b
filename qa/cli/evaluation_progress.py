"""What a person sees of an evaluation on a terminal: steps and a bar, the numbers, a comparison, a gate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from qa.evaluation.comparing import Comparison, Verdict
from qa.evaluation.evaluation import Evaluation
from qa.evaluation.summary import Summary
from qa.names import printable
from qa.statistics.significance import Estimate

# Seconds between two lines where no bar can be drawn, and how many lines of what was left out are shown.
_LINE_EVERY = 10.0
_NAMED = 20
# So that the table fits in 80 columns.
_IN_SHORT: Mapping[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "no difference found": "none found",
    "too few questions to tell": "too few to tell",
}


class EvaluationProgress:
    """Draws a bar where there is a terminal, and prints a line now and then where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._bar = Progress(
            TextColumn("Asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._said = time.monotonic()

    def __enter__(self) -> EvaluationProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, message: str) -> None:
        self._bar.stop()
        self._console.print(f"{escape(printable(message))} …", highlight=False)

    def started(self, questions: int, done: int) -> None:
        self._total, self._done = questions, done
        again = f", {done:,} of them before" if done else ""
        self._console.print(f"Asking {questions:,} questions{again} …", highlight=False)
        self._task = self._bar.add_task("ask", total=questions, completed=done)
        self._bar.start()

    def asked(self) -> None:
        self._done += 1
        if self._task is not None:
            self._bar.advance(self._task)
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{self._done:,} of {self._total:,}", highlight=False)


def show_summary(evaluation: Evaluation, summary: Summary, console: Console) -> None:
    table = _table("measure", "mean", "95 % interval", "questions")
    for name, estimate in summary.measures.items():
        table.add_row(name, f"{estimate.value:.3f}", _interval(estimate), f"{estimate.n:,}")
    if (answering := summary.answering) is not None:
        for name, found in (
            ("coverage", answering.coverage), ("risk", answering.risk), ("AUROC", answering.auroc),
            ("AURC", answering.aurc), ("calibration error", answering.calibration_error), ("Brier", answering.brier),
        ):  # fmt: skip
            if found is not None:
                table.add_row(name, f"{found.value:.3f}", _interval(found), f"{found.n:,}")
    console.print(table)
    if summary.latency is not None:
        p = summary.latency
        console.print(f"Latency: p50 {p.p50:.1f} ms, p95 {p.p95:.1f} ms, p99 {p.p99:.1f} ms", highlight=False)
    failed = ", ".join(f"{count:,} {failure}" for failure, count in summary.failures.items() if count)
    console.print(f"Failed: {failed or 'none'}", highlight=False)
    for note in summary.notes:
        console.print(escape(note), highlight=False)
    for line in evaluation.left_out[:_NAMED]:
        console.print(f"left out: {escape(printable(line))}", highlight=False)
    if len(evaluation.left_out) > _NAMED:
        console.print(f"… and {len(evaluation.left_out) - _NAMED:,} more; the report lists them all", highlight=False)


def show_comparison(comparison: Comparison, console: Console) -> None:
    table = _table("measure", "before", "after", "change", "95 % interval", "p", "verdict")
    for each in comparison.measures:
        found = each.difference.estimate
        table.add_row(
            each.name, f"{each.baseline:.3f}", f"{each.candidate:.3f}", f"{found.value:+.3f}",
            _interval(found, "+.3f", " … "), f"{each.p:.4f}", _IN_SHORT[each.verdict],
        )  # fmt: skip
    console.print(table)
    for note in comparison.notes:
        console.print(escape(printable(note)), highlight=False)
    main = comparison.headline
    console.print(
        f"{main.name} of {main.difference.estimate.n:,} questions: {len(comparison.better):,} better, "
        f"{len(comparison.worse):,} worse. Verdict: {comparison.verdict}.",
        highlight=False,
    )
    if (seen := main.difference.detectable) is not None:
        console.print(f"A change of less than {seen:.3f} would probably go unseen (5 %, power 80 %).", highlight=False)
    for name, changes in (("worse", comparison.worse), ("better", comparison.better)):
        for change in changes[:_NAMED]:
            asked = escape(printable(change.before.question.text))
            console.print(f"{name}: {change.was:.3f} → {change.became:.3f}  {asked}", highlight=False)
        if len(changes) > _NAMED:
            console.print(f"… and {len(changes) - _NAMED:,} more that got {name}", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 or name == "verdict" else "right", no_wrap=True)
    return table


def _interval(estimate: Estimate, form: str = ".3f", between: str = " to ") -> str:
    if estimate.low is None or estimate.high is None:
        return "?"
    return f"{estimate.low:{form}}{between}{estimate.high:{form}}"
