"""Checking a citation over HTTP, against a real index."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from tests.conftest import Build, hashing_encoder

PEARS = "# Pears\n\nPears ripen in autumn.\n\n## Storage\n\nKeep them cool.\n"
TEXT = "Pears\n\nPears ripen in autumn.\n\nStorage\n\nKeep them cool."
SHA256, TEXT_SHA256 = (hashlib.sha256(text.encode()).hexdigest() for text in (PEARS, TEXT))
CITED: dict[str, Any] = {"start": 40, "end": 49, "sha256": SHA256}
ADDRESS = "/v1/documents/pears.md/verify"


@pytest.fixture
def http(indexed: Service) -> TestClient:
    return TestClient(create_app(indexed), raise_server_exceptions=False)


def test_a_citation_is_checked_against_source_and_text(http: TestClient, indexed: Service) -> None:
    assert http.get(ADDRESS, params=CITED).json() == {
        "snapshot": indexed.state().snapshot,
        "citation": {
            "start": 40, "end": 49, "document": "pears.md", "page": None, "recognised": None,
            "section": "Storage", "sha256": SHA256, "text_sha256": TEXT_SHA256, "status": "verified",
            "collection": None,
        },
        "text": "Keep them",
        "detail": "the source is byte for byte what was indexed, and the span holds this text",
    }  # fmt: skip
    assert http.get(ADDRESS, params={**CITED, "sha256": SHA256.upper(), "text_sha256": TEXT_SHA256}).json()["text"]


def test_what_an_ask_returned_can_be_checked(http: TestClient) -> None:
    passage = http.get("/v1/ask", params={"q": "pears"}).json()["passages"][0]
    stored = http.get(f"/v1/documents/{passage['document']['id']}").json()
    cited = {"start": passage["start"], "end": passage["end"], "sha256": stored["source_sha256"]}
    checked = http.get(f"/v1/documents/{passage['document']['id']}/verify", params=cited).json()
    assert (checked["citation"]["status"], checked["text"]) == ("verified", passage["text"])


def test_any_snapshot_that_exists_can_be_named(http: TestClient, indexed: Service, build: Build, folder: Path) -> None:
    first = indexed.state().snapshot
    (folder / "pears.md").write_text(PEARS + "More.\n")
    build()
    indexed.reload()
    now = http.get(ADDRESS, params=CITED).json()
    assert (now["citation"]["status"], now["citation"]["text_sha256"], now["text"]) == ("drifted", None, None)
    then = http.get(ADDRESS, params={**CITED, "snapshot": first}).json()
    assert (then["snapshot"], then["citation"]["status"], then["text"]) == (first, "drifted", "Keep them")


@pytest.mark.parametrize(
    ("change", "status", "type", "message"),
    [
        ({"start": None}, 422, "missing-field", "start is missing"),
        ({"start": "x"}, 422, "wrong-type", "start must be a whole number"),
        ({"end": "1.5"}, 422, "wrong-type", "end must be a whole number"),
        ({"start": -1}, 422, "invalid-request", "start must not be negative"),
        ({"end": 40}, 422, "invalid-request", "end must be greater than start"),
        ({"end": 64}, 422, "invalid-request", f"beyond the document, which has {len(TEXT)} characters"),
        ({"end": "9" * 40}, 422, "invalid-request", "beyond the document"),
        ({"end": "9" * 5000}, 422, "wrong-type", "end must be a whole number"),
        ({"sha256": None}, 422, "missing-field", "sha256 is missing"),
        ({"sha256": "abc"}, 422, "invalid-request", "sha256 must be a SHA-256: 64 hexadecimal digits"),
        ({"text_sha256": "é" * 64}, 422, "invalid-request", "text_sha256 must be a SHA-256"),
        ({"snapshot": "20200101T000000.000Z-00000000"}, 404, "snapshot-not-found", "may have been pruned"),
        ({"snapshot": "../../../etc"}, 404, "snapshot-not-found", "no snapshot '../../../etc' exists"),
        ({"snapshot": "x" * 101}, 422, "invalid-request", "snapshot may have at most 100 characters"),
        ({"sha": "0"}, 422, "unknown-field", "sha is not a known field"),
    ],
)
def test_what_is_wrong_is_told(http: TestClient, change: dict[str, Any], status: int, type: str, message: str) -> None:
    parameters = {name: value for name, value in {**CITED, **change}.items() if value is not None}
    body = http.get(ADDRESS, params=parameters).json()
    assert (body["status"], body["type"]) == (status, f"urn:qa:problem:{type}")
    assert message in body["detail"]


@pytest.mark.parametrize("query", ["", "?"])
def test_without_parameters_it_says_which_are_missing(http: TestClient, query: str) -> None:
    body = http.get(ADDRESS + query).json()
    assert (body["status"], body["type"]) == (422, "urn:qa:problem:missing-field")
    assert [error["field"] for error in body["errors"]] == ["start", "end", "sha256"]
    assert http.get(f"/v1/documents/absent.txt/verify{query}").json()["type"] == "urn:qa:problem:document-not-found"


def test_an_unknown_document_is_named(http: TestClient) -> None:
    body = http.get("/v1/documents/../pears.md/verify", params=CITED).json()
    assert body["status"] == 404
    body = http.get("/v1/documents/absent.txt/verify", params=CITED).json()
    assert (body["type"], "absent.txt" in body["detail"]) == ("urn:qa:problem:document-not-found", True)
    assert http.get("/v1/documents/pears.md%0A/verify", params=CITED).status_code == 404


def test_a_document_may_be_called_verify(http: TestClient, indexed: Service, build: Build, folder: Path) -> None:
    (folder / "below" / "verify").write_text("A document of that name.\n")
    build()
    indexed.reload()
    assert http.get("/v1/documents/below/verify").json()["text"] == "A document of that name.\n"
    sha256 = hashlib.sha256(b"A document of that name.\n").hexdigest()
    checked = http.get("/v1/documents/below/verify/verify", params={"start": 2, "end": 10, "sha256": sha256}).json()
    assert checked["text"] == "document"


def test_while_it_loads_only_a_named_snapshot_can_be_checked(indexed: Service, settings: Settings) -> None:
    http = TestClient(create_app(Service(settings, make=hashing_encoder)))
    assert http.get(ADDRESS, params=CITED).status_code == 503
    named = {**CITED, "snapshot": indexed.state().snapshot}
    assert http.get(ADDRESS, params=named).json()["citation"]["status"] == "verified"
