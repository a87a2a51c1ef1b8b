"""The passages of a snapshot that were read last, kept: they never change, and much that is asked finds the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from qa.index.store import Store
from qa.types import Passage

# About 3 kB each.
_MOST = 4096
_READ_AT_ONCE = 16


class PassageCache:
    """Reads passages with their documents' titles. Thread-safe."""

    def __init__(self, store: Store, most: int = _MOST) -> None:
        self._store = store
        self._most = most
        self._kept: OrderedDict[int, tuple[Passage, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, keys: Sequence[int]) -> list[tuple[Passage, str]]:
        """In the order of ``keys``, all of which are in the store."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [key for key in keys if key not in found]
        if missing:
            found |= self._store.find_passages(missing)
        with self._lock:
            for key in keys:
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return [found[key] for key in keys]

    def each(self, keys: Sequence[int]) -> Iterator[tuple[Passage, str]]:
        """The same, read as far as they are asked for."""
        for start in range(0, len(keys), _READ_AT_ONCE):
            yield from self.find(keys[start : start + _READ_AT_ONCE])
