"""The documents that a collection keeps itself: named safely, landed whole, and changed by one at a time.

They lie in ``documents/`` of the index's folder. A file is written under ``incoming/`` beside it, synced, and renamed
into its place, so that a crash at any instant leaves the old file or the new one. No link is followed on the way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import threading
import time
import unicodedata
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from qa.errors import CollectionFull, DocumentExists, DocumentNotFound, DocumentReplaced, UploadRefused, WriterBusy
from qa.files import FOLDER, open_in, open_regular, opened_folder, printable, sha256_of_file, sync
from qa.readers.discovery import INSTALLED
from qa.types import UploadLimits

DOCUMENTS = "documents"
_INCOMING = "incoming"
_LOCK = "documents.lock"

# Bounds of a document's id: bytes of it and of each part, as file systems have them, and folders.
_MOST_BYTES = 1_000
_MOST_PART_BYTES = 250
_MOST_PARTS = 20
# Characters that change how the rest of a line is read, and others that nobody sees.
_DECEIVING = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff") | {
    chr(code) for codes in (range(0x202A, 0x202F), range(0x2066, 0x2070), range(0xFFF9, 0xFFFC)) for code in codes
}
# Seconds: a change is short, and an upload is over long before what it left may be removed by age.
_PATIENCE = 30.0
_LEFT_OVER = 3600.0

Landing = Literal["added", "replaced", "unchanged"]


def is_made_of(folder: Path, sources: Sequence[str]) -> bool:
    """Return whether a snapshot of ``sources`` was made of ``folder`` alone, which may have been moved since."""
    if len(sources) != 1:
        return False
    source = Path(sources[0])
    is_moved = source.parts[-2:] == folder.parts[-2:] and not source.exists()
    return sources[0] == printable(str(folder)) or is_moved


def check_name(name: str) -> str:
    """Return the id of a document that is sent under ``name``, a path within the collection's folder, in Unicode NFC.

    Raises:
        UploadRefused: the name could lead elsewhere, cannot be shown as it is, or would not be read.
    """
    id = unicodedata.normalize("NFC", name)
    if len(id.encode("utf-8", "replace")) > _MOST_BYTES:
        raise UploadRefused(f"its name is longer than {_MOST_BYTES:,} bytes")
    if any(unicodedata.category(c) in {"Cc", "Cs", "Cn", "Co"} or c in _DECEIVING for c in id):
        raise UploadRefused("its name holds a control character, or one that cannot be seen; rename it")
    if "\\" in id or id.startswith("/"):
        raise UploadRefused("its name must be a path within the collection, with / between folders")
    parts = id.split("/")
    if len(parts) > _MOST_PARTS:
        raise UploadRefused(f"it lies in more than {_MOST_PARTS - 1} folders")
    for part in parts:
        _check_part(part)
    if found := sorted(INSTALLED.intersection(parts[:-1])):
        raise UploadRefused(f"it lies in {found[0]}, which holds installed packages and no documents")
    return id


def _check_part(part: str) -> None:
    if not part or part in {".", ".."}:
        raise UploadRefused("its name must be a path within the collection, without empty parts, '.' and '..'")
    if part.startswith("."):
        raise UploadRefused("it is hidden: its name, or that of a folder, begins with a dot")
    if part != part.strip():
        raise UploadRefused("its name, or that of a folder, begins or ends with a space")
    if len(part.encode()) > _MOST_PART_BYTES:
        raise UploadRefused(f"its name, or that of a folder, is longer than {_MOST_PART_BYTES} bytes")


class StagedFile:
    """A file that is being received, beside the documents. Whoever opens one finishes and then lands or discards it.

    It blocks on the disk. ``sha256`` is known once it is finished.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self.size = 0
        self.sha256 = ""
        self._most = most_bytes
        self._sum = hashlib.sha256()
        self._file = path.open("xb")

    def write(self, block: bytes) -> None:
        """Append bytes. Raises UploadRefused where it becomes too large, and OSError."""
        self.size += len(block)
        if self.size > self._most:
            raise UploadRefused(f"it is larger than {self._most / 1e6:,.0f} MB, the most that is read (QA_MAX_FILE_MB)")
        self._sum.update(block)
        self._file.write(block)

    def finish(self) -> None:
        """Return when all of it is on the disk. Raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.sha256 = self._sum.hexdigest()

    def discard(self) -> None:
        """Remove it, unless it has landed."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a collection keeps: the number of files and their bytes."""

    files: int
    bytes: int


class DocumentFolder:
    """The folder of documents that the index in ``index`` keeps itself. Thread-safe; every method blocks on the disk.

    It is there once :meth:`create` made it; whether an index is made of it, its snapshots say.
    """

    def __init__(self, index: Path, limits: UploadLimits) -> None:
        self.path = (index / DOCUMENTS).absolute()
        self.limits = limits
        self._incoming = self.path.with_name(_INCOMING)
        self._mutex = threading.Lock()
        self._receiving = threading.Lock()
        self._is_receiving = False

    @property
    def exists(self) -> bool:
        """Whether there is such a folder."""
        return self.path.is_dir()

    def create(self) -> None:
        """Make the folder, and remove what killed uploads left.

        Where a living server receives files, only what is an hour old is removed. Raises OSError.
        """
        for folder in (self.path, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder.parent)
        with self._receiving, _opened(self._incoming) as received:
            is_alone = not self._is_receiving and _lock(received, shared=False)
            for leftover in self._incoming.iterdir():
                with suppress(FileNotFoundError):  # another server has just landed or removed it
                    if is_alone or time.time() - leftover.stat().st_mtime > _LEFT_OVER:
                        leftover.unlink()

    def kept(self) -> Kept:
        """Count what is there. Raises OSError."""
        sizes = list(self._sizes())
        return Kept(len(sizes), sum(sizes))

    def sha256(self, id: str) -> str:
        """Compute the SHA-256 of a document's file. Raises DocumentNotFound, UploadRefused, OSError."""
        return _sha256(self.path, id)

    def stage(self) -> StagedFile:
        """Begin a file, which may become as large as one that is read. Raises OSError."""
        self._incoming.mkdir(exist_ok=True)
        self._announce()
        return StagedFile(self._incoming / secrets.token_hex(16), self.limits.file_bytes)

    @contextmanager
    def changing(self) -> Iterator[FolderChange]:
        """Let no one else change the documents meanwhile, in this process or another.

        Raises:
            WriterBusy: another process changes them for long.
            OSError: the folder cannot be read.
        """
        with self._mutex:
            lock = FileLock(self.path.with_name(_LOCK))
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout as error:
                raise WriterBusy("another process is changing the documents; try again when it is done") from error
            try:
                yield FolderChange(self.path, self.limits, self.kept())
            finally:
                lock.release()

    def _announce(self) -> None:
        """Hold a lock that says for as long as this process lives that it may be receiving files. Raises OSError."""
        with self._receiving:
            if self._is_receiving:
                return
            folder = os.open(self._incoming, FOLDER)
            weakref.finalize(self, os.close, folder)
            _lock(folder, shared=True)
            self._is_receiving = True

    def _sizes(self) -> Iterator[int]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                with suppress(FileNotFoundError):
                    yield Path(folder, name).lstat().st_size


class FolderChange:
    """What may be done to the documents while no one else changes them; :meth:`DocumentFolder.changing` gives it."""

    def __init__(self, root: Path, limits: UploadLimits, kept: Kept) -> None:
        self._root = root
        self._limits = limits
        self._kept = kept

    def land(self, staged: StagedFile, id: str, *, replace: bool, expected: str | None = None) -> Landing:
        """Make a finished file the document ``id``, as :func:`check_name` gave it, and return when that is durable.

        Args:
            replace: whether another file of this name may be replaced.
            expected: the SHA-256 of the file that is to be replaced.

        Raises:
            DocumentExists: there is another file of that name, and it is not to be replaced.
            DocumentReplaced: the file there is not the expected one.
            CollectionFull: there are too many files or bytes with it.
            UploadRefused: a file lies where a folder is needed, or the reverse.
            OSError: the disk is full, or cannot be written.
        """
        *folders, name = id.split("/")
        before = _size_of(self._root, id)
        if before is None and expected is not None:
            raise DocumentReplaced(f"{id!r} is not there any more")
        if before is not None:
            there = _sha256(self._root, id)
            if expected is not None and there != expected:
                raise DocumentReplaced(f"{id!r} has been replaced since; look at it, and try again")
            if there == staged.sha256:
                return "unchanged"
            if not replace:
                raise DocumentExists(f"{id!r} is there already; replace it, or send this file under another name")
        self._require_room(staged.size, before)
        with self._made(folders, id) as folder:
            os.rename(staged.path, name, dst_dir_fd=folder)
            os.fsync(folder)
        added = before is None
        self._kept = Kept(self._kept.files + added, self._kept.bytes + staged.size - (before or 0))
        return "added" if added else "replaced"

    def remove(self, id: str, expected: str | None = None) -> str:
        """Remove a document's file, and the folders that it leaves empty, and return its SHA-256 when that is durable.

        Raises:
            DocumentNotFound: there is no such file.
            DocumentReplaced: it is not the one with the SHA-256 ``expected``.
            OSError: the disk cannot be written.
        """
        there = _sha256(self._root, id)
        if expected is not None and there != expected:
            raise DocumentReplaced(f"{id!r} has been replaced since; look at it, and try again")
        path = self._root.joinpath(*id.split("/"))
        with opened_folder(path.parent, self._root) as folder:
            os.unlink(path.name, dir_fd=folder)
            os.fsync(folder)
        for parent in path.parents:
            if parent == self._root:
                break
            try:
                parent.rmdir()
            except OSError:  # it holds something else
                break
        return there

    def _require_room(self, size: int, before: int | None) -> None:
        if before is None and self._kept.files >= self._limits.most_files:
            raise CollectionFull(
                f"the collection holds {self._kept.files:,} files, the most that it may (QA_MAX_DOCUMENTS); delete some"
            )
        if self._kept.bytes + size - (before or 0) > self._limits.most_bytes:
            raise CollectionFull(
                f"the collection would hold more than {self._limits.most_bytes / 1e6:,.0f} MB (QA_MAX_DOCUMENTS_MB); "
                "delete something"
            )

    @contextmanager
    def _made(self, folders: list[str], id: str) -> Iterator[int]:
        """Give the descriptor of a folder below the root, made where it is not there. Raises UploadRefused, OSError."""
        descriptor = os.open(self._root, FOLDER)
        try:
            for part in folders:
                try:
                    os.mkdir(part, dir_fd=descriptor)
                    os.fsync(descriptor)
                except FileExistsError:
                    pass
                try:
                    below = open_in(descriptor, part, FOLDER)
                except OSError as error:
                    if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                        raise UploadRefused(f"{part!r} is no folder, and {id!r} would lie in it; rename one") from None
                    raise
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Give the descriptor of a folder. Raises OSError."""
    descriptor = os.open(folder, FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(folder: int, *, shared: bool) -> bool:
    """Lock an open folder until it is closed, if only by the end of the process, and return whether that was done.

    A shared lock is waited for, as nobody holds the other one for long. Some network file systems have neither.
    """
    import fcntl  # late: Windows has none

    try:
        fcntl.flock(folder, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _size_of(root: Path, id: str) -> int | None:
    """Return the size of a document's file; ``None`` where there is none. Raises UploadRefused, OSError."""
    parts = id.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        return None
    path = root.joinpath(*parts)
    try:
        with opened_folder(path.parent, root) as folder:
            status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}:
            return None
        raise
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    raise UploadRefused(f"{id!r} is no file but a {'folder' if stat.S_ISDIR(status.st_mode) else 'link or device'}")


def _sha256(root: Path, id: str) -> str:
    """Compute the SHA-256 of a document's file. Raises DocumentNotFound, UploadRefused, OSError."""
    if _size_of(root, id) is None:
        raise DocumentNotFound(f"there is no file of the name {id!r} in this collection")
    with open_regular(root.joinpath(*id.split("/")), root) as file:
        return sha256_of_file(file)
