"""A full queue behind a real server: who is refused, with what, and that the connection is good for the next one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.overload import HELD_SECONDS, Patience
from tests.support.fake_service import SlowService
from tests.support.uvicorn_server import serving
from tests.support.waiting import AT_MOST, wait_for

Address = tuple[str, int]
ASKING = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\n\r\n"
POSTING = b"POST /v1/ask HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
# Seconds that a connection may rest.
KEEP_ALIVE = 1


@pytest.fixture
def service() -> SlowService:
    return SlowService()


def make_app(service: SlowService, waiting: int) -> FastAPI:
    # On every machine.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qa.web.app.count_workers", lambda processes: 2)
        return create_app(service, options=Options(max_waiting=waiting))


@pytest.fixture
def app(service: SlowService) -> FastAPI:
    return make_app(service, 1)


@contextmanager
def filled(app: FastAPI, service: SlowService, waiting: int = 1) -> Iterator[Address]:
    """Run a server whose two workers are occupied until ``service.go`` is set, with so many questions that wait."""
    batcher = app.state.dependencies.asking.batcher
    with serving(app, keep_alive=KEEP_ALIVE) as address:
        askers = [threading.Thread(target=get, args=(address, "/v1/ask?q=ferry")) for _ in range(2 + waiting)]
        for number, asker in enumerate(askers):
            asker.start()
            if number < 2:
                assert service.begun.acquire(timeout=AT_MOST)
        wait_for(lambda: batcher.waiting == waiting)
        try:
            yield address
        finally:
            service.go.set()
            for asker in askers:
                asker.join()


@pytest.fixture
def full(app: FastAPI, service: SlowService) -> Iterator[Address]:
    with filled(app, service) as address:
        yield address


def get(address: Address, target: str) -> list[tuple[int, dict[str, str], bytes]]:
    return talk(address, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())


def talk(address: Address, request: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Read until the server closes; return status, headers and body of each response."""
    with socket.create_connection(address, timeout=AT_MOST) as connection:
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


def read_response(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, rest = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65_536)
    return head


@pytest.mark.parametrize("request_", [ASKING, POSTING], ids=["GET", "POST"])
def test_who_asks_again_at_once_is_refused_late(full: Address, request_: bytes) -> None:
    began = time.monotonic()
    with socket.create_connection(full, timeout=AT_MOST) as connection:
        for number in range(3):
            connection.sendall(request_)
            assert read_response(connection).startswith(b"HTTP/1.1 503")
            assert time.monotonic() >= began + number * HELD_SECONDS


def test_a_refusal_that_is_kept_back_is_sent_before_the_next_response(full: Address) -> None:
    with socket.create_connection(full, timeout=AT_MOST) as connection:
        connection.sendall(ASKING)
        read_response(connection)
        connection.sendall(ASKING + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while block := connection.recv(65_536):
            received += block
    assert (received.startswith(b"HTTP/1.1 503"), received.count(b"HTTP/1.1 200")) == (True, 1)


def test_a_refusal_that_is_kept_back_is_sent_before_the_server_ends(app: FastAPI, service: SlowService) -> None:
    with socket.socket() as connection:
        with filled(app, service) as address:
            connection.settimeout(AT_MOST)
            connection.connect(address)
            connection.sendall(ASKING)
            read_response(connection)
            connection.sendall(ASKING)
            refused = b'qa_refused_total{reason="overloaded"} 2.0'
            wait_for(lambda: refused in get(address, "/metrics")[0][2])
        assert read_response(connection).startswith(b"HTTP/1.1 503")
        assert connection.recv(1) == b""


def test_a_connection_that_closes_while_its_refusal_is_kept_back_leaves_the_server_well(
    full: Address, caplog: pytest.LogCaptureFixture
) -> None:
    for request in (ASKING, POSTING):
        with socket.create_connection(full, timeout=AT_MOST) as connection:
            connection.sendall(request)
            read_response(connection)
            connection.sendall(request)
    time.sleep(HELD_SECONDS)
    assert get(full, "/healthz")[0][0] == 200
    # What a callback of the event loop raises is logged.
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), min_size=1))
def test_at_most_one_refusal_is_sent_in_so_many_seconds_to_a_client_that_waits_for_each(
    pauses: list[tuple[float, int]],
) -> None:
    patience, now, sent = Patience(), 100.0, []
    for pause, retry_after in pauses:
        now += pause
        now += patience.hold(now, retry_after)
        sent.append(now)
    assert all(later - earlier >= HELD_SECONDS - 1e-9 for earlier, later in pairwise(sent))
    assert all(sent[k] - sent[k - 1] <= max(pauses[k][0], HELD_SECONDS) + 1e-9 for k in range(1, len(sent)))


def test_requests_that_do_not_wait_for_responses_are_kept_back_no_longer_than_others() -> None:
    patience = Patience()
    assert max(patience.hold(100.0, 30) for _ in range(50)) == HELD_SECONDS


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/ask?q=a"])
def test_one_with_a_body_is_refused_too(full: Address, path: str) -> None:
    for method in (b"POST", b"GET"):
        head = b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n" % (method, path.encode())
        assert [response[0] for response in talk(full, head + b"{}{}")] == [503]


def test_responses_come_in_the_order_of_the_requests(full: Address, app: FastAPI, service: SlowService) -> None:
    """One that is being answered is not overtaken by the refusal of the next."""
    batch = json.dumps({"questions": ["ferry", "quay"]}).encode()
    head = b"POST /v1/ask/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    def answer() -> None:
        # Both of the batch wait beside the one that waits already.
        wait_for(lambda: app.state.dependencies.asking.batcher.waiting == 3)
        service.go.set()

    opener = threading.Thread(target=answer)
    opener.start()
    first, second = talk(full, head % len(batch) + batch + last)
    opener.join()
    assert (first[0], b"results" in first[2]) == (200, True)
    # By then there was room again.
    assert (second[0], b"passages" in second[2]) == (200, True)


def test_a_refusal_does_not_end_the_request_behind_it(full: Address, app: FastAPI, service: SlowService) -> None:
    """Its connection rests in between no longer than the time after which one that rests is closed."""
    shed = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\n\r\n"
    batch = json.dumps({"questions": ["ferry", "quay"]}).encode()
    head = b"POST /v1/ask/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    slow = (head + b"Connection: close\r\n\r\n") % len(batch) + batch

    def answer() -> None:
        wait_for(lambda: app.state.dependencies.asking.batcher.waiting == 3)
        time.sleep(2 * KEEP_ALIVE)
        service.go.set()

    opener = threading.Thread(target=answer)
    opener.start()
    assert [response[0] for response in talk(full, shed + slow)] == [503, 200]
    opener.join()


def test_one_that_sends_and_does_not_read_is_cut_off(full: Address) -> None:
    # More than both ends' buffers hold; were it all answered, it would be gigabytes.
    flood = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000_000
    with socket.create_connection(full, timeout=AT_MOST) as connection, pytest.raises(ConnectionError):
        connection.sendall(flood)


def test_pages_of_allowed_origins_may_read_the_refusal(service: SlowService) -> None:
    app = create_app(service, options=Options(max_waiting=1, origins=("https://a.example",)))
    with filled(app, service) as address:
        origin = b"Host: a\r\nOrigin: https://a.example\r\nConnection: close\r\n"
        ((asked, headers, _),) = talk(address, b"GET /v1/ask?q=ferry HTTP/1.1\r\n" + origin + b"\r\n")
        preflight = b"OPTIONS /v1/ask HTTP/1.1\r\n" + origin + b"Access-Control-Request-Method: POST\r\n\r\n"
        ((allowed, _, _),) = talk(address, preflight)
    assert (asked, headers["access-control-allow-origin"]) == (503, "https://a.example")
    assert "Retry-After" in headers["access-control-expose-headers"]
    assert allowed == 200


def test_one_address_that_has_its_share_is_refused_and_who_comes_by_a_proxy_is_not(service: SlowService) -> None:
    app = make_app(service, 4)
    with filled(app, service, waiting=3) as address:
        assert get(address, "/v1/ask?q=ferry")[0][0] == 503
        # Before the application had any work with it, which counts what it answers.
        assert b'status="503"' not in get(address, "/metrics")[0][2]
        other = b"GET /v1/ask?q=ferry HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n"
        answered: list[int] = []
        asking = threading.Thread(target=lambda: answered.append(talk(address, other)[0][0]))
        asking.start()
        wait_for(lambda: app.state.dependencies.asking.batcher.waiting == 4)
        service.go.set()
        asking.join()
    assert answered == [200]


def test_other_paths_have_room(full: Address) -> None:
    assert [get(full, path)[0][0] for path in ("/healthz", "/documents", "/v1/documents")] == [200] * 3


def test_refusals_are_counted(full: Address) -> None:
    for _ in range(3):
        get(full, "/v1/ask?q=ferry")
    ((_, _, text),) = get(full, "/metrics")
    assert b'qa_refused_total{reason="overloaded"} 3.0' in text


def test_a_page_that_is_refused_is_counted_too(full: Address) -> None:
    ((status, headers, _),) = get(full, "/?q=ferry")
    assert (status, int(headers["retry-after"]) >= 1) == (503, True)
    ((_, _, text),) = get(full, "/metrics")
    assert b'qa_refused_total{reason="overloaded"} 1.0' in text
