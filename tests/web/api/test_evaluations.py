"""Evaluations over HTTP: what is taken, what is refused and how, and a report that stays a page of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from qa.errors import Fault, NotReady, QueueFull, StorageError
from qa.web.app import create_app
from qa.web.deps import Options
from tests.evaluation.test_report import evaluated, page
from tests.support.fake_evaluations import ID, NDJSON, QUESTION, SUMMARY, FakeEvaluations
from tests.support.fake_service import FakeService


@pytest.fixture
def evaluations(tmp_path: Path) -> FakeEvaluations:
    return FakeEvaluations(tmp_path)


@pytest.fixture
def client(service: FakeService, evaluations: FakeEvaluations) -> TestClient:
    return TestClient(
        create_app(service, evaluations, Options(max_upload_bytes=10_000)),
        "http://localhost",
        raise_server_exceptions=False,
        client=("127.0.0.1", 5000),
    )


def problem(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("urn:qa:problem:")


def test_a_file_is_taken_and_its_address_told(client: TestClient, evaluations: FakeEvaluations) -> None:
    taken = client.post("/v1/evaluations?name=mine.jsonl&mode=dense&top_k=7", content=QUESTION, headers=NDJSON)
    assert (taken.status_code, taken.headers["location"]) == (202, f"/v1/evaluations/{ID}")
    assert (taken.json()["status"], taken.json()["measures"]) == ("queued", None)
    options = {"mode": "dense", "top_k": 7, "rerank": False}
    assert evaluations.submitted == [("mine.jsonl", QUESTION, "jsonl", options, False)]


def test_progress_and_then_the_measures(client: TestClient, evaluations: FakeEvaluations) -> None:
    client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="asking", questions=5, asked=2)
    half = client.get(f"/v1/evaluations/{ID}").json()
    assert (half["status"], half["asked"], half["questions"], half["report"]) == ("asking", 2, 5, None)
    evaluations.job = replace(evaluations.job, status="done", asked=5)
    done = client.get(f"/v1/evaluations/{ID}").json()
    assert done["measures"] == SUMMARY["measures"]
    assert (done["failures"], done["latency_ms"], done["reading_ms"], done["notes"]) == tuple(
        SUMMARY[name] for name in ("failures", "latency", "reading", "notes")
    )
    assert done["report"] == f"/v1/evaluations/{ID}/report"


def test_the_report_brings_its_own_policy_and_no_other_page_does(
    client: TestClient, evaluations: FakeEvaluations
) -> None:
    client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    assert problem(client.get(f"/v1/evaluations/{ID}/report")) == (404, "evaluation-not-found")
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="done")
    shown = client.get(f"/v1/evaluations/{ID}/report")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src 'sha256-" in policy
    assert policy.endswith("frame-ancestors 'none'")
    assert shown.text == page(evaluated())
    assert int(shown.headers["content-length"]) == len(shown.content)
    assert "unsafe" not in policy
    assert "script-src 'self';" in client.get("/").headers["content-security-policy"]


def test_cancelling(client: TestClient) -> None:
    client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    gone = client.delete(f"/v1/evaluations/{ID}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert problem(client.get(f"/v1/evaluations/{ID}")) == (404, "evaluation-not-found")
    assert problem(client.delete(f"/v1/evaluations/{ID}")) == (404, "evaluation-not-found")


@pytest.mark.parametrize("id", ["..%2F..%2FCURRENT", "0" * 32, "%00"])
def test_an_id_is_no_path(client: TestClient, id: str) -> None:
    assert client.get(f"/v1/evaluations/{id}").status_code == 404
    assert client.get(f"/v1/evaluations/{id}/report").status_code == 404


@pytest.mark.parametrize(
    ("query", "headers", "content", "expected"),
    [
        ("", NDJSON, b'{"question": ""}', (422, "question-file-wrong")),
        ("", NDJSON, b"", (422, "question-file-wrong")),
        ("", NDJSON, b"x" * 10_001, (413, "body-too-large")),
        ("", {"Content-Type": "text/html"}, QUESTION, (415, "unsupported-media-type")),
        ("?top_k=0", NDJSON, QUESTION, (422, "top-k-out-of-range")),
        ("?top_k=11", NDJSON, QUESTION, (422, "top-k-out-of-range")),
        ("?mode=magic", NDJSON, QUESTION, (422, "mode-unknown")),
        ("?nam=x", NDJSON, QUESTION, (422, "unknown-field")),
        ("?name=../x", NDJSON, QUESTION, (422, "invalid-request")),
    ],
    ids=["wrong", "empty", "large", "type", "top_k", "top_k-over", "mode", "unknown", "name"],
)
def test_what_is_refused_is_a_problem(
    client: TestClient, query: str, headers: dict[str, str], content: bytes, expected: tuple[int, str]
) -> None:
    if "top_k" not in query:
        query = f"{query}{'&' if query else '?'}top_k=5"
    assert problem(client.post(f"/v1/evaluations{query}", content=content, headers=headers)) == expected


def test_an_empty_file_has_no_other_records_to_score(client: TestClient) -> None:
    empty = client.post("/v1/evaluations?top_k=5", content=b"", headers=NDJSON).json()
    assert "keep_going" not in empty["detail"]
    wrong = client.post("/v1/evaluations?top_k=5", content=b'{"question": ""}', headers=NDJSON).json()
    assert "keep_going" in wrong["detail"]


def test_faults_of_the_file_name_line_and_field(client: TestClient) -> None:
    data = QUESTION + b'{"question": "x", "anwser": "y"}\n'
    refused = client.post("/v1/evaluations?top_k=5", content=data, headers=NDJSON).json()
    assert refused["errors"][0]["field"] == "line 2, anwser"
    kept = client.post("/v1/evaluations?top_k=5&keep_going=true", content=data, headers=NDJSON)
    assert kept.status_code == 202


def test_a_queue_that_is_full_and_a_service_that_is_not_ready(client: TestClient, evaluations: FakeEvaluations) -> None:
    evaluations.failure = QueueFull("8 evaluations are waiting already")
    full = client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    assert problem(full) == (429, "queue-full")
    assert int(full.headers["retry-after"]) > 0
    evaluations.failure = StorageError("cannot keep the question file in /srv/indexes: no space left")
    unkept = client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    assert problem(unkept) == (503, "storage-unavailable")
    assert "/srv" not in unkept.text
    evaluations.failure = NotReady("loading", "loading")
    assert problem(client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)) == (503, "not-ready")


def test_why_it_failed_is_told_with_the_lines(client: TestClient, evaluations: FakeEvaluations) -> None:
    client.post("/v1/evaluations?top_k=5", content=QUESTION, headers=NDJSON)
    assert evaluations.job is not None
    fault = Fault("mine.jsonl", 3, "evidence[0]", "the quote “x” is not in a.txt")
    evaluations.job = replace(evaluations.job, status="failed", detail=str(fault), faults=(fault,))
    failed = client.get(f"/v1/evaluations/{ID}").json()
    assert failed["faults"] == [{"line": 3, "field": "evidence[0]", "message": "the quote “x” is not in a.txt"}]
    assert "line 3" in failed["detail"]


def test_the_description_has_the_body_and_all_operations(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    post = document["paths"]["/v1/evaluations"]["post"]
    assert set(post["requestBody"]["content"]) >= {"application/x-ndjson", "text/csv", "application/json"}
    assert set(document["paths"]["/v1/evaluations/{id}"]) == {"get", "delete"}
    assert "get" in document["paths"]["/v1/evaluations/{id}/report"]
    assert json.dumps(document)


def test_without_evaluations_nothing_is_there(service: FakeService) -> None:
    bare = TestClient(create_app(service))
    assert problem(bare.get(f"/v1/evaluations/{ID}")) == (404, "not-found")
