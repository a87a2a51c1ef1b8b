"""Requests that the first worker answers for the others, over a socket of their own."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.workers.forwarding import Forwarding, FromWorkers, is_for_first
from tests.support.uvicorn_server import serving
from tests.support.waiting import AT_MOST, wait_for

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/ask", False),
        ("POST", "/v1/ask/batch", False),
        ("GET", "/v1/index", True),
        ("POST", "/v1/snapshots/x/activate", True),
        ("POST", "/v1/collections/hr/index", True),
        ("GET", "/collections/hr/evaluate", True),
        ("GET", "/evaluated", False),
        ("GET", "/v1/documents", False),
        ("HEAD", "/v1/documents/a.txt", False),
        ("DELETE", "/v1/documents/a.txt", True),
        ("POST", "/v1/documents", True),
        ("POST", "/upkeep/upload", True),
        ("GET", "/unanswered", True),
        ("GET", "/metrics", False),
        ("POST", "/mcp", False),
    ],
)
def test_only_the_first_worker_changes_documents_and_evaluates(method: str, path: str, expected: bool) -> None:
    assert is_for_first(method, path) is expected


class First:
    """The first worker's application, which says what it was asked."""

    def __init__(self) -> None:
        self.hung_up = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].endswith("/refused"):
            await self._respond(send, 413, b"too large", [(b"connection", b"close")])
            return
        if scope["path"].endswith("/waits"):
            message = await receive()
            while message["type"] != "http.disconnect":
                message = await receive()
            self.hung_up += 1
            return
        if scope["path"].endswith("/breaks"):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("broken")
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = {
            "method": scope["method"],
            "target": f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}",
            "client": scope["client"],
            "scheme": scope["scheme"],
            "headers": [name.decode() for name, _ in scope["headers"]],
            "bytes": len(body),
        }
        await self._respond(send, 200, json.dumps(said).encode(), [(b"x-of", b"first")])

    @staticmethod
    async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        named = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": body})


async def answer_itself(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await First._respond(send, 200, b"itself", [])


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for a socket's address."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def two_workers(first: ASGIApp) -> Iterator[tuple[str, int]]:
    """Serve as the second of two workers does, and give its address."""
    with short_folder() as folder:
        path = folder / "first.socket"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        with serving(FromWorkers(first), listening=listening), serving(Forwarding(answer_itself, path)) as address:
            yield address


@pytest.fixture
def first() -> First:
    return First()


@pytest.fixture
def address(first: First) -> Iterator[tuple[str, int]]:
    with two_workers(first) as address:
        yield address


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=AT_MOST) as client:
        yield client


def test_a_question_is_answered_by_the_worker_that_is_asked(client: httpx2.Client) -> None:
    assert client.get("/v1/ask?q=x").text == "itself"


def test_the_first_worker_sees_the_request_as_its_client_sent_it(client: httpx2.Client) -> None:
    spoofed = {"x-qa-worker-client": "https 1 192.0.2.1", "X-Forwarded-For": "198.51.100.9"}
    reply = client.get("/v1/index/a%2Fb?x=%20y", headers=spoofed)
    said = reply.json()
    assert (said["method"], said["target"]) == ("GET", "/v1/index/a%2Fb?x=%20y")
    # By uvicorn, which believes a proxy on this machine.
    assert said["client"][0] == "198.51.100.9"
    assert said["scheme"] == "http"
    assert "x-qa-worker-client" not in said["headers"]
    assert "x-forwarded-for" in said["headers"]
    assert reply.headers["x-of"] == "first"
    assert len(reply.headers.get_list("date")) == 1


def test_who_is_no_worker_cannot_say_that_another_asks() -> None:
    with serving(FromWorkers(First())) as (host, port):
        spoofed = {"x-qa-worker-client": "https 1 192.0.2.1"}
        said = httpx2.get(f"http://{host}:{port}/v1/index", headers=spoofed, timeout=AT_MOST).json()
    assert said["client"][0] == "127.0.0.1"
    assert "x-qa-worker-client" not in said["headers"]


def test_who_has_reset_the_connection_cannot_say_so_either() -> None:
    """The system then gives no address of the client, and still what it sent."""
    clients: list[object] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            clients.append(scope["client"])
            await First._respond(send, 200, b"", [])

    listening = socket.create_server(("127.0.0.1", 0))
    connection = socket.create_connection(listening.getsockname(), AT_MOST)
    head = b"DELETE /v1/documents/a HTTP/1.1\r\nHost: localhost\r\n"
    connection.sendall(head + b"X-QA-Worker-Client: http 1 127.0.0.1\r\n\r\n")
    # Closed so, a connection is reset at once.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    with serving(FromWorkers(note), listening=listening):
        wait_for(lambda: bool(clients))
    assert clients == [None]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_body_is_passed_on_as_it_comes(client: httpx2.Client, chunked: bool) -> None:
    parts = [b"a" * 100_000 for _ in range(50)]
    content: Any = iter(parts) if chunked else b"".join(parts)
    assert client.post("/v1/documents", content=content).json()["bytes"] == 5_000_000


def test_a_head_request_has_the_headers_of_a_get_request(client: httpx2.Client) -> None:
    reply = client.head("/v1/index")
    assert reply.status_code == 200
    assert int(reply.headers["content-length"]) > 0
    # The connection serves on.
    assert client.get("/v1/index").json()["method"] == "GET"


def test_a_refusal_before_the_body_s_end_reaches_the_client(address: tuple[str, int]) -> None:
    with socket.create_connection(address, AT_MOST) as connection:
        head = "POST /v1/documents/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + b"a" * 1000)
        received = b""
        while data := connection.recv(65_536):
            received += data
    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(b"too large")


def test_a_client_that_hangs_up_hangs_up_on_the_first_worker(address: tuple[str, int], first: First) -> None:
    with socket.create_connection(address, AT_MOST) as connection:
        connection.sendall(b"POST /v1/evaluations/waits HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    wait_for(lambda: first.hung_up)


def test_a_response_that_breaks_off_does_so_for_the_client(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/v1/evaluations/breaks")


def test_without_the_first_worker_the_client_is_asked_to_come_again(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/index",
        "raw_path": b"/v1/index",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-request-id", b"mine")],
    }
    asyncio.run(Forwarding(answer_itself, tmp_path / "none")(scope, receive, send))
    assert sent[0]["status"] == 503
    headers = dict(sent[0]["headers"])
    assert headers[b"retry-after"] == b"2"
    assert headers[b"x-request-id"] == b"mine"
    assert json.loads(sent[1]["body"])["status"] == 503


def test_a_client_that_leaves_at_the_end_of_its_response_leaves_no_error() -> None:
    logged: list[dict[str, Any]] = []

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()

    async def run() -> list[int]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))
        answered = []
        parts = iter([{"type": "http.request", "body": b"x", "more_body": True}])

        async def receive() -> Any:
            if (part := next(parts, None)) is not None:
                return part
            # It ends when the rest of the body is given up, and by no cancellation: asyncio logs what nobody looks at.
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "first.socket"
            async with await asyncio.start_unix_server(answer_early, path):
                await Forwarding(_never, path)(_upload(), receive, send)
        for _ in range(9):
            await asyncio.sleep(0)
        gc.collect()
        return answered

    assert asyncio.run(run()) == [413]
    assert logged == []


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the first worker answers")


def _upload() -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/documents",
        "raw_path": b"/v1/documents",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"content-length", b"9")],
    }
