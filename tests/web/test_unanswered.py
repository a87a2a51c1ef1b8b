"""Unanswered questions on their page and over HTTP: off unless it is set, for who keeps the documents alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from qa.index.schema import text_sha256
from qa.settings import Settings
from qa.types import Answer
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import Key
from tests.support.fake_service import ANSWER, FERRY, NOON, READY, FakeService

QUESTION = "What does a dog pay?"
NOT_FOUND = Answer("not_found", confidence=0.07)
BOSS = Key("boss", "admin", hashlib.sha256(b"operating").hexdigest())
READER = Key("reader", "ask", hashlib.sha256(b"reading").hexdigest())


@pytest.fixture
def service() -> FakeService:
    service = FakeService()
    service.answer = NOT_FOUND
    return service


Make = Callable[..., TestClient]


@pytest.fixture
def make(service: FakeService, tmp_path: Path) -> Iterator[Make]:
    made: list[TestClient] = []
    (tmp_path / "harbour").mkdir()
    (tmp_path / "market").mkdir()

    def build(days: int = 30, others: tuple[Offered, ...] = (), **options: object) -> TestClient:
        chosen = Options(unanswered=tmp_path, unanswered_days=days, feedback=tmp_path / "f.jsonl", cache_bytes=10**6)
        app = create_app(service, options=replace(chosen, **options), others=others)  # type: ignore[arg-type]
        made.append(TestClient(app, "http://localhost", client=("127.0.0.1", 5000)))
        made[-1].__enter__()
        return made[-1]

    yield build
    for each in made:
        each.__exit__()


def listed(client: TestClient, path: str = "/v1/unanswered") -> dict[str, int]:
    groups = client.get(path).json()["groups"]
    return {each["question"]: each["times"] for one in groups for each in one["questions"]}


def test_by_default_nothing_is_kept(make: Make, tmp_path: Path) -> None:
    left = tmp_path / "harbour" / "unanswered.jsonl"
    left.write_text("{}\n")
    client = make(days=0)
    client.get("/v1/ask", params={"q": QUESTION})
    assert client.get("/v1/unanswered").status_code == 404
    assert client.get("/unanswered").status_code == 404
    assert "kept for" not in client.get("/").text
    assert not left.exists()
    assert Settings().unanswered_days == 0


def test_each_way_of_asking_is_noted_and_reading_on_is_not(make: Make, service: FakeService) -> None:
    client = make()
    client.get("/v1/ask", params={"q": QUESTION})
    client.post("/v1/ask", json={"question": QUESTION})
    client.post("/v1/ask/batch", json={"questions": [QUESTION, "Another one?"]})
    client.get("/", params={"q": QUESTION})
    client.get(f"/documents/{quote(FERRY.id)}", params={"q": QUESTION, "start": 0, "end": 5})
    service.answer = ANSWER
    client.post("/v1/ask", json={"question": "When does the ferry leave?"})
    assert listed(client) == {QUESTION: 4, "Another one?": 1}
    found = client.get("/v1/unanswered").json()
    assert (found["days"], found["total"], found["next"]) == (30, 2, None)
    assert found["groups"][0]["questions"][0]["outcome"] == "not_found"
    assert found["groups"][0]["questions"][0]["confidence"] == 0.07


@pytest.mark.parametrize(
    "part",
    [
        {"filter": {"op": "eq", "field": "type", "value": "pdf"}},
        {"documents": ["hr/*"]},
        {"sections": ["Fares"]},
    ],
)
def test_what_a_part_of_the_collection_does_not_answer_is_not_missing_in_the_whole(
    make: Make, part: dict[str, object]
) -> None:
    client = make()
    assert client.post("/v1/ask", json={"question": QUESTION, **part}).json()["answer"]["outcome"] == "not_found"
    body = {"question": QUESTION, **part, "collections": ["harbour"]}
    assert client.post("/v1/ask", json=body).json()["answer"]["outcome"] == "not_found"
    client.post("/v1/ask", json={"question": "Another one?"})
    assert listed(client) == {"Another one?": 1}


def test_a_question_that_leans_on_another_is_noted_as_it_was_searched_for(make: Make) -> None:
    client = make()
    client.post("/v1/ask", json={"question": "and a cat?", "previous": [QUESTION]})
    (noted,) = listed(client)
    assert noted.startswith("What does a cat")


def test_nothing_that_is_kept_tells_who_asked(make: Make, tmp_path: Path) -> None:
    client = make(keys=(READER,))
    client.get("/v1/ask", params={"q": QUESTION}, headers={"X-API-Key": "reading", "User-Agent": "mine/1"})
    client.close()
    client.__exit__()
    kept = (tmp_path / "harbour" / "unanswered.jsonl").read_text()
    assert QUESTION in kept
    for said in ("reader", "reading", "127.0.0.1", "mine", ":00", "T"):
        assert said not in kept.replace(QUESTION, "")
    client.__enter__()


def test_a_judgment_is_kept_beside_its_question(make: Make) -> None:
    client = make()
    client.get("/v1/ask", params={"q": QUESTION})
    shown = {"document": FERRY.id, "start": NOON, "end": NOON + 4, "shown": text_sha256("noon"), "verdict": "no"}
    assert client.post("/feedback", data={"q": QUESTION, **shown}, follow_redirects=False).status_code == 303
    (group,) = client.get("/v1/unanswered").json()["groups"]
    assert (group["questions"][0]["helpful"], group["questions"][0]["unhelpful"]) == (0, 1)
    assert "1 text does not answer it" in client.get("/unanswered").text


def test_the_page_shows_them_and_leads_to_asking_and_to_the_export(make: Make) -> None:
    client = make()
    assert "was answered, or none was asked" in client.get("/unanswered").text
    for question in (QUESTION, QUESTION, "What does a <b>cat</b> pay?"):
        client.get("/", params={"q": question})
    page = client.get("/unanswered").text
    assert "2 times" in page
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert 'href="/?q=What+does+a+dog+pay%3F"' in page
    assert "Questions that are not answered are kept for 30 days" in client.get("/").text
    for kind, type in (("jsonl", "application/x-ndjson"), ("csv", "text/csv; charset=utf-8")):
        sent = client.get(f"/v1/unanswered/export?format={kind}")
        assert sent.headers["content-type"] == type
        assert sent.headers["content-disposition"] == f'attachment; filename="unanswered.{kind}"'
        assert QUESTION in sent.text


def test_many_are_shown_in_parts(make: Make) -> None:
    client = make()
    for start in range(0, 120, 4):
        questions = [
            f"{'abcdefghij'[n // 10 % 10] * 7} {n:03} {'klmnopqrst'[n % 10] * 9}?" for n in range(start, start + 4)
        ]
        client.post("/v1/ask/batch", json={"questions": questions})
    total = client.get("/v1/unanswered").json()["total"]
    assert total > 60
    first = client.get("/v1/unanswered?limit=50").json()
    rest = client.get(f"/v1/unanswered?limit=100&offset={first['next']}").json()
    assert (len(first["groups"]) + len(rest["groups"]), rest["next"]) == (total, None)
    assert "Next page" in client.get("/unanswered").text
    assert "Previous page" in client.get("/unanswered?page=1000").text
    assert client.get("/v1/unanswered?limit=101").status_code == 422
    assert client.get("/v1/unanswered/export?format=xls").status_code == 422


@pytest.mark.parametrize("path", ["/v1/unanswered", "/v1/unanswered/export", "/unanswered"])
def test_they_are_for_who_keeps_the_documents_alone(make: Make, path: str) -> None:
    client = make(keys=(BOSS, READER))

    def status(**headers: str) -> int:
        return client.get(path, headers=headers).status_code

    assert status() == 401
    assert status(**{"X-API-Key": "reading"}) == 403
    assert status(**{"X-API-Key": "operating"}) == 200
    dialogue = base64.b64encode(b"any:operating").decode()
    assert status(Authorization=f"Basic {dialogue}") == 200
    assert "Basic" in client.get(path).headers["www-authenticate"]


def test_without_keys_they_are_for_this_machine(make: Make) -> None:
    client = make()
    assert client.get("/v1/unanswered").status_code == 200
    assert client.get("/v1/unanswered", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 403


def test_each_collection_keeps_its_own(make: Make) -> None:
    market = FakeService()
    market.current, market.answer = replace(READY, index="market"), NOT_FOUND
    client = make(others=(Offered(market),))
    client.get("/v1/ask", params={"q": "of the harbour"})
    client.get("/v1/collections/market/ask", params={"q": "of the market"})
    assert listed(client) == {"of the harbour": 1}
    assert listed(client, "/v1/collections/market/unanswered") == {"of the market": 1}
    assert (
        'href="/v1/collections/market/unanswered/export?format=csv"'
        in client.get("/collections/market/unanswered").text
    )


def test_of_several_collections_each_keeps_what_none_of_them_answered(make: Make, service: FakeService) -> None:
    market = FakeService()
    market.current, market.answer = replace(READY, index="market"), NOT_FOUND
    client = make(others=(Offered(market),))
    client.post("/v1/ask", json={"question": "of neither", "collections": ["*"]})
    service.answer = ANSWER
    client.post("/v1/ask", json={"question": "of the harbour alone", "collections": ["*"]})
    for path in ("/v1/unanswered", "/v1/collections/market/unanswered"):
        assert listed(client, path) == {"of neither": 1}


def test_a_folder_that_is_gone_costs_no_answer(make: Make, service: FakeService, tmp_path: Path) -> None:
    client = make()
    (tmp_path / "harbour").rmdir()
    assert client.get("/v1/ask", params={"q": QUESTION}).status_code == 200
    assert client.get("/v1/unanswered").json()["groups"] == []
    assert ["cannot be kept" in each for each in service.notes] == [True]
