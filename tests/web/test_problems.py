"""Every way to ask wrongly, and what the client is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from qa.errors import QueryError, QuestionTooLong, SnapshotCorrupt
from tests.support.fake_service import LOADING, REFUSED, FakeService

JSON = {"Content-Type": "application/json"}


def problem(response: Any, status: int, type: str) -> dict[str, Any]:
    """Return the body, after checking what holds for every problem detail."""
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, body["status"]) == (status, status)
    assert body["type"] == f"urn:qa:problem:{type}"
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("body", "type", "field", "message"),
    [
        ({"question": ""}, "question-empty", "question", "the question is blank; write what you want to know."),
        ({"question": " \n\t\u200b\u00a0"}, "question-empty", "question", "the question is blank"),
        ({"question": "x" * 201}, "question-too-long", "question", "the question has 201 characters; at most 200 are"),
        ({"question": "a\0b"}, "invalid-request", "question", "the question holds a NUL character; remove it."),
        ({"question": "a", "top_k": 0}, "top-k-out-of-range", "top_k", "top_k must be from 1 to 10."),
        ({"question": "a", "top_k": 10_000}, "top-k-out-of-range", "top_k", "top_k must be from 1 to 10."),
        ({"question": "a", "top_k": -(10**40)}, "top-k-out-of-range", "top_k", "top_k must be from 1 to 10."),
        ({"question": "a", "top_k": "5"}, "wrong-type", "top_k", "top_k must be a whole number."),
        ({"question": "a", "top_k": 1.5}, "wrong-type", "top_k", "top_k must be a whole number."),
        ({"question": "a", "top_k": True}, "wrong-type", "top_k", "top_k must be a whole number."),
        ({"question": "a", "top_k": None}, "wrong-type", "top_k", "top_k must be a whole number."),
        ({"question": 5}, "wrong-type", "question", "question must be a string."),
        ({}, "missing-field", "question", "question is missing; it is required."),
        ({"question": "a", "topk": 1}, "unknown-field", "topk", "topk is not a known field; did you mean top_k?"),
        ({"question": "a", "rerank": "yes"}, "wrong-type", "rerank", "rerank must be true or false."),
        ({"question": "a", "reranker": 1}, "unknown-field", "reranker", "reranker is not a known field; did you mean"),
        (
            {"question": "a", "mode": "fuzzy"},
            "mode-unknown",
            "mode",
            "mode can only be 'hybrid', 'dense' or 'lexical'.",
        ),
        ({"question": "a", "documents": "*"}, "wrong-type", "documents", "documents must be a list."),
        ({"question": "a", "documents": [1]}, "wrong-type", "documents[0]", "documents[0] must be a string."),
        ({"question": "a", "documents": [""]}, "invalid-request", "documents[0]", "documents[0] is empty; write a"),
        ({"question": "a", "documents": ["a", "\0"]}, "invalid-request", "documents[1]", "documents[1] holds a NUL"),
        ({"question": "a", "documents": ["a"] * 101}, "invalid-request", "documents", "documents may hold at most 100"),
        ({"question": "a", "documents": ["a" * 1025]}, "invalid-request", "documents[0]", "documents[0] may have at"),
        (
            {"question": "a", "previous": [None]},
            "wrong-type",
            "previous[0]",
            "previous[0] must be a string or a JSON object; known fields: question, answer.",
        ),
        (
            {"question": "a", "previous": ["b", {"quetion": "c", "question": "d"}]},
            "unknown-field",
            "previous[1].quetion",
            "previous[1].quetion is not a known field; did you mean question? Known fields: question, answer.",
        ),
        (
            {"question": "a", "previous": [{"question": 5}]},
            "wrong-type",
            "previous[0].question",
            "previous[0].question must be a string.",
        ),
        (
            {"question": "a", "TurnBody": 1},
            "unknown-field",
            "TurnBody",
            "TurnBody is not a known field. Known fields: q",
        ),
        (
            {"question": "a", "str": 1},
            "unknown-field",
            "str",
            "str is not a known field. Known fields: question, top_k",
        ),
        (
            [],
            "wrong-type",
            "body",
            "The body must be a JSON object; known fields: question, top_k, mode, rerank, answer, max_error, "
            "documents, sections, ",
        ),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, body: object, type: str, field: str, message: str) -> None:
    told = problem(client.post("/v1/ask", json=body), 422, type)
    (error,) = told["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert told["detail"] == error["message"]


@pytest.mark.parametrize(
    ("query", "type", "field", "message"),
    [
        ("", "missing-field", "q", "q is missing; it is required."),
        ("q=", "question-empty", "q", "the question is blank; write what you want to know."),
        ("q=impossible", "invalid-request", "q", "the question is impossible; ask another"),
        ("q=a&top_k=many", "wrong-type", "top_k", "top_k must be a whole number."),
        ("q=a&top_k=11", "top-k-out-of-range", "top_k", "top_k must be from 1 to 10."),
        ("q=a&question=b", "unknown-field", "question", "question is not a known field. Known fields: q, top_k,"),
        ("q=a&mode=fuzzy", "mode-unknown", "mode", "mode can only be 'hybrid', 'dense' or 'lexical'."),
        ("q=a&documents=", "invalid-request", "documents[0]", "documents[0] is empty"),
    ],
)
def test_a_wrong_parameter_is_named(client: TestClient, query: str, type: str, field: str, message: str) -> None:
    (error,) = problem(client.get(f"/v1/ask?{query}"), 422, type)["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)


def test_everything_wrong_is_told_at_once(client: TestClient) -> None:
    told = problem(client.post("/v1/ask", json={"question": " ", "top_k": 0}), 422, "invalid-request")
    assert [error["field"] for error in told["errors"]] == ["question", "top_k"]


def test_a_hostile_body_is_not_echoed_in_full(client: TestClient) -> None:
    body = {"question": "a"} | {f"{'x' * 100}{n}": n for n in range(100)}
    response = client.post("/v1/ask", json=body)
    assert len(problem(response, 422, "unknown-field")["errors"]) == 20
    assert len(response.content) < 20_000


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b'{"question": "a", "question": "b"}', ["question"]),
        (b'{"top_k": 3, "question": "a", "top_k": 3, "question": "a"}', ["top_k", "question"]),
        (b'{"question": "a", "previous": [{"question": "b", "answer": "c", "answer": "c"}]}', ["answer"]),
        (b'{"question": "a"' + b"".join(b', "%d": 1, "%d": 2' % (n, n) for n in range(99)) + b"}", list("0123456789")),
        (rb'{"question": "a", "\ud800": 1, "\ud800": 1}', [r"\ud800"]),
    ],
    ids=["another value", "the same value", "within", "many", "half a surrogate pair"],
)
def test_a_key_that_stands_twice_is_named(client: TestClient, content: bytes, fields: list[str]) -> None:
    told = problem(client.post("/v1/ask", content=content, headers=JSON), 422, "invalid-request")
    assert [error["field"] for error in told["errors"]] == fields
    assert told["detail"] == " ".join(f"{field} is given more than once." for field in fields)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"question":\n  oops}', "The request body is not JSON: Expecting value at line 2, column 3."),
        (b'{"question": "a"', "The request body is not JSON: Expecting ',' delimiter at line 1, column 17."),
        (b"question=a", "The request body is not JSON: Expecting value at line 1, column 1."),
        (b'{"question": "\xff"}', "The request body is not UTF-8, at byte 14."),
        (b"[" * 19_000, "The request body is nested too deeply."),
        (b'{"question": "a", "top_k": ' + b"1" * 5000 + b"}", "The request body holds a number with too many digits."),
    ],
)
def test_malformed_json_is_located(client: TestClient, content: bytes, detail: str) -> None:
    assert problem(client.post("/v1/ask", content=content, headers=JSON), 400, "malformed-json")["detail"] == detail


@pytest.mark.parametrize(
    "content",
    [
        rb'{"question": "\ud800"}',
        rb'{"question": "a", "\udfff": 1}',
        rb'{"question": "a", "documents": ["\ud800"]}',
        rb'{"question": "a", "previous": ["\ud800"]}',
    ],
)
def test_half_a_surrogate_pair_is_a_clients_mistake(client: TestClient, content: bytes) -> None:
    told = problem(client.post("/v1/ask", content=content, headers=JSON), 422, "invalid-request")
    assert "surrogate" in told["detail"]
    assert len(told["errors"]) == 1


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "a"])
def test_a_body_that_is_not_json_is_refused(client: TestClient, media_type: str) -> None:
    response = client.post("/v1/ask", content=b'{"question": "a"}', headers={"Content-Type": media_type})
    assert "Content-Type: application/json" in problem(response, 415, "unsupported-media-type")["detail"]


def test_a_missing_body_is_told(client: TestClient) -> None:
    assert problem(client.post("/v1/ask"), 422, "missing-field")["errors"][0]["field"] == "body"


def test_content_type_may_have_parameters(client: TestClient) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/ask", content=b'{"question": "a"}', headers=headers).status_code == 200


@pytest.mark.parametrize("length", ["20001", "9" * 5000])
def test_a_body_too_large_by_its_length(client: TestClient, length: str) -> None:
    response = client.post("/v1/ask", content=b"{", headers={**JSON, "Content-Length": length})
    told = problem(response, 413, "body-too-large")
    assert told["detail"] == "The request body is larger than 20,000 bytes; send less at a time."


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/ask/batch"])
def test_a_body_too_large_as_it_streams(client: TestClient, path: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 1000] * 30

    told = problem(client.post(path, content=chunks(), headers=JSON), 413, "body-too-large")
    assert told["detail"] == "The request body is larger than 20,000 bytes; send less at a time."


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/ask/", "/docs/", "/redoc", "/static/nothing.css", "/static/"])
def test_nothing_there(client: TestClient, path: str) -> None:
    assert problem(client.get(path), 404, "not-found")["detail"] == f"There is nothing at {path}."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/ask", "GET, HEAD, POST"),
        ("GET", "/v1/ask/batch", "POST"),
        ("OPTIONS", "/v1/documents", "GET, HEAD"),
        ("OPTIONS", "/v1/documents/a.txt", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/static/style.css", "GET, HEAD"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
    ],
)
def test_wrong_method_names_the_right_ones(client: TestClient, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "id", ["nothing.txt", "%2e%2e/secret", "..%2F..%2Fetc%2Fpasswd", "", "%00", "%FF", "/etc/passwd"]
)
def test_no_such_document(client: TestClient, id: str) -> None:
    told = problem(client.get(f"/v1/documents/{id}"), 404, "document-not-found")
    assert told["detail"].startswith("no indexed document has the id")


@pytest.mark.parametrize("path", ["/v1/ask?q=a", "/v1/documents", "/v1/documents/a.txt", "/readyz"])
def test_not_ready(client: TestClient, service: FakeService, path: str) -> None:
    service.current = LOADING
    response = client.get(path)
    assert problem(response, 503, "not-ready")["detail"] == "the snapshot and its model are being loaded"
    assert response.headers["retry-after"] == "2"


def test_readiness_names_the_state(client: TestClient, service: FakeService) -> None:
    service.current = REFUSED
    told = problem(client.get("/readyz"), 503, "not-ready")
    assert (told["state"], told["detail"]) == ("refused", "the snapshot was made by another model; index again")


def test_a_line_end_behind_an_id_is_part_of_it(client: TestClient) -> None:
    id = "notes/ferry%20%3Ci%3E.txt"
    assert client.get(f"/v1/documents/{id}").status_code == 200
    for end in ("%0A", "%0Amore", "%0D%0A"):
        assert client.get(f"/v1/documents/{id}{end}").status_code == 404


def test_errors_of_the_service_are_mapped(client: TestClient, service: FakeService) -> None:
    service.failure = QueryError("documents", "no indexed document matches 'x'")
    told = problem(client.post("/v1/ask", json={"question": "a"}), 422, "invalid-request")
    assert told["errors"] == [{"field": "documents", "message": "no indexed document matches 'x'."}]


def test_more_tokens_than_the_window(client: TestClient, service: FakeService) -> None:
    service.failure = QuestionTooLong(300, 256)
    told = problem(client.get("/v1/ask?q=a"), 422, "question-too-long")
    assert told["errors"][0]["field"] == "q"


@pytest.mark.parametrize(
    "failure", [SnapshotCorrupt("/secret/place is broken"), RuntimeError("/secret/place"), KeyError()]
)
def test_failures_tell_nothing_of_the_inside(client: TestClient, service: FakeService, failure: Exception) -> None:
    service.failure = failure
    with capture_logs() as logs:
        response = client.get("/v1/ask?q=confidential", headers={"X-Request-ID": "trace-7"})
    told = problem(response, 500, "internal-error")
    assert told["detail"] == "The cause is in the server's log under the request id trace-7."
    assert response.headers["x-request-id"] == "trace-7"
    assert "Content-Security-Policy" in response.headers
    (entry,) = logs
    assert (entry["request_id"], entry["path"], entry["exc_info"]) == ("trace-7", "/v1/ask", failure)
    assert "confidential" not in repr(entry)


def test_a_single_failure_of_a_batch_is_logged(client: TestClient, service: FakeService) -> None:
    service.outcome = SnapshotCorrupt("/secret/place is broken")
    with capture_logs() as logs:
        (result,) = client.post("/v1/ask/batch", json={"questions": ["a"]}).json()["results"]
    assert result["problem"]["type"] == "urn:qa:problem:internal-error"
    assert [entry["exc_info"] for entry in logs] == [service.outcome]


def test_the_list_of_documents_refuses_an_unknown_parameter(client: TestClient) -> None:
    refused = problem(client.get("/v1/documents?status=zzz"), 422, "unknown-field")
    assert refused["errors"][0]["field"] == "status"
