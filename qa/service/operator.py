"""What an operator does to a running service: list its snapshots, switch between them, bring the index up to date."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import structlog

from qa.build.update import SilentListener, follow
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
    """The last update that was asked for. ``detail`` says in words what came of it; times are ISO 8601."""

    status: Literal["none", "running", "done", "unchanged", "failed"] = "none"
    detail: str = ""
    snapshot: str | None = None
    started: str | None = None
    seconds: float | None = None


class Operator:
    """Thread-safe; every method may block on the disk."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self._settings = settings
        self._service = service
        self._snapshots = Snapshots(settings.indexes, settings.name)
        self._lock = threading.Lock()
        self._indexing = Indexing()

    def snapshots(self) -> list[SnapshotInfo]:
        """Newest first. Raises IndexNotFound."""
        return self._snapshots.listing()

    def activate(self, id: str) -> State:
        """Check a snapshot, make it the active one and serve it; where it cannot be used, all stays as it was.

        Raises:
            SnapshotNotFound, SnapshotCorrupt, SnapshotIncompatible: the snapshot is not there, damaged, or another
                model's.
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
        """Begin to bring the index up to date with the paths that it was made of; returns at once.

        Raises:
            UpdateRunning: that is being done already.
            IndexNotFound: there is no index.
        """
        self._snapshots.current()
        with self._lock:
            if self._indexing.status == "running":
                raise UpdateRunning("the index is being brought up to date already; ask again when that is done")
            begun = self._indexing = Indexing("running", "the files are being read", started=_now())
        threading.Thread(target=self._update, daemon=True, name="index").start()
        return begun

    def indexing(self) -> Indexing:
        return self._indexing

    def _update(self) -> None:
        try:
            done = follow(self._settings, SilentListener(), self._service.encoder())
            changed = done.counts.changed
            detail = f"newly encoded: {done.counts.encoded:,}" if changed else "nothing has changed"
            result = Indexing("done" if changed else "unchanged", detail, done.manifest.id, seconds=done.seconds)
            self._service.reload()
        except Exception as error:  # whatever it is: what is served is served on
            unforeseen = None if isinstance(error, QAError | OSError) else error
            to_do = {"to_do": _TO_DO} if isinstance(error, OSError) else {}
            log.error("index not updated", reason=str(error), exc_info=unforeseen, **to_do)
            result = Indexing("failed", "the index could not be updated; the server's log says why and what to do")
        self._indexing = replace(result, started=self._indexing.started)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
