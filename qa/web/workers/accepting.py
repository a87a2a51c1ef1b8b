"""Which worker takes a new connection: one with the fewest open, where several listen on one socket.

Left to the system, the worker that wakes first takes all that wait. Clients keep their connections open, so that one
worker would answer most questions while others rest.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from qa.web.workers.board import Place

# Seconds between two looks whether a connection that was left to a worker that has fewer is still there, and looks: one
# that is busy needs a moment. Seconds between two looks whether this one is loaded, and for which it rests when it
# cannot accept any (too many open files).
_LEAVE = 0.002
_LOOKS = 10
_LOOK_EVERY = 0.05
_REST = 1.0


class _Counted(set):  # type: ignore[type-arg]  # uvicorn's own has no type argument either
    """A set that says how many it holds, whenever that changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def add(self, item: object) -> None:
        super().add(item)
        self._changed()

    def discard(self, item: object) -> None:
        super().discard(item)
        self._changed()


class WorkerServer(uvicorn.Server):
    """uvicorn in one of several workers, which takes connections one by one from the socket that all listen on.

    While it is loading it takes none, unless no other worker takes any: then it says that the server is loading.

    Args:
        is_loaded: returns whether the worker can do what it will ever do.
    """

    def __init__(
        self, config: uvicorn.Config, listening: socket.socket, place: Place, is_loaded: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._listening = listening
        self._place = place
        self._is_loaded = is_loaded
        self._opening: set[asyncio.Task[object]] = set()
        self._is_accepting = False
        self.server_state.connections = _Counted(self._count)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on ``sockets``, and accept on the shared one."""
        await super().startup(sockets or [])
        self._listening.setblocking(False)
        self._is_accepting = True
        self._look()
        self._watch()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, and finish the running requests."""
        self._is_accepting = False
        self._count()
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        await super().shutdown(sockets)

    def _look(self) -> None:
        """Look again until the worker is loaded, and say then that it accepts."""
        self._count()
        if self._is_accepting and not self._is_loaded():
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def _count(self) -> None:
        connections = len(self.server_state.connections) + len(self._opening)
        is_sound = self._is_accepting and self._is_loaded()
        self._place.board.set_connections(self._place.number, connections if is_sound else None)

    def _watch(self) -> None:
        if self._is_accepting:
            asyncio.get_running_loop().add_reader(self._listening, self._consider)

    def _consider(self) -> None:
        """Take one connection of those that wait, or leave it for a moment to a worker that has fewer."""
        board, loop = self._place.board, asyncio.get_running_loop()
        if not self._is_loaded() and board.others_accept(self._place.number):
            loop.remove_reader(self._listening)
            loop.call_later(_LOOK_EVERY, self._watch)
        elif board.has_most(self._place.number):
            loop.remove_reader(self._listening)
            loop.call_later(_LEAVE, self._reconsider, _LOOKS)
        else:
            self._accept()

    def _reconsider(self, looks: int) -> None:
        """Look again whether this worker has the most connections, and take one at last all the same."""
        if not self._is_accepting:
            return
        if looks and self._place.board.has_most(self._place.number):
            asyncio.get_running_loop().call_later(_LEAVE, self._reconsider, looks - 1)
            return
        self._accept()
        self._watch()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another worker was faster, or the client has gone.
            return
        except OSError:
            loop.remove_reader(self._listening)
            loop.call_later(_REST, self._watch)
            return
        connection.setblocking(False)
        task: asyncio.Task[object] = loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opened)
        self._count()

    async def _open(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        self._count()

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol
