"""The client: what it returns, what it raises, and that it waits for a service that asks it to."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from qa.client import AsyncClient, Client
from qa.errors import QueryError, RequestRefused, ServerUnreachable
from qa.search.filters import parse_filter
from qa.web.api.responses import AskResponse
from qa.web.app import create_app
from qa.web.deps import Offered
from tests.support import uvicorn_server
from tests.support.fake_service import FACETS, FERRY, SNAPSHOT, FakeService
from tests.support.served import serving

QUESTION = "When does the ferry leave?"
ANSWERED: dict[str, Any] = {
    "question": "Why?",
    "answer": None,
    "passages": [],
    "legs": [],
    "snapshot": SNAPSHOT,
    "timings_ms": {"total": 1.0},
}
BUSY = {"type": "urn:qa:problem:overloaded", "title": "…", "status": 503, "detail": "busy"}
Answers = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with serving(service) as address:
        yield address


def awaited(use: Callable[[AsyncClient], Awaitable[Any]], address: str, **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(address, **options) as client:
            return await use(client)

    return asyncio.run(main())


@pytest.mark.server
def test_both_clients_ask_a_real_server(address: str) -> None:
    with Client(address) as client:
        reply = client.ask(QUESTION, top_k=2, documents=["notes/*"])
        (passage, _) = reply.passages
        document = client.document(passage.document.id)
        assert document.text[passage.start : passage.end] == passage.text
        assert client.documents().snapshot == client.ready().snapshot == reply.snapshot == SNAPSHOT
    again = awaited(lambda client: client.ask(QUESTION, top_k=2, documents=["notes/*"]), address)
    assert again.passages == reply.passages
    assert awaited(lambda client: client.document(FERRY.id), address) == document


@pytest.mark.server
def test_both_clients_ask_a_collection_of_several() -> None:
    services = [FakeService(), FakeService()]
    services[1].current = replace(services[1].current, index="market")
    with uvicorn_server.serving(create_app(services[0], others=[Offered(services[1])])) as (host, port):
        address = f"http://{host}:{port}"
        with Client(address, collection="market") as client:
            assert [each.name for each in client.collections().collections] == ["harbour", "market"]
            client.ask("ferry", top_k=1)
            client.ask_many(["berth"])
            assert client.document(FERRY.id).snapshot == client.documents().snapshot == client.ready().snapshot
        awaited(lambda client: client.ask("tickets"), address, collection="market")
        assert [query.question for query in services[1].asked] == ["ferry", "berth", "tickets"]
        assert services[0].asked == []
        with Client(address) as client:
            reply = client.ask("ferry", collections=["*"])
        assert {passage.document.collection for passage in reply.passages} == {"harbour", "market"}
        with Client(address, collection="no such/one") as client, pytest.raises(RequestRefused, match="nothing at"):
            client.ask("ferry")


@pytest.mark.server
def test_both_clients_filter(service: FakeService, address: str) -> None:
    filter = ["folder=notes", "type=txt", "type=md", "date>=2024", "author=a&b=c"]
    service.fields = FACETS
    with Client(address) as client:
        reply = client.ask(QUESTION, filter=filter)
        (again,) = client.ask_many([QUESTION], filter=filter)
        listed, facets = client.documents(filter=filter), client.facets(filter, values=1)
        with pytest.raises(QueryError, match="'folder' is no condition"):
            client.ask(QUESTION, filter=["folder"])
        with pytest.raises(RequestRefused, match="there is no field 'autor'; did you mean author"):
            client.facets(["autor=Anna"])
    assert isinstance(again, AskResponse)
    assert again.passages == reply.passages
    assert {each.document.id for each in reply.passages} == {each.id for each in listed.documents} == {FERRY.id}
    assert [query.filter for query in service.asked] == [parse_filter(filter)] * 2
    assert (facets.documents, facets.fields[1].values[0].value) == (1, "txt")
    assert awaited(lambda client: client.facets(filter, values=1), address) == facets
    assert awaited(lambda client: client.documents(filter=filter), address) == listed


@pytest.mark.server
def test_in_a_batch_each_question_fails_by_itself(address: str) -> None:
    with Client(address) as client:
        good, bad = client.ask_many([QUESTION, " "], top_k=1)
    assert isinstance(good, AskResponse)
    assert isinstance(bad, RequestRefused)
    assert (bad.status, bad.type) == (422, "urn:qa:problem:question-empty")
    assert len(awaited(lambda client: client.ask_many([QUESTION, " "]), address)) == 2


@pytest.mark.server
@pytest.mark.parametrize(
    ("call", "kind", "field"),
    [
        (lambda client: client.ask(QUESTION, top_k=99), "top-k-out-of-range", "top_k"),
        (lambda client: client.document("../CURRENT"), "not-found", None),
        (lambda client: client.document("a?b#c"), "document-not-found", None),
    ],
)
def test_what_is_refused_is_raised_with_its_problem(
    address: str, call: Callable[[Any], Any], kind: str, field: str | None
) -> None:
    with Client(address) as client, pytest.raises(RequestRefused) as refused:
        call(client)
    assert refused.value.type == f"urn:qa:problem:{kind}"
    assert field is None or field in refused.value.errors
    with pytest.raises(RequestRefused, match=str(refused.value)[:20]):
        awaited(call, address)


def answering(*responses: httpx2.Response) -> tuple[httpx2.MockTransport, list[httpx2.Request]]:
    """Make a transport that gives these responses one after the other, and a list of what was asked of it."""
    waiting, seen = list(responses), []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return waiting.pop(0)

    return httpx2.MockTransport(handle), seen


def busy(after: str | None, status: int = 503) -> httpx2.Response:
    return httpx2.Response(status, json={**BUSY, "status": status}, headers={"Retry-After": after} if after else {})


@pytest.mark.parametrize("after", ["0", "Wed, 01 Jan 2020 00:00:00 GMT", "soon"])
def test_a_service_that_is_busy_is_asked_again(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.client._PAUSE", 0.0)
    transport, seen = answering(busy(after), busy(after, 429), httpx2.Response(200, json=ANSWERED))
    with Client("http://qa", transport=transport) as client:
        assert client.ask("Why?").snapshot == SNAPSHOT
    assert len(seen) == 3
    assert {request.content for request in seen} == {seen[0].content}
    transport, seen = answering(busy(after), httpx2.Response(200, json=ANSWERED))
    assert awaited(lambda client: client.ask("Why?"), "http://qa", transport=transport).snapshot == SNAPSHOT
    assert len(seen) == 2


@pytest.mark.parametrize(("after", "status"), [("30", 503), (None, 429)])
def test_patience_ends(after: str | None, status: int) -> None:
    for use in (_sync, awaited):
        transport, seen = answering(busy(after, status))
        with pytest.raises(RequestRefused, match="busy") as refused:
            use(lambda client: client.ask("Why?"), "http://qa", transport=transport, patience=5)
        assert (refused.value.status, len(seen)) == (status, 1)


def _sync(use: Callable[[Any], Any], address: str, **options: Any) -> Any:
    with Client(address, **options) as client:
        return use(client)


def test_a_key_goes_with_every_request_and_ids_are_paths() -> None:
    transport, seen = answering(httpx2.Response(404, json={**BUSY, "status": 404}))
    with Client("http://qa", api_key="secret", transport=transport) as client, pytest.raises(RequestRefused):
        client.document("notes/ferry <i>.txt")
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[0].url.raw_path == b"/v1/documents/notes/ferry%20%3Ci%3E.txt"
    assert "secret" not in repr(client)


@pytest.mark.parametrize("status", [200, 502])
def test_what_is_not_this_service_is_said(status: int) -> None:
    for use in (_sync, awaited):
        transport, _ = answering(httpx2.Response(status, text="<html>"))
        with pytest.raises(ServerUnreachable, match="not as qa would"):
            use(lambda client: client.ask("Why?"), "http://qa", transport=transport)


def test_where_nobody_listens_that_is_said() -> None:
    for use in (_sync, awaited):
        with pytest.raises(ServerUnreachable, match=r"cannot ask http://127\.0\.0\.1:9"):
            use(lambda client: client.ready(), "http://127.0.0.1:9")


def test_members_that_a_later_service_adds_are_no_error() -> None:
    transport, _ = answering(httpx2.Response(200, content=json.dumps({**ANSWERED, "later": 1})))
    with Client("http://qa", transport=transport) as client:
        assert client.ask("Why?").question == "Why?"


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        members = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in members if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)


@pytest.mark.server
def test_a_question_may_lean_on_one_before(service: FakeService, address: str) -> None:
    with Client(address) as client:
        reply = client.ask("Why?", previous=["When does the ferry leave?"], read_tokens=400)
        assert reply.searched == "Why does the ferry leave?"
        (many,) = client.ask_many(["Why?"], previous=[{"question": "When does the ferry leave?", "answer": "noon"}])
        assert isinstance(many, AskResponse)
        assert many.searched == reply.searched
    assert [(query.read_tokens, query.previous[0].answer) for query in service.asked] == [(400, ""), (None, "noon")]
