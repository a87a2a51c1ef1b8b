"""What people say of a passage: a form that is there where it is asked for, and that believes nothing of its client."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from qa.errors import SettingsError
from qa.settings import Settings
from qa.types import Answer, Citation
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import parse_keys
from tests.support.fake_service import FERRY, SCRIPT, FakeService
from tests.support.html_page import Page, page

QUESTION = "When does the ferry leave?"
START = SCRIPT.index("at noon")
SHOWN = hashlib.sha256(b"at noon").hexdigest()
FORM = {
    "q": QUESTION, "document": FERRY.id, "start": str(START), "end": str(START + 7), "shown": SHOWN, "verdict": "yes",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.jsonl"


@pytest.fixture
def client(service: FakeService, path: Path) -> TestClient:
    app = create_app(service, options=Options(feedback=path))
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)


def test_nobody_is_asked_unless_it_is_set(service: FakeService) -> None:
    client = TestClient(create_app(service))
    assert "/feedback" not in client.get("/?q=ferry").text
    assert client.post("/feedback", data=FORM).status_code == 404


def test_answer_and_passages_are_judged_by_a_form(client: TestClient, service: FakeService, path: Path) -> None:
    citation = Citation(FERRY.id, START, START + 7, 1, None, FERRY.source_sha256, FERRY.source_sha256, "verified")
    service.answer = Answer("answered", confidence=0.8, text="at noon", citation=citation)
    shown = page(client, f"/?q={QUESTION}")
    forms = [form for form in shown.all("form") if form["action"] == "/feedback"]
    assert len(forms) == 6
    assert all(form["method"] == "post" for form in forms)
    fields = {str(e["name"]): str(e["value"]) for e in shown.all("input")[3:8]}
    sent = client.post("/feedback", data={**fields, "verdict": "no"})
    assert sent.status_code == 303
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["evidence"] == [{"document": FERRY.id, "quote": "at noon", "relevant": False}]

    thanked = page(client, sent.headers["location"])
    assert {"class": "noted", "role": "status"} in thanked.all("p")
    assert thanked.all("input")[0]["value"] == QUESTION


def test_thanks_are_said_once_and_by_no_address(client: TestClient) -> None:
    sent = client.post("/feedback", data={**FORM, "verdict": "no"})
    assert parse_qs(urlsplit(sent.headers["location"]).query) == {"q": [QUESTION]}
    assert "httponly" in sent.headers["set-cookie"].lower()
    assert "Thank you" not in page(client, "/?q=something+else").text("main")
    assert "this does not answer the question" in page(client, sent.headers["location"]).text("main")
    assert "Thank you" not in page(client, sent.headers["location"]).text("main")
    client.cookies.set("qa-noted", "yes")
    assert "Thank you" not in page(client, f"/?q={QUESTION}").text("main")


def test_how_it_was_asked_is_kept(client: TestClient) -> None:
    shown = page(client, f"/?q={QUESTION}&mode=lexical&documents=notes/*&top_k=1")
    fields = [(str(e["name"]), str(e["value"])) for e in shown.all("input")[4:] if e["type"] == "hidden"]
    assert ("mode", "lexical") in fields
    sent = client.post("/feedback", data={**dict(fields), "verdict": "yes"})
    assert parse_qs(urlsplit(sent.headers["location"]).query) == {
        "q": [QUESTION], "mode": ["lexical"], "documents": ["notes/*"], "top_k": ["1"],
    }  # fmt: skip


def test_the_text_is_that_of_the_index(client: TestClient, path: Path) -> None:
    assert client.post("/feedback", data={**FORM, "quote": "made up", "text": "made up"}).status_code == 303
    assert "made up" not in path.read_text()


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"q": " "}, 422, "blank"),
        ({"q": "x" * 201}, 422, "201 characters"),
        ({"document": "../../etc/passwd"}, 404, "no indexed document"),
        ({"end": str(START)}, 422, "holds no text"),
        ({"end": str(len(SCRIPT) + 1)}, 422, "holds no text"),
        ({"start": "-5"}, 422, "holds no text"),
        ({"start": "0", "end": "5001"}, 422, "at most 5,000"),
        ({"shown": hashlib.sha256(b"at dawn").hexdigest()}, 409, "has changed since it was shown"),
        ({"start": "one"}, 422, "start"),
        ({"verdict": "perhaps"}, 422, "verdict"),
        ({"start": "9" * 5000}, 422, "start"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_kept(
    client: TestClient, path: Path, change: dict[str, str], status: int, named: str
) -> None:
    refused = client.post("/feedback", data={**FORM, **change})
    assert refused.status_code == status
    assert named in refused.json()["detail"]
    assert not path.exists()


def test_a_verdict_that_is_none_is_no_mode_of_search(client: TestClient) -> None:
    refused = client.post("/feedback", data={**FORM, "verdict": "perhaps"}).json()
    assert (refused["type"], refused["title"]) == ("urn:qa:problem:invalid-request", "The request is not valid")
    assert refused["errors"] == [{"field": "verdict", "message": "verdict can only be 'yes' or 'no'."}]


def test_a_field_that_is_missing_is_named(client: TestClient) -> None:
    for field in FORM:
        left = {name: value for name, value in FORM.items() if name != field}
        refused = client.post("/feedback", data=left)
        assert refused.status_code == 422
        assert field in refused.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_other_site_judges(client: TestClient, path: Path, headers: dict[str, str]) -> None:
    assert client.post("/feedback", data=FORM, headers=headers).status_code == 403
    assert not path.exists()


def test_it_takes_what_asking_takes(service: FakeService, path: Path) -> None:
    keys = parse_keys("reader:ask:" + "0" * 64)
    client = TestClient(create_app(service, options=Options(feedback=path, keys=keys)))
    assert client.post("/feedback", data=FORM).status_code == 401


def test_a_file_that_cannot_be_written_is_the_servers_fault(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    client = TestClient(create_app(service, options=Options(feedback=tmp_path / "file" / "f.jsonl")))
    with capture_logs() as logged:
        refused = client.post("/feedback", data=FORM, headers={"Accept": "text/html"})
    assert refused.status_code == 503
    assert [(line["event"], "name another file in QA_FEEDBACK" in line["reason"]) for line in logged] == [
        ("judgment cannot be kept", True)
    ]
    assert str(tmp_path) not in refused.text
    assert Page(refused.text).text("h1") == "The server cannot write"


@pytest.mark.parametrize(
    ("name", "why"), [(".", "is a folder"), ("nowhere/f.jsonl", "in a folder that does not exist")]
)
def test_a_file_that_never_can_be_written_is_a_wrong_setting(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SettingsError, match=rf"QA_FEEDBACK is .*{why}"):
        Options.from_settings(Settings(feedback=str(tmp_path / name)))
    assert list(tmp_path.iterdir()) == []
    assert Options.from_settings(Settings(feedback=str(tmp_path / "f.jsonl"))).feedback == tmp_path / "f.jsonl"
