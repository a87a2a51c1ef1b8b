"""Maintenance of a running service: list its snapshots, switch between them, update the index."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import structlog

from qa.errors import QAError, StorageError, UpdateRunning
from qa.index.manifest import Manifest
from qa.index.snapshots import SnapshotInfo, Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State

log = structlog.get_logger(__name__)

_TO_DO = "free space, or do it where the index's folder can be written: qa snapshots activate, qa index"


@dataclass(frozen=True, slots=True)
class Indexing:
    """The last update that was requested. ``detail`` describes its result in words; times are ISO 8601."""

    status: Literal["none", "running", "done", "unchanged", "failed"] = "none"
    detail: str = ""
    snapshot: str | None = None
    started: str | None = None
    seconds: float | None = None


class Maintenance:
    """What an operator may do to a running service. Thread-safe; every method may block on the disk.

    Args:
        turn: held during an update; those who share it update one after the other.
    """

    def __init__(self, settings: Settings, service: Service, turn: threading.Lock | None = None) -> None:
        self._settings = settings
        self._service = service
        self._snapshots = Snapshots(settings.indexes, settings.name)
        self._turn = turn or threading.Lock()
        self._lock = threading.Lock()
        self._indexing = Indexing()

    def snapshots(self) -> list[SnapshotInfo]:
        """List the snapshots, newest first. Raises IndexNotFound."""
        return self._snapshots.listing()

    def activate(self, id: str) -> State:
        """Check a snapshot, make it the active one and serve it. On an error nothing changes.

        Raises:
            SnapshotNotFound, SnapshotCorrupt, SnapshotIncompatible: the snapshot is missing, damaged, or was made by
                another model.
            WriterBusy: the index is being written.
            StorageError: the disk is full or read-only.
        """
        manifest: Manifest = self._snapshots.manifest(id)
        encoder = self._service.encoder()
        manifest.require_encoder(encoder.name, encoder.fingerprint)
        try:
            with self._snapshots.writing() as writer:
                writer.activate(id)
        except OSError as error:
            log.error("snapshot not activated", snapshot=id, reason=str(error), to_do=_TO_DO)
            raise StorageError(f"cannot switch to another snapshot: {error}") from error
        self._service.reload()
        log.info("snapshot activated", snapshot=id)
        return self._service.state()

    def index(self) -> Indexing:
        """Start to update the index from the paths that it was built from, and return at once.

        Raises:
            UpdateRunning: an update is running already.
            IndexNotFound: there is no index.
        """
        self._snapshots.current()
        with self._lock:
            if self._indexing.status == "running":
                raise UpdateRunning("the index is being updated already; try again when that is done")
            begun = self._indexing = Indexing("running", "the files are being read", started=_now())
        threading.Thread(target=self._update, daemon=True, name="index").start()
        return begun

    def indexing(self) -> Indexing:
        """Return the state of the last update."""
        return self._indexing

    def _update(self) -> None:
        # Late: building takes a third of a second to import, which a start of the server should not wait for.
        from qa.build.update import SilentListener, follow

        try:
            with self._turn:
                done = follow(self._settings, SilentListener(), self._service.encoder())
            changed = done.counts.changed
            detail = f"newly encoded: {done.counts.encoded:,}" if changed else "nothing has changed"
            result = Indexing("done" if changed else "unchanged", detail, done.manifest.id, seconds=done.seconds)
            self._service.reload()
        except Exception as error:  # the present snapshot is served on after any failure
            unforeseen = None if isinstance(error, QAError | OSError) else error
            to_do = {"to_do": _TO_DO} if isinstance(error, OSError) else {}
            log.error("index not updated", reason=str(error), exc_info=unforeseen, **to_do)
            result = Indexing("failed", "the index could not be updated; the server's log says why and what to do")
        self._indexing = replace(result, started=self._indexing.started)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
