"""Many questions: each succeeds or fails by itself."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from qa.types import Query
from tests.support.fake_service import LOADING, FakeService


def test_results_come_in_order_each_by_itself(client: TestClient) -> None:
    questions = ["ferry?", {"question": " "}, "impossible", {"question": "ticket?", "top_k": 1}]
    response = client.post("/v1/ask/batch", json={"questions": questions})
    assert response.status_code == 200
    first, blank, impossible, last = response.json()["results"]
    assert first["ok"] is True
    assert first["response"]["question"] == "ferry?"
    assert (blank["ok"], blank["problem"]["type"]) == (False, "urn:qa:problem:question-empty")
    assert impossible["problem"]["detail"] == "the question is impossible; ask another."
    assert impossible["problem"]["errors"][0]["field"] == "question"
    assert len(last["response"]["passages"]) == 1


def test_a_single_problem_is_the_same_as_without_a_batch(client: TestClient) -> None:
    (result,) = client.post("/v1/ask/batch", json={"questions": [""]}).json()["results"]
    assert result == {"ok": False, "problem": client.post("/v1/ask", json={"question": ""}).json()}


def test_a_single_answer_is_the_same_as_without_a_batch(client: TestClient) -> None:
    (result,) = client.post("/v1/ask/batch", json={"questions": ["ferry?"]}).json()["results"]
    assert result == {"ok": True, "response": client.get("/v1/ask?q=ferry?").json()}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (5, "Each of questions must be a string or a JSON object."),
        ({}, "question is missing; it is required."),
        ({"question": "a", "top_k": 0}, "top_k must be from 1 to 10."),
        ("x" * 201, "the question has 201 characters; at most 200 are allowed; shorten it."),
    ],
)
def test_a_wrong_item_is_its_own_problem(client: TestClient, service: FakeService, item: object, message: str) -> None:
    wrong, right = client.post("/v1/ask/batch", json={"questions": [item, "ferry?"]}).json()["results"]
    assert wrong["problem"]["status"] == 422
    assert wrong["problem"]["detail"] == message
    assert right["ok"] is True
    assert service.asked == [Query("ferry?")]


@pytest.mark.parametrize(
    ("body", "type", "message"),
    [
        ({"questions": []}, "batch-empty", "questions is empty; it must hold at least one question."),
        ({"questions": ["a"] * 5}, "batch-too-large", "questions holds 5 questions; at most 4 are allowed."),
        ({"questions": "a"}, "wrong-type", "questions must be a list."),
        ({}, "missing-field", "questions is missing; it is required."),
        ({"questions": ["a"], "top_k": 1}, "unknown-field", "top_k is not a known field. Known fields: questions."),
    ],
)
def test_a_wrong_batch_is_refused_whole(client: TestClient, body: object, type: str, message: str) -> None:
    response = client.post("/v1/ask/batch", json=body)
    assert response.status_code == 422
    assert response.json()["type"] == f"urn:qa:problem:{type}"
    assert response.json()["detail"].startswith(message)


def test_not_ready_is_for_all(client: TestClient, service: FakeService) -> None:
    service.current = LOADING
    assert client.post("/v1/ask/batch", json={"questions": ["ferry?"]}).status_code == 503
