"""What Prometheus reads, and what dashboard and alerts ask it for; what the log and a trace are told of a request."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from qa.web.app import create_app
from qa.web.deps import Options
from tests.conftest import REPOSITORY
from tests.support.fake_service import LOADING, READY, SNAPSHOT, FakeService

FOLDER = REPOSITORY / "docs" / "monitoring"


def scraped(client: TestClient) -> dict[str, float]:
    """Every sample by its name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True) if sample.labels else ''}": sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def observed(service: FakeService, **options: Any) -> TestClient:
    return TestClient(create_app(service, options=Options(**options)), raise_server_exceptions=False)


def test_requests_stages_batches_and_cache_are_counted(service: FakeService) -> None:
    client = observed(service, cache_bytes=10**6)
    for _ in range(3):
        client.get("/v1/ask?q=ferry")
    client.get("/v1/documents/nothing.txt")
    client.get("/v1/documents/nowhere.txt")
    metrics = scraped(client)
    assert metrics['qa_requests_total{"method": "GET", "route": "/v1/ask", "status": "200"}'] == 3
    # The pattern, and not the ids that somebody tries.
    assert metrics['qa_requests_total{"method": "GET", "route": "/v1/documents/{id}", "status": "404"}'] == 2
    assert metrics['qa_request_seconds_count{"route": "/v1/ask"}'] == 3
    assert metrics['qa_cache_lookups_total{"collection": "harbour", "result": "hit"}'] == 2
    assert metrics['qa_cache_lookups_total{"collection": "harbour", "result": "miss"}'] == 1
    assert metrics["qa_cache_entries"] == 1
    assert 0 < metrics["qa_cache_bytes"] < metrics["qa_cache_limit_bytes"] == 10**6
    assert metrics["qa_batch_questions_count"] == metrics["qa_batch_questions_sum"] == 1
    assert metrics['qa_stage_seconds_sum{"stage": "encode"}'] == pytest.approx(0.00125)
    assert metrics['qa_stage_seconds_count{"stage": "queue"}'] == 1
    assert metrics['qa_answers_total{"collection": "harbour", "outcome": "passages"}'] == 3
    assert (metrics["qa_queue_questions"], metrics["qa_queue_limit"]) == (0, 128)


def test_what_is_served(service: FakeService) -> None:
    client = observed(service)

    def gauge(name: str) -> float:
        return scraped(client)[f'{name}{{"collection": "harbour"}}']

    labels = f'{{"collection": "harbour", "snapshot": "{SNAPSHOT}", "status": "ready"}}'
    assert scraped(client)[f"qa_snapshot_info{labels}"] == 1
    assert (gauge("qa_ready"), gauge("qa_documents"), gauge("qa_passages")) == (1, 2, 6)
    assert gauge("qa_snapshot_created_timestamp_seconds") == 1775044800
    service.current = LOADING
    assert gauge("qa_ready") == 0
    service.current = replace(READY, problem="damaged")
    assert gauge("qa_snapshot_problem") == 1
    service.current = replace(READY, troubles=("evaluations cannot run",))
    assert gauge("qa_troubles") == 1


def test_failures_and_strange_methods_are_counted(service: FakeService) -> None:
    client = observed(service)
    service.failure = RuntimeError("broken")
    client.get("/v1/ask?q=ferry")
    client.request("BREW", "/v1/ask")
    client.get("/nothing/at/all")
    metrics = scraped(client)
    assert metrics['qa_requests_total{"method": "GET", "route": "/v1/ask", "status": "500"}'] == 1
    assert metrics['qa_requests_total{"method": "GET", "route": "none", "status": "404"}'] == 1
    assert not any("BREW" in name for name in metrics)


@pytest.mark.parametrize("name", ["dashboard.json", "alerts.yaml"])
def test_dashboard_and_alerts_ask_for_what_there_is(service: FakeService, name: str) -> None:
    client = observed(service, max_waiting=1, cache_bytes=1)
    client.get("/v1/ask?q=ferry")
    exposed = {sample.partition("{")[0] for sample in scraped(client)}
    # Counters with labels begin when something has happened.
    exposed |= {"qa_refused_total"}
    text = (FOLDER / name).read_text()
    asked_for = set(re.findall(r"\b(?:qa|process)_[a-z_]+", text))
    assert len(asked_for) > 4
    assert asked_for <= exposed


def test_a_request_is_a_line_without_its_question() -> None:
    client = observed(FakeService(), log_requests=True)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with capture_logs() as logs:
        sent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Request-ID": "mine"}
        response = client.get("/v1/ask?q=ferry", headers=sent)
        client.get("/healthz")
    (line,) = logs
    assert (line["route"], line["status"], line["request_id"], line["trace_id"]) == ("/v1/ask", 200, "mine", trace)
    assert response.headers["x-trace-id"] == trace
    assert "ferry" not in str(line)


def test_with_questions_if_that_is_set() -> None:
    client = observed(FakeService(), log_requests=True, log_questions=True)
    with capture_logs() as logs:
        client.get("/v1/ask?q=ferry")
    assert logs[0]["query"] == "q=ferry"


@pytest.mark.parametrize(
    "given", ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-" + "1" * 32 + "-" + "1" * 16, "x"]
)
def test_a_trace_begins_where_none_was_begun(given: str) -> None:
    response = observed(FakeService()).get("/healthz", headers={"traceparent": given})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-trace-id"])
    assert response.headers["x-trace-id"] not in (given, "0" * 32, "1" * 32)


def test_a_request_is_a_span_of_the_client_s_trace() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="qa[telemetry] is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from qa.web.middleware.observing import Tracer

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = observed(FakeService(), tracer=Tracer(provider))
    client.get("/v1/ask?q=ferry", headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/ask"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["qa.encode_ms"] == 1.25
    assert "ferry" not in str(span.attributes)
