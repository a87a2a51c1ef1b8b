"""Limits of a request: the host that it names, how often its client may ask, and the size and time of its body."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.errors import Overloaded
from qa.web.admission import Budget
from qa.web.middleware.access import is_below, is_on_this_machine, required_scope
from qa.web.monitoring import Monitoring
from qa.web.problems import Problem, ProblemError, overloaded

# Bytes of a body that are not counted: a question and its patterns.
FREE_BYTES = 1 << 17
# Bytes a second of a body that is written to the disk: few can be sent at a time, and a slow one keeps others waiting.
SLOWEST = 10_000

# Host headers that are remembered, and characters of the longest of them.
_KNOWN_HOSTS, _LONGEST_KNOWN = 256, 300
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]/?#@\s]+)(?::\d{1,5})?")


def own_names(host: str) -> tuple[str, ...]:
    """Return the names of this machine, for a server that listens on ``host``."""
    return ("localhost", socket.gethostname().lower(), host.lower())


class Hosts:
    """The middleware that answers 421 to a request for another host (RFC 9110, section 15.5.20).

    A page whose own name was pointed at this server (DNS rebinding) thereby reads nothing. Numeric addresses pass,
    because only names can be pointed elsewhere.

    Args:
        names: in lower case; ``*.example.org`` is every name below that, ``*`` every one.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self.names = frozenset(names)
        # Nearly every client names one of a few hosts.
        self._is_own_name = lru_cache(maxsize=_KNOWN_HOSTS)(self._find)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_own(Headers(scope=scope).get("host", "")):
            detail = "The Host header does not name this server; its operator can add the name to QA_ALLOWED_HOSTS."
            await Problem("host-not-allowed", 421, detail).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        if "*" in self.names:
            return True
        return self._is_own_name(host) if len(host) <= _LONGEST_KNOWN else self._find(host)

    def _find(self, host: str) -> bool:
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
    """The middleware that answers 429 with Retry-After to a client above the rate; a client is a key, or an address.

    Requests that never need a key are not counted; those with a wrong key are.

    Args:
        local: the rate of all clients on this machine together; ``None`` is any.
        counts: where requests are counted; workers of one server share it.
    """

    def __init__(
        self,
        app: ASGIApp,
        rate: RateLimitItem | None,
        local: RateLimitItem | None,
        monitoring: Monitoring,
        counts: Storage,
    ) -> None:
        self.app = app
        self.rate = rate
        self.local = local
        self.monitoring = monitoring
        self._counts = SlidingWindowCounterRateLimiter(counts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and required_scope(scope["method"], scope["path"]) is not None:
            is_local = is_on_this_machine(scope, Headers(scope=scope))
            rate = self.local if is_local else self.rate
            client = "this machine" if is_local else scope["state"]["client"]
            if rate is not None and not self._counts.hit(rate, client):
                self.monitoring.refused("rate")
                again = self._counts.get_window_stats(rate, client).reset_time - time.time()
                headers = {"Retry-After": str(max(1, math.ceil(again)))}
                detail = f"At most {rate.amount:,} requests in {_period(rate)} are answered; wait a little."
                await Problem("rate-limited", 429, detail, headers=headers).response(scope["path"])(
                    scope, receive, send
                )
                return
        await self.app(scope, receive, send)


def _period(rate: RateLimitItem) -> str:
    seconds = rate.get_expiry()
    return "a second" if seconds == 1 else f"{seconds:,} seconds"


class ParameterLimit:
    """The middleware that refuses an address of more than ``most`` parameters, which no request has use for."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"].count(b"&") >= self.most:
            detail = f"The address has more than {self.most:,} parameters."
            await Problem("invalid-request", 422, detail).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)


class BodyLimit:
    """The middleware that refuses a body of more than ``limit`` bytes, by its Content-Length or as it streams in.

    Args:
        by_path: the limits of paths that have their own.
        to_disk: those of paths, and of all below them, whose bodies are written to the disk as they arrive: they are
            not counted in the budget, and ``seconds`` is how long the next part of one may take; on the whole a
            client must send :data:`SLOWEST` bytes a second.
        budget: bytes that the bodies of all requests may hold together, until each is answered; the first
            :data:`FREE_BYTES` of each do not count, so that no one is kept from asking by what others send.
        seconds: time in which the whole body must arrive; a slower client gets 408.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        budget: Budget,
        by_path: Mapping[str, int] | None = None,
        to_disk: Mapping[str, int] | None = None,
        seconds: float = 30.0,
    ) -> None:
        self.app = app
        self.seconds = seconds
        self.limit = limit
        self.budget = budget
        self.by_path = by_path or {}
        self.to_disk = to_disk or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        of_files = next((most for path, most in self.to_disk.items() if is_below(scope["path"], path)), None)
        limit = of_files or self.by_path.get(scope["path"], self.limit)
        announced = Headers(scope=scope).get("content-length", "0")
        # Python refuses to parse a number of thousands of digits.
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
            await too_large(limit).response(scope["path"])(scope, receive, send)
            return
        received, taken, is_whole = 0, 0, False
        clock = asyncio.get_running_loop().time
        first = until = clock() + self.seconds

        async def receive_bounded() -> Message:
            nonlocal received, taken, is_whole, until
            if is_whole:  # The next message says that the client hung up, whenever that is.
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(too_slow(self.seconds)) from None
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if of_files:
                until = min(clock() + self.seconds, first + received / SLOWEST)
            if received > limit:
                raise ProblemError(too_large(limit))
            if of_files is None and (more := received - FREE_BYTES - taken) > 0:
                try:
                    self.budget.take(more)
                except Overloaded as error:
                    raise ProblemError(_too_many_bytes(error)) from None
                taken += more
            return message

        try:
            await self.app(scope, receive_bounded, send)
        finally:
            self.budget.give(taken)


class HeadAsGet:
    """The middleware that answers HEAD as GET would, without the body (RFC 9110, section 9.3.2)."""

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
    """Build the problem of a body above ``limit`` bytes; the rest of it is not read, so the connection must close."""
    detail = f"The request body is larger than {limit:,} bytes; send less at a time."
    return Problem("body-too-large", 413, detail, headers={"Connection": "close"})


def _too_many_bytes(error: Overloaded) -> Problem:
    problem = overloaded(error)
    # The rest of the body is not read.
    return replace(problem, headers={**problem.headers, "Connection": "close"})


def too_slow(seconds: float) -> Problem:
    """Build the problem of a body that did not arrive in time."""
    detail = f"The request body did not arrive within {seconds:g} seconds."
    return Problem("request-timeout", 408, detail, headers={"Connection": "close"})
