"""Bodies of requests are bounded; responses to HEAD have none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.web.problems import Problem, ProblemError


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
