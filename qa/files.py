"""Files: written whole or not at all, summed, and named so that they can be shown, stored and sent."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from io import BufferedReader
from pathlib import Path

from qa.errors import StorageError

# Line breaks of every kind and control characters: a name that holds one is no single line of a report, and no address.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
    try:
        descriptor, name = tempfile.mkstemp(prefix=_prefix(path), dir=path.parent)
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            staged.chmod(0o644)  # mkstemp makes it private; readers may be other users
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check permissions and free space") from error


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing ``path``; nobody may be writing it now. Raises OSError."""
    for leftover in path.parent.glob(f"{_prefix(path)}*"):
        leftover.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}-"


def sha256_of_file(file: Path | BufferedReader) -> str:
    """Compute the SHA-256, in hexadecimal, of a file's bytes, or of what is left to read of an open file.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return sha256_of_file(opened)
    return hashlib.file_digest(file, "sha256").hexdigest()


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
