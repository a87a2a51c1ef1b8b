"""A full queue behind a real server: who is refused, with what, and that the connection is good for the next one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from qa.web.app import create_app
from qa.web.options import Options
from tests.web.test_asking import SlowService
from tests.web.uvicorn_server import serving

Address = tuple[str, int]


@pytest.fixture
def service() -> SlowService:
    return SlowService()


@pytest.fixture
def app(service: SlowService) -> FastAPI:
    return create_app(service, options=Options(max_waiting=1))


@pytest.fixture
def full(app: FastAPI, service: SlowService) -> Iterator[Address]:
    """A server whose two workers and whose queue are taken, until ``service.go`` is set."""
    with serving(app) as address:
        askers = [threading.Thread(target=get, args=(address, "/v1/ask?q=ferry")) for _ in range(3)]
        for number, asker in enumerate(askers):
            asker.start()
            if number < 2:
                assert service.begun.acquire(timeout=30)
        while not app.state.asking.batcher.is_full():
            pass
        yield address
        service.go.set()
        for asker in askers:
            asker.join()


def get(address: Address, target: str) -> list[tuple[int, dict[str, str], bytes]]:
    return talk(address, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())


def talk(address: Address, request: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """What comes back until the server closes: status, headers and body of each response."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while block := connection.recv(65_536):
            received += block
    responses = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        responses.append((int(first.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return responses


def test_a_refusal_is_whole_and_the_connection_stays(full: Address) -> None:
    one = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine-1\r\n\r\n"
    health = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    refused, again, well = talk(full, one + one + health)
    for status, headers, body in (refused, again):
        assert status == 503
        assert json.loads(body)["type"] == "urn:qa:problem:overloaded"
        assert headers["content-type"] == "application/problem+json"
        assert 1 <= int(headers["retry-after"]) <= 30
        assert headers["x-request-id"] == "mine-1"
        assert headers["date"]
        assert headers["content-security-policy"] == well[1]["content-security-policy"]
        assert "connection" not in headers
    assert well[0] == 200


def test_whoever_wants_the_connection_closed_has_it_closed(full: Address) -> None:
    ((status, headers, _),) = get(full, "/v1/ask?q=ferry")
    assert (status, headers["connection"]) == (503, "close")
    old = b"GET /v1/ask?q=ferry HTTP/1.0\r\nHost: a\r\n\r\n"
    assert [response[0] for response in talk(full, old)] == [503]


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/ask?q=a"])
def test_one_with_a_body_is_refused_too(full: Address, path: str) -> None:
    for method in (b"POST", b"GET"):
        head = b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n" % (method, path.encode())
        assert [response[0] for response in talk(full, head + b"{}{}")] == [503]


def test_responses_come_in_the_order_of_the_requests(full: Address, service: SlowService) -> None:
    """One that is being answered is not overtaken by the refusal of the next."""
    batch = json.dumps({"questions": ["ferry", "quay"]}).encode()
    head = b"POST /v1/ask/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    opener = threading.Timer(0.5, service.go.set)
    opener.start()
    first, second = talk(full, head % len(batch) + batch + last)
    opener.join()
    assert (first[0], b"results" in first[2]) == (200, True)
    assert second[0] in (200, 503)


def test_other_paths_have_room(full: Address) -> None:
    assert [get(full, path)[0][0] for path in ("/healthz", "/documents", "/v1/documents")] == [200] * 3


def test_refusals_are_counted(full: Address) -> None:
    for _ in range(3):
        get(full, "/v1/ask?q=ferry")
    ((_, _, text),) = get(full, "/metrics")
    assert b'qa_refused_total{reason="overloaded"} 3.0' in text
