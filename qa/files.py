"""Files: written whole or not at all, opened without surprises, summed, and named so that they can be shown."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Literal

from qa.errors import StorageError

# Line breaks of every kind and control characters: a name that holds one is no single line of a report, and no address.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# How a folder is opened. Windows has no such flag, and no command that opens one (qa.extras).
FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


# What the umask takes from new files and folders.
_TAKEN = {"owner": 0o077, "group": 0o027, "everyone": 0o022}
Access = Literal["owner", "group", "everyone"]


def limit_access(access: Access) -> None:
    """Let only these users of the machine read what this process writes from now on; a stricter umask stays."""
    os.umask(_umask() | _TAKEN[access])


def _umask() -> int:
    """Return the umask, which can only be read by setting it: what another thread writes meanwhile is private."""
    umask = os.umask(_TAKEN["owner"])
    os.umask(umask)
    return umask


def share(path: Path) -> None:
    """Give a file or folder the rights that a new one would get, if it is this user's: some libraries, and earlier
    versions of this program, give others.
    """
    status = path.stat()
    mode = (0o777 if stat.S_ISDIR(status.st_mode) else 0o666) & ~_umask()
    if stat.S_IMODE(status.st_mode) & 0o777 != mode and status.st_uid == os.geteuid():
        path.chmod(mode | (stat.S_IMODE(status.st_mode) & stat.S_ISGID))


def sync(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by ``content``, whole or not at all, and return when it is on the disk.

    A text is written in UTF-8, with "?" for halves of surrogate pairs. Nothing else is left behind, unless the process
    is killed: then :func:`remove_leftovers` finds it.

    Raises:
        StorageError: the disk is full, or cannot be written.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    with _staged(path, "xb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Give a text file, in UTF-8, that replaces ``path`` when the block ends, whole and on the disk; not if it raises.

    Raises:
        StorageError: the disk is full, or cannot be written.
    """
    with _staged(path, "x", encoding="utf-8", errors="replace", newline="") as file:
        yield file


@contextmanager
def _staged(path: Path, mode: str, **options: str) -> Iterator[IO[Any]]:
    """Give a new file beside ``path`` that replaces it when the block ends, and is removed if that raises."""
    staged = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}")
    try:
        try:
            # Not by tempfile, whose files are private whatever the operator says.
            with staged.open(mode, **options) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check permissions and free space") from error


def is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file that is there, by links too."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing ``path``; nobody may be writing it now. Raises OSError."""
    for leftover in path.parent.glob(f"{_prefix(path)}*"):
        leftover.unlink(missing_ok=True)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, which replaces ``folder``, whole and on the disk, unless the block raises.

    Only one process may do this at a time; what killed ones left is removed first.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    for leftover in folder.parent.glob(f"{folder.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Not by tempfile, whose folders are private whatever the operator says.
    staged = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.partial")
    staged.mkdir()
    try:
        yield staged
        for path in (*staged.rglob("*"), staged):
            sync(path)
        if folder.exists():
            shutil.rmtree(folder)
        staged.replace(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}-"


def open_regular(path: Path, root: Path | None = None) -> BufferedReader:
    """Open a regular file for reading, without waiting for the other end of a pipe.

    Args:
        root: a folder that ``path`` lies below. No link between the two is followed, so that what was found there and
            has been replaced since cannot lead elsewhere. Without it every link is followed.

    Raises:
        OSError: it cannot be opened, is no regular file, or a link is in the way.
    """

    def opener(name: str, flags: int) -> int:
        flags |= os.O_NONBLOCK
        if root is None:
            return os.open(name, flags)
        *folders, own = path.relative_to(root).parts
        with opened_folder(root.joinpath(*folders), root) as folder:
            return open_in(folder, own, flags)

    file = open(path, "rb", opener=opener)  # noqa: SIM115 - it is returned, and Path.open has no opener
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


@contextmanager
def opened_folder(path: Path, root: Path) -> Iterator[int]:
    """Give the descriptor of a folder at or below ``root``, where no link between the two is followed.

    Raises:
        OSError: it cannot be opened, is no folder, or a link is in the way.
    """
    descriptor = os.open(root, FOLDER)
    try:
        for part in path.relative_to(root).parts:
            below = open_in(descriptor, part, FOLDER)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def open_in(folder: int, name: str, flags: int) -> int:
    """Open what a folder, by its descriptor, holds under a name, unless that is a link. Raises OSError."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "it has been replaced by a link since it was found") from None
        raise


def sha256_of_file(file: Path | BufferedReader) -> str:
    """Compute the SHA-256, in hexadecimal, of a file's bytes, or of what is left to read of an open file.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return sha256_of_file(opened)
    return hashlib.file_digest(file, "sha256").hexdigest()


# A file that changed this shortly before it was summed may change once more within one tick of its clock, and look the
# same. ("Racy git", Documentation/technical/racy-git.txt.)
_SETTLED_NS = 2_000_000_000
_SUMS_FORMAT = 1


def identity_of(status: os.stat_result) -> str:
    """Return what differs where a file has been replaced or written since."""
    parts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return ":".join(map(str, parts))


def is_settled(path: Path, before: os.stat_result, begun_ns: int) -> bool:
    """Tell whether a file that was read is still the one it was, and will look different when it is another.

    Args:
        before: what the system said of it before it was read.
        begun_ns: when the reading began, in nanoseconds since the epoch.

    Raises:
        OSError: it is gone, or cannot be looked at.
    """
    changed = max(before.st_mtime_ns, before.st_ctime_ns)
    return begun_ns - changed > _SETTLED_NS and identity_of(path.stat()) == identity_of(before)


def sum_of_values(values: object) -> str:
    """Compute the SHA-256, in hexadecimal, of JSON values, however they are laid out in a file."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def printable(name: str) -> str:
    """Write ``name`` on one line and in valid UTF-8: control characters and undecodable bytes become escapes."""
    visible = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)
    return visible.encode("utf-8", "backslashreplace").decode("utf-8")


def fault(name: str) -> str:
    """Say why a document cannot be called by this name; empty where it can."""
    if _CONTROL.search(name):
        return "its name holds a line break or control character; rename it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    return ""


def why(error: Exception) -> str:
    """Return the system's words for an error, as a part of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__


def read_sums(path: Path) -> dict[str, str]:
    """Read what :func:`write_sums` wrote; nothing where there is no such file, or it is something else."""
    try:
        content = json.loads(path.read_bytes())
        expected = content.pop("sha256")
        is_sound = content["format"] == _SUMS_FORMAT and expected == sum_of_values(content)
        return {str(identity): str(sum) for identity, sum in content["sums"].items()} if is_sound else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_sums(path: Path, sums: Mapping[str, str]) -> None:
    """Write the sums of files by their identities, with a sum of their own. Raises StorageError."""
    content = {"format": _SUMS_FORMAT, "sums": dict(sums)}
    write_atomically(path, json.dumps({**content, "sha256": sum_of_values(content)}, indent=2) + "\n")
