"""How often one client may ask. Outside of all routers: what a framework does with those changes nothing here."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.middleware.access import is_on_this_machine, required_scope
from qa.web.monitoring import Monitoring
from qa.web.problems import Problem


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
