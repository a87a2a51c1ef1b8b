"""Rates, slow clients and endless ones, through a real uvicorn."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from limits import parse

from qa.types import SnapshotDocument
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware import overload as protocol
from qa.web.middleware.access import Key
from tests.support.fake_service import FERRY, SNAPSHOT, FakeMaintenance, FakeService
from tests.support.uvicorn_server import serving
from tests.support.waiting import AT_MOST, wait_for

pytestmark = pytest.mark.server


BOSS = Key("boss", "admin", "0" * 64)
# Who is waited for for no longer than this sends nothing at all.
SOON = 0.3
# In the middle of a minute, in which it stays: at a minute's turn a client may ask a little more.
MOMENT = 1_700_000_010.0


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    for module in ("limits.storage.memory", "limits.strategies", "qa.web.middleware.limits"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time=lambda: MOMENT))
    with serving(
        create_app(FakeService(), options=Options(keys=(BOSS,), rate=parse("3/minute"), local_rate=parse("6/minute")))
    ) as bound:
        yield bound


def as_client(client: httpx2.Client, address: str, path: str = "/v1/ask?q=ferry") -> httpx2.Response:
    # uvicorn believes the proxies of this machine: so a test can be anybody.
    return client.get(path, headers={"X-Forwarded-For": address})


@pytest.mark.parametrize("path", ["/v1/ask?q=ferry", "/v1/documents", "/", "/nothing"])
def test_each_client_has_its_rate_on_every_route(address: tuple[str, int], path: str) -> None:
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=AT_MOST) as client:
        codes = [as_client(client, "203.0.113.7", path).status_code for _ in range(4)]
        assert codes[:3].count(429) == 0
        refused = as_client(client, "203.0.113.7", path)
        assert (codes[3], refused.status_code) == (429, 429)
        assert refused.json()["type"] == "urn:qa:problem:rate-limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert as_client(client, "203.0.113.8", path).status_code != 429
        assert as_client(client, "203.0.113.7", "/healthz").status_code == 200


def test_the_addresses_of_one_ipv6_network_are_one_client(address: tuple[str, int]) -> None:
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=AT_MOST) as client:
        codes = [as_client(client, f"2001:db8:1:2::{n}").status_code for n in range(4)]
        assert codes == [200, 200, 200, 429]


def test_this_machine_has_a_rate_of_its_own(address: tuple[str, int]) -> None:
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=AT_MOST) as client:
        assert [client.get("/v1/ask?q=ferry").status_code for _ in range(8)] == [200] * 6 + [429] * 2
        assert as_client(client, "203.0.113.9").status_code == 200


def test_keys_cannot_be_tried_faster_than_the_rate(address: tuple[str, int]) -> None:
    with httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=AT_MOST) as client:
        for n, status in enumerate([401, 401, 401, 429, 429]):
            headers = {"X-Forwarded-For": "203.0.113.10", "Authorization": f"Bearer guess-{n}"}
            assert client.get("/v1/snapshots", headers=headers).status_code == status


def said(address: tuple[str, int], sent: bytes) -> bytes:
    """All that the server says before it closes the connection."""
    with socket.create_connection(address, timeout=AT_MOST) as connection:
        connection.sendall(sent)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_headers_that_do_not_come_are_not_waited_for(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", SOON)
    assert said(address, sent).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_s_headers_are_not_waited_for_either(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_connection(address, timeout=AT_MOST) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr(protocol, "HEAD_SECONDS", SOON)
        connection.sendall(b"GET /healthz HTT")
        assert b"HTTP/1.1 408 " in rest_of(connection)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with serving(create_app(FakeService(), options=Options(body_seconds=SOON))) as address:
        answer = said(address, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:qa:problem:request-timeout" in answer


def test_an_upload_that_stops_coming_is_not_waited_for(tmp_path: Path) -> None:
    """Each part of it has the time that another body has as a whole."""
    app = create_app(FakeService(), options=Options(body_seconds=SOON), maintenance=FakeMaintenance(tmp_path))
    head = b"PUT /v1/documents/a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nApples"
    with serving(app) as address:
        assert said(address, head).startswith(b"HTTP/1.1 408 ")
    assert list((tmp_path / "test" / "incoming").iterdir()) == []


def test_headers_without_end_are_refused(address: tuple[str, int]) -> None:
    # To the byte, so that nothing is left unread: a connection that is closed then is reset, and the refusal is lost.
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-More: ".ljust(protocol.HEAD_BYTES + 1, b"x")
    assert said(address, sent).startswith(b"HTTP/1.1 431 ")


class Long(FakeService):
    def document(self, id: str) -> SnapshotDocument:
        return SnapshotDocument(SNAPSHOT, replace(FERRY, text="x" * 30_000_000, sections=(), pages=()))


def asking_for_much(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=AT_MOST)
    connection.sendall(b"GET /v1/documents/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Tell whether the server has cut the connection, reading nothing of it."""
    try:
        connection.send(b"\r\n")
    except ConnectionError:
        return True
    return False


def test_who_takes_nothing_of_a_response_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "TAKE_SECONDS", 0.2)
    with serving(create_app(Long())) as address, asking_for_much(address) as connection:
        wait_for(lambda: is_cut(connection))
        # Nobody else is kept from anything.
        assert said(address, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200 "
        )


def test_who_takes_it_slowly_gets_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "TAKE_SECONDS", 4.0)
    taken, started = 0, time.monotonic()
    with serving(create_app(Long())) as address, asking_for_much(address) as connection:
        while part := connection.recv(1 << 20):
            taken += len(part)
            time.sleep(0.2)
    assert taken > 30_000_000
    assert time.monotonic() - started > protocol.TAKE_SECONDS


def test_a_question_at_an_easy_pace_is_answered(address: tuple[str, int]) -> None:
    body = b'{"question": "ferry?"}'
    head = (
        b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert said(address, head + body).startswith(b"HTTP/1.1 200 ")
