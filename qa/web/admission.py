"""Admission: what is in flight is bounded, whoever asks. Past the bound a request is refused at once, with Retry-After.

The bounds are of one server. Together they keep it under a gigabyte, whatever comes in: docs/threats.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from qa.errors import Overloaded
from qa.web.monitoring import Monitoring

Result = TypeVar("Result")

# Seconds after which a refused client may try again.
_RETRY = 2


class Lane:
    """A lane of work that holds much memory: ``running`` at a time, ``waiting`` more in line. Use it from one loop.

    It has threads of its own, so that work in it takes none from other requests.
    """

    def __init__(self, name: str, monitoring: Monitoring, *, running: int, waiting: int) -> None:
        self._most = running + waiting
        self._monitoring = monitoring
        self._inside = 0
        self._pool = ThreadPoolExecutor(running, thread_name_prefix=name)

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do ``work`` in a thread of the lane, when its turn has come.

        Raises:
            Overloaded: the line is full.
        """
        if self._inside >= self._most:
            self._monitoring.refused("overloaded")
            raise Overloaded("too much of this kind is being done for others; try again later", _RETRY)
        self._inside += 1
        try:
            # With the request's own context, which a thread does not have by itself.
            run = copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._pool, run, work, *arguments)
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Let what runs come to its end, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Budget:
    """An amount of something, such as bytes, that all requests together may hold. Use it from one loop."""

    def __init__(self, most: int, monitoring: Monitoring) -> None:
        self.most = most
        self.held = 0
        self._monitoring = monitoring

    def take(self, amount: int) -> None:
        """Take an amount, to be given back by :meth:`give`. One request alone may take more than there is.

        Raises:
            Overloaded: others hold too much; nothing was taken.
        """
        if self.held and self.held + amount > self.most:
            self._monitoring.refused("overloaded")
            raise Overloaded("too much is being sent and answered at once; try again later", _RETRY)
        self.held += amount

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.held -= amount

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold an amount for the time of a block. Raises Overloaded."""
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)
