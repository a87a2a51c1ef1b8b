"""The tools of ``/mcp``, by the protocol's own client: what a model is told, and what it is not."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from structlog.testing import capture_logs

from qa.client import Client
from qa.errors import RequestRefused
from qa.settings import Settings
from qa.types import Eq, Range, StreamedDocument
from qa.web.deps import Options
from qa.web.mcp import McpEndpoint, build_server
from qa.web.middleware.access import new_key, parse_keys
from tests.conftest import REPOSITORY
from tests.support.fake_service import FERRY, LOADING, SNAPSHOT, FakeService
from tests.support.served import serving

Use = Callable[[Any], Coroutine[Any, Any, None]]


@asynccontextmanager
async def connected(target: Any) -> AsyncIterator[Any]:
    from mcp import Client

    async with Client(target) as client:
        yield client


@pytest.fixture
def using(service: FakeService) -> Callable[[Use], None]:
    """Run a coroutine with a client that is connected in this process."""

    async def ask(query: Any) -> Any:
        return service.ask(query)

    def run(use: Use) -> None:
        async def main() -> None:
            async with connected(build_server(service, ask, "1")) as client:
                await use(client)

        anyio.run(main)

    return run


def test_three_tools_are_there_and_say_what_they_take(using: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"ask", "list_documents", "read_document"}
        for tool in tools.values():
            assert tool.description
            assert tool.annotations.read_only_hint
            assert all("description" in field for field in tool.input_schema["properties"].values())
        assert tools["ask"].input_schema["required"] == ["question"]

    using(use)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"question": "x", "foo": 1}, "foo is not a known field. Known fields: question, top_k, "),
        ({"question": "x", "top_k": "many"}, "top_k must be a whole number."),
        ({}, "question is missing; it is required."),
    ],
)
def test_wrong_arguments_are_refused_in_words(
    using: Callable[[Use], None], arguments: dict[str, Any], said: str
) -> None:
    async def use(client: Any) -> None:
        refused = await client.call_tool("ask", arguments)
        assert refused.is_error
        assert refused.content[0].text.startswith(said)
        assert "pydantic" not in refused.content[0].text

    using(use)


def test_a_filter_limits_asking_and_listing(using: Callable[[Use], None], service: FakeService) -> None:
    async def use(client: Any) -> None:
        arguments = {"question": "ferry?", "filter": ["folder=notes", "date>=2024"]}
        found = (await client.call_tool("ask", arguments)).structured_content
        assert {each["document"]["id"] for each in found["passages"]} == {FERRY.id}
        assert service.asked[0].filter == (Eq("folder", "notes"), Range("date", "2024"))
        listed = (await client.call_tool("list_documents", {"filter": ["folder=notes"]})).structured_content
        assert (listed["total"], listed["documents"][0]["id"]) == (1, FERRY.id)
        for tool in ("ask", "list_documents"):
            for wrong, said in (("autor=Ann", "did you mean author? Fields: folder, type"), ("x", "is no condition")):
                refused = await client.call_tool(
                    tool, arguments | {"filter": [wrong]} if tool == "ask" else {"filter": [wrong]}
                )
                assert refused.is_error
                assert said in refused.content[0].text

    using(use)


def test_numbers_out_of_range_are_refused_in_words(using: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        refused = await client.call_tool("list_documents", {"limit": 0})
        assert refused.content[0].text == "limit must be at least 1."
        refused = await client.call_tool("read_document", {"id": "a", "characters": 10**6})
        assert refused.content[0].text == "characters must be at most 50,000."

    using(use)


@pytest.mark.server
def test_a_request_larger_than_a_question_is_refused_unread(service: FakeService) -> None:
    arguments = {"pattern": "*" * 3_200_000}
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_documents", "arguments": arguments},
    }
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with serving(service) as address:
        assert httpx2.post(f"{address}/mcp", json=request, headers=headers).status_code == 413


def test_patterns_and_ids_have_a_longest_length(using: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        for tool, argument in (("list_documents", "pattern"), ("read_document", "id")):
            refused = await client.call_tool(tool, {argument: "*" * 4097})
            assert refused.content[0].text == f"{argument} may have at most 4,096 characters."

    using(use)


def test_a_question_may_lean_on_one_before(using: Callable[[Use], None], service: FakeService) -> None:
    async def use(client: Any) -> None:
        arguments = {"question": "Why?", "previous": ["When does the ferry leave?"], "read_tokens": 400}
        found = await client.call_tool("ask", arguments)
        assert found.structured_content["searched"] == "Why does the ferry leave?"
        assert service.asked[0].read_tokens == 400

    using(use)


def test_documents_are_never_looked_through_on_the_event_loop(
    using: Callable[[Use], None], service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_in: list[str] = []
    listing, stream = service.listing, service.stream

    def list_and_note(*arguments: Any) -> Any:
        looked_in.append(threading.current_thread().name)
        return listing(*arguments)

    def read_and_note(id: str) -> Any:
        looked_in.append(threading.current_thread().name)
        return stream(id)

    monkeypatch.setattr(service, "listing", list_and_note)
    monkeypatch.setattr(service, "stream", read_and_note)

    async def use(client: Any) -> None:
        await client.call_tool("list_documents", {"pattern": "*a*"})
        await client.call_tool("read_document", {"id": FERRY.id})
        assert len(looked_in) == 2
        assert threading.current_thread().name not in looked_in

    using(use)


def test_what_is_found_can_be_checked_by_reading_its_document(using: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        asked = await client.call_tool("ask", {"question": "When does the ferry leave?", "top_k": 1})
        assert not asked.is_error
        found = asked.structured_content
        assert json.loads(asked.content[0].text) == found
        (passage,) = found["passages"]
        part = {"start": passage["start"], "characters": passage["end"] - passage["start"]}
        read = await client.call_tool("read_document", {"id": passage["document"]["id"], **part})
        assert read.structured_content["text"] == passage["text"]
        assert read.structured_content["snapshot"] == found["snapshot"] == SNAPSHOT
        assert [section["title"] for section in read.structured_content["sections"]] == ["Crossing the bay"]

    using(use)


def test_documents_are_listed_in_parts_and_read_in_parts(using: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        first = (await client.call_tool("list_documents", {"limit": 1})).structured_content
        assert (first["total"], len(first["documents"])) == (2, 1)
        notes = (await client.call_tool("list_documents", {"pattern": "notes/*"})).structured_content
        assert [one["id"] for one in notes["documents"]] == [FERRY.id]
        text, start = "", 0
        while start < len(FERRY.text):
            call = {"id": FERRY.id, "start": start, "characters": 50}
            part = (await client.call_tool("read_document", call)).structured_content
            text, start = text + part["text"], part["end"]
        assert text == FERRY.text

    using(use)


def test_a_long_document_is_never_held_whole(
    using: Callable[[Use], None], service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    stream = service.stream

    def text() -> Iterator[str]:
        for number in range(30):
            taken.append(number)
            yield f"{number:02}" * 500_000

    def stream_long(id: str) -> StreamedDocument:
        return replace(stream(id), text=text(), characters=30 * 10**6)

    monkeypatch.setattr(service, "stream", stream_long)

    async def use(client: Any) -> None:
        call = {"id": FERRY.id, "start": 2_999_990, "characters": 20}
        part = (await client.call_tool("read_document", call)).structured_content
        assert (part["text"], part["end"], part["characters"]) == ("02" * 5 + "03" * 5, 3_000_010, 30 * 10**6)
        last = (await client.call_tool("read_document", {**call, "start": 10**9})).structured_content
        assert (last["text"], last["start"], last["end"]) == ("", 30 * 10**6, 30 * 10**6)

    using(use)
    assert taken == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("ask", {"question": " "}, "question"),
        ("ask", {"question": "Why?", "top_k": 11}, "top_k"),
        ("ask", {"question": "What is impossible?"}, "the question is impossible; ask another"),
        ("ask", {"question": "Why?", "mode": "magic"}, "mode"),
        ("read_document", {"id": "../CURRENT"}, "no indexed document has the id"),
        ("read_document", {"id": FERRY.id, "characters": 10**9}, "characters"),
    ],
)
def test_what_is_wrong_is_told(using: Callable[[Use], None], tool: str, arguments: dict[str, Any], said: str) -> None:
    async def use(client: Any) -> None:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert said in result.content[0].text

    using(use)


def test_while_it_loads_the_model_is_told_so(using: Callable[[Use], None], service: FakeService) -> None:
    service.current = LOADING

    async def use(client: Any) -> None:
        for tool, arguments in (("ask", {"question": "Why?"}), ("list_documents", {}), ("read_document", {"id": "a"})):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert "are being loaded" in result.content[0].text

    using(use)


def test_a_failure_of_our_own_tells_nothing_of_the_inside(using: Callable[[Use], None], service: FakeService) -> None:
    service.failure = RuntimeError("/srv/secret")

    async def use(client: Any) -> None:
        result = await client.call_tool("ask", {"question": "Why?"})
        assert result.is_error
        assert "secret" not in result.content[0].text

    using(use)


@pytest.mark.server
def test_over_http_beside_everything_else(service: FakeService) -> None:
    with serving(service) as address:

        async def main() -> None:
            async with connected(f"{address}/mcp") as client:
                found = await client.call_tool("ask", {"question": "When does the ferry leave?"})
                assert found.structured_content["passages"][0]["document"]["id"] == FERRY.id
            # A second client, after the first: there are no sessions to be left over.
            async with connected(f"{address}/mcp") as client:
                assert len((await client.list_tools()).tools) == 3

        anyio.run(main)


@pytest.mark.server
def test_a_first_start_that_failed_is_tried_again(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [ImportError("no memory for it just now")]

    def build_at_the_second_try(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return build_server(*arguments)

    monkeypatch.setattr("qa.web.app.build_server", build_at_the_second_try)
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with serving(service) as address:
        assert httpx2.post(f"{address}/mcp", json=request, headers=headers).status_code == 500
        listed = httpx2.post(f"{address}/mcp", json=request, headers=headers)
    assert len(listed.json()["result"]["tools"]) == 3


def test_a_transport_that_has_ended_is_started_again() -> None:
    class Manager:
        """A transport whose first run ends with an error as soon as a request was handled."""

        def __init__(self, ends: bool) -> None:
            self.ends = ends
            self.handled = anyio.Event()

        @asynccontextmanager
        async def run(self) -> AsyncIterator[None]:
            async with anyio.create_task_group() as group:
                if self.ends:
                    group.start_soon(self._end)
                yield
                group.cancel_scope.cancel()

        async def _end(self) -> None:
            await self.handled.wait()
            raise RuntimeError("broken")

        async def handle_request(self, *request: Any) -> None:
            self.handled.set()

    managers = [Manager(ends=True), Manager(ends=False)]

    class Endpoint(McpEndpoint):
        def _make_manager(self) -> Any:
            return managers[made.append(1) or len(made) - 1]  # type: ignore[func-returns-value]

    made: list[int] = []

    async def main() -> None:
        endpoint = Endpoint(lambda: None)  # type: ignore[arg-type, return-value]
        await endpoint({}, None, None)  # type: ignore[arg-type]
        while len(made) < 2:
            await endpoint({}, None, None)  # type: ignore[arg-type]
            await anyio.sleep(0)
        await endpoint.close()
        assert managers[1].handled.is_set()

    with capture_logs() as logs:
        anyio.run(main)
    assert [line["event"] for line in logs] == ["the transport at /mcp has ended; the next request starts it again"]


@pytest.mark.server
@pytest.mark.model
def test_over_standard_input_as_a_desktop_client_starts_it(tmp_path: Path) -> None:
    from mcp import StdioServerParameters

    from qa.build.update import SilentListener, update

    settings = Settings(indexes=tmp_path / "indexes", name="seeds")
    update(settings, [REPOSITORY / "seeds"], SilentListener())
    command = str(Path(sys.executable).parent / "qa")
    arguments = ["mcp", "--indexes", str(settings.indexes)]

    async def main() -> None:
        environment = {"PATH": os.environ["PATH"]}
        async with connected(StdioServerParameters(command=command, args=arguments, env=environment)) as client:
            asked = await client.call_tool("ask", {"question": "How far is the army from Mosul?", "top_k": 1})
            assert "three to four miles" in asked.structured_content["passages"][0]["text"]

    anyio.run(main)


@pytest.mark.server
def test_keys_and_hosts_hold_here_as_everywhere(service: FakeService) -> None:
    secret, entry = new_key("model", "ask")
    options = Options(keys=parse_keys(entry), allowed_hosts=("localhost",))
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with serving(service, options) as address:
        refused = httpx2.post(f"{address}/mcp", json=request, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:qa:problem:unauthorized")
        headers["Authorization"] = f"Bearer {secret}"
        elsewhere = httpx2.post(f"{address}/mcp", json=request, headers={**headers, "Host": "evil.example"})
        assert (elsewhere.status_code, elsewhere.json()["type"]) == (421, "urn:qa:problem:host-not-allowed")
        listed = httpx2.post(f"{address}/mcp", json=request, headers=headers)
        assert len(listed.json()["result"]["tools"]) == 3
        with Client(address, api_key=secret) as client:
            assert client.documents().snapshot == SNAPSHOT
        with Client(address) as client, pytest.raises(RequestRefused) as unauthorized:
            client.documents()
        assert unauthorized.value.status == 401


@pytest.mark.server
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_stream_is_opened_that_would_never_end(service: FakeService, method: str) -> None:
    with serving(service) as address:
        headers = {"Accept": "application/json, text/event-stream", "Mcp-Session-Id": "x"}
        refused = httpx2.request(method, f"{address}/mcp", headers=headers, timeout=20)
    # As the transport has it for a server that offers no such stream.
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
