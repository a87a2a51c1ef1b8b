"""Evaluations as pages: a file by a form, progress, the report's address, cancelling, and who may do it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from qa.errors import Fault
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import Key, parse_keys
from tests.support.fake_evaluations import ID, QUESTION, FakeEvaluations
from tests.support.fake_service import FakeService
from tests.support.html_page import Page, page

KEYS: tuple[Key, ...] = parse_keys("operator:admin:" + "0" * 64)


@pytest.fixture
def evaluations(tmp_path: Path) -> FakeEvaluations:
    return FakeEvaluations(tmp_path)


def client_of(evaluations: FakeEvaluations, address: str = "127.0.0.1", keys: tuple[Key, ...] = ()) -> TestClient:
    app = create_app(FakeService(), evaluations, Options(max_upload_bytes=10_000, keys=keys))
    return TestClient(
        app, "http://localhost", raise_server_exceptions=False, client=(address, 5000), follow_redirects=False
    )


@pytest.fixture
def client(evaluations: FakeEvaluations) -> TestClient:
    return client_of(evaluations)


def upload(client: TestClient, name: str, data: bytes) -> None:
    assert client.post("/evaluate", files={"file": (name, data)}).status_code == 303


def test_a_file_is_queued_and_its_page_says_how_far_it_is(client: TestClient, evaluations: FakeEvaluations) -> None:
    assert "None yet." in page(client, "/evaluate").text("main")
    taken = client.post("/evaluate", files={"file": ("mine<1>.jsonl", QUESTION)})
    assert (taken.status_code, taken.headers["location"]) == (303, f"/evaluate/{ID}")
    options = {"mode": "hybrid", "top_k": 20, "rerank": False}
    assert evaluations.submitted == [("mine_1_.jsonl", QUESTION, "jsonl", options, False)]

    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="asking", questions=5, asked=2)
    half = client.get(f"/evaluate/{ID}")
    assert "2 of 5 questions have been asked" in half.text
    assert half.headers["refresh"] == "2"
    evaluations.job = replace(evaluations.job, status="done", asked=5)
    done = client.get(f"/evaluate/{ID}")
    assert "refresh" not in done.headers
    report = f"/v1/evaluations/{ID}/report"
    assert report in done.text
    assert report in [e["href"] for e in page(client, "/evaluate").all("a")]


def test_how_to_ask_is_chosen_in_the_form(client: TestClient, evaluations: FakeEvaluations) -> None:
    form = {"mode": "lexical", "top_k": " 7 "}
    assert client.post("/evaluate", data=form, files={"file": ("a.jsonl", QUESTION)}).status_code == 303
    assert evaluations.submitted[0][3] == {"mode": "lexical", "top_k": 7, "rerank": False}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mode", "telepathic", "Choose one of hybrid, dense, lexical."),
        ("top_k", "0", "Must be a whole number from 1 to 10."),
        ("top_k", "11", "Must be a whole number from 1 to 10."),
        ("top_k", "", "Must be a whole number from 1 to 10."),
        ("top_k", "٣", "Must be a whole number from 1 to 10."),
        ("top_k", "9" * 5000, "Must be a whole number from 1 to 10."),
        ("top_k", "0000000019", "Must be a whole number from 1 to 10."),
        ("top_k", "000000005" + "9" * 5000, "Must be a whole number from 1 to 10."),
    ],
)
def test_a_wrong_choice_is_told_at_its_field(
    client: TestClient, evaluations: FakeEvaluations, field: str, value: str, message: str
) -> None:
    refused = client.post("/evaluate", data={field: value}, files={"file": ("a.jsonl", QUESTION)})
    assert refused.status_code == 422
    shown = Page(refused.text)
    (wrong,) = (e for tag in ("select", "input") for e in shown.all(tag) if e.get("aria-invalid"))
    assert wrong["name"] == field
    assert message in " ".join(shown.texts["p"])
    assert evaluations.submitted == []


def test_too_many_questions_are_told_at_the_field(
    client: TestClient, evaluations: FakeEvaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.evaluation.jobs.check.MOST_QUESTIONS", 1)
    refused = client.post("/evaluate", files={"file": ("a.jsonl", QUESTION + b'{"question": "Why?"}\n')})
    assert refused.status_code == 422
    assert "the file holds more than 1 questions; send it in parts" in Page(refused.text).text("main")
    assert evaluations.submitted == []


def test_the_documents_link_to_it(client: TestClient) -> None:
    assert "/evaluate" in [e["href"] for e in page(client, "/documents").all("a")]


def test_one_that_failed_says_why(client: TestClient, evaluations: FakeEvaluations) -> None:
    upload(client, "a.jsonl", QUESTION)
    assert evaluations.job is not None
    evaluations.job = replace(
        evaluations.job, status="failed", detail="a quote is nowhere", faults=(Fault("a", 1, "", "x"),)
    )
    assert "A quote is nowhere." in page(client, f"/evaluate/{ID}").text("main")


@pytest.mark.parametrize(
    ("status", "verb", "told"),
    [("done", "Remove", "This cannot be undone"), ("asking", "Cancel", "all of it is deleted")],
)
def test_it_is_asked_back_before_anything_is_gone(
    client: TestClient, evaluations: FakeEvaluations, status: str, verb: str, told: str
) -> None:
    upload(client, "a.jsonl", QUESTION)
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status=status)  # type: ignore[arg-type]
    address = f"/evaluate/{ID}/cancel"
    shown = page(client, f"/evaluate/{ID}")
    assert shown.all("form") == []
    assert verb in shown.texts["a"]
    assert address in [a["href"] for a in shown.all("a")]

    asked = page(client, address)
    assert asked.text("h1") == f"{verb} a.jsonl?"
    assert told in asked.text("main")
    # It waits for an answer, and does not reload.
    assert "refresh" not in client.get(address).headers
    assert asked.all("form") == [{"action": address, "method": "post"}]
    assert f"/evaluate/{ID}" in [a["href"] for a in asked.all("a")]
    assert evaluations.job is not None


def test_whoever_may_not_remove_it_is_not_asked(client: TestClient, evaluations: FakeEvaluations) -> None:
    upload(client, "a.jsonl", QUESTION)
    page(client_of(evaluations, "192.0.2.7"), f"/evaluate/{ID}/cancel", 403)
    page(client_of(evaluations, keys=KEYS), f"/evaluate/{ID}/cancel", 403)
    page(client, f"/evaluate/{'1' * 32}/cancel", 404)
    assert [job.id for job in evaluations.listing()] == [ID]


def test_cancelled(client: TestClient, evaluations: FakeEvaluations) -> None:
    upload(client, "a.jsonl", QUESTION)
    gone = client.post(f"/evaluate/{ID}/cancel", data={"asked": "cancel"})
    assert (gone.status_code, gone.headers["location"], evaluations.job) == (303, "/evaluate", None)
    page(client, f"/evaluate/{ID}", 404)


def test_what_ended_since_it_was_asked_back_is_asked_back_again(
    client: TestClient, evaluations: FakeEvaluations
) -> None:
    upload(client, "a.jsonl", QUESTION)
    (field,) = page(client, f"/evaluate/{ID}/cancel").all("input")
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="done")
    again = client.post(f"/evaluate/{ID}/cancel", data={"asked": field["value"]})
    assert (again.status_code, again.headers["location"]) == (303, f"/evaluate/{ID}/cancel")
    (field,) = page(client, f"/evaluate/{ID}/cancel").all("input")
    gone = client.post(f"/evaluate/{ID}/cancel", data={"asked": field["value"]})
    assert gone.headers["location"] == "/evaluate"
    assert evaluations.listing() == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"{", "a.jsonl, line 1"),
        ("a.jsonl", b"", "there is no question in it"),
        ("a.exe", QUESTION, "the name must end in one of .jsonl"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_at_the_field(
    client: TestClient, evaluations: FakeEvaluations, name: str, data: bytes, message: str
) -> None:
    refused = client.post("/evaluate", files={"file": (name, data)})
    assert refused.status_code == 422
    assert message in refused.text
    assert 'aria-describedby="error"' in refused.text
    assert evaluations.submitted == []


def test_no_file_no_form_and_too_large_a_file(client: TestClient, evaluations: FakeEvaluations) -> None:
    none = client.post("/evaluate", files={"other": ("", b"")})
    assert (none.status_code, "choose a question file" in none.text) == (422, True)
    assert client.post("/evaluate", data={"file": "a"}).status_code == 415
    assert client.post("/evaluate", files={"file": ("a.jsonl", b" " * 20_000)}).status_code == 413
    assert evaluations.submitted == []


def test_from_elsewhere_nothing_is_taken_and_nothing_is_listed(evaluations: FakeEvaluations) -> None:
    upload(client_of(evaluations), "a.jsonl", QUESTION)
    other = client_of(evaluations, "192.0.2.7")
    assert client_of(evaluations).get("/evaluate").text.count(ID) == 1
    shown = page(other, "/evaluate")
    assert "only a browser on the server's own machine can send files" in shown.text("main")
    assert shown.all("form") == []
    assert ID not in other.get("/evaluate").text
    assert other.post("/evaluate", files={"file": ("a.jsonl", QUESTION)}).status_code == 403
    assert other.post(f"/evaluate/{ID}/cancel", data={"asked": "cancel"}).status_code == 403


def test_with_keys_the_page_says_that_one_is_needed(evaluations: FakeEvaluations) -> None:
    client = client_of(evaluations, keys=KEYS)
    shown = page(client, "/evaluate")
    told = shown.text("main")
    assert "This server uses keys. Sending files and listing evaluations needs a key" in told
    assert "a key with the scope admin" in told
    assert shown.all("form") == []
    assert client.post("/evaluate", files={"file": ("a.jsonl", QUESTION)}).status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none", None])
def test_a_form_of_another_site_is_refused(client: TestClient, evaluations: FakeEvaluations, site: str | None) -> None:
    headers = {"Origin": "null"} | ({"Sec-Fetch-Site": site} if site else {})
    assert client.post("/evaluate", files={"file": ("a.jsonl", QUESTION)}, headers=headers).status_code == 403
    assert evaluations.submitted == []


def test_a_form_of_this_site_is_taken_without_tls_too(client: TestClient) -> None:
    # Without TLS browsers send no Sec-Fetch-Site.
    assert "same-origin" in client.get("/evaluate").headers["referrer-policy"]
    headers = {"Origin": "http://localhost"}
    assert client.post("/evaluate", files={"file": ("a.jsonl", QUESTION)}, headers=headers).status_code == 303
