"""The Host header must name this server: a page whose own name was pointed here (DNS rebinding) reads nothing.

How often one client may ask. Outside of all routers: what a framework does with those changes nothing here.

Bodies of requests are bounded; responses to HEAD have none.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.web.middleware.access import is_on_this_machine, required_scope
from qa.web.monitoring import Monitoring
from qa.web.problems import Problem, ProblemError

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]/?#@\s]+)(?::\d{1,5})?")


def own_names(host: str) -> tuple[str, ...]:
    """Names that are this machine's without anybody saying so, for a server that listens on ``host``."""
    return ("localhost", socket.gethostname().lower(), host.lower())


class Hosts:
    """Answers 421 to a request for another host (RFC 9110, section 15.5.20).

    An address in figures is let through: a name is what can be pointed elsewhere.

    Args:
        names: in lower case; ``*.example.org`` is every name below that, ``*`` every one.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self.names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_own(Headers(scope=scope).get("host", "")):
            detail = "The Host header names no host of this server; its operator can add it to QA_ALLOWED_HOSTS."
            await Problem("host-not-allowed", 421, detail).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        if "*" in self.names:
            return True
        if not (match := _HOST.fullmatch(host)):
            return False
        name = match["name"].lower().rstrip(".")
        if name in self.names or any(f"*{name[at:]}" in self.names for at in _dots(name)):
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _dots(name: str) -> list[int]:
    return [at for at, character in enumerate(name) if character == "."]


class Rates:
    """Answers 429 with Retry-After to a client that asks more often. A client is a key, or an address without one.

    Whoever runs the server on this machine is not counted, nor is what needs no key.
    """

    def __init__(self, app: ASGIApp, rate: RateLimitItem, monitoring: Monitoring) -> None:
        self.app = app
        self.rate = rate
        self.monitoring = monitoring
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_counted(scope):
            client = scope["state"]["client"]
            if not self._counts.hit(self.rate, client):
                self.monitoring.refused("rate")
                again = self._counts.get_window_stats(self.rate, client).reset_time - time.time()
                headers = {"Retry-After": str(max(1, math.ceil(again)))}
                detail = f"At most {self.rate.amount:,} requests in {_period(self.rate)} are answered; wait a little."
                await Problem("rate-limited", 429, detail, headers=headers).response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_counted(self, scope: Scope) -> bool:
        if required_scope(scope["method"], scope["path"]) is None:
            return False
        return not is_on_this_machine(scope, Headers(scope=scope))


def _period(rate: RateLimitItem) -> str:
    seconds = rate.get_expiry()
    return "a second" if seconds == 1 else f"{seconds:,} seconds"


class BodyLimit:
    """Refuses a request body of more than ``limit`` bytes, announced by its length or counted as it streams in.

    Args:
        by_path: limits of the paths that have one of their own.
        seconds: in which all of it must have come; a client that sends slower is told 408.
    """

    def __init__(
        self, app: ASGIApp, limit: int, by_path: Mapping[str, int] | None = None, seconds: float = 30.0
    ) -> None:
        self.app = app
        self.seconds = seconds
        self.limit = limit
        self.by_path = by_path or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.by_path.get(scope["path"], self.limit)
        announced = Headers(scope=scope).get("content-length", "0")
        # Python refuses to read a number of thousands of digits; nobody sends 10^18 bytes either.
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
            await too_large(limit).response()(scope, receive, send)
            return
        received, is_whole = 0, False
        until = asyncio.get_running_loop().time() + self.seconds

        async def receive_bounded() -> Message:
            nonlocal received, is_whole
            if is_whole:  # What comes now is that the client hangs up, which may take as long as it likes.
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(too_slow(self.seconds)) from None
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise ProblemError(too_large(limit))
            return message

        await self.app(scope, receive_bounded, send)


class HeadAsGet:
    """Answers HEAD as GET would, without the body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


def too_large(limit: int) -> Problem:
    # The rest of the body is not read, so the connection cannot be used again.
    detail = f"The request body is larger than {limit:,} bytes; send less at a time."
    return Problem("body-too-large", 413, detail, headers={"Connection": "close"})


def too_slow(seconds: float) -> Problem:
    detail = f"The request body did not arrive within {seconds:g} seconds."
    return Problem("request-timeout", 408, detail, headers={"Connection": "close"})
