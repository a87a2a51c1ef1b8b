"""A file of JSON lines to which several threads and processes append, and which may be replaced by a shorter one.

What a crash left half written at its end is dropped by the next who writes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qa.files import sync, write_atomically

# Bytes at the end of the file that are looked at for a line that was not finished.
_LONGEST_LINE = 1 << 18
# What people asked is for the owner alone.
_MODE = 0o600


class JsonLines:
    """A file of JSON lines.

    Args:
        begins: how each line begins that is written here, so that what an editor left is not taken for what broke off.
    """

    def __init__(self, path: Path, begins: bytes) -> None:
        self.path = path
        self._begins = begins

    def append(self, lines: bytes, most: int) -> None:
        """Append whole lines, and return when they are on the disk.

        Raises:
            OSError: they cannot be written, or the file would have more than ``most`` bytes; it is as it was.
        """
        with self._locked() as file:
            size = self._whole(file)
            if size + len(lines) > most:
                raise OSError(f"it has reached {most >> 20} MB")
            try:
                written = os.write(file, lines)
                if written != len(lines):
                    raise OSError(f"{written} of {len(lines)} bytes were written")
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace the content by what ``change`` makes of it, if that is not the same.

        Raises:
            OSError, StorageError: it cannot be read or written; it is as it was.
        """
        with self._locked() as file:
            before = self.path.read_bytes()[: self._whole(file)]
            if (after := change(before)) != before:
                write_atomically(self.path, after)
                self.path.chmod(_MODE)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        while True:
            is_new = not self.path.exists()
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not self._is_current(file):
                    continue  # it was replaced while this waited for the lock
                yield file
                if is_new:
                    sync(self.path.parent)
                return
            finally:
                os.close(file)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    def _whole(self, file: int) -> int:
        """Make the file end with a complete line, and return its size."""
        size = os.fstat(file).st_size
        tail = os.pread(file, min(size, _LONGEST_LINE), max(size - _LONGEST_LINE, 0))
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return size
        if (last.startswith(self._begins) and not _is_json(last)) or not last.strip(b"\0"):
            os.ftruncate(file, size - len(last))
            return size - len(last)
        # It was not written here: an editor left the last line without its end.
        os.write(file, b"\n")
        return size + 1


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
