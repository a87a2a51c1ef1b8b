"""The processors of one process, which its models take turns on.

A batch runs on one processor to its end. More batches at once than processors slow each other down, and a question
that is encoded in 3 ms would share them with excerpts that are read for 100. So every batch takes one of as many slots
as there are processors: encoding goes first, and reading has its turn at least every few batches.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from qa.machine import usable_cores

if TYPE_CHECKING:
    from qa.settings import Settings

Kind = Literal["encode", "read"]

# Batches that are encoded in a row at most while some wait to be read. One that is read takes two to five times as long
# as one that is encoded, so that each kind has about half of the time where both wait all the time.
LONGEST_RUN = 4


def count_slots(settings: Settings) -> int:
    """Return how many batches the models of this process compute at once: its share of the cores, or ``threads``."""
    return settings.threads or max(1, int(usable_cores()) // max(settings.workers, 1))


@dataclass(slots=True, eq=False)
class _Wish:
    """A batch that waits for a slot, stopped by a lock until it is ``given`` one."""

    gate: threading.Lock = field(default_factory=threading.Lock)
    is_given: bool = False

    def __post_init__(self) -> None:
        self.gate.acquire()


class Slots:
    """Places to compute in, given to the batches that wait for them. Thread-safe.

    Of one kind the first to come is the first to go. Where both kinds wait, encoding goes first, but at most
    ``longest_run`` times in a row, and reading never twice.

    Args:
        count: batches that run at once.
    """

    def __init__(self, count: int, longest_run: int = LONGEST_RUN) -> None:
        self.count = count
        self._longest_run = longest_run
        self._lock = threading.Lock()
        self._free = count
        # Batches encoded in a row while others waited to be read.
        self._run = 0
        self._waiting: dict[Kind, deque[_Wish]] = {"encode": deque(), "read": deque()}

    def waiting(self, kind: Kind) -> int:
        """Return how many batches of a kind wait."""
        return len(self._waiting[kind])

    @contextmanager
    def taken(self, kind: Kind) -> Iterator[None]:
        """Wait for a slot, and have it for the block."""
        wish = _Wish()
        try:
            with self._lock:
                self._waiting[kind].append(wish)
                self._give()
            wish.gate.acquire()
            yield
        finally:
            with self._lock:
                if wish.is_given:
                    self._free += 1
                    self._give()
                else:  # the wait was interrupted
                    with suppress(ValueError):
                        self._waiting[kind].remove(wish)

    def _give(self) -> None:
        """Give free slots to those whose turn it is. The lock must be held."""
        while self._free and (kind := self._next()) is not None:
            wish = self._waiting[kind].popleft()
            self._free -= 1
            wish.is_given = True
            wish.gate.release()

    def _next(self) -> Kind | None:
        """Choose whose turn it is. The lock must be held."""
        encoding, reading = self._waiting["encode"], self._waiting["read"]
        if encoding and (not reading or self._run < self._longest_run):
            self._run += bool(reading)
            return "encode"
        self._run = 0
        return "read" if reading else None


@runtime_checkable
class Scheduled(Protocol):
    """A model that computes in slots, its own until it is given others."""

    def compute_in(self, slots: Slots) -> None:
        """Share ``slots`` with other models, from when it is loaded on."""
