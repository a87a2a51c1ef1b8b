"""Fairness: a queue in which the clients that wait take turns, and none of them takes all the places."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Who sent the request that is being answered: the name of a key, or an address. Work that a request waits for finds it
# here, however deep below the route it is begun.
CLIENT: ContextVar[str] = ContextVar("client", default="")


def share_of(places: int) -> int:
    """Return how many of the places one client may take: three in four, so that others find one."""
    return max(1, places * 3 // 4)


class FairQueue(Generic[Item]):
    """A queue with a line for each client; the lines are served in turn (J. Nagle, RFC 970, 1985). Not thread-safe.

    However many a client has put in, another one's first item waits for at most one item of each client.
    """

    def __init__(self) -> None:
        # The client whose turn it is comes first.
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def clients(self) -> int:
        """The number of clients that wait."""
        return len(self._lines)

    def count(self, client: str) -> int:
        """Return how many items of a client wait."""
        return len(self._lines.get(client, ()))

    def put(self, client: str, item: Item) -> None:
        """Add an item at the end of its client's line."""
        self._lines.setdefault(client, deque()).append(item)
        self._length += 1

    def first(self) -> Item:
        """Return the item that is next. Raises StopIteration where the queue is empty."""
        return next(iter(self._lines.values()))[0]

    def take(self, count: int, wanted: Callable[[Item], bool] = lambda item: True) -> list[Item]:
        """Remove and return up to ``count`` items that are wanted, one of each client in turn; the others stay."""
        taken: list[Item] = []
        while len(taken) < count and (found := self._find(wanted)) is not None:
            client, item = found
            self._remove(client, item)
            taken.append(item)
        return taken

    def discard(self, client: str, item: Item) -> None:
        """Remove an item where it still waits; its client's turn does not change."""
        if any(each is item for each in self._lines.get(client, ())):
            self._remove(client, item, turn=False)

    def _find(self, wanted: Callable[[Item], bool]) -> tuple[str, Item] | None:
        for client, line in self._lines.items():
            for item in line:
                if wanted(item):
                    return client, item
        return None

    def _remove(self, client: str, item: Item, *, turn: bool = True) -> None:
        line = self._lines[client]
        line.remove(item)
        self._length -= 1
        if not line:
            del self._lines[client]
        elif turn:
            self._lines.move_to_end(client)
