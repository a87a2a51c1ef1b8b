"""The OpenAPI document says what the service does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from qa.web.api import document_responses, examples, operation_responses, requests, responses
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import Key
from tests.support.fake_service import FakeService

OPERATIONS = {
    "ask": {"200", "400", "413", "415", "422", "503", "default"},
    "askByAddress": {"200", "422", "503", "default"},
    "askMany": {"200", "400", "413", "415", "422", "503", "default"},
    "listDocuments": {"200", "422", "503", "default"},
    "listFacets": {"200", "422", "503", "default"},
    "getDocument": {"200", "404", "422", "503", "default"},
    "verifyCitation": {"200", "404", "422", "503", "default"},
    "health": {"200", "default"},
    "chat": {"200", "400", "404", "413", "415", "422", "503", "default"},
    "listModels": {"200", "503", "default"},
    "getModel": {"200", "404", "503", "default"},
    "ready": {"200", "422", "503", "default"},
    "listCollections": {"200", "default"},
    "getCollection": {"200", "404", "default"},
}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (v for k, v in value.items() if k == "$ref")
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_operations_and_their_responses(document: dict[str, Any]) -> None:
    assert {o["operationId"]: set(o["responses"]) for o in operations(document)} == OPERATIONS
    assert all(o["summary"] and o["description"] and len(o["tags"]) == 1 for o in operations(document))


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status != "200":
                assert list(response["content"]) == ["application/problem+json"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {r.removeprefix("#/components/schemas/") for r in references(document)} <= set(schemas)
    assert "HTTPValidationError" not in schemas


def test_the_limits_of_this_service_are_shown(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    question = schemas["AskRequest"]["properties"]["question"]
    top_k = schemas["AskRequest"]["properties"]["top_k"]
    assert (question["minLength"], question["maxLength"]) == (1, 200)
    assert (top_k["minimum"], top_k["maximum"], top_k["default"]) == (1, 10, 5)
    assert schemas["BatchRequest"]["properties"]["questions"]["maxItems"] == 4
    parameters = {p["name"]: p for p in document["paths"]["/v1/ask"]["get"]["parameters"]}
    asked = "q top_k mode rerank answer max_error documents sections filter collections "
    asked += "read_tokens previous previous_answer"
    assert list(parameters) == asked.split()
    assert parameters["top_k"]["schema"]["maximum"] == 10
    for bounded in (schemas["AskRequest"]["properties"], {name: each["schema"] for name, each in parameters.items()}):
        assert bounded["previous"]["maxItems"] == 8
        assert (bounded["read_tokens"]["anyOf"][0]["minimum"], bounded["read_tokens"]["anyOf"][0]["maximum"]) == (
            50,
            1000,
        )
    assert schemas["TurnBody"]["properties"]["answer"]["maxLength"] == 200


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (requests.AskRequest, examples.ASK),
        (requests.BatchRequest, examples.BATCH),
        (responses.AskResponse, examples.RESPONSE),
        (responses.BatchResponse, examples.BATCH_RESPONSE),
        (operation_responses.ProblemDetails, examples.PROBLEM),
        (document_responses.DocumentsResponse, examples.DOCUMENTS),
        (document_responses.DocumentResponse, examples.DOCUMENT),
        (operation_responses.ReadyResponse, examples.READY),
        (operation_responses.CollectionBody, examples.COLLECTION),
        (document_responses.FacetsResponse, examples.FACETS),
    ],
)
def test_examples_are_of_their_schema(model: type[BaseModel], example: dict[str, Any]) -> None:
    assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == example


def test_example_problem_is_what_is_sent(client: TestClient) -> None:
    assert client.post("/v1/ask", json={"question": ""}).json() == examples.PROBLEM


def test_no_page_loads_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert (page.status_code, client.get("/redoc").status_code) == (200, 404)
    assert "<script" not in page.text
    assert all(re.match(r"/(?!/)", address) for address in re.findall(r'(?:src|href)="([^"]*)"', page.text))
    # Every operation is there.
    assert page.text.count("<article") == len(OPERATIONS)


def test_links_lead_to_operations_and_their_parameters() -> None:
    app = create_app(FakeService(), evaluations=object(), maintenance=object())  # type: ignore[arg-type]
    known = {operation["operationId"]: operation for operation in operations(app.openapi())}
    links = [
        link
        for operation in known.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) == 14
    for link in links:
        names = {parameter["name"] for parameter in known[link["operationId"]].get("parameters", [])}
        assert set(link.get("parameters", {})) <= names


@pytest.mark.parametrize(
    ("scopes", "asking", "operating"),
    [((), [{}], [{}]), (("admin",), [{}], []), (("ask", "admin"), [], []), (("ask",), [], [])],
)
def test_it_says_what_is_answered_without_a_key(
    scopes: tuple[Any, ...], asking: list[dict[str, Any]], operating: list[dict[str, Any]]
) -> None:
    options = Options(keys=tuple(Key(scope, scope, "0" * 64) for scope in scopes))
    app = create_app(FakeService(), options=options, maintenance=object())  # type: ignore[arg-type]
    known = {operation["operationId"]: operation for operation in operations(app.openapi())}
    assert known["ask"]["security"] == [{"key": ["ask"]}, *asking]
    assert known["updateIndex"]["security"] == [{"key": ["admin"]}, *operating]
    assert "security" not in known["health"]
