"""The upkeep of a collection's own documents: uploaded, replaced and deleted behind a running service, and indexed.

What is acknowledged is on the disk, in the collection's folder, and an update of the index is on its way. What was made
of folders of the operator's own is not changed from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from qa.build.uploads import DocumentFolder, FolderChange, Kept, Landing, StagedFile, check_name, is_made_of
from qa.errors import CollectionFixed, IndexNotFound, QAError, StorageError, UpkeepError, UploadRefused
from qa.files import printable, why
from qa.index.snapshots import Snapshots
from qa.service.indexing import FileChange, Indexing, IndexingJob
from qa.service.pictures import forget_pictures
from qa.settings import Settings
from qa.types import UploadLimits

if TYPE_CHECKING:
    from qa.build.screening import Screening

log = structlog.get_logger(__name__)

# Seconds after which an update that failed is tried again.
_RETRY_EVERY = 300.0
_FIXED = "this collection is made of folders of its operator's; what lies there is changed there, and not from outside"


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has been received whole under a name, or why it was not: then there is nothing staged."""

    name: str
    staged: StagedFile | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file that was sent. ``reason`` says why it was refused; ``sha256`` is of its bytes."""

    id: str
    status: Landing | Literal["refused"]
    reason: str = ""
    size: int = 0
    sha256: str = ""


class Upkeep:
    """What may be done to the documents that a collection keeps itself. Thread-safe; every method blocks on the disk.

    Args:
        job: updates the index after each change.
    """

    def __init__(self, settings: Settings, job: IndexingJob) -> None:
        self.limits: UploadLimits = settings.upload_limits
        self._settings = settings
        self._snapshots = Snapshots.of(settings)
        self._folder = DocumentFolder(self._snapshots.folder, self.limits)
        self._job = job

    def why_fixed(self) -> str:
        """Return why the documents cannot be changed, in a clause; empty where they can."""
        try:
            self.require_changeable()
        except CollectionFixed as error:
            return str(error)
        return ""

    def require_changeable(self) -> None:
        """Raise CollectionFixed where the documents cannot be changed."""
        if not self._folder.exists:
            raise CollectionFixed(_FIXED)
        try:
            sources = self._snapshots.manifest().sources
        except IndexNotFound:
            return
        except QAError as error:
            raise CollectionFixed("the present snapshot cannot be read; build the index again first") from error
        if not is_made_of(self._folder.path, sources):
            raise CollectionFixed(_FIXED)

    def kept(self) -> Kept:
        """Count the files that the collection keeps. Raises StorageError."""
        with _storing():
            return self._folder.kept()

    def catch_up(self) -> Indexing | None:
        """Index what was acknowledged before the server was last ended; call it once, at the start.

        Returns:
            ``None`` where the collection is empty.

        Raises:
            CollectionFixed: the documents of this collection are not changed from outside.
            StorageError: the disk cannot be written.
        """
        self.require_changeable()
        with _storing():
            self._folder.create()
            if self._snapshots.current_or_none() is None and not self._folder.kept().files:
                return None
        return self._job.start()

    def keep_trying(self, stopped: threading.Event) -> None:
        """Update the index again, every few minutes, while the last update failed; run this in a thread of its own."""
        while not stopped.wait(_RETRY_EVERY):
            if self._job.retry():
                log.info("an update that failed is tried again", index=self._settings.name)

    def stage(self) -> StagedFile:
        """Begin a file that is being received. Raises CollectionFixed, StorageError."""
        self.require_changeable()
        with _storing():
            return self._folder.stage()

    def take(self, received: Sequence[Received], *, replace: bool) -> list[Outcome]:
        """Make documents of the files that can be read, and begin to index them. Each has an outcome of its own.

        Only one thread should do this at a time: reading a file costs as much memory as the settings allow.

        Args:
            replace: whether documents of the same names are replaced.

        Raises:
            CollectionFixed: the documents of this collection are not changed from outside.
            WriterBusy: another process changes them for long.
            StorageError: the disk is full, or cannot be written.
        """
        outcomes: list[Outcome] = []
        try:
            self.require_changeable()
            screened = self._screen(received)
            with _storing(), self._folder.changing() as change:
                for each in screened:
                    outcomes.append(each if isinstance(each, Outcome) else _land(change, *each, replace=replace))
        finally:
            for file in received:
                if file.staged is not None:
                    file.staged.discard()
            # Also where the disk is full by now: what landed before is a document.
            self._job.note([_change(outcome) for outcome in outcomes])
        return outcomes

    def put(self, received: Received, expected: str | None = None, *, replace: bool = True) -> Outcome:
        """Do what :meth:`take` does with one file, and raise what it is refused for.

        Args:
            expected: the SHA-256 of the file that is to be replaced.

        Raises:
            UpkeepError: the file is refused, or the document there is not the expected one.
            WriterBusy, StorageError: as :meth:`take`.
        """
        staged = received.staged
        assert staged is not None
        try:
            self.require_changeable()
            id = check_name(received.name)
            with self._open_screening() as screening:
                screening.check(staged.path, id)
            with _storing(), self._folder.changing() as change:
                landing = change.land(staged, id, replace=replace, expected=expected)
        finally:
            staged.discard()
        outcome = Outcome(id, landing, size=staged.size, sha256=staged.sha256)
        self._job.note([_change(outcome)])
        return outcome

    def sha256(self, id: str) -> str:
        """Compute the SHA-256 of a document's file. Raises DocumentNotFound, StorageError."""
        with _storing():
            return self._folder.sha256(id)

    def remove(self, id: str, expected: str | None = None) -> Indexing:
        """Remove a document, and begin to update the index.

        Raises:
            CollectionFixed: the documents of this collection are not changed from outside.
            DocumentNotFound: there is no file of this id; an attachment goes with the file that it is attached to.
            DocumentReplaced: it is not the one with the SHA-256 ``expected``.
            WriterBusy, StorageError: as :meth:`take`.
        """
        self.require_changeable()
        with _storing(), self._folder.changing() as change:
            sha256 = change.remove(id, expected)
        forget_pictures(self._settings.indexes, sha256)
        log.info("document removed", index=self._settings.name, document=printable(id))
        return self._job.note([FileChange(id, "removed")])

    def _screen(self, received: Sequence[Received]) -> list[Outcome | tuple[StagedFile, str]]:
        """Return each file with its id, or with why it is refused. Raises ReadingUnavailable, StorageError."""
        screened: list[Outcome | tuple[StagedFile, str]] = []
        with self._open_screening() as screening:
            for each in received:
                if each.staged is None:
                    screened.append(Outcome(each.name, "refused", each.refused))
                    continue
                try:
                    id = check_name(each.name)
                    screening.check(each.staged.path, id)
                except UploadRefused as error:
                    screened.append(Outcome(each.name, "refused", str(error), each.staged.size))
                else:
                    screened.append((each.staged, id))
        return screened

    def _open_screening(self) -> Screening:
        # Late: readers and building take a third of a second to import, which a start should not wait for.
        from qa.build.screening import Screening
        from qa.build.update import limits_of
        from qa.readers.recognition.recogniser import recognition_version
        from qa.readers.registry import ReadingOptions

        options = ReadingOptions(self._settings.hidden, recognition_version(self._settings.ocr))
        return Screening(limits_of(self._settings), options)


def _land(change: FolderChange, staged: StagedFile, id: str, *, replace: bool) -> Outcome:
    """Make a file a document, or say why not. Raises OSError."""
    try:
        landing = change.land(staged, id, replace=replace)
    except UpkeepError as error:
        return Outcome(id, "refused", str(error), staged.size)
    return Outcome(id, landing, size=staged.size, sha256=staged.sha256)


def _change(outcome: Outcome) -> FileChange:
    if outcome.status in {"added", "replaced"}:
        return FileChange(outcome.id, outcome.status)
    return FileChange(outcome.id, outcome.status, outcome.status, outcome.reason)  # type: ignore[arg-type]


@contextmanager
def _storing() -> Iterator[None]:
    """Raise StorageError, and log it, where the disk is full or cannot be written."""
    try:
        yield
    except OSError as error:
        log.error("documents not changed", reason=str(error), to_do="free space, or see who may write the folder")
        raise StorageError(f"the documents cannot be changed: {why(error)}") from error
