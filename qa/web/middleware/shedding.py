"""Questions past what can be answered are refused before anything is read of them, for next to nothing."""

from __future__ import annotations

import json
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from qa.errors import Overloaded
from qa.web.batching import Batcher
from qa.web.middleware.headers import CACHE_CONTROL, HEADERS, given_or_new_id
from qa.web.monitoring import Monitoring
from qa.web.problems import MEDIA_TYPE, overloaded

_ASK, _BATCH = "/v1/ask", "/v1/ask/batch"

RawHeaders = list[tuple[bytes, bytes]]


class Refusals:
    """Says which requests are refused while the queue is full, and with what.

    They are counted, and those that the protocol refuses are no line of the log: at ten times what can be answered,
    nine of ten requests end here.
    """

    def __init__(self, batcher: Batcher, monitoring: Monitoring) -> None:
        self._batcher = batcher
        self._monitoring = monitoring

    def of(self, path: str, headers: RawHeaders) -> tuple[RawHeaders, bytes] | None:
        """Headers and body of the refusal, 503; ``None`` where the request may go on."""
        if path not in (_ASK, _BATCH) or not self._batcher.is_full(bulk=path == _BATCH):
            return None
        self._monitoring.refused("overloaded")
        error = self._batcher.overloaded()
        named, body = _response(str(error), error.retry_after)
        return [*named, (b"x-request-id", given_or_new_id(headers).encode())], body


class Shedding:
    """Refuses what the server's protocol let through: requests with a body, and those of other origins' pages."""

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self.app = app
        self.refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] != "OPTIONS"
        refused = self.refusals.of(scope["path"], scope["headers"]) if asks else None
        if refused is None:
            await self.app(scope, receive, send)
            return
        headers, body = refused
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)
def _response(message: str, retry_after: int) -> tuple[RawHeaders, bytes]:
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
