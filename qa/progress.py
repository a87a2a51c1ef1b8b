"""What a person sees while an index is built: steps, a bar over the bytes that are done, and a summary."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from qa.indexing import Update
from qa.types import FileReport

# Files that were not read are named up to this many; the snapshot holds the whole report.
_NAMED = 20
# Seconds between two lines where no bar can be drawn.
_LINE_EVERY = 10.0


class IndexingProgress:
    """Listens to :func:`qa.indexing.update`. The bar goes to standard error; a pipe gets a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
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
        self._statuses: Counter[str] = Counter()

    def __enter__(self) -> IndexingProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, message: str) -> None:
        self._bar.stop()
        self._console.print(f"{escape(message)} …")

    def started(self, total_bytes: int, files: int) -> None:
        self._console.print(f"Indexing {files} {_plural(files, 'file')}, {total_bytes / 1e6:.1f} MB …")
        self._total = float(total_bytes)
        self._task = self._bar.add_task("index", total=total_bytes)
        self._bar.start()

    def advanced(self, size: float) -> None:
        self._done += size
        if self._task is not None:
            self._bar.advance(self._task, size)
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self._console.print(f"{100 * self._done / max(self._total, 1.0):.0f} % of {self._total / 1e6:.1f} MB")

    def finished_file(self, report: FileReport) -> None:
        self._statuses[report.status] += 1
        if report.status != "read" and len(self._unread) < _NAMED:
            self._unread.append(report)

    def summarise(self, result: Update, name: str) -> None:
        if not result.counts.changed:
            self._console.print(
                f"Nothing has changed: snapshot {result.manifest.id} of index {escape(name)} stays active."
            )
            return
        for report in self._unread:
            self._console.print(f"{report.status}: {escape(report.id)}: {escape(report.reason)}")
        unread = self._statuses.total() - self._statuses["read"]
        if unread > len(self._unread):
            self._console.print(f"… and {unread - len(self._unread)} more files that were not read whole")
        statuses = ", ".join(f"{count} {status}" for status, count in self._statuses.items())
        counts = result.counts
        self._console.print(
            f"{statuses}; {counts.documents} {_plural(counts.documents, 'document')}, {counts.passages} passages, "
            f"{counts.encoded} newly encoded, in {result.seconds:.1f} s"
        )
        self._console.print(f"Snapshot {result.manifest.id} of index {escape(name)} is active.")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
