"""What a client sees of the queue: a refusal that says when to come back, one snapshot in a batch, work given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from qa.errors import QAError
from qa.service.switching import Held
from qa.types import Query, Reply
from qa.web.admission import HungUp
from qa.web.app import create_app
from qa.web.asking import Asking, ReplyCache
from qa.web.batching import Batcher
from qa.web.deps import Options
from qa.web.monitoring import Monitoring
from tests.support.fake_service import FakeService, SlowService
from tests.support.waiting import AT_MOST, wait_for


def test_past_the_queue_a_client_is_told_when_to_come_back() -> None:
    service = SlowService()
    client = TestClient(create_app(service, options=Options(max_waiting=1)))
    replies = []

    def ask() -> None:
        replies.append(client.post("/v1/ask", json={"question": "ferry?"}))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    with client:
        # One after the other: two workers take one each, and the third waits.
        for number, thread in enumerate(threads):
            thread.start()
            if number < 2:
                assert service.begun.acquire(timeout=AT_MOST)
        asking: Asking = client.app.state.dependencies.asking  # type: ignore[attr-defined]
        wait_for(asking.batcher.is_full)
        # Not even read: what is sent is no JSON.
        refused = client.post("/v1/ask", content=b"{", headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:qa:problem:overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["x-request-id"]
        assert refused.headers["content-security-policy"] == client.get("/healthz").headers["content-security-policy"]
        named = client.get("/v1/ask?q=a", headers={"X-Request-ID": "mine-1"})
        assert (named.status_code, named.headers["x-request-id"]) == (503, "mine-1")
        assert client.get("/healthz").status_code == 200
        service.go.set()
        for thread in threads:
            thread.join()
    assert [reply.status_code for reply in replies] == [200] * 3


class Switching(FakeService):
    """A service whose snapshot is another after every call, and that answers from the one that was held."""

    def hold(self) -> Held:
        snapshot, revision = self.current.snapshot or "", self.current.revision

        def ask_many(queries: Sequence[Query]) -> list[Reply | QAError]:
            self.current = replace(self.current, snapshot=f"{revision + 1}", revision=revision + 1)
            return [replace(r, snapshot=snapshot) if isinstance(r, Reply) else r for r in self.ask_many(queries)]

        return Held("harbour", snapshot, revision, ask_many)


def asking(service: FakeService) -> Asking:
    monitoring = Monitoring()
    return Asking(service, monitoring, Batcher(monitoring, most_waiting=99), ReplyCache(0, 60))


def test_the_answers_of_a_batch_are_all_of_one_snapshot() -> None:
    service = Switching()
    first = service.current.snapshot
    outcomes = asyncio.run(asking(service).ask_many([Query("ferry?")] * 40))
    assert [outcome.snapshot for outcome in outcomes if isinstance(outcome, Reply)] == [first] * 40


def test_who_hangs_up_frees_the_work_that_was_not_begun() -> None:
    service = SlowService()
    through = asking(service)
    hung_up = asyncio.Event()

    async def receive() -> dict[str, str]:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def main() -> None:
        others = [asyncio.ensure_future(through.ask(Query("ferry?"))) for _ in range(2)]
        for _ in others:
            await asyncio.to_thread(service.begun.acquire)
        leaving = asyncio.ensure_future(through.ask(Query("leaving"), Request({"type": "http"}, receive)))
        await asyncio.sleep(0)
        assert through.batcher.waiting == 1
        hung_up.set()
        with pytest.raises(HungUp):
            await leaving
        service.go.set()
        await asyncio.gather(*others)

    asyncio.run(main())
    through.batcher.close()
    assert [query.question for query in service.asked] == ["ferry?"] * 2
