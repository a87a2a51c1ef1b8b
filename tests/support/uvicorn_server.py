"""A real uvicorn, as ``qa serve`` sets it up, in a thread and without a model."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from qa.web.middleware.overload import BoundedProtocol


@contextmanager
def serving(app: ASGIApp, keep_alive: int = 600, listening: socket.socket | None = None) -> Iterator[tuple[str, int]]:
    """Serve an application until the block ends, and give its address and port.

    Args:
        keep_alive: seconds that a connection may be idle; the default is longer than any test, which may otherwise find
            its connection closed.
        listening: another socket than one of a free port; what it is bound to is given then.
    """
    if listening is None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            log_config=None,
            access_log=False,
            forwarded_allow_ips="127.0.0.1",
            timeout_keep_alive=keep_alive,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
