"""Filters over HTTP: as nodes in a body and as text in an address, facets, and what is said of a wrong one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from qa.search.filters import MOST_CHARACTERS
from qa.service.service import Service
from qa.types import Eq, In, Query, Range
from qa.web.app import create_app
from qa.web.deps import Options
from tests.conftest import Build, hashing_encoder
from tests.support.fake_service import FakeService
from tests.support.filed import write_files

FOLDER = {"op": "eq", "field": "folder", "value": "notes"}


@pytest.fixture
def filed(build: Build, settings: Any, tmp_path: Any) -> Iterator[TestClient]:
    """Return a client of a real service over files that say of themselves who wrote them and when."""
    build(write_files(tmp_path / "filed"))
    service = Service(settings, make=hashing_encoder)
    service.reload()
    with TestClient(create_app(service)) as client:
        yield client


def test_a_body_has_nodes_and_an_address_has_text(client: TestClient, service: FakeService) -> None:
    nodes = [
        FOLDER,
        {"op": "in", "field": "type", "values": ["txt", "md"]},
        {"op": "range", "field": "date", "low": "2024", "high": None},
    ]
    body = {"question": "ferry?", "filter": {"op": "and", "filters": nodes}}
    texts = ["folder=notes", "type=txt", "type=md", "date>=2024"]
    by_body = client.post("/v1/ask", json=body)
    by_address = client.get("/v1/ask", params={"q": "ferry?", "filter": texts})
    assert by_body.json() == by_address.json()
    conditions = (Eq("folder", "notes"), In("type", ("txt", "md")), Range("date", "2024"))
    assert service.asked == [Query("ferry?", filter=conditions)] * 2
    assert {each["document"]["id"] for each in by_body.json()["passages"]} == {"notes/ferry <i>.txt"}


def test_one_node_needs_no_list_and_each_question_of_a_batch_has_its_own(client: TestClient) -> None:
    questions = [{"question": "ferry?", "filter": FOLDER}, "ferry?", {"question": "ferry?", "filter": {"op": "eq"}}]
    first, second, third = client.post("/v1/ask/batch", json={"questions": questions}).json()["results"]
    assert len({each["document"]["id"] for each in first["response"]["passages"]}) == 1
    assert len({each["document"]["id"] for each in second["response"]["passages"]}) == 2
    assert [error["field"] for error in third["problem"]["errors"]] == ["filter.field", "filter.value"]


@pytest.mark.parametrize(
    ("filter", "field", "message"),
    [
        ("folder=hr", "filter", "The filter must be a JSON object; known fields: op, field, value, values, low, high"),
        ({}, "filter", "filter has no op, which says what it is: eq, in, range or and."),
        ({"op": "not"}, "filter", "filter has an unknown op; it can be 'eq', 'in', 'range', 'and'."),
        ({"op": "eq", "field": "folder"}, "filter.value", "filter.value is missing; it is required."),
        ({**FOLDER, "value": 5}, "filter.value", "filter.value must be a string."),
        ({**FOLDER, "valeu": "x"}, "filter.valeu", "filter.valeu is not a known field"),
        ({"op": "in", "field": "type", "values": "pdf"}, "filter.values", "filter.values must be a list."),
        (
            {"op": "and", "filters": [FOLDER, {"op": "and", "filters": []}]},
            "filter.filters[1]",
            "filter.filters[1] has an unknown op; it can be 'eq', 'in', 'range'.",
        ),
        ({**FOLDER, "field": "foldre"}, "filter", "there is no field 'foldre'; did you mean folder? Fields: folder, "),
        ({**FOLDER, "value": "x" * 1025}, "filter", "filter has 1,025 characters in one value; at most 1,024"),
        ({**FOLDER, "value": ""}, "filter", "filter: 'folder' has an empty value; give one, or leave it out."),
        ({**FOLDER, "value": "a\0"}, "filter", "filter: 'folder' has a value with a NUL character"),
        ({"op": "in", "field": "type", "values": []}, "filter", "filter: 'type' has no value"),
        ({"op": "range", "field": "date", "low": "soon"}, "filter", "'soon' is no date for the field date; write 2024"),
        ({"op": "range", "field": "type", "low": "a"}, "filter", "the field type has no order"),
        ({"op": "and", "filters": [FOLDER] * 21}, "filter", "filter has 21 conditions; at most 20 are allowed."),
    ],
)
def test_a_wrong_filter_is_refused_by_its_place(client: TestClient, filter: Any, field: str, message: str) -> None:
    response = client.post("/v1/ask", json={"question": "ferry?", "filter": filter})
    assert response.status_code == 422
    (error, *_) = response.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]


@pytest.mark.parametrize("path", ["/v1/ask?q=ferry&", "/v1/documents?", "/v1/facets?"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=a" + "&filter=type=b" * 200, "filter has more than 200 values; shorten it."),
        ("folder", "filter: 'folder' is no condition; write field=value, or field>=2024 and field<=2024 for dates."),
        ("autor=Anna", "there is no field 'autor'; did you mean author? Fields: folder, type, language, title, date, "),
        ("date>=2024-31", "filter: '2024-31' is no date for the field date"),
        ("type>=pdf", "filter: the field type has no order"),
    ],
)
def test_every_address_that_takes_a_filter_refuses_a_wrong_one(
    client: TestClient, path: str, text: str, message: str
) -> None:
    response = client.get(f"{path}filter={text.replace('>', '%3E')}")
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == "filter"
    assert message in error["message"]


def test_a_filter_as_large_as_it_may_be_is_taken(client: TestClient, service: FakeService) -> None:
    values = ["é" * 1000] * (MOST_CHARACTERS // 1000 - 1)
    body = {"question": "é" * 200, "filter": {"op": "in", "field": "author", "values": values}}
    whole = TestClient(create_app(service, options=Options()))
    assert whole.post("/v1/ask", content=json.dumps(body), headers=_JSON).status_code == 200


_JSON = {"Content-Type": "application/json"}


def test_an_answer_is_kept_for_whoever_asks_with_the_same_filter(service: FakeService) -> None:
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    for filter in ("folder=notes", "folder=notes", "folder=other", "type=txt"):
        client.get("/v1/ask", params={"q": "ferry?", "filter": filter})
    assert [query.filter for query in service.asked] == [
        (Eq("folder", "notes"),),
        (Eq("folder", "other"),),
        (Eq("type", "txt"),),
    ]


def test_facets_are_fields_with_values_and_counts(filed: TestClient) -> None:
    body = filed.get("/v1/facets").json()
    assert body["documents"] == 7
    facets = {each["field"]: each for each in body["fields"]}
    assert facets["folder"] == {
        "field": "folder",
        "kind": "folder",
        "documents": 6,
        "distinct": 4,
        "values": [
            {"value": "hr", "documents": 3},
            {"value": "it", "documents": 2},
            {"value": "hr/policies", "documents": 1},
            {"value": "mail", "documents": 1},
        ],
    }
    limited = filed.get("/v1/facets", params={"filter": ["author=bo li"], "values": 1}).json()
    assert limited["documents"] == 2
    values = {each["field"]: [value["value"] for value in each["values"]] for each in limited["fields"]}
    assert (values["folder"], values["author"]) == (["hr"], ["Anna Ek"])


@pytest.mark.parametrize("values", ["0", "201", "many", ""])
def test_the_number_of_values_of_a_facet_is_bounded(client: TestClient, values: str) -> None:
    response = client.get(f"/v1/facets?values={values}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "values"


def test_documents_are_listed_part_by_part_under_a_filter(filed: TestClient) -> None:
    parameters: dict[str, Any] = {"filter": ["folder=hr", "type=html"], "limit": 1}
    first = filed.get("/v1/documents", params=parameters).json()
    second = filed.get("/v1/documents", params=parameters | {"offset": first["next"]}).json()
    assert [each["id"] for each in first["documents"] + second["documents"]] == [
        "hr/leave.html",
        "hr/policies/pay.html",
    ]
    assert (first["total"], first["report"], second["next"]) == (2, [], None)


def test_an_answer_comes_from_what_passes_alone(filed: TestClient) -> None:
    asked = {"q": "When is the boiler serviced?", "filter": ["folder=mail"]}
    body = filed.get("/v1/ask", params=asked).json()
    assert {each["document"]["id"] for each in body["passages"]} == {"mail/box.mbox"}
    nothing = filed.get("/v1/ask", params=asked | {"filter": ["author=Nobody"]}).json()
    assert (nothing["passages"], nothing["answer"]["outcome"]) == ([], "not_found")
    assert nothing["legs"][0] == {"name": "dense", "used": False, "reason": "no passage passes the filter"}
