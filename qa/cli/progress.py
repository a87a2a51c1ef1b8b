"""What a person sees while an index is built: steps, a bar over the bytes that are done, and a summary."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from qa.build.indexing import Update
from qa.names import printable
from qa.types import FileReport, FileStatus

# Files that were not read are named up to this many; the snapshot holds the whole report.
_NAMED = 20
# Seconds between two lines where no bar can be drawn.
_LINE_EVERY = 10.0


@dataclass(slots=True)
class _Totals:
    """Sums over the files of one kind."""

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


class IndexingProgress:
    """Listens to :func:`qa.build.indexing.update`. The bar goes to standard error; a pipe gets a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("Indexing"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._total = self._done = 0.0
        self._said = time.monotonic()
        self._unread: list[FileReport] = []
        self._kinds: defaultdict[str, _Totals] = defaultdict(_Totals)
        self._all = _Totals()

    def __enter__(self) -> IndexingProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, message: str) -> None:
        self._bar.stop()
        self._console.print(f"{escape(message)} …")

    def started(self, total_bytes: int, files: int) -> None:
        self._console.print(f"Indexing {_counted(files, 'file')}, {total_bytes / 1e6:.1f} MB …")
        self._total = float(total_bytes)
        self._task = self._bar.add_task("index", total=total_bytes)
        self._bar.start()

    def advanced(self, size: float) -> None:
        self._done += size
        if self._task is not None:
            self._bar.start()  # which a step in between, such as loading the model, has stopped
            self._bar.advance(self._task, size)
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{100 * self._done / max(self._total, 1.0):.0f} % of {self._total / 1e6:.1f} MB")

    def finished_file(self, report: FileReport) -> None:
        self._kinds[PurePosixPath(printable(report.id)).suffix.lower() or "(none)"].add(report)
        self._all.add(report)
        if report.status != "read" and len(self._unread) < _NAMED:
            self._unread.append(report)

    def summarise(self, result: Update, name: str) -> None:
        if not result.counts.changed:
            self._console.print(
                f"Nothing has changed: snapshot {result.manifest.id} of index {escape(name)} stays active."
            )
            return
        self._console.print(self._table())
        for report in self._unread:
            # Printable: a file's name must not steer the terminal.
            self._console.print(f"{report.status}: {escape(printable(report.id))}: {escape(printable(report.reason))}")
        unread = self._all.statuses.total() - self._all.statuses["read"]
        if unread > len(self._unread):
            self._console.print(f"… and {unread - len(self._unread)} more files; GET /v1/documents lists them all")
        statuses = ", ".join(
            f"{self._all.statuses[status]} {status}" for status in STATUSES if self._all.statuses[status]
        )
        counts = result.counts
        self._console.print(
            f"{statuses}; {_counted(counts.documents, 'document')}, {_counted(counts.passages, 'passage')}, "
            f"{counts.encoded:,} newly encoded, in {result.seconds:.1f} s"
        )
        self._console.print(f"Snapshot {result.manifest.id} of index {escape(name)} is active.")

    def _table(self) -> Table:
        """One row for files of one suffix, and their totals."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=len(self._kinds) > 1)
        table.add_column("files", footer="all")
        for name, footer in zip(_COLUMNS, self._all.cells(), strict=True):
            table.add_column(name, footer=footer, justify="right", no_wrap=True)
        for kind in sorted(self._kinds):
            table.add_row(escape(kind), *self._kinds[kind].cells())
        return table


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
