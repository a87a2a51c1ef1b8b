"""Questions past what can be answered are refused before anything is read of them, for next to nothing.

HTTP/1.1 as uvicorn speaks it, for clients that are slow, endless or many: a request's head is bounded in time and
size, what a full queue refuses is refused here, and whoever takes nothing of a response is not waited for.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from qa.errors import Overloaded
from qa.web.batching import Batcher
from qa.web.middleware.headers import CACHE_CONTROL, HEADERS, given_or_new_id
from qa.web.monitoring import Monitoring
from qa.web.problems import MEDIA_TYPE, overloaded

_ASK, _BATCH = "/v1/ask", "/v1/ask/batch"

RawHeaders = list[tuple[bytes, bytes]]


class Refusals:
    """Says which requests are refused while the queue is full, and with what.

    They are counted, and those that the protocol refuses are no line of the log: at ten times what can be answered,
    nine of ten requests end here.
    """

    def __init__(self, batcher: Batcher, monitoring: Monitoring) -> None:
        self._batcher = batcher
        self._monitoring = monitoring

    def of(self, path: str, headers: RawHeaders) -> tuple[RawHeaders, bytes] | None:
        """Headers and body of the refusal, 503; ``None`` where the request may go on."""
        if path not in (_ASK, _BATCH) or not self._batcher.is_full(bulk=path == _BATCH):
            return None
        self._monitoring.refused("overloaded")
        error = self._batcher.overloaded()
        named, body = _response(str(error), error.retry_after)
        return [*named, (b"x-request-id", given_or_new_id(headers).encode())], body


class Shedding:
    """Refuses what the server's protocol let through: requests with a body, and those of other origins' pages."""

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self.app = app
        self.refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] != "OPTIONS"
        refused = self.refusals.of(scope["path"], scope["headers"]) if asks else None
        if refused is None:
            await self.app(scope, receive, send)
            return
        headers, body = refused
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)
def _response(message: str, retry_after: int) -> tuple[RawHeaders, bytes]:
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


# Seconds from a connection's opening, or a request's first byte, to the end of its headers.
HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536
# Seconds in which a client must take something of a response that is more than what the system keeps for it.
TAKE_SECONDS = 30.0
# A body has to be read after all, and pages of other origins have to be told what they may read of a refusal.
_LEFT_TO_THE_APPLICATION = (b"content-length", b"transfer-encoding", b"origin")


def _refusals_of(app: object) -> Refusals | None:
    # Not by qa.web.deps, which knows this module; another application has neither.
    parts = getattr(getattr(app, "state", None), "dependencies", None)
    return getattr(parts, "refusals", None)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn itself bounds how long a connection may rest between requests, and none of these."""

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
        # What came with the headers' end may be a body, which is bounded elsewhere.
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
            # The timer of a refusal before it, which was no request to uvicorn.
            self._unset_keepalive_if_required()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._refusal is None:
            super().on_message_complete()
        else:
            self._shed(*self._refusal)
        self._in_head, self._head_bytes = True, 0

    def _refused(self) -> tuple[RawHeaders, bytes] | None:
        """The application's refusal of a request without a body that it has no room for; the others it refuses itself.

        A request and a task for each of thousands a second would cost as much as the questions that are answered.
        """
        refusals = _refusals_of(self.config.app)
        if refusals is None or self.parser.get_method() != b"GET" or self.parser.should_upgrade():
            return None
        is_next = self.cycle is None or self.cycle.response_complete
        if not is_next or any(name in _LEFT_TO_THE_APPLICATION for name, _ in self.headers):
            return None
        return refusals.of(self.url.partition(b"?")[0].decode("latin-1"), self.headers)

    def _shed(self, headers: RawHeaders, body: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            # One that sends and does not read would fill the memory with refusals.
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
        """Cut the connection unless less than ``left`` bytes wait in a while: nothing is added meanwhile."""

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
