"""The snapshots of one index: listed, opened, published, activated and pruned. One writer, any number of readers.

A snapshot's folder never changes once it stands under ``snapshots/``. Only ``CURRENT`` does, by ``os.replace``.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from filelock import FileLock, Timeout

from qa.errors import (
    IndexNotFound,
    SettingsError,
    SnapshotCorrupt,
    SnapshotError,
    SnapshotNotFound,
    VectorsUnavailable,
    WriterBusy,
)
from qa.files import remove_leftovers, share, sync, write_atomically
from qa.index.derived import derive_files, verify_derived
from qa.index.index import Index, open_index, open_store, verify_content, verify_index
from qa.index.manifest import Manifest, file_names
from qa.index.store import Store
from qa.index.sums import SUMS_FILE, SnapshotSums
from qa.index.vectors.milvus.record import drop_collection, release_collection

if TYPE_CHECKING:
    from qa.settings import Settings
    from qa.types import MilvusAddress

log = structlog.get_logger(__name__)

# Folders that are being built or removed carry this prefix; whoever holds the lock may delete them.
ASIDE = ".aside-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# The time of the build in UTC, then a part of a hash: sorted, they are in the order of their making.
_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A line of a listing. ``manifest`` is ``None`` where it cannot be read, and ``problem`` says why."""

    id: str
    active: bool
    size: int
    manifest: Manifest | None
    problem: str = ""


def index_names(root: Path) -> list[str]:
    """List the indexes below ``root``, in order of their names, also those that keep documents and have none yet."""
    found = {path.parent.name for pattern in ("*/CURRENT", "*/documents") for path in root.glob(pattern)}
    return sorted(name for name in found if _NAME.fullmatch(name))


def names_to_serve(root: Path, default: str, names: Sequence[str], *, every: bool) -> list[str]:
    """Choose the indexes below ``root`` that a server serves, the one first that it asks where none is named.

    These are ``names``, or else ``default``; with ``every``, all others too, and ``default`` only if it is there.
    """
    chosen = list(names) or [default]
    if every:
        existing = index_names(root)
        chosen = [*(name for name in chosen if names or name in existing), *existing] or chosen
    return list(dict.fromkeys(chosen))


class Snapshots:
    """The folder ``root/name``. Reading needs no lock.

    Args:
        milvus: the server that has the vectors of snapshots whose manifests say so.

    Raises:
        SettingsError: ``name`` is no plain name.
    """

    def __init__(self, root: Path, name: str, milvus: MilvusAddress | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{name!r} is no name for an index: use letters, digits, '.', '_' and '-'")
        self.name = name
        self.folder = root / name
        self.milvus = milvus
        self._root = root
        #: What is known of the sums of this index's files.
        self.sums = SnapshotSums(self.folder)

    @classmethod
    def of(cls, settings: Settings) -> Snapshots:
        """Return those of the index that the settings name."""
        return cls(settings.indexes, settings.name, settings.milvus_address)

    @property
    def _snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def _pointer(self) -> Path:
        return self.folder / "CURRENT"

    def current(self) -> str:
        """Read the id of the active snapshot.

        Raises:
            IndexNotFound: there is none; the message names the indexes that exist.
            SnapshotCorrupt: the pointer holds no id.
        """
        try:
            id = self._pointer.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            names = index_names(self._root)
            have = f"there are {', '.join(names)}" if names else "there is none yet"
            raise IndexNotFound(
                f"no index named {self.name!r} in {self._root} ({have}); "
                f"build it with: qa index FOLDER --name {self.name}"
            ) from None
        if not _ID.fullmatch(id):
            raise SnapshotCorrupt(
                f"{self._pointer} holds no snapshot's id; choose one with: qa snapshots activate ID --name {self.name}"
            )
        return id

    def current_or_none(self) -> str | None:
        """Return the same, or ``None`` where the index has none or the pointer holds none."""
        try:
            return self.current()
        except SnapshotError:
            return None

    def ids(self) -> list[str]:
        """List the ids, oldest first. What else lies in the folder is left alone."""
        return sorted(path.name for path in self._snapshots.glob("*") if _ID.fullmatch(path.name) and path.is_dir())

    def path(self, id: str) -> Path:
        """Return the folder of a snapshot.

        Raises:
            SnapshotNotFound: there is none of this id; the message names those that exist.
            IndexNotFound: there is no such index.
        """
        if id not in self.ids():
            self.current()
            have = ", ".join(self.ids()) or "none"
            raise SnapshotNotFound(f"no snapshot {id!r} in index {self.name!r}; there are: {have}")
        return self._snapshots / id

    def listing(self) -> list[SnapshotInfo]:
        """Describe every snapshot, newest first.

        Raises:
            IndexNotFound: there is no such index.
        """
        current = self.current_or_none()
        if not (ids := self.ids()):
            self.current()
        return [info for id in reversed(ids) if (info := self._info(id, current)) is not None]

    def _info(self, id: str, current: str | None) -> SnapshotInfo | None:
        """Describe a snapshot; ``None`` where another process has removed it since the ids were read."""
        folder = self._snapshots / id
        manifest, problem = None, ""
        try:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            manifest = Manifest.read(folder)
        except FileNotFoundError:
            return None
        except SnapshotError as error:
            problem = str(error)
        return SnapshotInfo(id, id == current, size, manifest, problem) if folder.is_dir() else None

    def open(self, id: str | None = None) -> Index:
        """Open a snapshot, the active one by default, checked. Raises what :func:`qa.index.index.open_index` does."""
        return open_index(self._own(id or self.current()), self.sums, self.milvus)

    def open_store(self, id: str) -> tuple[Manifest, Store]:
        """Open the documents of a snapshot alone, checked. Raises what :func:`qa.index.index.open_store` does."""
        return open_store(self._own(id), self.sums)

    def manifest(self, id: str | None = None) -> Manifest:
        """Read the manifest of a snapshot without opening it. Raises SnapshotCorrupt."""
        return Manifest.read(self._own(id or self.current()))

    def verify(self, id: str | None = None) -> Manifest:
        """Check every byte, span and vector, and what is derived of them. Raises SnapshotCorrupt, StorageError."""
        folder = self._own(id or self.current())
        manifest = verify_index(folder, self.sums, self.milvus)
        verify_derived(folder, manifest.vectors, self.milvus)
        return manifest

    def _own(self, id: str) -> Path:
        """Return the snapshot's folder, if it is the one that was published under this id."""
        folder = self.path(id)
        if (holds := Manifest.read(folder).id) != id:
            raise SnapshotCorrupt(f"snapshot {id} holds the manifest of {holds}; build the index again")
        return folder

    @contextmanager
    def writing(self) -> Iterator[SnapshotWriter]:
        """Hold the index's lock, and clear away what a killed writer left.

        Raises:
            WriterBusy: another process holds it.
        """
        self._snapshots.mkdir(parents=True, exist_ok=True)
        share(self.folder)
        lock = FileLock(self.folder / "LOCK")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WriterBusy(
                f"another process is writing the index {self.name!r}; try again when it is done"
            ) from error
        try:
            for leftover in self._snapshots.glob(f"{ASIDE}*"):
                self.discard_or_leave(leftover)
            remove_leftovers(self._pointer)
            remove_leftovers(self.folder / SUMS_FILE)
            yield SnapshotWriter(self, self._snapshots, self._pointer)
        finally:
            lock.release()

    def discard_or_leave(self, aside: Path) -> None:
        """Remove a folder that is no snapshot; where its collection cannot be dropped now, the next writer does it."""
        try:
            discard(aside, self.milvus)
        except VectorsUnavailable as error:
            log.warning("a collection is dropped later", index=self.name, reason=str(error))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a new snapshot's manifest says beside its counts and sums."""

    encoder: str
    fingerprint: Mapping[str, Any]
    sources: tuple[str, ...]
    vectors: Mapping[str, Any]


class SnapshotWriter:
    """What the one writer may do; :meth:`Snapshots.writing` hands it out."""

    def __init__(self, snapshots: Snapshots, folder: Path, pointer: Path) -> None:
        self._snapshots = snapshots
        self._folder = folder
        self._pointer = pointer

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make an empty folder beside the snapshots; it is removed afterwards, unless it was published.

        Milvus has room in memory for the active snapshot and the one that is made: older ones are released.
        """
        self._release_inactive()
        staged = self._folder / f"{ASIDE}{secrets.token_hex(8)}"
        staged.mkdir()
        try:
            yield staged
        finally:
            if staged.is_dir():
                self._snapshots.discard_or_leave(staged)

    def _release_inactive(self) -> None:
        """Let Milvus free the vectors of all snapshots but the active one; it is no error if it cannot."""
        if self._snapshots.milvus is None:
            return
        current = self._snapshots.current_or_none()
        try:
            for id in self._snapshots.ids():
                if id != current:
                    release_collection(self._folder / id, self._snapshots.milvus)
        except VectorsUnavailable as error:
            log.warning("collections stay loaded", index=self._snapshots.name, reason=str(error))

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
        derive_files(staged, provenance.vectors, self._snapshots.milvus)
        now = self._now()
        sums = SnapshotSums().of(staged, file_names(staged))
        identity = json.dumps([now.isoformat(), sums, provenance.fingerprint], sort_keys=True)
        manifest = Manifest(
            # In the order of their making when sorted, and never one id for two snapshots.
            id=f"{now:%Y%m%dT%H%M%S.%f}"[:-3] + f"Z-{hashlib.sha256(identity.encode()).hexdigest()[:8]}",
            created=now.isoformat(timespec="seconds"),
            parent=self._snapshots.current_or_none(),
            encoder=provenance.encoder,
            fingerprint=provenance.fingerprint,
            sources=provenance.sources,
            documents=documents,
            passages=passages,
            vectors=provenance.vectors,
            files=sums,
        )
        manifest.write(staged)
        for path in staged.rglob("*"):
            share(path)
            sync(path)
        sync(staged)
        # The sums were made of these bytes: to make them again would read the same memory, and say nothing more.
        verify_content(staged, manifest, self._snapshots.milvus)
        staged.rename(self._folder / manifest.id)
        sync(self._folder)
        self._snapshots.sums.remember(self._folder / manifest.id, sums)
        return manifest

    def _now(self) -> datetime:
        """Return the time, or a moment after the newest snapshot where the clock went back: ids stay in order."""
        now = datetime.now(UTC)
        newest = self._snapshots.ids()[-1:]
        if not newest:
            return now
        made = datetime.strptime(newest[0].partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
        return max(now, made + timedelta(milliseconds=1))

    def activate(self, id: str) -> Manifest:
        """Switch to another snapshot, once it has been opened and found whole."""
        index = self._snapshots.open(id)
        index.close()
        self._point_to(id)
        return index.manifest

    def deactivate(self) -> None:
        """Leave no snapshot active: nothing is left to be indexed. Raises OSError."""
        self._pointer.unlink(missing_ok=True)
        sync(self._pointer.parent)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest snapshots (at least one) and the active one; returns the ids removed.

        Raises:
            VectorsUnavailable: Milvus is away; the snapshot is gone, and its collection goes with the next writer.
        """
        current = self._snapshots.current()
        removed = [id for id in self._snapshots.ids()[:-keep] if id != current]
        for id in removed:
            # Renamed first: a crash half way through must not leave a snapshot with files missing in the listing.
            aside = self._folder / f"{ASIDE}{id}"
            (self._folder / id).rename(aside)
            discard(aside, self._snapshots.milvus)
        return removed

    def _point_to(self, id: str) -> None:
        write_atomically(self._pointer, f"{id}\n")


def discard(path: Path, milvus: MilvusAddress | None) -> None:
    """Remove what lies among the snapshots, and before that its collection in Milvus, if it has one.

    Raises:
        VectorsUnavailable: the collection cannot be dropped; the folder, which names it, stays.
    """
    drop_collection(path, milvus)
    remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
