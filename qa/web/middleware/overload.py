"""Overload: questions that a full queue cannot take are refused unread, and slow or endless clients are cut off."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from qa.errors import Overloaded
from qa.web.batching import Batcher
from qa.web.middleware.access import client_at
from qa.web.middleware.collections import split_path
from qa.web.middleware.headers import CACHE_CONTROL, HEADERS, given_or_new_id
from qa.web.monitoring import Monitoring
from qa.web.problems import MEDIA_TYPE, overloaded

_ASK, _BATCH = "/v1/ask", "/v1/ask/batch"

# Seconds from the opening of a connection, or the first byte of a request, to the end of its headers.
HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536
# Seconds in which a client must read something of a response that fills the system's buffers.
TAKE_SECONDS = 30.0
# With these, the application must refuse: a body has to be read, and another origin needs the headers of CORS.
_PASSED_ON = (b"content-length", b"transfer-encoding", b"origin")

# With these, the client may be another one than the address that the connection is from.
_NAMING = (b"authorization", b"x-api-key", b"x-forwarded-for")

RawHeaders = list[tuple[bytes, bytes]]


class Refusals:
    """The refusals of a full queue. They are counted, and not logged: under overload most requests end here."""

    def __init__(self, batcher: Batcher, monitoring: Monitoring) -> None:
        self._batcher = batcher
        self._monitoring = monitoring

    def find(self, path: str, headers: RawHeaders, client: str | None = None) -> tuple[RawHeaders, bytes] | None:
        """Return headers and body of the response, 503; ``None`` where the request may go on.

        ``client`` is who sent it, where that has not been found out by the middleware.
        """
        _, path = split_path(path)
        if path not in (_ASK, _BATCH) or not self._batcher.is_full(bulk=path == _BATCH, client=client):
            return None
        self._monitoring.refused("overloaded")
        error = self._batcher.overloaded()
        named, body = build_refusal(str(error), error.retry_after)
        return [*named, (b"x-request-id", given_or_new_id(headers).encode())], body


class Shedding:
    """The middleware that refuses what the protocol passed on: requests with a body, and those of other origins."""

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self.app = app
        self.refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] != "OPTIONS"
        refused = self.refusals.find(scope["path"], scope["headers"]) if asks else None
        if refused is None:
            await self.app(scope, receive, send)
            return
        headers, body = refused
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)
def build_refusal(message: str, retry_after: int) -> tuple[RawHeaders, bytes]:
    """Build headers and body of a refusal with 503; an id of the request is to be added."""
    problem = overloaded(Overloaded(message, retry_after))
    body = json.dumps(problem.members()).encode()
    headers = {
        **HEADERS,
        **problem.headers,
        "Cache-Control": CACHE_CONTROL,
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
    }
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()], body


def _find_refusals(app: object) -> Refusals | None:
    # Not by qa.web.deps, which knows this module; another application has neither.
    parts = getattr(getattr(app, "state", None), "dependencies", None)
    return getattr(parts, "refusals", None)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds that it lacks, for clients that are slow, endless or too many.

    The head of a request is bounded in time (408) and size (431). A client that reads nothing of its response is cut
    off. A GET that a full queue refuses is answered here: 16 µs of processor time, against 67 µs by the middleware.
    """

    _timer: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _refusal: tuple[RawHeaders, bytes] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        # Bytes after the end of the headers are a body, which BodyLimit bounds.
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(431, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._begin()

    def on_headers_complete(self) -> None:
        self._end()
        self._refusal = self._refused()
        if self._refusal is None:
            # uvicorn did not see the refused request before this one, whose keep-alive timer still runs.
            self._unset_keepalive_if_required()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._refusal is None:
            super().on_message_complete()
        else:
            self._shed(*self._refusal)
        self._in_head, self._head_bytes = True, 0

    def _refused(self) -> tuple[RawHeaders, bytes] | None:
        """Return the refusal of this request, if it has no body and the queue has no room for it."""
        refusals = _find_refusals(self.config.app)
        if refusals is None or self.parser.get_method() != b"GET" or self.parser.should_upgrade():
            return None
        is_next = self.cycle is None or self.cycle.response_complete
        if not is_next or any(name in _PASSED_ON for name, _ in self.headers):
            return None
        client = "" if any(name in _NAMING for name, _ in self.headers) else client_at(self.client)
        return refusals.find(self.url.partition(b"?")[0].decode("latin-1"), self.headers, client)

    def _shed(self, headers: RawHeaders, body: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            # A client that sends and does not read would fill the memory with refusals.
            self.transport.abort()
            return
        keeps = self.parser.should_keep_alive()
        named = [*self.server_state.default_headers, *headers, *([] if keeps else [(b"connection", b"close")])]
        head = b"".join(b"%s: %s\r\n" % header for header in named)
        self.transport.write(STATUS_LINE[503] + head + b"\r\n" + body)
        if not keeps:
            self.transport.close()
        self.on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _watch(self, left: int) -> None:
        """Cut the connection unless fewer than ``left`` bytes wait after a while; nothing is added meanwhile."""

        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now < left:
                self._watch(now)
            else:
                self.transport.abort()

        self._stop_watching()
        self._taking = self.loop.call_later(TAKE_SECONDS, look)

    def _stop_watching(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, "The request's headers took too long.")

    def _end(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, message: str) -> None:
        self._end()
        if self.transport.is_closing():
            return
        head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(message)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + (head + message).encode())
        self.transport.close()
