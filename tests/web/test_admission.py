"""What is in flight is bounded: bodies, batches, documents, listings and uploads of all clients together."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.requests import Request

from qa.errors import Overloaded
from qa.types import Collection, DocumentSummary, FileReport, Limits, SnapshotDocument, StreamedDocument
from qa.web.admission import Budget, HungUp, Lane
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.fairness import CLIENT
from qa.web.middleware.limits import FREE_BYTES, BodyLimit
from qa.web.monitoring import Monitoring
from qa.web.problems import ProblemError
from tests.support.fake_service import FERRY, FakeService, SlowService
from tests.support.waiting import AT_MOST

JSON = {"Content-Type": "application/json"}


@contextmanager
def as_client(name: str) -> Iterator[None]:
    """Begin what is done within the block for a client."""
    before = CLIENT.set(name)
    try:
        yield
    finally:
        CLIENT.reset(before)


class Gated:
    """Work that has an end once ``go`` is set; it notes what was done, in its order."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done: list[str] = []
        self._lock = threading.Lock()
        self._running = self.most = 0

    def __call__(self, name: str = "") -> str:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        self.begun.release()
        assert self.go.wait(AT_MOST)
        with self._lock:
            self._running -= 1
            self.done.append(name)
        return name


def test_a_lane_does_so_many_at_a_time_and_refuses_beyond_its_line() -> None:
    async def main() -> None:
        lane, work = Lane("test", Monitoring(), running=2, waiting=2), Gated()
        with as_client("a"):
            tasks = [asyncio.create_task(lane.run(work, str(n))) for n in range(3)]
        await asyncio.sleep(0)
        # One client leaves a place to the others.
        with as_client("a"), pytest.raises(Overloaded):
            await lane.run(work)
        with as_client("b"):
            tasks.append(asyncio.create_task(lane.run(work, "b")))
        await asyncio.sleep(0)
        with as_client("c"), pytest.raises(Overloaded) as refused:
            await lane.run(work)
        assert refused.value.retry_after >= 1
        work.go.set()
        assert await asyncio.gather(*tasks) == ["0", "1", "2", "b"]
        assert work.most <= 2
        assert await lane.run(lambda: "again") == "again"
        lane.close()

    asyncio.run(main())


def test_clients_take_turns_in_a_lane() -> None:
    async def main() -> None:
        lane, work = Lane("test", Monitoring(), running=1, waiting=64), Gated()
        tasks = []
        for name in [*(f"a{n}" for n in range(5)), "b", "c"]:
            with as_client(name[0]):
                tasks.append(asyncio.create_task(lane.run(work, name)))
        await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*tasks)
        assert work.done == ["a0", "a1", "b", "c", "a2", "a3", "a4"]
        lane.close()

    asyncio.run(main())


def leaving(gone: asyncio.Event) -> Request:
    """Return the request of a client that hangs up when ``gone`` is set."""

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def test_what_waits_in_a_lane_for_a_client_that_hung_up_is_not_done() -> None:
    async def main() -> None:
        lane, work, gone = Lane("test", Monitoring(), running=1, waiting=2), Gated(), asyncio.Event()
        running = asyncio.create_task(lane.run(work, "running"))
        waiting = asyncio.create_task(lane.run(work, "left", request=leaving(gone)))
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(HungUp):
            await waiting
        work.go.set()
        await running
        assert await lane.run(work, "next") == "next"
        assert work.done == ["running", "next"]
        lane.close()

    asyncio.run(main())


def test_what_is_done_for_a_client_that_hung_up_keeps_its_place_until_it_ends_and_is_told() -> None:
    async def main() -> None:
        lane, gone = Lane("test", Monitoring(), running=1, waiting=2), asyncio.Event()
        begun, seen, go = threading.Event(), threading.Event(), threading.Event()

        def work(check: Callable[[], None]) -> None:
            begun.set()
            with suppress(HungUp):
                while True:
                    check()
            seen.set()
            assert go.wait(AT_MOST)

        leaver = asyncio.create_task(lane.run_watched(work, leaving(gone)))
        assert await asyncio.to_thread(begun.wait, AT_MOST)
        gone.set()
        with pytest.raises(HungUp):
            await leaver
        assert await asyncio.to_thread(seen.wait, AT_MOST)
        after = asyncio.create_task(lane.run(lambda: "after"))
        await asyncio.sleep(0)
        assert not after.done()
        go.set()
        assert await after == "after"
        lane.close()

    asyncio.run(main())


def test_one_client_leaves_a_part_of_a_budget_to_others() -> None:
    budget = Budget(100, Monitoring())
    with as_client("a"):
        budget.take(50)
        budget.take(25)
        with pytest.raises(Overloaded):
            budget.take(1)
    with as_client("b"):
        budget.take(25)
        budget.give(25)
    with as_client("a"):
        budget.give(75)
    assert budget.held == 0


def test_a_budget_is_given_back_and_one_alone_may_exceed_it() -> None:
    budget = Budget(100, Monitoring())
    budget.take(150)
    with pytest.raises(Overloaded):
        budget.take(1)
    with as_client("other"), pytest.raises(Overloaded):
        budget.take(1)
    budget.give(150)
    budget.take(60)
    with as_client("other"):
        budget.take(40)
        with pytest.raises(Overloaded):
            budget.take(1)
    assert budget.held == 100


def test_bodies_of_all_clients_together_are_bounded() -> None:
    """Each sends half a megabyte and waits: three fit, others are refused, and small ones never are."""
    arrived = 0

    async def main() -> None:
        budget, go = Budget(3 * 500_000, Monitoring()), asyncio.Event()

        async def read_and_wait(scope: Any, receive: Any, send: Any) -> None:
            nonlocal arrived
            while (await receive())["more_body"]:
                pass
            arrived += 1
            await go.wait()

        app = BodyLimit(read_and_wait, limit=10**6, budget=budget)

        async def post(size: int) -> None:
            parts = [b"x" * 50_000] * (size // 50_000)

            async def receive() -> dict[str, Any]:
                await asyncio.sleep(0)
                return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

            await app({"type": "http", "path": "/", "headers": []}, receive, None)  # type: ignore[arg-type]

        large = [asyncio.create_task(post(500_000)) for _ in range(10)]
        small = [asyncio.create_task(post(FREE_BYTES // 50_000 * 50_000)) for _ in range(10)]
        while arrived < 13 and sum(task.done() for task in large) < 7:
            await asyncio.sleep(0)
        assert budget.held <= budget.most
        go.set()
        outcomes = await asyncio.gather(*large, *small, return_exceptions=True)
        refused = [outcome for outcome in outcomes[:10] if outcome is not None]
        assert 6 <= len(refused) < 10
        assert {each.problem.status for each in refused if isinstance(each, ProblemError)} == {503}
        assert outcomes[10:] == [None] * 10
        assert budget.held == 0

    asyncio.run(main())


@pytest.mark.parametrize(("seconds", "outcome"), [(0.05, "408"), (AT_MOST, "whole")])
def test_a_file_that_comes_byte_by_byte_is_not_waited_for(seconds: float, outcome: str) -> None:
    """Each part comes in time; but only who sends enough of them a second may go on."""

    async def main() -> str:
        async def read_all(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["more_body"]:
                pass

        parts = iter(range(200))

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.001)
            return {"type": "http.request", "body": b"x", "more_body": next(parts) < 199}

        # Two hundred bytes are worth 20 ms more, and take 200 at least.
        app = BodyLimit(read_all, limit=1, budget=Budget(1, Monitoring()), to_disk={"/files": 1000}, seconds=seconds)
        try:
            await app({"type": "http", "path": "/files", "headers": []}, receive, None)  # type: ignore[arg-type]
        except ProblemError as error:
            return str(error.problem.status)
        return "whole"

    assert asyncio.run(main()) == outcome


def asked(app: Any, *requests: tuple[str, str, Any]) -> list[httpx2.Response]:
    """Send requests at the same time, in one event loop."""

    async def main() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=AT_MOST) as client:
            sent = [client.request(method, path, json=body) for method, path, body in requests]
            return list(await asyncio.gather(*sent))

    return asyncio.run(main())


def test_batches_of_all_clients_together_hold_so_many_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three quarters of it, which one client may have, are two batches.
    monkeypatch.setattr("qa.web.app._MOST_PASSAGES", 140)
    service = SlowService()
    service.limits = Limits(200, 50, 4)
    app = create_app(service)
    batch = {"questions": [{"question": "ferry", "top_k": 50}]}

    async def main() -> list[httpx2.Response]:
        found = []
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
            sent = [asyncio.create_task(client.post("/v1/ask/batch", json=batch)) for _ in range(5)]
            for next_one in asyncio.as_completed(sent):
                found.append(await next_one)
                if len(found) == 3:
                    # The refused, who wait for nobody; only then are the others answered, and their places free.
                    service.go.set()
        return found

    found = asyncio.run(main())
    assert [response.status_code for response in found] == [503, 503, 503, 200, 200]
    refused = next(response for response in found if response.status_code == 503)
    assert (refused.json()["type"], refused.headers["retry-after"]) == ("urn:qa:problem:overloaded", "2")
    # What was sent is held no longer.
    assert [response.status_code for response in asked(app, ("POST", "/v1/ask/batch", batch))] == [200]


def test_a_long_batch_is_sent_in_parts_and_is_whole() -> None:
    service = FakeService()
    service.limits = Limits(200, 10, 256)
    app = create_app(service)
    long = {"questions": ["a" * 150 + "?", "impossible"] * 128}
    parts: list[bytes] = []

    async def main() -> None:
        bodies = [json.dumps(long).encode()]

        async def receive() -> dict[str, Any]:
            if not bodies:
                await anyio.sleep_forever()
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                parts.append(message["body"])

        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "POST",
            "path": "/v1/ask/batch", "raw_path": b"/v1/ask/batch", "root_path": "", "scheme": "http",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"localhost")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        await app(scope, receive, send)

    monkey = pytest.MonkeyPatch()
    monkey.setattr("qa.web.api.routes._SMALL", 10_000)
    asyncio.run(main())
    monkey.undo()
    results = json.loads(b"".join(parts))["results"]
    assert [result["ok"] for result in results] == [True, False] * 128
    assert len(parts) > 100


class Library(FakeService):
    """A service with one document of many megabytes, and many files."""

    pieces = 40
    files = 2500

    def stream(self, id: str) -> StreamedDocument:
        found = super().stream(FERRY.id)
        return replace(found, text=self._text(), sections=iter(FERRY.sections * 1500))

    def _text(self) -> Iterator[str]:
        for number in range(self.pieces):
            yield f'{number} "é\n\x01' + "x" * 100_000

    def document(self, id: str) -> SnapshotDocument:
        found = super().document(FERRY.id)
        document = replace(found.document, text="".join(self._text()), sections=FERRY.sections * 1500)
        return replace(found, document=document)

    def collection(self) -> Collection:
        names = [f"{n:05}.txt" for n in range(self.files)]
        documents = tuple(DocumentSummary(name, name, "text/plain", "0" * 64, 1, 0, 1) for name in names[:-300])
        return Collection("s", documents, tuple(FileReport(name, "read") for name in names))


def test_a_long_document_is_sent_in_parts_and_is_what_it_was() -> None:
    service = Library()
    (sent,) = asked(create_app(service), ("GET", f"/v1/documents/{FERRY.id}", None))
    whole = service.document(FERRY.id).document
    found = sent.json()
    assert found["text"] == whole.text
    assert len(found["sections"]) == 3000
    assert found["sections"][1]["title"] == "Tickets"
    assert (found["id"], found["title"], found["problems"]) == (FERRY.id, FERRY.title, [])
    assert [(page["number"], page["start"], page["end"]) for page in found["pages"]] == [(1, 0, len(FERRY.text))]
    assert "content-length" not in sent.headers


def test_the_page_of_a_long_document_reads_it_in_parts_and_no_further_than_it_shows() -> None:
    class Shelf(Library):
        taken = 0

        def document(self, id: str) -> SnapshotDocument:
            raise AssertionError("the whole document was read")

        def stream(self, id: str) -> StreamedDocument:
            text = "".join(self._pieces())
            return replace(FakeService().stream(id), text=self._counted(), characters=len(text))

        def _pieces(self) -> Iterator[str]:
            return (f"line {number}\n" * 10_000 for number in range(100, 140))

        def _counted(self) -> Iterator[str]:
            for piece in self._pieces():
                self.taken += 1
                yield piece

    service = Shelf()
    (page,) = asked(create_app(service), ("GET", f"/documents/{FERRY.id}?start=450000&end=450008", None))
    assert page.status_code == 200
    assert ">line 105</mark>" in page.text
    assert service.taken == 6


def test_judgments_are_compared_with_their_documents_two_at_a_time(tmp_path: Path) -> None:
    """Each holds the whole text of a document, which may have many megabytes."""
    work = Gated()

    class Slow(FakeService):
        def document(self, id: str) -> SnapshotDocument:
            work()
            return super().document(id)

    app = create_app(Slow(), options=Options(feedback=tmp_path / "feedback.jsonl"))
    shown = hashlib.sha256(FERRY.text[:20].encode()).hexdigest()
    form = {"document": FERRY.id, "start": "0", "end": "20", "shown": shown, "verdict": "yes"}

    async def main() -> None:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=AT_MOST) as client:
            sent = [asyncio.create_task(client.post("/feedback", data={**form, "q": f"q {n}"})) for n in range(8)]
            for _ in range(2):
                assert await asyncio.to_thread(work.begun.acquire, timeout=AT_MOST)
            assert (await client.get("/healthz")).status_code == 200
            work.go.set()
            assert {(await response).status_code for response in sent} == {303}
        assert work.most == 2

    asyncio.run(main())


def test_lists_are_given_in_parts_that_lead_to_each_other() -> None:
    app = create_app(Library())
    documents: list[str] = []
    files: list[str] = []
    offset: int | None = 0
    while offset is not None:
        (part,) = asked(app, ("GET", f"/v1/documents?offset={offset}", None))
        found = part.json()
        assert (found["total"], found["files"]) == (2200, 2500)
        assert len(found["report"]) <= 1000
        documents += [each["id"] for each in found["documents"]]
        files += [each["id"] for each in found["report"]]
        offset = found["next"]
    assert (len(documents), len(set(documents)), len(files), len(set(files))) == (2200, 2200, 2500, 2500)


@pytest.mark.parametrize("query", ["limit=1001", "limit=0", "offset=-1", "offset=1e99", "limit=x"])
def test_a_part_of_a_list_is_within_bounds(query: str) -> None:
    (refused,) = asked(create_app(FakeService()), ("GET", f"/v1/documents?{query}", None))
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("path", ["/v1/ask?q=ferry", "/?q=ferry", "/documents", "/v1/documents"])
def test_an_address_has_so_many_parameters(path: str) -> None:
    many = f"{path}{'&' if '?' in path else '?'}{'&'.join(['a=1'] * 501)}"
    (refused,) = asked(create_app(FakeService()), ("GET", many, None))
    assert (refused.status_code, refused.json()["detail"]) == (422, "The address has more than 500 parameters.")


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/ask/batch"])
def test_a_body_of_unknown_fields_is_explained_by_the_first_few(path: str) -> None:
    body = {f"field {number}": 1 for number in range(5000)} | {"x" * 50_000: 1}
    (refused,) = asked(create_app(FakeService()), ("POST", path, body))
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) <= 21
    assert len(refused.content) < 10_000


def test_a_body_of_nothing_but_values_is_not_parsed() -> None:
    app = create_app(FakeService())
    body: dict[str, object] = {"questions": [0] * 150_000}
    (refused,) = asked(app, ("POST", "/v1/ask/batch", body))
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:qa:problem:invalid-request")
    assert "about 149,999 values; at most 100,000" in refused.json()["detail"]


def test_uploads_wait_in_a_line_of_their_own_while_others_are_answered(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.fake_evaluations import FakeEvaluations

    evaluations = FakeEvaluations(tmp_path)
    begun, go = threading.Event(), threading.Event()
    submit = evaluations.submit

    def submit_slowly(*arguments: Any) -> Any:
        begun.set()
        assert go.wait(AT_MOST)
        return submit(*arguments)

    monkeypatch.setattr(evaluations, "submit", submit_slowly)
    app = create_app(FakeService(), evaluations, Options())

    async def main() -> None:
        transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=AT_MOST) as client:
            headers = {"Content-Type": "application/x-ndjson"}
            address = "/v1/evaluations?top_k=5"
            sent = [
                asyncio.create_task(client.post(address, content=b'{"question": "a?"}', headers=headers))
                for _ in range(42)
            ]
            await asyncio.to_thread(begun.wait, AT_MOST)
            # The framework's threads, which these need, are free.
            for path in ("/v1/ask?q=ferry", "/", "/documents", f"/v1/documents/{FERRY.id}"):
                assert (await client.get(path)).status_code == 200
            go.set()
            statuses = [(await response).status_code for response in sent]
            assert (statuses.count(202), statuses.count(503)) == (3, 39)

    asyncio.run(main())
