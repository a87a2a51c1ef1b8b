"""OpenTelemetry spans, where the extra ``qa[telemetry]`` is installed and an exporter is set by its own variables.

Every request seen once: counted, timed, logged with its ids, and its place in a trace (W3C Trace Context).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.errors import SettingsError
from qa.web.middleware.headers import request_id
from qa.web.monitoring import Monitoring


class Tracer:
    """A span for each request, a child of the client's, and one for each stage that a reply was timed by.

    Args:
        provider: OpenTelemetry's ``TracerProvider``.
    """

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("qa")

    @contextmanager
    def request(self, scope: Scope, trace: str) -> Iterator[Callable[[str, int], None]]:
        """Within it the request is answered; what it yields is told route and status."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        parent = propagate.extract(dict(Headers(scope=scope).items()))
        with self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER) as span:

            def tell(route: str, status: int) -> None:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("http.request.method", scope["method"])
                for stage, milliseconds in scope["state"].get("timings_ms", {}).items():
                    span.set_attribute(f"qa.{stage}_ms", milliseconds)

            yield tell


def exporting_tracer() -> Tracer:
    """One that exports by OTLP to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.

    Raises:
        SettingsError: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("QA_TRACING needs what is not installed; install qa[telemetry], or leave it out") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "qa"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)


log = structlog.get_logger(__name__)

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}.*"
)
# Asked for every few seconds by machines, and of no interest to people.
_QUIET = ("/healthz", "/readyz", "/metrics")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Observing:
    """Within the middleware that gives requests their ids. The question of a request is in no metric and no line.

    Args:
        log_requests: whether each request is a line of the log.
        log_questions: whether the line has the request's query string too, in which a question may be.
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
        trace = trace_of(Headers(scope=scope))
        scope["state"]["trace"] = trace

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Trace-ID"] = trace
            await send(message)

        try:
            if self.tracer is None:
                await self.app(scope, receive, send_noted)
            else:
                with self.tracer.request(scope, trace) as span:
                    await self.app(scope, receive, send_noted)
                    span(route_of(scope), status)
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.monitoring.request(route_of(scope), method, status, seconds)
            if self.log_requests and scope["path"] not in _QUIET:
                log.info("request", **self._line(scope, trace), status=status, ms=round(1000 * seconds, 2))

    def _line(self, scope: Scope, trace: str) -> Mapping[str, Any]:
        line = {
            "method": scope["method"][:16],
            "route": route_of(scope),
            "client": scope["state"].get("client", ""),
            "request_id": request_id(scope),
            "trace_id": trace,
        }
        if self.log_questions:
            line["query"] = scope["query_string"].decode("ascii", "replace")[:2000]
        return line


def trace_of(headers: Headers) -> str:
    """The id of the trace that the client began, or of a new one."""
    given = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return given["trace"] if given else secrets.token_hex(16)


def route_of(scope: Scope) -> str:
    """The pattern of the path, as what it was filled with would make a metric of every document."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if path:
        return str(path)
    return "/static" if scope["path"].startswith("/static/") else "none"
