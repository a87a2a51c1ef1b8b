"""The processors of one process, which its models take turns on.

A batch runs on one processor to its end. Each one takes one of as many slots as there are processors, so that models
that are busy at the same time do not slow each other down. Encoding takes a few milliseconds and somebody waits for it
before anything else is done; it begins at once, and the operating system parts the processors with what is being read.
Reading, which takes ten times as long, begins where a slot is free, and has its turn after so many tokens that were
encoded before it. What was measured of this and of other orders: docs/decisions/0044.
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

# Tokens that are encoded at most while a batch waits to be read: about as much work as one that is read.
AHEAD = 512
_LEAST = 2


def count_slots(settings: Settings) -> int:
    """Return how many batches the models of this process compute at once: its share of the cores, or ``threads``.

    Two at least where there are two cores: a question that is asked alone is read on both, while the other workers have
    nothing to do.
    """
    cores = max(1, int(usable_cores()))
    return settings.threads or max(min(cores, _LEAST), cores // max(settings.workers, 1))


@dataclass(slots=True, eq=False)
class _Wish:
    """A batch that waits for a slot, stopped by a lock until it is given one."""

    tokens: int
    gate: threading.Lock = field(default_factory=threading.Lock)
    is_given: bool = False

    def __post_init__(self) -> None:
        self.gate.acquire()


class Slots:
    """Places to compute in, given to the batches that wait for them. Thread-safe.

    Of one kind the first to come is the first to begin. None begins to be read where ``count`` batches of both kinds
    run; one to be encoded begins beside those that are read, until ``ahead`` tokens were encoded while others waited to
    be read, and then one of those is next.

    Args:
        count: batches that run at once.
        encoding: those of them that are encoded, at most; all of them where it is not given.
        forks: whether processes are forked from this one when its models are loaded.
    """

    def __init__(self, count: int, *, encoding: int | None = None, ahead: int = AHEAD, forks: bool = False) -> None:
        self.count = count
        self.forks = forks
        self._limits: dict[Kind, int] = {"encode": encoding or count, "read": count}
        self._most_ahead = ahead
        # Tokens encoded, since a batch began to be read, while another waited to be.
        self._ahead = 0
        self._lock = threading.Lock()
        self._running: dict[Kind, int] = {"encode": 0, "read": 0}
        self._waiting: dict[Kind, deque[_Wish]] = {"encode": deque(), "read": deque()}

    def limit(self, kind: Kind) -> int:
        """Return how many batches of a kind run at once, at most."""
        return self._limits[kind]

    def waiting(self, kind: Kind) -> int:
        """Return how many batches of a kind wait."""
        return len(self._waiting[kind])

    @contextmanager
    def taken(self, kind: Kind, tokens: int) -> Iterator[None]:
        """Wait for a slot for a batch of so many tokens, padding included, and have it for the block."""
        wish = _Wish(tokens)
        try:
            with self._lock:
                self._waiting[kind].append(wish)
                self._give()
            wish.gate.acquire()
            yield
        finally:
            with self._lock:
                if wish.is_given:
                    self._running[kind] -= 1
                    self._give()
                else:  # the wait was interrupted
                    with suppress(ValueError):
                        self._waiting[kind].remove(wish)

    def _give(self) -> None:
        """Give slots to those whose turn it is. The lock must be held."""
        while (kind := self._next()) is not None:
            wish = self._waiting[kind].popleft()
            if kind == "read":
                self._ahead = 0
            elif self._waiting["read"]:
                self._ahead += wish.tokens
            self._running[kind] += 1
            wish.is_given = True
            wish.gate.release()

    def _next(self) -> Kind | None:
        """Choose which kind may begin a batch now. The lock must be held."""
        encoding, reading = self._waiting["encode"], self._waiting["read"]
        has_room = self._running["encode"] < self._limits["encode"]
        if encoding and has_room and not (reading and self._ahead >= self._most_ahead):
            return "encode"
        return "read" if reading and sum(self._running.values()) < self.count else None


@runtime_checkable
class Scheduled(Protocol):
    """A model that computes in ``slots``, its own until it is given others."""

    slots: Slots

    def compute_in(self, slots: Slots) -> None:
        """Share ``slots`` with other models, from when it is loaded on."""
