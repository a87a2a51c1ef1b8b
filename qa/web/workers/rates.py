"""One count of each client's requests for all workers: a table in memory that they share.

It is a storage of the package ``limits``, whose sliding window it computes as that package's own storage does in one
process. The system frees the lock of a worker that is killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import floor
from pathlib import Path

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport, TimestampedSlidingWindow

# The name of a count, the count, and until when it holds.
_SLOT = struct.Struct("<16sqd")
_FREE = bytes(16)
# A client has two counts in a sliding window. With 32 bytes each, 32,000 clients fit into 2 MB.
SLOTS = 1 << 16
# Slots in which one count may lie. Where all are taken, the one that ends first makes room.
_NEAR = 16


def create_rates(path: Path, slots: int = SLOTS) -> None:
    """Create an empty table. Its first bytes are a secret, so that nobody can choose names that fall together."""
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(os.urandom(_SLOT.size))
        file.truncate(_SLOT.size * (1 + slots))


class SharedStorage(Storage, SlidingWindowCounterSupport, TimestampedSlidingWindow):
    """Counts in a table that several processes share. Use it from one thread of each.

    Args:
        path: the table; each process opens it for itself, since a lock belongs to an open file.
    """

    STORAGE_SCHEME = None

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._table = mmap.mmap(self._file, 0)
        self._secret = self._table[: _SLOT.size]
        self._slots = len(self._table) // _SLOT.size - 1

    @property
    def base_exceptions(self) -> type[Exception]:
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        with self._locked():
            return self._add(key, expiry, amount, time.time())

    def get(self, key: str) -> int:
        _, count, _ = self._find(key, time.time())
        return count

    def get_expiry(self, key: str) -> float:
        _, _, until = self._find(key, now := time.time())
        return until or now

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._locked():
            self._table[_SLOT.size :] = bytes(_SLOT.size * self._slots)
        return None

    def clear(self, key: str) -> None:
        with self._locked():
            at, count, _ = self._find(key, time.time())
            if count:
                # Not free: what lies behind it would not be found any more.
                _SLOT.pack_into(self._table, at, self._name(key), 0, 0.0)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``amount`` requests unless they are too many, and return whether they are counted."""
        with self._locked():
            now = time.time()
            previous, current = self.sliding_window_keys(key, expiry, now)
            _, before, _ = self._find(previous, now)
            _, count, _ = self._find(current, now)
            if floor(before * _share_left(expiry, now) + count) + amount > limit:
                return False
            self._add(current, 2 * expiry, amount, now)
            return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and seconds left of the window before, and the same of this one."""
        now = time.time()
        previous, current = self.sliding_window_keys(key, expiry, now)
        _, before, _ = self._find(previous, now)
        _, count, _ = self._find(current, now)
        left = _share_left(expiry, now) * expiry
        return before, left if before else 0.0, count, left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        for each in self.sliding_window_keys(key, expiry, time.time()):
            self.clear(each)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _add(self, key: str, expiry: float, amount: int, now: float) -> int:
        at, count, until = self._find(key, now)
        _SLOT.pack_into(self._table, at, self._name(key), count + amount, until or now + expiry)
        return count + amount

    def _name(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16, key=self._secret).digest()

    def _find(self, key: str, now: float) -> tuple[int, int, float]:
        """Return where a count lies, the count, and until when it holds; or where it would lie, 0 and 0."""
        name = self._name(key)
        first = int.from_bytes(name[:8], "little")
        room, room_until = 0, float("inf")
        for near in range(_NEAR):
            at = _SLOT.size * (1 + (first + near) % self._slots)
            other, count, until = _SLOT.unpack_from(self._table, at)
            if other == name and until > now:
                return at, count, until
            if until <= now:
                until = 0.0
            if until < room_until:
                room, room_until = at, until
            if other == _FREE:
                break
        return room, 0, 0.0


def _share_left(expiry: int, now: float) -> float:
    """Return the share of the window before that a window which ends now still holds."""
    return 1 - (now / expiry) % 1
