"""Questions past what can be answered are refused before anything is read of them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.batching import Batcher
from qa.web.monitoring import Monitoring
from qa.web.problems import overloaded

_ASK, _BATCH = "/v1/ask", "/v1/ask/batch"


class Shedding:
    """Answers 503 with Retry-After while the queue is full: a refusal has to cost next to nothing."""

    def __init__(self, app: ASGIApp, batcher: Batcher, monitoring: Monitoring) -> None:
        self.app = app
        self.batcher = batcher
        self.monitoring = monitoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_past(scope["path"]):
            self.monitoring.refused("overloaded")
            await overloaded(self.batcher.overloaded()).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_past(self, path: str) -> bool:
        return (path == _ASK and self.batcher.is_full()) or (path == _BATCH and self.batcher.is_full(bulk=True))
