"""The update of an index behind a running service: one at a time, with its progress, and again after a change.

A collection that keeps its own documents is updated after every upload. What is uploaded while an update runs gets one
of its own right after it, so that an update that has ended holds all that was uploaded before it began.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import structlog

from qa.build.uploads import DocumentFolder, is_made_of
from qa.errors import (
    EncoderError,
    ExtraMissing,
    QAError,
    SnapshotError,
    StorageError,
    UpdateRunning,
    VectorsUnavailable,
    WriterBusy,
)
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import FileReport

if TYPE_CHECKING:
    from qa.build.update import Update
    from qa.build.watch import Pruning

log = structlog.get_logger(__name__)

TO_DO = "free space, or do it where the index's folder can be written: qa snapshots activate, qa index"
# Changes that are remembered: an upload holds no more files.
MOST_CHANGES = 1_000
# Seconds between two tries while another process writes the index, and tries.
_AGAIN = 1.0
_TRIES = 120

ChangeStatus = Literal[
    "waiting", "reading", "indexed", "partial", "failed", "skipped", "removed", "refused", "unchanged"
]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A document that was uploaded, replaced or deleted, and what has become of that.

    ``status`` is ``waiting`` and ``reading`` until the index is published that holds it, then what that index's report
    says; ``refused`` and ``unchanged`` are files that changed nothing. ``reason`` says why, where there is something to
    say.
    """

    id: str
    kind: Literal["added", "replaced", "removed", "refused", "unchanged"]
    status: ChangeStatus = "waiting"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Indexing:
    """The last update that was requested. ``detail`` describes its result in words; times are ISO 8601.

    ``done`` of ``files`` files have been gone through, and ``share`` of their bytes. ``changes`` are the last
    of documents that were uploaded, replaced or deleted since the server started, the newest last.
    """

    status: Literal["none", "running", "done", "unchanged", "failed"] = "none"
    detail: str = ""
    snapshot: str | None = None
    started: str | None = None
    seconds: float | None = None
    files: int = 0
    done: int = 0
    share: float = 0.0
    changes: tuple[FileChange, ...] = ()


class _Progress:
    """What a build reports, for whoever asks meanwhile; one thread writes it."""

    def __init__(self, read: Callable[[FileReport], None]) -> None:
        self.detail = "the files are being read"
        self.files, self.done = 0, 0
        self._bytes, self._advanced = 0, 0.0
        self._read = read

    @property
    def share(self) -> float:
        return min(1.0, self._advanced / self._bytes) if self._bytes else 0.0

    def stage(self, message: str) -> None:
        self.detail = message[:1].lower() + message[1:]

    def started(self, total_bytes: int, files: int) -> None:
        self._bytes, self.files = total_bytes, files
        self.detail = "the files are being read"

    def advanced(self, size: float, encoded: float | None = None) -> None:
        self._advanced += size

    def recognising(self, id: str, page: int, pages: int) -> None:
        self.detail = f"page {page:,} of {pages:,} of {id} is being recognised"

    def finished_file(self, report: FileReport) -> None:
        if not report.container:
            self.done += 1
            self._read(report)


@dataclass(slots=True)
class _Changes:
    """The last changes, by document. ``due`` are those that no update has begun with."""

    known: dict[str, FileChange] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)


class IndexingJob:
    """The updates of one index, in a thread of their own while there is something to do. Thread-safe.

    Args:
        turn: held during an update; those who share it update one after the other.
    """

    def __init__(self, settings: Settings, service: Service, turn: threading.Lock) -> None:
        self._turn = turn
        self._settings = settings
        self._service = service
        self._snapshots = Snapshots.of(settings)
        self._folder = DocumentFolder(self._snapshots.folder, settings.upload_limits)
        self._lock = threading.Lock()
        self._state = Indexing()
        self._progress: _Progress | None = None
        self._changes = _Changes()
        self._again = False
        # Files that were due when the update began, until it has counted those that it reads.
        self._expected = 0
        self._pruning: Pruning | None = None
        service.explain_empty(self._explain_empty)

    def start(self) -> Indexing:
        """Start to update the index, and return at once.

        Raises:
            UpdateRunning: an update is running already.
            IndexNotFound: there is no index, and no documents to make one of.
        """
        if not self._keeps_own():
            self._snapshots.current()
        with self._lock:
            if self._state.status == "running":
                raise UpdateRunning("the index is being updated already; try again when that is done")
            begun = self._begin()
        self._start()
        return begun

    def retry(self) -> bool:
        """Start to update the index again where the last update failed, and return whether that was so."""
        with self._lock:
            if self._state.status != "failed":
                return False
            self._begin()
        self._start()
        return True

    def note(self, changes: Iterable[FileChange]) -> Indexing:
        """Take note of changes, and update the index where they changed something: after the running update, if any."""
        with self._lock:
            is_running = self._state.status == "running"
            # What an update failed to index may be sent again, and is the same file then.
            known, is_due = self._changes.known, self._state.status == "failed"
            for change in changes:
                known.pop(change.id, None)
                known[change.id] = change
                self._changes.due.discard(change.id)
                if change.status == "waiting":
                    self._changes.due.add(change.id)
                    is_due = True
            for id in list(known)[: max(0, len(known) - MOST_CHANGES)]:
                del known[id]
            self._again |= is_due and is_running
            begun = self._begin() if is_due and not is_running else None
        if begun is None:
            return self.state()
        self._start()
        return begun

    def state(self) -> Indexing:
        """Return the state of the last update, with its progress."""
        with self._lock:
            state, progress = self._state, self._progress
            state = replace(state, changes=tuple(self._changes.known.values()))
        if progress is None or state.status != "running":
            return state
        return replace(
            state, detail=progress.detail, files=progress.files, done=progress.done, share=round(progress.share, 4)
        )

    def _explain_empty(self) -> str:
        """Say why a collection has nothing to answer from yet; nothing where it waits for documents."""
        with self._lock:
            status, progress, files = self._state.status, self._progress, self._expected
        if status == "failed":
            return "none of the documents is indexed yet"
        if status != "running":
            return ""
        if progress is not None:
            files = progress.files or files
        count = f"{files:,} {'file is' if files == 1 else 'files are'}" if files else "the documents are"
        return f"{count} being indexed; questions are answered when that is done"

    def _begin(self) -> Indexing:
        self._again = False
        self._expected = len(self._changes.due)
        self._progress = None
        self._state = Indexing("running", "the files are being read", started=_now())
        return replace(self._state, changes=tuple(self._changes.known.values()))

    def _start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name=f"index-{self._settings.name}").start()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._again = False
                batch, self._changes.due = self._changes.due, set()
                self._progress = _Progress(self._read)
            result, reports = self._update(batch)
            # Before the update ends, so that who sees that it failed finds the reason.
            # What is made of folders of the operator's own may be updated by others, who would not take it back.
            has_failed = result.status == "failed" and self._folder.exists
            self._service.note("index", result.detail if has_failed else "")
            with self._lock:
                for id in batch & self._changes.known.keys() - self._changes.due:
                    self._changes.known[id] = _settled(self._changes.known[id], result, reports.get(id))
                if not self._again:
                    self._state = replace(result, started=self._state.started)
                    return

    def _read(self, report: FileReport) -> None:
        with self._lock:
            known = self._changes.known.get(report.id)
            if known is not None and known.status == "waiting" and report.id not in self._changes.due:
                self._changes.known[report.id] = replace(known, status="reading", reason=report.reason)

    def _update(self, changed: set[str]) -> tuple[Indexing, Mapping[str, FileReport]]:
        """Update the index; return what came of it, and of the files that were changed."""
        try:
            done = self._build()
            if done is None:
                self._service.clear_everywhere()
                return Indexing("done", "no document that can be read is left; the collection is empty"), {}
            self._service.reload_everywhere()
            self._prune()
            is_new = done.counts.changed
            detail = f"newly encoded: {done.counts.encoded:,}" if is_new else "nothing has changed"
            result = Indexing("done" if is_new else "unchanged", detail, done.manifest.id, seconds=done.seconds)
            return result, self._reports(changed, done.manifest.id)
        except Exception as error:  # the present snapshot is served on after any failure
            unforeseen = None if isinstance(error, QAError | OSError) else error
            to_do = {"to_do": TO_DO} if isinstance(error, OSError | StorageError) else {}
            log.error("index not updated", reason=str(error), exc_info=unforeseen, **to_do)
            return Indexing("failed", self._describe_failure(error)), {}

    def _describe_failure(self, error: Exception) -> str:
        """Say what an update failed at and what to do, in a clause that names no path of this machine."""
        match error:
            case VectorsUnavailable():
                reason = "the server that has the vectors cannot be asked"
            case StorageError() | OSError():
                reason = "the disk is full, or cannot be read or written"
            case EncoderError() | ExtraMissing():
                reason = "the model cannot be loaded"
            case WriterBusy():
                reason = "another process is writing the index"
            case _:
                reason = "the server's log says why"
        again = "; the server tries again every few minutes, and with the next change" if self._folder.exists else ""
        return (
            f"the last update of the index failed: {reason}; what was changed since the one before is not answered "
            f"from; mend that, and send POST /v1/index{again}"
        )

    def _build(self) -> Update | None:
        """Update the index, after another process that writes it is done. Raises what :func:`follow` does."""
        # Late: building takes a third of a second to import, which a start of the server should not wait for.
        from qa.build.update import follow, update_own

        assert self._progress is not None
        build = update_own if self._keeps_own() else follow
        tries = _TRIES
        while True:
            try:
                with self._turn:
                    return build(self._settings, self._progress, self._service.encoder())
            except WriterBusy:
                if not tries:
                    raise
                tries -= 1
                self._progress.stage("Waiting for another process that is writing the index")
                time.sleep(_AGAIN)

    def _keeps_own(self) -> bool:
        """Return whether the index is made of the documents that the collection keeps itself. Raises SnapshotError."""
        if not self._folder.exists:
            return False
        try:
            sources = self._snapshots.manifest().sources
        except SnapshotError:
            return self._snapshots.current_or_none() is None
        return is_made_of(self._folder.path, sources)

    def _reports(self, ids: set[str], snapshot: str) -> Mapping[str, FileReport]:
        """Read what a snapshot says of some files. Raises SnapshotError."""
        if not ids:
            return {}
        _, store = self._snapshots.open_store(snapshot)
        try:
            return store.reports_of(ids)
        finally:
            store.close()

    def _prune(self) -> None:
        """Remove old snapshots, which every upload would add one to; where that fails, the update has not failed."""
        if not self._keeps_own():
            return
        from qa.build.watch import Pruning

        try:
            self._pruning = self._pruning or Pruning()
            self._pruning.run(self._settings)
        except (QAError, OSError) as error:
            log.warning("old snapshots not removed", reason=str(error))


def _settled(change: FileChange, result: Indexing, report: FileReport | None) -> FileChange:
    """Say what has become of a change in an update that has ended."""
    if result.status == "failed":
        return replace(change, status="failed", reason="it is kept, and not indexed yet: the update failed")
    if change.kind == "removed":
        return replace(change, status="removed", reason="")
    if report is None:
        return replace(change, status="failed", reason="it is kept, and not in the index")
    status: ChangeStatus = "indexed" if report.status == "read" else report.status
    return replace(change, status=status, reason=report.reason)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
