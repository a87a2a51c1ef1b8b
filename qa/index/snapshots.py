"""The snapshots of one index: found, listed, opened. One writer, any number of readers.

A snapshot's folder never changes once it stands under ``snapshots/``. Only ``CURRENT`` does, by ``os.replace``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from qa.errors import (
    IndexNotFound,
    SettingsError,
    SnapshotCorrupt,
    SnapshotError,
    SnapshotNotFound,
    WriterBusy,
)
from qa.index.index import Index, open_index, open_store, verify_index
from qa.index.manifest import Manifest
from qa.index.snapshot_writer import ASIDE, SnapshotWriter, remove
from qa.index.store import Store

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


class Snapshots:
    """The folder ``root/name``. Reading needs no lock.

    Raises:
        SettingsError: ``name`` is no plain name.
    """

    def __init__(self, root: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{name!r} is no name for an index: use letters, digits, '.', '_' and '-'")
        self.name = name
        self.folder = root / name
        self._root = root

    @property
    def _snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def _pointer(self) -> Path:
        return self.folder / "CURRENT"

    def current(self) -> str:
        """The id of the active snapshot.

        Raises:
            IndexNotFound: there is none; the message names the indexes that exist.
            SnapshotCorrupt: the pointer holds no id.
        """
        try:
            id = self._pointer.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            names = sorted(path.parent.name for path in self._root.glob("*/CURRENT"))
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
        """The same, where an index that has none, or a pointer that holds none, is no error."""
        try:
            return self.current()
        except SnapshotError:
            return None

    def ids(self) -> list[str]:
        """Oldest first. What else lies in the folder is nobody's snapshot, and left alone."""
        return sorted(path.name for path in self._snapshots.glob("*") if _ID.fullmatch(path.name) and path.is_dir())

    def path(self, id: str) -> Path:
        """Raises SnapshotNotFound, naming those that exist, or IndexNotFound."""
        if id not in self.ids():
            self.current()
            have = ", ".join(self.ids()) or "none"
            raise SnapshotNotFound(f"no snapshot {id!r} in index {self.name!r}; there are: {have}")
        return self._snapshots / id

    def listing(self) -> list[SnapshotInfo]:
        """Newest first.

        Raises:
            IndexNotFound: there is no such index.
        """
        current = self.current_or_none()
        if not (ids := self.ids()):
            self.current()
        return [self._info(id, current) for id in reversed(ids)]

    def _info(self, id: str, current: str | None) -> SnapshotInfo:
        folder = self._snapshots / id
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        try:
            return SnapshotInfo(id, id == current, size, Manifest.read(folder))
        except SnapshotError as error:
            return SnapshotInfo(id, id == current, size, None, str(error))

    def open(self, id: str | None = None) -> Index:
        """Open a snapshot, the active one by default, checked. Raises what :func:`qa.index.index.open_index` does."""
        return open_index(self._own(id or self.current()))

    def open_store(self, id: str) -> tuple[Manifest, Store]:
        """The documents of a snapshot alone, checked. Raises what :func:`qa.index.index.open_store` does."""
        return open_store(self._own(id))

    def manifest(self, id: str | None = None) -> Manifest:
        """Read alone, of a snapshot that is not opened. Raises SnapshotCorrupt."""
        return Manifest.read(self._own(id or self.current()))

    def verify(self, id: str | None = None) -> Manifest:
        """Check every byte, span and vector. Raises SnapshotCorrupt."""
        return verify_index(self._own(id or self.current()))

    def _own(self, id: str) -> Path:
        """The snapshot's folder, if it is the one that was published under this id."""
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
        lock = FileLock(self.folder / "LOCK")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WriterBusy(
                f"another process is writing the index {self.name!r}; try again when it is done"
            ) from error
        try:
            for leftover in self._snapshots.glob(f"{ASIDE}*"):
                remove(leftover)
            yield SnapshotWriter(self, self._snapshots, self._pointer)
        finally:
            lock.release()
