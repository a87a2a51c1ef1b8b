"""Requests that only the first worker answers: what changes documents, indexes and evaluations, and what asks of that.

Another worker passes them on over a socket that only the server's user may open, and back what is answered. So each
bound of such work, and what its pages say of it, is that of the whole server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from httptools import HttpParserError, HttpResponseParser
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.middleware.access import is_below
from qa.web.middleware.collections import split_path
from qa.web.middleware.headers import given_or_new_id
from qa.web.middleware.overload import RawHeaders, build_refusal

log = structlog.get_logger(__name__)

_ALWAYS = ("/v1/snapshots", "/v1/index", "/v1/evaluations", "/evaluate", "/upkeep", "/unanswered", "/v1/unanswered")
_CHANGING = ("/v1/documents",)
_READING = ("GET", "HEAD", "OPTIONS")
# The header that says who asks, of which the first worker believes the other workers alone.
CLIENT = b"x-qa-worker-client"
# Headers of one connection (RFC 9110, section 7.6.1), and what uvicorn itself has answered by now.
_OF_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)
_PART = 65_536
# Seconds after which a client may try again while the first worker is started again.
_RETRY = 2
_AWAY = "the part of the server that keeps documents and evaluations is being started again; try again later"


def is_for_first(method: str, path: str) -> bool:
    """Return whether only the first worker answers a request."""
    _, path = split_path(path)
    if any(is_below(path, prefix) for prefix in _ALWAYS):
        return True
    return method not in _READING and any(is_below(path, prefix) for prefix in _CHANGING)


class Forwarding:
    """The middleware that passes on what only the first worker answers. It is the outermost of the other workers."""

    def __init__(self, app: ASGIApp, socket: Path) -> None:
        self.app = app
        self.socket = socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_for_first(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        response: _Response | None = None
        try:
            async with _connected(self.socket) as (reader, writer):
                writer.write(_head(scope))
                whole = asyncio.Event()
                sending = asyncio.create_task(_send_body(writer, receive, chunked=_is_chunked(scope), whole=whole))
                response = _Response(send, sending, whole, has_body=scope["method"] != "HEAD")
                try:
                    await response.pass_on(reader)
                finally:
                    sending.cancel()
                    # Also where it ended with an error that nobody needs any more, which asyncio would log as lost.
                    await asyncio.gather(sending, return_exceptions=True)
        except (OSError, HttpParserError) as error:
            if response is not None and response.has_begun:
                # The client sees a response that breaks off, and not one that seems whole.
                raise
            log.warning("the first worker does not answer", reason=str(error))
            await _refuse(scope, send)


class _HungUp(Exception):
    """The client has gone, and with it whoever would read the response."""


class _Response:
    """A response of the first worker, passed on as it comes.

    Args:
        sending: sends the body of the request; it ends with an error when the client has gone or cannot be read.
        whole: set once all of that body has been sent.
    """

    def __init__(self, send: Send, sending: asyncio.Future[None], whole: asyncio.Event, *, has_body: bool) -> None:
        self._send = send
        self._sending = sending
        self._whole = whole
        self._has_body = has_body
        self._parser = HttpResponseParser(self)
        self._headers: RawHeaders = []
        self._body: list[bytes] = []
        self._is_headed = False
        self._is_whole = False
        self.has_begun = False

    # The next four are what the parser calls.
    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._is_headed = True
        self._is_whole = not self._has_body

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._is_whole = True

    async def pass_on(self, reader: asyncio.StreamReader) -> None:
        """Pass on what ``reader`` gives, until it is whole or the client has hung up.

        Raises:
            OSError, HttpParserError: the first worker does not answer, or breaks off.
        """
        while not self._is_whole:
            reading = asyncio.ensure_future(reader.read(_PART))
            try:
                await asyncio.wait((reading, self._sending), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() and isinstance(self._sending.exception(), _HungUp):
                    return
                # It may have closed the connection before it had the whole body, and have answered all the same.
                data = await reading
            finally:
                reading.cancel()
            if not data:
                raise ConnectionResetError("the connection ended before the response")
            self._parser.feed_data(data)
            await self._send_on()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_on(self) -> None:
        if self._is_headed and not self.has_begun:
            self.has_begun = True
            headers = [header for header in self._headers if header[0] not in (*_OF_CONNECTION, b"date")]
            if not self._whole.is_set():
                # The rest of the body is not read.
                headers.append((b"connection", b"close"))
            status = self._parser.get_status_code()
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if body := b"".join(self._body):
            self._body.clear()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


@asynccontextmanager
async def _connected(socket: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _is_chunked(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _head(scope: Scope) -> bytes:
    """Write the head of a request as its client did, with who that is."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [header for header in scope["headers"] if header[0] not in (*_OF_CONNECTION, CLIENT)]
    host, port = scope["client"] or ("unknown", 0)
    headers += [(b"connection", b"close"), (CLIENT, f"{scope['scheme']} {port} {host}".encode())]
    if _is_chunked(scope):
        headers.append((b"transfer-encoding", b"chunked"))
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (scope["method"].encode(), target, lines)


async def _send_body(writer: asyncio.StreamWriter, receive: Receive, *, chunked: bool, whole: asyncio.Event) -> None:
    """Send the body as it comes, and set ``whole`` at its end. Raises _HungUp when the client has gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        if body := message.get("body", b""):
            writer.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
            await writer.drain()
        if not message.get("more_body", False) and not whole.is_set():
            whole.set()
            if chunked:
                writer.write(b"0\r\n\r\n")


async def _refuse(scope: Scope, send: Send) -> None:
    headers, body = build_refusal(_AWAY, _RETRY)
    identity = (b"x-request-id", given_or_new_id(scope["headers"]).encode())
    await send({"type": "http.response.start", "status": 503, "headers": [*headers, identity]})
    await send({"type": "http.response.body", "body": body})


class FromWorkers:
    """The middleware that gives a request of another worker its client's own address. It is the first's outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # The workers' own socket is a path, without a port. That a client has no address says nothing: one that has
            # reset its connection before it was accepted has none either, and what it sent is read all the same.
            is_of_worker = scope["server"] is not None and scope["server"][1] is None
            headers = scope["headers"]
            scope["headers"] = [header for header in headers if header[0] != CLIENT]
            if is_of_worker:
                named = next((value for name, value in headers if name == CLIENT), b"http 0 unknown")
                scheme, port, host = named.decode().split(" ", 2)
                scope["scheme"], scope["client"] = scheme, (host, int(port))
        await self.app(scope, receive, send)
