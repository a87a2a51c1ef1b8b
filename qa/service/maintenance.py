"""Maintenance of a running service: list its snapshots, switch between them, update the index and its documents."""

from __future__ import annotations

import threading

import structlog

from qa.errors import StorageError
from qa.index.manifest import Manifest
from qa.index.snapshots import SnapshotInfo, Snapshots
from qa.service.indexing import TO_DO, Indexing, IndexingJob
from qa.service.service import Service
from qa.service.upkeep import Upkeep
from qa.settings import Settings
from qa.types import State

log = structlog.get_logger(__name__)


class Maintenance:
    """What an operator may do to a running service. Thread-safe; every method may block on the disk.

    ``upkeep`` is what may be done to its documents.

    Args:
        turn: held during an update; those who share it update one after the other.
    """

    def __init__(self, settings: Settings, service: Service, turn: threading.Lock | None = None) -> None:
        self._settings = settings
        self._service = service
        self._snapshots = Snapshots.of(settings)
        self._job = IndexingJob(settings, service, turn or threading.Lock())
        self.upkeep = Upkeep(settings, self._job)

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
            log.error("snapshot not activated", snapshot=id, reason=str(error), to_do=TO_DO)
            raise StorageError(f"cannot switch to another snapshot: {error}") from error
        self._service.reload_everywhere()
        log.info("snapshot activated", snapshot=id)
        return self._service.state()

    def index(self) -> Indexing:
        """Start to update the index from what it was built from, and return at once.

        Raises:
            UpdateRunning: an update is running already.
            IndexNotFound: there is no index.
        """
        return self._job.start()

    def indexing(self) -> Indexing:
        """Return the state of the last update."""
        return self._job.state()
