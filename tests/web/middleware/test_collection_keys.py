"""Keys for some collections: what each may ask, and that none can learn of the others."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from qa.errors import SettingsError
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import Key, new_key, parse_keys, require_served
from tests.support.fake_service import LOADING, READY, FakeMaintenance, FakeService

NAMES = ("harbour", "market", "palace")


def key(scope: str, *collections: str) -> Key:
    secret = "-".join((scope, *collections))
    return Key(secret, scope, hashlib.sha256(secret.encode()).hexdigest(), collections)  # type: ignore[arg-type]


KEYS = (key("ask"), key("ask", "market"), key("ask", "market", "palace"), key("admin", "market"))
services = {name: FakeService() for name in NAMES}


def served(*keys: Key) -> TestClient:
    for name, service in services.items():
        service.current = replace(READY, index=name)
        service.asked.clear()
    first, *others = [Offered(service, maintenance=FakeMaintenance()) for service in services.values()]
    app = create_app(first.service, options=Options(keys=keys), maintenance=first.maintenance, others=others)
    return TestClient(app, raise_server_exceptions=False)


def bearer(*parts: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {'-'.join(parts)}"} if parts else {}


@pytest.mark.parametrize(
    ("given", "listed"),
    [(("ask",), NAMES), (("ask", "market"), ("market",)), (("ask", "market", "palace"), ("market", "palace"))],
)
def test_a_key_lists_and_asks_its_own_collections(given: tuple[str, ...], listed: tuple[str, ...]) -> None:
    client = served(*KEYS)
    found = client.get("/v1/collections", headers=bearer(*given)).json()["collections"]
    assert [(one["name"], one["default"]) for one in found] == [(name, name == listed[0]) for name in listed]
    for name in NAMES:
        status = 200 if name in listed else 404
        for path in (f"/v1/collections/{name}", f"/v1/collections/{name}/ask?q=ferry", f"/collections/{name}/"):
            assert client.get(path, headers=bearer(*given)).status_code == status
    # Where no collection is named, it is the first that the key may ask.
    client.get("/v1/ask?q=berth", headers=bearer(*given))
    assert [service.asked[-1].question for name, service in services.items() if name == listed[0]] == ["berth"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/collections/{}",
        "/v1/collections/{}/ask?q=ferry",
        "/v1/collections/{}/documents",
        "/collections/{}/documents",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_collection_of_others_is_like_one_that_is_not_there(method: str, path: str) -> None:
    client = served(*KEYS)
    answers = []
    for name in ("palace", "nowhere"):
        response = client.request(method, path.format(name), headers=bearer("ask", "market"))
        answers.append((response.status_code, response.text.replace(name, "")))
    assert answers[0] == answers[1]


def test_no_key_and_a_wrong_one_learn_nothing() -> None:
    client = served(*KEYS)
    services["palace"].current = replace(LOADING, index="palace")
    open_paths = ("/readyz", "/readyz?any=true", "/healthz", "/openapi.json", "/nothing", "/v1/collections", "/metrics")
    for headers in ({}, bearer("wrong"), bearer("ask", "market")):
        for path in open_paths:
            for accept in ("application/json", "text/html"):
                text = client.get(path, headers={**headers, "Accept": accept}).text
                assert "palace" not in text
                assert "harbour" not in text


def test_what_is_ready_is_named_to_those_who_may_know() -> None:
    client = served(*KEYS)
    assert client.get("/readyz").json()["collections"] == {}
    services["palace"].current = replace(LOADING, index="palace")
    assert client.get("/readyz").status_code == 503
    told = client.get("/readyz", headers=bearer("ask", "market", "palace"))
    assert (told.status_code, told.json()["collections"]) == (503, {"market": "ready", "palace": "loading"})
    assert told.json()["detail"] == "palace: the snapshot and its model are being loaded"
    assert client.get("/readyz?any=true").status_code == 200


def test_an_operator_of_one_collection_operates_that_alone() -> None:
    client = served(*KEYS)
    headers = bearer("admin", "market")
    assert client.post("/v1/collections/market/index", headers=headers).status_code == 202
    assert client.post("/v1/collections/palace/index", headers=headers).status_code == 404
    assert client.post("/v1/collections/market/index", headers=bearer("ask", "market")).status_code == 403


def test_where_anyone_may_ask_nothing_is_hidden() -> None:
    client = served(key("admin", "market"))
    assert client.get("/readyz").json()["collections"] == dict.fromkeys(NAMES, "ready")
    assert client.get("/v1/collections/palace/ask?q=ferry").status_code == 200


def test_metrics_are_those_of_the_key_s_collections() -> None:
    client = served(*KEYS)
    client.get("/v1/collections/palace/ask?q=ferry", headers=bearer("ask"))
    assert 'collection="palace"' in client.get("/metrics", headers=bearer("ask")).text
    text = client.get("/metrics", headers=bearer("ask", "market")).text
    assert 'qa_ready{collection="market"} 1.0' in text
    assert 'qa_requests_total{method="GET",route="/v1/ask",status="200"} 1.0' in text


def test_a_key_of_collections_is_made_and_read() -> None:
    secret, entry = new_key("reader", "ask", ("hr", "it"))
    (found,) = parse_keys(entry)
    assert (found.name, found.scope, found.collections) == ("reader", "ask", ("hr", "it"))
    assert found.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    with pytest.raises(SettingsError, match="names no collection"):
        new_key("reader", "ask", ("a b",))
    with pytest.raises(SettingsError, match="entry 1 of QA_API_KEYS is not"):
        parse_keys(f"{entry}+")


def test_a_key_for_a_collection_that_is_not_served_is_refused() -> None:
    require_served(KEYS, NAMES)
    with pytest.raises(SettingsError, match="is for 'palace', which is not served"):
        require_served(KEYS, NAMES[:2])
