"""A question to several collections at once, over HTTP and on the page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from qa.errors import QueryError
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import Key
from tests.support.fake_service import ADDRESS, ANSWER, LOADING, READY, FakeService

NAMES = ("harbour", "market", "palace")
KEYS = tuple(
    Key(secret, "ask", hashlib.sha256(secret.encode()).hexdigest(), collections)
    for secret, collections in (("all", ()), ("two", ("market", "harbour")))
)


class Three:
    """Three collections, the last of which only one key may ask."""

    def __init__(self) -> None:
        self.services = {name: FakeService() for name in NAMES}
        for name, service in self.services.items():
            service.current = replace(READY, index=name)
        first, *others = self.services.values()
        app = create_app(first, options=Options(keys=KEYS), others=[Offered(each) for each in others])
        self.client = TestClient(app, raise_server_exceptions=False, headers={"Authorization": "Bearer two"})

    def asked(self) -> list[str]:
        return [name for name, service in self.services.items() if service.asked]


@pytest.fixture
def three() -> Iterator[Three]:
    three = Three()
    with three.client:
        yield three


def test_hits_and_answer_name_their_collection(three: Three) -> None:
    three.services["market"].answer = replace(ANSWER, confidence=0.9)
    three.services["harbour"].answer = replace(ANSWER, outcome="unsure", confidence=0.5)
    asked = {"question": "ferry", "collections": ["market", "harbour", "market"]}
    body = three.client.post("/v1/ask", json=asked).json()
    assert three.asked() == ["harbour", "market"]
    assert {passage["document"]["collection"] for passage in body["passages"]} == {"harbour", "market"}
    assert len(body["passages"]) == 5
    assert (body["answer"]["citation"]["collection"], body["answer"]["confidence"]) == ("market", 0.9)
    assert body["answer"]["alternatives"][0]["citation"]["collection"] == "market"
    assert body["answer"]["promised_error"] is None
    assert [(each["name"], each["outcome"], each["problem"]) for each in body["collections"]] == [
        ("harbour", "unsure", ""),
        ("market", "answered", ""),
    ]


def test_of_one_collection_nothing_is_named(three: Three) -> None:
    body = three.client.post("/v1/ask", json={"question": "ferry"}).json()
    assert body["collections"] == []
    assert {passage["document"]["collection"] for passage in body["passages"]} == {None}


def test_a_star_is_all_that_the_key_may_ask(three: Three) -> None:
    three.client.get("/v1/ask?q=ferry&collections=*")
    assert three.asked() == ["harbour", "market"]
    three.client.get("/v1/ask?q=ferry&collections=*", headers={"Authorization": "Bearer all"})
    assert three.asked() == ["harbour", "market", "palace"]


def test_so_many_collections_are_named_and_each_is_asked_once(three: Three) -> None:
    most = {"question": "ferry", "collections": ["market"] * 100}
    assert three.client.post("/v1/ask", json=most).status_code == 200
    assert [query.question for query in three.services["market"].asked] == ["ferry"]
    more = {"question": "ferry", "collections": ["market"] * 101}
    assert three.client.post("/v1/ask", json=more).status_code == 422


@pytest.mark.parametrize("name", ["palace", "nowhere"])
def test_one_of_others_and_one_that_is_not_there_are_refused_alike(three: Three, name: str) -> None:
    refused = three.client.post("/v1/ask", json={"question": "ferry", "collections": ["market", name]})
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"field": "collections[1]", "message": "collections[1] names no collection that can be asked here."}],
    )
    assert three.asked() == []


def test_one_that_is_not_ready_is_named_and_the_others_answer(three: Three) -> None:
    three.services["harbour"].current = replace(LOADING, index="harbour")
    body = three.client.get("/v1/ask?q=ferry&collections=*").json()
    assert [each["problem"] for each in body["collections"]] == [LOADING.detail, ""]
    assert three.client.get("/?q=ferry&collections=*").status_code == 200
    three.services["market"].current = replace(LOADING, index="market")
    assert three.client.get("/v1/ask?q=ferry&collections=*").status_code == 503


def test_a_question_that_none_can_be_asked_is_refused(three: Three) -> None:
    refused = three.client.get("/v1/ask?q=%20&collections=*")
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:qa:problem:question-empty")
    three.services["market"].outcome = QueryError("documents", "no document matches")
    assert three.client.get("/v1/ask?q=ferry&collections=*").status_code == 200


def test_a_batch_is_of_one_collection(three: Three) -> None:
    batch = {"questions": ["ferry", {"question": "ferry", "collections": ["market"]}]}
    first, second = three.client.post("/v1/ask/batch", json=batch).json()["results"]
    assert (first["ok"], second["ok"]) == (True, False)
    assert second["problem"]["errors"][0]["field"] == "collections"


def test_the_page_shows_where_each_passage_is_from_and_keeps_what_is_asked(three: Three) -> None:
    three.services["market"].answer = ANSWER
    page = three.client.get("/?q=ferry&collections=harbour&collections=market").text
    for name in ("harbour", "market"):
        assert f"in <bdi>{name}</bdi>" in page
        assert f'href="/collections/{name}{ADDRESS}' in page
        assert f'<input type="hidden" name="collections" value="{name}">' in page
        assert f'<a href="/collections/{name}/?q=ferry"><bdi>{name}</bdi></a>: ' in page
    assert '<form class="ask" action="/"' in page
    reading = three.client.get(f"/collections/market{ADDRESS}?start=0&q=ferry&collections=harbour&collections=market")
    assert '<a href="/?q=ferry&amp;collections=harbour&amp;collections=market">' in reading.text


def test_the_chooser_has_what_the_key_may_ask_and_keeps_the_question(three: Three) -> None:
    page = three.client.get("/?q=ferry").text
    assert '<a href="/collections/harbour/?q=ferry" aria-current="true"><bdi>harbour</bdi></a>' in page
    assert '<a href="/collections/market/?q=ferry"><bdi>market</bdi></a>' in page
    assert '<a href="/?q=ferry&amp;collections=%2A"><bdi>all collections</bdi></a>' in page
    assert "palace" not in page
    assert '<a href="/collections/market/documents"><bdi>market</bdi></a>' in three.client.get("/documents").text


def test_the_chooser_says_what_is_not_ready(three: Three) -> None:
    three.services["market"].current = replace(LOADING, index="market")
    assert "<bdi>market</bdi></a> <span>not ready</span>" in three.client.get("/").text
    loading = three.client.get("/collections/market/?q=ferry")
    assert (loading.status_code, 'href="/collections/market/?q=ferry"' in loading.text) == (503, True)


def test_one_collection_has_no_chooser() -> None:
    assert 'class="chooser"' not in TestClient(create_app(FakeService())).get("/").text
