"""OpenTelemetry spans, where the extra ``qa[telemetry]`` is installed and an exporter is set by its own variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from qa.errors import SettingsError


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
