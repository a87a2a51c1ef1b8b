"""Observation of every request: counted, timed, logged with its ids, and traced (W3C Trace Context, OpenTelemetry)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.errors import SettingsError
from qa.web.middleware.headers import new_id, request_id
from qa.web.monitoring import Monitoring

log = structlog.get_logger(__name__)

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}.*"
)
# Polled by machines every few seconds; their lines would bury the others.
_QUIET = ("/healthz", "/readyz", "/metrics")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Observing:
    """The middleware that counts, times, logs and traces. It stands inside ``ResponseHeaders``, which makes the ids.

    Args:
        log_requests: whether to log a line for each request.
        log_questions: whether the line holds the query string, which may contain a question.
    """

    def __init__(
        self,
        app: ASGIApp,
        monitoring: Monitoring,
        tracer: Tracer | None = None,
        *,
        log_requests: bool = False,
        log_questions: bool = False,
    ) -> None:
        self.app = app
        self.monitoring = monitoring
        self.tracer = tracer
        self.log_requests = log_requests
        self.log_questions = log_questions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        trace = find_trace(Headers(scope=scope))
        scope["state"]["trace"] = trace

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Trace-ID"] = trace
            await send(message)

        try:
            if self.tracer is None:
                await self.app(scope, receive, send_and_note)
            else:
                with self.tracer.request(scope, trace) as span:
                    await self.app(scope, receive, send_and_note)
                    span(find_route(scope), status)
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.monitoring.request(find_route(scope), method, status, seconds)
            if self.log_requests and scope["path"] not in _QUIET:
                log.info("request", **self._line(scope, trace), status=status, ms=round(1000 * seconds, 2))

    def _line(self, scope: Scope, trace: str) -> Mapping[str, Any]:
        line = {
            "method": scope["method"][:16],
            "route": find_route(scope),
            "client": scope["state"].get("client", ""),
            "request_id": request_id(scope),
            "trace_id": trace,
        }
        if self.log_questions:
            line["query"] = scope["query_string"].decode("ascii", "replace")[:2000]
        return line


def find_trace(headers: Headers) -> str:
    """Return the id of the client's trace, or of a new one."""
    given = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return given["trace"] if given else new_id()


def find_route(scope: Scope) -> str:
    """Return the route's pattern: by the path itself, each document would be a metric of its own."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if path:
        return str(path)
    return "/static" if scope["path"].startswith("/static/") else "none"


class Tracer:
    """OpenTelemetry spans: one for each request, as a child of the client's, with the time of each stage.

    Args:
        provider: OpenTelemetry's ``TracerProvider``.
    """

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("qa")

    @contextmanager
    def request(self, scope: Scope, trace: str) -> Iterator[Callable[[str, int], None]]:
        """Open a span while the request is answered; call what it yields with route and status."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        parent = propagate.extract(dict(Headers(scope=scope).items()))
        with self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER) as span:

            def finish(route: str, status: int) -> None:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("http.request.method", scope["method"])
                for stage, milliseconds in scope["state"].get("timings_ms", {}).items():
                    span.set_attribute(f"qa.{stage}_ms", milliseconds)

            yield finish


def make_exporting_tracer() -> Tracer:
    """Make a tracer that exports by OTLP to ``OTEL_EXPORTER_OTLP_ENDPOINT``.

    Raises:
        SettingsError: ``qa[telemetry]`` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            "QA_TRACING needs packages that are not installed; install qa[telemetry], or unset it"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "qa"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)
