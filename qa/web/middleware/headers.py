"""Headers that every response carries: its request's id, and what keeps a browser safe."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Without a word on it, browsers keep what has a date for as long as they guess; and a cache that many share would give
# one key's answer to those who have none.
CACHE_CONTROL = "private, no-cache"
HEADERS = {
    # Nothing runs and nothing is fetched but our own script, style and pictures, and nobody frames the page.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # The question is in the address of the page, and nobody else's business. From ourselves nothing is to be hidden:
    # without TLS, the Origin of our own forms is all that tells them from another site's.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ResponseHeaders:
    """Puts ``HEADERS`` and ``X-Request-ID`` on every response.

    A sane id of the client's is kept, so that one id runs through all logs; else one is made. Handlers find it by
    ``request_id``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identity = given_or_new_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = identity

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # A page may bring a policy that allows its own inline style and script, by their hashes.
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = identity
                headers.setdefault("Cache-Control", CACHE_CONTROL)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def given_or_new_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """An id for a request, from its headers as they came: the client's where it is a sane one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(given := value.decode("latin-1")):
            return given
    return uuid.uuid4().hex


def request_id(scope: Scope) -> str:
    """The id of this request."""
    identity: str = scope["state"]["request_id"]
    return identity
