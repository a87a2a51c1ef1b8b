"""Headers of every response: the request's id, and the policies that protect a browser."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Without it, a browser guesses how long to keep a page, and a shared cache would give one key's answer to others.
CACHE_CONTROL = "private, no-cache"
HEADERS = {
    # Only the server's own scripts, styles and pictures are loaded, and no other page may frame this one.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # The page's address holds the question, which other sites must not learn. The server itself needs the Origin: it
    # tells its own forms from those of other sites.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ResponseHeaders:
    """The middleware that puts ``HEADERS`` and ``X-Request-ID`` on every response.

    A well-formed id of the client's is kept, so that one id runs through all logs. :func:`request_id` returns it.
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
    """Return the client's id for a request where its raw headers have a well-formed one, or else make one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(given := value.decode("latin-1")):
            return given
    return new_id()


def new_id() -> str:
    """Make an id of 32 hexadecimal digits, which nobody can choose and anybody may guess.

    Not from the system's source of secrets: that gives the interpreter away to another thread, for half a millisecond.
    """
    return f"{random.getrandbits(128):032x}"


def request_id(scope: Scope) -> str:
    """Return the id of a request."""
    identity: str = scope["state"]["request_id"]
    return identity
