"""Overload: questions that a full queue cannot take are refused unread, and slow or endless clients are cut off.

A connection that asks again before its ``Retry-After`` has passed is refused late, as HAProxy's ``tarpit`` does it:
otherwise clients that do not wait take with their refusals a third of a core from the questions that are answered.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
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
# Seconds after a refusal in which the same connection's next one is kept back, unless Retry-After is less.
HELD_SECONDS = 1.0
# Seconds in which a client must read something of a response that fills the system's buffers.
TAKE_SECONDS = 30.0
# With these, the application must refuse: a body has to be read, and another origin needs the headers of CORS.
_PASSED_ON = (b"content-length", b"transfer-encoding", b"origin")

# With these, the client may be another one than the address that the connection is from.
_NAMING = (b"authorization", b"x-api-key", b"x-forwarded-for")

# Where the application finds what a connection was refused before, among the state of a request.
_PATIENCE = "qa.patience"

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Headers and body of a response with 503, and the seconds after which the client may ask again."""

    headers: RawHeaders
    body: bytes
    retry_after: int


class Patience:
    """The refusals that one connection has had: it has at most one in ``HELD_SECONDS``."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = 0.0

    def hold(self, now: float, retry_after: int) -> float:
        """Return in how many seconds a refusal is to be sent that is due ``now``, and remember it as sent then."""
        # More than this is asked for only by requests that did not wait for the response before.
        held = min(max(self._until - now, 0.0), HELD_SECONDS)
        self._until = now + held + min(retry_after, HELD_SECONDS)
        return held


class Refusals:
    """The refusals of a full queue. They are counted, and not logged: under overload most requests end here."""

    def __init__(self, batcher: Batcher, monitoring: Monitoring) -> None:
        self._batcher = batcher
        self._monitoring = monitoring

    def find(self, path: str, headers: RawHeaders, client: str | None = None) -> Refusal | None:
        """Return the refusal of a request; ``None`` where it may go on.

        ``client`` is who sent it, where that has not been found out by the middleware.
        """
        _, path = split_path(path)
        if path not in (_ASK, _BATCH) or not self._batcher.is_full(bulk=path == _BATCH, client=client):
            return None
        self._monitoring.refused("overloaded")
        error = self._batcher.overloaded()
        named, body = build_refusal(str(error), error.retry_after)
        return Refusal([*named, (b"x-request-id", given_or_new_id(headers).encode())], body, error.retry_after)


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
        patience = scope.get("state", {}).get(_PATIENCE)
        held = patience.hold(asyncio.get_running_loop().time(), refused.retry_after) if patience else 0.0
        if held:
            await asyncio.sleep(held)
        await send({"type": "http.response.start", "status": 503, "headers": refused.headers})
        await send({"type": "http.response.body", "body": refused.body})


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
    _refusal: Refusal | None = None
    _held: tuple[asyncio.TimerHandle, Refusal, bool] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = Patience()
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._stop_watching()
        if self._held is not None:
            self._held[0].cancel()
            self._held = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        # Bytes after the end of the headers are a body, which BodyLimit bounds.
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(431, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        # Responses have the order of their requests.
        self._release()
        super().on_message_begin()
        self.scope["state"][_PATIENCE] = self._patience
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
            self._shed(self._refusal)
        self._in_head, self._head_bytes = True, 0

    def shutdown(self) -> None:
        self._release()
        super().shutdown()

    def _refused(self) -> Refusal | None:
        """Return the refusal of this request, if it has no body and the queue has no room for it."""
        refusals = _find_refusals(self.config.app)
        if refusals is None or self.parser.get_method() != b"GET" or self.parser.should_upgrade():
            return None
        is_next = self.cycle is None or self.cycle.response_complete
        if not is_next or any(name in _PASSED_ON for name, _ in self.headers):
            return None
        client = "" if any(name in _NAMING for name, _ in self.headers) else client_at(self.client)
        return refusals.find(self.url.partition(b"?")[0].decode("latin-1"), self.headers, client)

    def _shed(self, refusal: Refusal) -> None:
        """Send a refusal, or keep it back where this connection had one just before."""
        keeps = self.parser.should_keep_alive()
        held = self._patience.hold(self.loop.time(), refusal.retry_after)
        if held:
            self._held = self.loop.call_later(held, self._release), refusal, keeps
        else:
            self._send_refusal(refusal, keeps)

    def _release(self) -> None:
        """Send the refusal that is kept back, if there is one."""
        if self._held is not None:
            timer, refusal, keeps = self._held
            self._held = None
            timer.cancel()
            self._send_refusal(refusal, keeps)

    def _send_refusal(self, refusal: Refusal, keeps: bool) -> None:
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            # A client that sends and does not read would fill the memory with refusals.
            self.transport.abort()
            return
        headers = [
            *self.server_state.default_headers,
            *refusal.headers,
            *([] if keeps else [(b"connection", b"close")]),
        ]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[503] + head + b"\r\n" + refusal.body)
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
