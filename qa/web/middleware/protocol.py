"""HTTP/1.1 as uvicorn speaks it, for clients that are slow, endless or many: a request's head is bounded in time and
size, what a full queue refuses is refused here, and whoever takes nothing of a response is not waited for."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from qa.web.middleware.shedding import RawHeaders, Refusals

# Seconds from a connection's opening, or a request's first byte, to the end of its headers.
HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536
# Seconds in which a client must take something of a response that is more than what the system keeps for it.
TAKE_SECONDS = 30.0
# A body has to be read after all, and pages of other origins have to be told what they may read of a refusal.
_LEFT_TO_THE_APPLICATION = (b"content-length", b"transfer-encoding", b"origin")


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
        refusals: Refusals | None = getattr(getattr(self.config.app, "state", None), "refusals", None)
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
