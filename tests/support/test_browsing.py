"""The browser tests notice faults: each fault of a page, on a server that has it, is complained of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from starlette.responses import HTMLResponse, Response

from tests.support.browsing import Visit
from tests.support.uvicorn_server import serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.browser

POLICY = {"Content-Security-Policy": "default-src 'none'; script-src 'self' 'nonce-x'; img-src data:"}
PAGES = {
    "warning": "<script nonce=x>console.warn('careful')</script>",
    "exception": "<script nonce=x>null.x</script>",
    "policy": "<p style='color: red'>red</p>",
    "dialog": "<script nonce=x>alert('boo')</script>",
    "elsewhere": "<a href='http://127.0.0.9:9/'>away</a>",
    "missing": "<script nonce=x src='/nowhere.js'></script>",
    "refused": "<img src='/picture'>",
    "clean": "<p>Nothing to complain of.</p>",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = FastAPI()

    @app.get("/picture")
    def picture() -> Response:
        return Response(b"")

    @app.get("/{name}")
    def show(name: str) -> Response:
        body = PAGES.get(name)
        html = f"<!doctype html><link rel=icon href=data:,>{body}"
        return HTMLResponse(html, 200 if body else 404, {} if name == "elsewhere" else POLICY)

    with serving(app) as (host, port):
        yield f"http://{host}:{port}/"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("warning", "console, warning: careful"),
        ("exception", "exception: Cannot read"),
        ("policy", "inline style"),
        ("dialog", "dialog: boo"),
        ("elsewhere", "left the host: http://127.0.0.9:9/"),
        ("missing", "status of 404"),
        ("refused", "failed: "),
    ],
)
def test_a_fault_fails_the_visit(browser: Browser, address: str, name: str, told: str) -> None:
    visit = Visit(browser, address)
    visit.open(name)
    if name == "elsewhere":
        with pytest.raises(Exception, match="ERR_"):
            visit.page.goto("http://127.0.0.9:9/")

    def has_complained() -> bool:
        # Playwright tells what it has heard while it waits.
        visit.page.wait_for_timeout(10)
        return bool(visit.complaints)

    wait_for(has_complained)
    with pytest.raises(AssertionError):
        visit.close()
    assert any(told in complaint for complaint in visit.complaints)


def test_a_page_without_a_fault_and_an_error_that_is_expected_pass(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    visit.open("clean")
    visit.open("nothing-here", 404)
    visit.close()
    assert visit.complaints == []
