"""Admission: what is in flight is bounded, whoever asks. Past the bound a request is refused at once, with Retry-After.

The bounds are of one server. Together they keep it under a gigabyte, whatever comes in: docs/threats.md. Of each bound
one client may have three quarters, and clients that wait take turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from starlette.requests import Request

from qa.errors import Overloaded
from qa.web.fairness import CLIENT, FairQueue, share_of
from qa.web.monitoring import Monitoring

Result = TypeVar("Result")

# Seconds after which a refused client may try again.
_RETRY = 2


class HungUp(Exception):
    """The client has closed its connection, so nobody reads the response."""


async def hanging_up(request: Request | None) -> None:
    """Return when the client has hung up, or never without a request. The request's body must have been read."""
    if request is None:
        await asyncio.get_running_loop().create_future()
        return
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Lane:
    """A lane of work that holds much memory: ``running`` at a time, ``waiting`` more in line. Use it from one loop.

    It has threads of its own, so that work in it takes none from other requests. Clients that wait take turns.
    """

    def __init__(self, name: str, monitoring: Monitoring, *, running: int, waiting: int) -> None:
        self._most = running + waiting
        self._monitoring = monitoring
        self._inside: Counter[str] = Counter()
        self._free = running
        self._turns: FairQueue[asyncio.Future[None]] = FairQueue()
        self._pool = ThreadPoolExecutor(running, thread_name_prefix=name)

    async def run(self, work: Callable[..., Result], *arguments: object, request: Request | None = None) -> Result:
        """Do ``work`` in a thread of the lane, when its turn has come.

        Raises:
            Overloaded: the line is full, or the client has its share of it.
            HungUp: the client of ``request`` went away. What has begun goes on to its end, and keeps its place.
        """
        client = CLIENT.get()
        if self._inside.total() >= self._most or self._inside[client] >= share_of(self._most):
            self._monitoring.refused("overloaded")
            raise Overloaded("too much of this kind is being done for others; try again later", _RETRY)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        gone = asyncio.ensure_future(hanging_up(request))
        running: asyncio.Future[Result] | None = None
        self._inside[client] += 1
        self._turns.put(client, turn)
        self._serve()
        try:
            await self._first_of(turn, gone)
            # With the request's own context, which a thread does not have by itself.
            running = loop.run_in_executor(self._pool, copy_context().run, work, *arguments)
            running.add_done_callback(lambda done: self._end(client, done))
            await self._first_of(running, gone)
            return running.result()
        finally:
            gone.cancel()
            if running is None:
                self._turns.discard(client, turn)
                self._leave(client, had_turn=turn.done())

    async def run_watched(self, work: Callable[[Callable[[], None]], Result], request: Request) -> Result:
        """Do ``work`` as :meth:`run` does, given a function that raises HungUp once the client has gone away."""
        gone = threading.Event()

        def check() -> None:
            if gone.is_set():
                raise HungUp

        try:
            return await self.run(work, check, request=request)
        finally:
            gone.set()

    async def _first_of(self, wanted: asyncio.Future[Result], gone: asyncio.Future[None]) -> None:
        await asyncio.wait((wanted, gone), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            self._monitoring.hung_up()
            raise HungUp

    def _serve(self) -> None:
        """Give the places that are free to those whose turn it is."""
        taken = self._turns.take(self._free)
        self._free -= len(taken)
        for turn in taken:
            turn.set_result(None)

    def _end(self, client: str, done: asyncio.Future[Result]) -> None:
        if not done.cancelled():
            # An error that nobody waits for any more would be logged as one that nobody looked at.
            done.exception()
        self._leave(client, had_turn=True)

    def _leave(self, client: str, *, had_turn: bool) -> None:
        self._inside -= Counter((client,))
        self._free += had_turn
        self._serve()

    def close(self) -> None:
        """Let what runs come to its end, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Budget:
    """An amount of something, such as bytes, that all requests together may hold. Use it from one loop.

    Args:
        refusal: what a refused client is told, in a clause.
    """

    def __init__(
        self,
        most: int,
        monitoring: Monitoring,
        refusal: str = "too much is being sent and answered at once; try again later",
    ) -> None:
        self.most = most
        self._refusal = refusal
        self._held: Counter[str] = Counter()
        self._monitoring = monitoring

    @property
    def held(self) -> int:
        """The amount that all requests hold."""
        return self._held.total()

    def take(self, amount: int) -> None:
        """Take an amount, to be given back by :meth:`give`. One request alone may take more than there is.

        Raises:
            Overloaded: the client or all clients hold too much; nothing was taken.
        """
        client = CLIENT.get()
        own = self._held[client]
        if (own and own + amount > share_of(self.most)) or (self.held and self.held + amount > self.most):
            self._monitoring.refused("overloaded")
            raise Overloaded(self._refusal, _RETRY)
        self._held[client] += amount

    def give(self, amount: int) -> None:
        """Give back what the same client's request took."""
        # Clients that hold nothing are forgotten.
        self._held -= Counter({CLIENT.get(): amount})

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold an amount for the time of a block. Raises Overloaded."""
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)
