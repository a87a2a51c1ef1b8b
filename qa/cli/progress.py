"""What a terminal shows of indexing and of evaluating: steps, a bar, and the numbers at the end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from qa.build.update import Update
from qa.evaluation.comparison import Comparison, Verdict
from qa.evaluation.outcomes import Evaluation, EvaluationListener
from qa.evaluation.summary import GOT, Answers, Summary
from qa.markup import safe_line
from qa.statistics.significance import Estimate
from qa.types import FileReport, FileStatus

# A build finds .985, or a little less where passages are nearly copies of each other (qa/index/vectors/tuning.py).
# Where it is less than this, the summary says how much.
_USUAL_RECALL = 0.97
# Files that were not read are named up to this many; the snapshot holds the whole report.
_NAMED = 20
# Seconds between two lines where no bar can be drawn.
_LINE_EVERY = 10.0
# Batches by whose pace the time that is left is estimated.
_PACE_OF = 50


@dataclass(slots=True)
class _Totals:
    """The sums over the files of one kind."""

    statuses: Counter[str] = field(default_factory=Counter)
    size: int = 0
    characters: int = 0
    pages: int = 0
    empty_pages: int = 0
    passages: int = 0
    seconds: float = 0.0

    def add(self, report: FileReport) -> None:
        self.statuses[report.status] += 1
        self.size += report.size
        self.characters += report.characters
        self.pages += report.pages
        self.empty_pages += report.empty_pages
        self.passages += report.passages
        self.seconds += report.seconds

    def cells(self) -> list[str]:
        counts = [self.statuses[status] for status in STATUSES]
        sums = [self.characters, self.pages, self.empty_pages, self.passages]
        numbers = [f"{number:,}" if number else "" for number in [*counts, *sums]]
        return [*numbers[:4], f"{self.size / 1e6:,.1f}", *numbers[4:], f"{self.seconds:,.1f}"]


STATUSES: tuple[FileStatus, ...] = ("read", "partial", "skipped", "failed")
# Short, so that the table fits in 80 columns.
_COLUMNS = ("read", "part", "skip", "fail", "MB", "chars", "pages", "empty", "passages", "s")


class _Progress(ABC):
    """Steps and a bar on standard error. Without a terminal there is a line now and then instead of the bar."""

    def __init__(
        self,
        *columns: ProgressColumn | str,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task: TaskID | None = None
        self._total = self._done = 0.0
        self._said = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, message: str) -> None:
        """Show that a step begins that may take seconds."""
        self._bar.stop()
        self._console.print(f"{escape(safe_line(message))} …")

    def _begin(self, total: float, done: int = 0) -> None:
        self._total, self._done = total, done
        if self._task is not None:  # of what came before, as encoding on a cluster comes before a build
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.start()

    def _advance(self, amount: float) -> None:
        self._done += amount
        if self._task is not None:
            self._bar.start()  # a step in between, such as loading the model, has stopped it
            self._bar.advance(self._task, amount)
        self._say(self._line())

    def _say(self, line: str) -> None:
        """Print a line now and then, where no bar can be drawn."""
        if not self._console.is_terminal and self._clock() - self._said > _LINE_EVERY:
            self._said = self._clock()
            self._console.print(line)

    @abstractmethod
    def _line(self) -> str:
        """Say how far it is, for an output that is no terminal."""


class _Pace:
    """How fast bytes are done, by the last batches of which something was encoded.

    A batch whose vectors were all known, as after a build that was killed, says nothing of how long the others take:
    its time and its bytes are left out. Where some are known in every batch, as of texts that repeat or of a corpus in
    which a line changed, that will go on.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._last: deque[tuple[float, float]] = deque(maxlen=_PACE_OF)

    def begin(self) -> None:
        self._since = self._clock()
        self._last.clear()

    def batch(self, size: float, encoded: float) -> None:
        """Note that a batch is done, of whose ``size`` bytes so many were encoded."""
        now = self._clock()
        if encoded > 0:
            self._last.append((now - self._since, size))
        self._since = now

    def seconds(self, size: float) -> float | None:
        """Estimate how long so many bytes take; ``None`` before anything was encoded."""
        taken, done = (sum(column) for column in zip(*self._last, strict=True)) if self._last else (0.0, 0.0)
        return size * taken / done if done else None


class _RemainingColumn(ProgressColumn):
    """The time that is left, or dashes before it can be known."""

    max_refresh = 0.5

    def __init__(self, remaining: Callable[[], float | None]) -> None:
        super().__init__()
        self._remaining = remaining

    def render(self, task: Task) -> Text:
        seconds = self._remaining()
        return Text("-:--:--" if seconds is None else str(timedelta(seconds=ceil(seconds))), style="progress.remaining")


class IndexingProgress(_Progress):
    """A listener of :func:`qa.build.update.update`, with a bar over the bytes that are done.

    The time that is left is that of all bytes that are left, at the pace of batches of which something was encoded.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = _Pace(clock)
        columns = (TextColumn("{task.percentage:>3.0f} %"), DownloadColumn(), _RemainingColumn(self._remaining))
        description = TextColumn("{task.description}")
        super().__init__(TextColumn("Indexing"), BarColumn(), *columns, description, console=console, clock=clock)
        self._unread: list[FileReport] = []
        self._kinds: defaultdict[str, _Totals] = defaultdict(_Totals)
        self._all = _Totals()

    def started(self, total_bytes: int, files: int) -> None:
        """Show how much there is to index."""
        self._console.print(f"Indexing {counted(files, 'file')}, {total_bytes / 1e6:.1f} MB …")
        self._begin(float(total_bytes))
        self._pace.begin()

    def advanced(self, size: float, encoded: float | None = None) -> None:
        """Show that so many more bytes are done."""
        if encoded is not None:
            self._pace.batch(size, encoded)
        self._advance(size)

    def _remaining(self) -> float | None:
        """Estimate the seconds that are left; ``None`` before anything was encoded."""
        return self._pace.seconds(max(self._total - self._done, 0.0))

    def recognising(self, id: str, page: int, pages: int) -> None:
        """Show which page OCR reads, beside the bar or as a line."""
        now = escape(f"OCR of page {page:,} of {pages:,}: {safe_line(id)}")
        if self._task is not None:
            self._bar.update(self._task, description=now)
        self._say(now)

    def _line(self) -> str:
        seconds = self._remaining()
        left = "" if seconds is None else f", about {timedelta(seconds=ceil(seconds))} left"
        # The bytes of passages are shares of a file's, and their sum may lie a rounding error below 0.
        done = max(0.0, self._done)
        return f"{100 * done / max(self._total, 1.0):.0f} % of {self._total / 1e6:.1f} MB{left}"

    def finished_file(self, report: FileReport) -> None:
        """Add a file to the summary."""
        self._kinds[PurePosixPath(safe_line(report.id)).suffix.lower() or "(none)"].add(report)
        self._all.add(report)
        if report.recognised and self._task is not None:
            self._bar.update(self._task, description="")
        if report.status != "read" and len(self._unread) < _NAMED:
            self._unread.append(report)

    def summarise(self, result: Update, name: str) -> None:
        """Print what was indexed, and what could not be."""
        if not result.counts.changed:
            self._console.print(
                f"Nothing has changed: snapshot {result.manifest.id} of index {escape(name)} stays active."
            )
            return
        self._console.print(self._table())
        for report in self._unread:
            # Printable: a file's name must not steer the terminal.
            self._console.print(f"{report.status}: {escape(safe_line(report.id))}: {escape(safe_line(report.reason))}")
        unread = self._all.statuses.total() - self._all.statuses["read"]
        if unread > len(self._unread):
            self._console.print(f"… and {unread - len(self._unread)} more files; GET /v1/documents lists them all")
        statuses = ", ".join(
            f"{self._all.statuses[status]} {status}" for status in STATUSES if self._all.statuses[status]
        )
        counts = result.counts
        self._console.print(
            f"{statuses}; {counted(counts.documents, 'document')}, {counted(counts.passages, 'passage')}, "
            f"{counts.encoded:,} newly encoded, in {result.seconds:.1f} s"
        )
        recall = result.manifest.vectors.get("recall_at_10")
        # As many digits as are shown.
        if isinstance(recall, float) and (shown := round(recall, 3)) < _USUAL_RECALL:
            self._console.print(
                f"Approximate search finds {shown:.1%} of the nearest ten, where {_USUAL_RECALL:.0%} and more are "
                "usual; the vectors are harder to tell apart than most"
            )
        self._console.print(f"Snapshot {result.manifest.id} of index {escape(name)} is active.")

    def _table(self) -> Table:
        """Return a table with one row for all files of one suffix, and their totals."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=len(self._kinds) > 1)
        table.add_column("files", footer="all")
        for name, footer in zip(_COLUMNS, self._all.cells(), strict=True):
            table.add_column(name, footer=footer, justify="right", no_wrap=True)
        for kind in sorted(self._kinds):
            table.add_row(escape(kind), *self._kinds[kind].cells())
        return table


def counted(count: int, noun: str) -> str:
    """Write a number with its noun, in the plural unless it is one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# Short, so that the table fits in 80 columns.
_IN_SHORT: Mapping[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "no difference found": "none found",
    "too few questions to tell": "too few to tell",
}


class EvaluationProgress(_Progress, EvaluationListener):
    """A listener of an evaluation, with a bar over its questions."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (TextColumn("Asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, console=console)

    def started(self, questions: int, done: int) -> None:
        before = f", {done:,} of them before" if done else ""
        self._console.print(f"Asking {counted(questions, 'question')}{before} …")
        self._begin(questions, done)

    def asked(self) -> None:
        self._advance(1)

    def _line(self) -> str:
        return f"{self._done:,.0f} of {self._total:,.0f}"


def show_summary(evaluation: Evaluation, summary: Summary, console: Console) -> None:
    """Print an evaluation in numbers: first what a person gets, then the measures."""
    if summary.answers is not None:
        _show_answers(summary.answers, console)
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
    if table.row_count:
        console.print(table)
    _show_latency(summary, console)
    _show_failures(evaluation, summary, console)


def _show_latency(summary: Summary, console: Console) -> None:
    for name, p in (("Latency", summary.latency), ("Reading", summary.reading)):
        if p is not None:
            console.print(f"{name}: p50 {p.p50:.1f} ms, p95 {p.p95:.1f} ms, p99 {p.p99:.1f} ms", highlight=False)


def _show_failures(evaluation: Evaluation, summary: Summary, console: Console) -> None:
    failed = ", ".join(f"{count:,} {failure}" for failure, count in summary.failures.items() if count)
    console.print(f"Failed: {failed or 'none'}", highlight=False)
    for note in summary.notes:
        console.print(escape(safe_line(note)), highlight=False)
    for line in evaluation.left_out[:_NAMED]:
        console.print(f"left out: {escape(safe_line(line))}", highlight=False)
    if len(evaluation.left_out) > _NAMED:
        console.print(f"… and {len(evaluation.left_out) - _NAMED:,} more; the report lists them all", highlight=False)


def _show_answers(answers: Answers, console: Console) -> None:
    received = answers.received
    console.print(
        f"What a person gets, of {counted(received.right.n, 'question')} whose answers can be judged:", highlight=False
    )
    for name, share in (
        ("right, or rightly refused", received.right),
        ("wrong", received.wrong),
        ("refused, and there is an answer", received.refused),
    ):
        interval = "" if share.low is None or share.high is None else f"  ({share.low:.0%} to {share.high:.0%})"
        console.print(f"  {share.value:4.0%}  {name}{interval}", highlight=False)
    table = _table("", "has an answer", "has none")
    for got in GOT:
        table.add_row(got, f"{answers.answerable[got]:,}", f"{answers.unanswerable[got]:,}")
    console.print(table)
    if len(answers.kinds) > 1:
        table = _table("kind of question", "right", "wrong", "refused", "questions")
        for kind, each in answers.kinds.items():
            shares = (f"{share.value:.0%}" for share in (each.right, each.wrong, each.refused))
            table.add_row(kind, *shares, f"{each.right.n:,}")
        console.print(table)


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Print the verdict on each measure, and the questions that changed most."""
    table = _table("measure", "before", "after", "change", "95 % interval", "p", "verdict")
    for each in comparison.measures:
        found = each.difference.estimate
        table.add_row(
            each.name, f"{each.baseline:.3f}", f"{each.candidate:.3f}", f"{found.value:+.3f}",
            _interval(found, "+.3f", " … "), f"{each.p:.4f}", _IN_SHORT[each.verdict],
        )  # fmt: skip
    console.print(table)
    for note in comparison.notes:
        console.print(escape(safe_line(note)), highlight=False)
    main = comparison.headline
    console.print(
        f"{main.name} of {counted(main.difference.estimate.n, 'question')}: {len(comparison.better):,} better, "
        f"{len(comparison.worse):,} worse. Verdict: {comparison.verdict}.",
        highlight=False,
    )
    if (seen := main.difference.detectable) is not None:
        console.print(f"A change of less than {seen:.3f} would probably go unseen (5 %, power 80 %).", highlight=False)
    for name, changes in (("worse", comparison.worse), ("better", comparison.better)):
        for change in changes[:_NAMED]:
            asked = escape(safe_line(change.before.question.text))
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
