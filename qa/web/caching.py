"""Answers kept for whoever asks the same again: by snapshot, question and parameters, bounded in bytes and in age."""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from qa.types import Query, Reply

# Bytes of an entry beside what its values take: the places in the map, and the key.
_ENTRY = 1000


class ReplyCache:
    """The least recently used goes first. Thread-safe.

    Args:
        most_bytes: what all entries together may take; 0 keeps none.
        seconds: how old an answer may be. Its citation was compared with the source when it was given, and not since.
        clock: seconds, rising.
    """

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes = most_bytes
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[tuple[str, Query], tuple[Reply, int, float]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, snapshot: str, query: Query) -> Reply | None:
        key = (snapshot, query)
        with self._lock:
            if (entry := self._entries.get(key)) is None:
                return None
            reply, size, until = entry
            if self._clock() >= until:
                del self._entries[key]
                self._bytes -= size
                return None
            self._entries.move_to_end(key)
            return reply

    def put(self, query: Query, reply: Reply) -> None:
        """Kept under the snapshot that the reply itself names: a switch meanwhile mixes nothing."""
        if not self.most_bytes:
            return
        size = _ENTRY + size_of(reply) + size_of(query)
        if size > self.most_bytes:
            return
        key = (reply.snapshot, query)
        with self._lock:
            self._drop(key)
            self._entries[key] = (reply, size, self._clock() + self._seconds)
            self._bytes += size
            while self._bytes > self.most_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _drop(self, key: tuple[str, Query]) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= entry[1]


def size_of(value: object) -> int:
    """Bytes of a value of :mod:`qa.types` and all that it holds."""
    size = sys.getsizeof(value)
    if isinstance(value, tuple):
        return size + sum(map(size_of, value))
    if isinstance(value, dict):
        return size + sum(size_of(key) + size_of(item) for key, item in value.items())
    return size + sum(size_of(getattr(value, name)) for name in getattr(value, "__slots__", ()))
