"""Changing what snapshots an index has: published, activated, pruned, by the one that holds the lock.

A snapshot's folder never changes once it stands under ``snapshots/``. Only ``CURRENT`` does, by ``os.replace``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from qa.durability import sync
from qa.index.index import Index, verify_index
from qa.index.manifest import Manifest, file_names, file_sums

# Folders that are being built or removed carry this prefix; whoever holds the lock may delete them.
ASIDE = ".aside-"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a new snapshot's manifest says beside its counts and sums."""

    encoder: str
    fingerprint: Mapping[str, Any]
    sources: tuple[str, ...]


class Published(Protocol):
    """The snapshots that there are: :class:`qa.index.snapshots.Snapshots`."""

    def current(self) -> str: ...

    def current_or_none(self) -> str | None: ...

    def ids(self) -> list[str]: ...

    def open(self, id: str | None = None) -> Index: ...


class SnapshotWriter:
    """Handed out by :meth:`qa.index.snapshots.Snapshots.writing`, to the one writer."""

    def __init__(self, published: Published, folder: Path, pointer: Path) -> None:
        self._owner = published
        self._folder = folder
        self._pointer = pointer

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder beside the snapshots; gone afterwards, unless it was published."""
        staged = Path(tempfile.mkdtemp(prefix=ASIDE, dir=self._folder))
        try:
            yield staged
        finally:
            if staged.is_dir():
                shutil.rmtree(staged)

    def publish(self, staged: Path, provenance: Provenance, documents: int, passages: int) -> Manifest:
        """Make a staged folder a snapshot and the active one.

        A crash at any instant leaves the old snapshot active, or the new one, and never anything between.

        Raises:
            SnapshotCorrupt: what was written does not hold together; nothing is published.
        """
        manifest = self.add(staged, provenance, documents, passages)
        self._point_to(manifest.id)
        return manifest

    def add(self, staged: Path, provenance: Provenance, documents: int, passages: int) -> Manifest:
        """Make a staged folder a snapshot, whole and checked, and leave the active one active.

        Raises:
            SnapshotCorrupt: what was written does not hold together; nothing is published.
        """
        now = self._now()
        sums = file_sums(staged, file_names(staged))
        identity = json.dumps([now.isoformat(), sums, provenance.fingerprint], sort_keys=True)
        manifest = Manifest(
            # In the order of their making when sorted, and never one id for two snapshots.
            id=f"{now:%Y%m%dT%H%M%S.%f}"[:-3] + f"Z-{hashlib.sha256(identity.encode()).hexdigest()[:8]}",
            created=now.isoformat(timespec="seconds"),
            parent=self._owner.current_or_none(),
            encoder=provenance.encoder,
            fingerprint=provenance.fingerprint,
            sources=provenance.sources,
            documents=documents,
            passages=passages,
            files=sums,
        )
        manifest.write(staged)
        for path in staged.rglob("*"):
            sync(path)
        sync(staged)
        verify_index(staged)
        staged.chmod(0o755)  # mkdtemp makes it private; readers may be other users
        staged.rename(self._folder / manifest.id)
        sync(self._folder)
        return manifest

    def _now(self) -> datetime:
        """The time, or a moment after the newest snapshot where the clock went back: ids are in order always."""
        now = datetime.now(UTC)
        newest = self._owner.ids()[-1:]
        if not newest:
            return now
        made = datetime.strptime(newest[0].partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
        return max(now, made + timedelta(milliseconds=1))

    def activate(self, id: str) -> Manifest:
        """Switch to another snapshot, once it has been opened and found whole."""
        index = self._owner.open(id)
        index.close()
        self._point_to(id)
        return index.manifest

    def prune(self, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest snapshots (at least one) and the active one; returns the ids removed."""
        current = self._owner.current()
        removed = [id for id in self._owner.ids()[:-keep] if id != current]
        for id in removed:
            # Renamed first: a crash half way through must not leave a snapshot with files missing in the listing.
            aside = self._folder / f"{ASIDE}{id}"
            (self._folder / id).rename(aside)
            remove(aside)
        return removed

    def _point_to(self, id: str) -> None:
        replacement = self._pointer.with_name("CURRENT.new")
        with replacement.open("w", encoding="utf-8") as file:
            file.write(f"{id}\n")
            file.flush()
            os.fsync(file.fileno())
        replacement.replace(self._pointer)
        sync(self._pointer.parent)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
