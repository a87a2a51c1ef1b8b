"""Keys and scopes, the Host header, other sites' pages: who may do what, for every operation there is."""

from __future__ import annotations

import base64
import hashlib

import pytest
from starlette.testclient import TestClient

from qa.errors import (
    IndexNotFound,
    SettingsError,
    SnapshotCorrupt,
    SnapshotNotFound,
    UpdateRunning,
    WriterBusy,
)
from qa.settings import load_settings
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import Key, find_key, new_key, parse_keys, required_scope
from qa.web.middleware.limits import own_names
from tests.support.fake_service import READY, SNAPSHOT, FakeMaintenance, FakeService

HERE, ELSEWHERE = ("127.0.0.1", 5000), ("203.0.113.7", 5000)
OPEN = {"health", "ready"}
ADMIN = {
    "listSnapshots",
    "activateSnapshot",
    "updateIndex",
    "getIndexing",
    "evaluate",
    "cancelEvaluation",
    "uploadDocuments",
    "putDocument",
    "deleteDocument",
}


def key(name: str, scope: str, secret: str) -> Key:
    return Key(name, scope, hashlib.sha256(secret.encode()).hexdigest())  # type: ignore[arg-type]


ASK, BOSS = key("reader", "ask", "reading"), key("boss", "admin", "operating")


def client(*keys: Key, at: tuple[str, int] = ELSEWHERE, maintenance: FakeMaintenance | None = None) -> TestClient:
    app = create_app(FakeService(), options=Options(keys=keys), maintenance=maintenance or FakeMaintenance())
    return TestClient(app, "http://localhost", raise_server_exceptions=False, client=at)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_every_operation_needs_what_it_should() -> None:
    class Evaluations:
        pass

    app = create_app(FakeService(), Evaluations(), maintenance=FakeMaintenance())  # type: ignore[arg-type]
    operations = {
        operation["operationId"]: (required_scope(method.upper(), path), operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
    for name, (scope, operation) in operations.items():
        assert scope == (None if name in OPEN else "admin" if name in ADMIN else "ask"), name
        assert operation.get("security", [None])[0] == (scope and {"key": [scope]})
    assert set(operations) >= OPEN | ADMIN | {"ask", "askMany", "getDocument", "getEvaluation"}


def test_without_keys_asking_is_free_and_operating_is_for_this_machine() -> None:
    for at, status in ((HERE, 200), (("::1", 5000), 200), (("::ffff:127.0.0.1", 1), 200), (ELSEWHERE, 403)):
        assert client(at=at).get("/v1/snapshots").status_code == status
        assert client(at=at).get("/v1/ask?q=ferry").status_code == 200


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"]
)
def test_a_proxy_on_this_machine_is_not_its_operator(header: str) -> None:
    refused = client(at=HERE).get("/v1/snapshots", headers={header: "127.0.0.1"})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:qa:problem:forbidden")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.1.2.3", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("qa.example.org", 403),
        ("192.0.2.4:8000", 403),
        ("localhost.example.org", 403),
        ("", 403),
    ],
)
def test_a_proxy_that_adds_no_header_is_not_the_operator_either(host: str, status: int) -> None:
    # It passes on the name by which its clients know it.
    assert client(at=HERE).get("/v1/snapshots", headers={"Host": host}).status_code == status
    assert client(at=HERE).get("/v1/ask?q=ferry", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/snapshots%0A", "/v1/index%0A", "/documents%0A", "/v1/ask%0A", "/healthz%0A"])
def test_a_line_end_behind_an_address_goes_round_no_scope(method: str, path: str) -> None:
    for app in (client(), client(BOSS), client(ASK, BOSS)):
        refused = app.request(method, path, headers=bearer("reading"))
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:qa:problem:not-found")


def test_scopes() -> None:
    app = client(ASK, BOSS)
    asked = [app.get("/v1/ask?q=ferry", headers=h).status_code for h in ({}, bearer("reading"), bearer("operating"))]
    assert asked == [401, 200, 200]
    operated = [app.get("/v1/snapshots", headers=h).status_code for h in ({}, bearer("reading"), bearer("operating"))]
    assert operated == [401, 403, 200]
    assert app.get("/healthz").status_code == app.get("/static/style.css").status_code == 200


def test_with_keys_this_machine_needs_one_too() -> None:
    assert client(BOSS, at=HERE).get("/v1/snapshots").status_code == 401


def test_with_admin_keys_alone_asking_stays_free() -> None:
    assert client(BOSS).get("/v1/ask?q=ferry").status_code == 200


@pytest.mark.parametrize("sent", ["wrong", "", "reading ", "é", "reading\x00"])
def test_a_wrong_key_is_refused(sent: str) -> None:
    headers = {b"Authorization": f"Bearer {sent}x".encode()}
    assert client(ASK).get("/v1/ask?q=a", headers=headers).status_code == 401


def test_other_ways_to_send_a_key() -> None:
    app = client(ASK, BOSS)
    basic = {"Authorization": "Basic " + base64.b64encode(b"anyone:reading").decode()}
    assert app.get("/", headers=basic).status_code == 200
    assert app.get("/v1/ask?q=a", headers={"X-API-Key": "reading"}).status_code == 200
    refused = app.get("/", headers={"Authorization": "Basic !!"})
    assert refused.status_code == 401
    assert "Basic" in refused.headers["www-authenticate"]


def test_a_browser_s_dialogue_does_not_operate() -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(b"x:operating").decode()}
    assert client(BOSS).post("/v1/index", headers=basic).status_code == 401


def dialogue(secret: str, **headers: str) -> dict[str, str]:
    """Return what a browser sends of a person who typed a key into its own dialogue."""
    return {"Authorization": "Basic " + base64.b64encode(f"x:{secret}".encode()).decode(), **headers}


def test_a_browser_s_dialogue_may_change_documents_from_this_server_s_own_pages_alone() -> None:
    app = client(ASK, BOSS)
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    app.follow_redirects = False
    for path in ("/upkeep/index", f"/collections/{READY.index}/upkeep/index"):
        assert app.post(path, headers=dialogue("operating", **own)).status_code == 303
        for theirs in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
            refused = app.post(path, headers=dialogue("operating", **theirs))
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:qa:problem:cross-site")
        # The dialogue comes again for another key.
        for secret in ("reading", "wrong"):
            refused = app.post(path, headers=dialogue(secret, **own))
            assert refused.status_code == 401
            assert "Basic" in refused.headers["www-authenticate"]
    assert app.get("/upkeep").status_code == 401
    assert app.get("/upkeep", headers=dialogue("operating")).status_code == 303
    assert app.put("/v1/documents/a.txt", content=b"a", headers=dialogue("operating", **own)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/documents"),
        ("PUT", "/v1/documents/a.txt"),
        ("DELETE", "/v1/documents/a.txt"),
        ("POST", "/upkeep/upload"),
    ],
)
def test_documents_are_changed_by_operators_alone(method: str, path: str) -> None:
    sent = {"content": b"Apples.", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    assert client(at=ELSEWHERE).request(method, path, **sent).status_code == 403  # type: ignore[arg-type]
    assert client(ASK, BOSS).request(method, path, content=b"", headers=bearer("reading")).status_code == 403
    assert client(ASK, BOSS).request(method, path, content=b"", headers={}).status_code == 401
    # The collection of this test is made of folders of its operator's.
    assert client(at=HERE).request(method, path, **sent).status_code in (400, 409)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: dict[str, str]) -> None:
    operations = FakeMaintenance()
    app = client(at=HERE, maintenance=operations)
    refused = app.post(f"/v1/snapshots/{SNAPSHOT}/activate", headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:qa:problem:cross-site")
    assert operations.activated == []
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert app.post(f"/v1/snapshots/{SNAPSHOT}/activate", headers=own).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/v1/ask?q=ferry", "/?q=ferry", "/v1/documents", "/documents", "/metrics"])
@pytest.mark.parametrize(
    ("mode", "kind", "more"),
    [
        ("no-cors", "image", {}),
        ("cors", "empty", {}),
        ("no-cors", "script", {}),
        ("navigate", "iframe", {}),
        ("navigate", "document", {"Sec-Purpose": "prefetch;prerender"}),
    ],
)
def test_a_page_of_another_site_costs_nothing(site: str, path: str, mode: str, kind: str, more: dict[str, str]) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind, **more}
    refused = client(at=HERE).get(path, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:qa:problem:cross-site")


@pytest.mark.parametrize("path", ["/", "/?q=ferry", "/documents", "/v1/ask?q=ferry"])
def test_a_page_of_another_site_may_link_to_a_page(path: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client().get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/static/style.css", "/openapi.json"])
def test_what_costs_nothing_is_for_every_page(path: str) -> None:
    assert client().get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_scripts_of_allowed_origins_may_read() -> None:
    app = TestClient(create_app(FakeService(), options=Options(origins=("https://intranet.example",))))
    headers = {"Origin": "https://intranet.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert app.get("/v1/ask?q=ferry", headers=headers).status_code == 200


def test_cors_is_off_unless_it_is_set() -> None:
    origin = {"Origin": "https://intranet.example"}
    assert "access-control-allow-origin" not in client().get("/v1/ask?q=a", headers=origin).headers
    app = TestClient(create_app(FakeService(), options=Options(origins=("https://intranet.example",))))
    assert app.get("/v1/ask?q=a", headers=origin).headers["access-control-allow-origin"] == origin["Origin"]
    assert app.post("/v1/ask", json={"question": "a"}, headers=origin).status_code == 200
    other = app.get("/v1/ask?q=a", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.0.2.4", 200),
        ("qa.example.org", 200),
        ("a.b.docs.example", 200),
        ("docs.example", 421),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example@localhost", 421),
        ("", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_the_host_must_be_this_one(host: str, status: int) -> None:
    names = (*own_names("127.0.0.1"), "qa.example.org", "*.docs.example")
    app = TestClient(create_app(FakeService(), options=Options(allowed_hosts=names)))
    assert app.get("/v1/ask?q=a", headers={"Host": host}).status_code == status


def test_what_operating_ends_in_names_no_path() -> None:
    operations = FakeMaintenance()
    app = client(at=HERE, maintenance=operations)
    problem = app.get("/v1/snapshots").json()["snapshots"][0]["problem"]
    assert problem == "it is damaged, or of another version"
    for failure, status, type in (
        (SnapshotCorrupt("/srv/x is broken"), 409, "snapshot-unusable"),
        (SnapshotNotFound("no snapshot 'x'"), 404, "snapshot-not-found"),
        (WriterBusy("another process is writing"), 409, "index-busy"),
        (UpdateRunning("running"), 409, "index-busy"),
        (IndexNotFound("no index in /srv"), 503, "not-ready"),
    ):
        operations.failure = failure
        answer = app.post("/v1/snapshots/x/activate")
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:qa:problem:{type}")
        assert "/srv" not in answer.text


def test_a_new_key_is_what_its_entry_says() -> None:
    secret, entry = new_key("alice", "admin")
    other, _ = new_key("alice", "admin")
    keys = parse_keys(f"{entry}, bob:ask:{'0' * 64}")
    assert secret != other
    assert find_key(keys, secret) == keys[0]
    assert find_key(keys, other) is None
    assert secret not in entry


@pytest.mark.parametrize("text", ["secret", "a:ask", "a:root:" + "0" * 64, "a:ask:" + "0" * 63, "é:ask:" + "0" * 64])
def test_an_entry_that_is_none_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(SettingsError, match="entry 2 of QA_API_KEYS") as refused:
        parse_keys(f"ok:ask:{'0' * 64} {text}")
    assert text not in str(refused.value)


def test_a_person_without_a_key_is_told_on_a_page() -> None:
    locked = client(key("reader", "ask", "s"))
    refused = locked.get("/", headers={"Accept": "text/html"})
    assert refused.status_code == 401
    assert refused.headers["content-type"].startswith("text/html")
    assert "as the password of any user" in refused.text
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert locked.get("/v1/ask?q=a", headers={"Accept": "text/html"}).headers["content-type"] == (
        "application/problem+json"
    )


@pytest.mark.parametrize("expecting", [{"behind_proxy": True}, {"require_keys": True}])
def test_without_the_keys_that_are_expected_it_does_not_start(expecting: dict[str, bool]) -> None:
    with pytest.raises(SettingsError, match="needs QA_API_KEYS, which is empty"):
        Options.from_settings(load_settings(**expecting))
    _, entry = new_key("alice", "ask")
    assert Options.from_settings(load_settings(**expecting, api_keys=entry)).keys
