"""Two collections behind one application: what each address, and each page, is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from qa.web.app import create_app
from qa.web.deps import Offered, Options
from tests.support.fake_evaluations import NDJSON, QUESTION, FakeEvaluations
from tests.support.fake_service import LOADING, READY, FakeMaintenance, FakeService
from tests.web.pages.test_feedback_page import FORM


class Two:
    """The collections ``harbour``, which is the default one, and ``market``."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.harbour, self.market = FakeService(), FakeService()
        self.market.current = replace(READY, index="market", documents=7)
        self.evaluations = FakeEvaluations(folder)
        others = [Offered(self.market, FakeEvaluations(folder), FakeMaintenance())]
        app = create_app(self.harbour, self.evaluations, options, FakeMaintenance(), others)
        self.client = TestClient(app, client=("127.0.0.1", 50000), base_url="http://localhost")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    two = Two(tmp_path, Options(cache_bytes=10**6, originals=True, feedback=tmp_path / "feedback.jsonl"))
    with two.client:
        yield two


def test_each_address_asks_its_own_collection(two: Two) -> None:
    for path in ("/v1/ask", "/v1/collections/harbour/ask", "/v1/collections/market/ask", "/collections/market/"):
        assert two.client.get(path, params={"q": f"ferry {path}"}).status_code == 200
    assert [query.question for query in two.harbour.asked] == ["ferry /v1/ask", "ferry /v1/collections/harbour/ask"]
    assert [query.question for query in two.market.asked] == [
        "ferry /v1/collections/market/ask",
        "ferry /collections/market/",
    ]


def test_what_one_collection_answered_is_not_given_for_another(two: Two) -> None:
    for path in ("/v1/ask", "/v1/collections/market/ask", "/v1/ask", "/v1/collections/market/ask"):
        two.client.get(path, params={"q": "ferry"})
    assert (len(two.harbour.asked), len(two.market.asked)) == (1, 1)


def test_one_that_is_not_ready_keeps_the_others_from_nothing(two: Two) -> None:
    two.market.current = replace(LOADING, index="market")
    refused = two.client.post("/v1/collections/market/ask", json={"question": "ferry"})
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:qa:problem:not-ready")
    assert two.client.post("/v1/ask", json={"question": "ferry"}).status_code == 200


def test_the_server_is_ready_when_all_are_and_an_empty_one_may_wait(two: Two) -> None:
    assert two.client.get("/readyz").json()["collections"] == {"harbour": "ready", "market": "ready"}
    two.market.current = replace(LOADING, index="market", status="empty")
    assert two.client.get("/readyz").json()["collections"] == {"harbour": "ready", "market": "empty"}
    two.harbour.current = LOADING
    assert two.client.get("/readyz?any=true").status_code == 503
    two.market.current = replace(LOADING, index="market", status="damaged")
    two.harbour.current = READY
    assert two.client.get("/readyz").status_code == 503
    assert two.client.get("/readyz?any=true").status_code == 200


def test_what_is_wrong_with_one_that_is_still_served_is_said_beside_the_default(two: Two) -> None:
    """As where its folder is gone while it is answered from: it is ready, and could not be started again."""
    gone = "serving snapshot 1; the current one cannot be loaded (no-index): the index is not there"
    two.market.current = replace(READY, index="market", detail=gone, problem="no-index")
    found = two.client.get("/readyz")
    assert found.status_code == 200
    assert found.json()["details"] == {"harbour": READY.detail, "market": gone}
    two.harbour.current = LOADING
    refused = two.client.get("/readyz")
    assert refused.status_code == 503
    assert refused.json()["details"] == {"harbour": LOADING.detail, "market": gone}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/collections/nowhere/ask?q=ferry",
        "/v1/collections/market/collections/harbour/ask?q=ferry",
        "/v1/collections/market/nothing",
        "/v1/collections//ask?q=ferry",
        "/collections/nowhere/",
        "/collections/market/v1/ask?q=ferry",
        "/collections/market/healthz",
        "/collections/market/collections/harbour/",
    ],
)
def test_other_addresses_lead_nowhere(two: Two, path: str) -> None:
    response = two.client.get(path)
    assert response.status_code == 404
    assert response.json()["detail"] == f"There is nothing at {path.partition('?')[0]}."


def test_an_evaluation_is_of_its_collection(two: Two) -> None:
    path = "/v1/collections/market/evaluations"
    sent = two.client.post(f"{path}?top_k=5", content=QUESTION, headers=NDJSON)
    assert sent.status_code == 202, sent.json()
    assert sent.headers["location"] == f"{path}/{sent.json()['id']}"
    assert two.client.get(sent.headers["location"]).status_code == 200
    assert two.client.get(f"/v1/evaluations/{sent.json()['id']}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/?q=ferry", "/documents", "/documents?sort=status", "/evaluate"])
def test_links_of_a_page_stay_in_its_collection(two: Two, path: str) -> None:
    page = two.client.get(f"/collections/market{path}").text
    assert 'href="/collections/market/documents' in page
    assert 'href="/documents' not in page
    assert 'action="/"' not in page
    assert "7 documents" in page
    assert 'href="/documents' in two.client.get(path).text


def test_judgments_are_kept_by_collection(two: Two, tmp_path: Path) -> None:
    page = two.client.get("/collections/market/?q=ferry").text
    assert 'action="/collections/market/feedback"' in page
    judged = two.client.post("/collections/market/feedback", data=FORM, follow_redirects=False)
    assert judged.headers["location"].startswith("/collections/market/?q=")
    assert (tmp_path / "feedback-market.jsonl").read_text().count("\n") == 1
    assert not (tmp_path / "feedback.jsonl").exists()
    # Of several together, the judgment is of the passage's own, and the page is that of all.
    both = {**FORM, "collections": ["harbour", "market"]}
    judged = two.client.post("/collections/harbour/feedback", data=both, follow_redirects=False)
    assert judged.headers["location"].endswith("&collections=harbour&collections=market")
    assert judged.headers["location"].startswith("/?q=")
    assert (tmp_path / "feedback.jsonl").read_text().count("\n") == 1


def test_the_tools_for_language_models_are_of_a_collection_too(two: Two) -> None:
    call = {"name": "ask", "arguments": {"question": "ferry"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Accept": "application/json, text/event-stream"}
    assert two.client.post("/collections/market/mcp", json=body, headers=headers).status_code == 200
    assert [len(service.asked) for service in (two.harbour, two.market)] == [0, 1]
    assert two.client.post("/mcp", json=body, headers=headers).status_code == 200
    assert [len(service.asked) for service in (two.harbour, two.market)] == [1, 1]
    assert two.client.post("/collections/nowhere/mcp", json=body, headers=headers).status_code == 404


def test_metrics_name_the_collection(two: Two) -> None:
    metrics = two.client.get("/metrics").text
    assert 'qa_documents{collection="harbour"} 2.0' in metrics
    assert 'qa_documents{collection="market"} 7.0' in metrics


def test_the_api_description_has_every_operation_for_a_named_collection(two: Two) -> None:
    paths = two.client.get("/openapi.json").json()["paths"]
    of_all = {path for path in paths if path.startswith("/v1/") and not path.startswith("/v1/collections")}
    assert {f"/v1/collections/{{collection}}{path[3:]}" for path in of_all} <= paths.keys()
    operations = [operation for path in paths.values() for operation in path.values()]
    known = {operation["operationId"]: operation for operation in operations}
    assert len(known) == len(operations)
    for operation in operations:
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                names = {parameter["name"] for parameter in known[link["operationId"]].get("parameters", [])}
                assert set(link.get("parameters", {})) <= names
    asked = known["askOfCollection"]["responses"]["200"]["links"]["GetDocument"]
    assert (asked["operationId"], asked["parameters"]["collection"]) == (
        "getDocumentOfCollection",
        "$request.path.collection",
    )
