"""What every response carries, whatever it is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from tests.support.fake_service import LOADING, FakeService

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=ferry", "/?q=", "/nothing", "/v1/ask?q=a", "/v1/ask", "/healthz", "/static/style.css", "/openapi.json"],
)
def test_security_headers_are_on_everything(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-cache"
    assert headers["x-request-id"]


def test_refused_bodies_and_failures_have_them_too(client: TestClient, service: FakeService) -> None:
    service.failure = RuntimeError("broken")
    failed, refused = client.get("/?q=a"), client.post("/v1/ask", content=b" " * 20_001)
    assert (failed.status_code, refused.status_code) == (500, 413)
    assert failed.headers["content-security-policy"] == refused.headers["content-security-policy"] == POLICY


def test_a_sane_request_id_is_kept(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "trace-7_a.b"}).headers["x-request-id"] == "trace-7_a.b"


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, '"><script>', "é"])
def test_another_is_replaced(client: TestClient, given: str) -> None:
    made = client.get("/healthz", headers={b"X-Request-ID": given.encode()}).headers["x-request-id"]
    assert made != given
    assert len(made) == 32


def test_each_request_has_its_own_id(client: TestClient) -> None:
    first, second = (client.get("/healthz").headers["x-request-id"] for _ in range(2))
    assert first != second


def test_static_files_are_not_sent_twice(client: TestClient) -> None:
    etag = client.get("/static/style.css").headers["etag"]
    assert client.get("/static/style.css", headers={"If-None-Match": etag}).status_code == 304


def test_loading_is_never_kept(client: TestClient, service: FakeService) -> None:
    service.current = LOADING
    assert client.get("/").headers["cache-control"] == "private, no-cache"


def test_workers_that_are_forked_make_other_ids() -> None:
    code = """
import os
from qa.web.middleware.headers import new_id
new_id()
for _ in range(2):
    if not os.fork():
        print(new_id(), flush=True)
        os._exit(0)
    os.wait()
print(new_id())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 3
