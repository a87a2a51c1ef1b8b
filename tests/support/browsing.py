"""The system's Chromium, and watched visits to pages: the only way in which tests use a browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.support.waiting import AT_MOST

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Request, Response

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Milliseconds, against hanging alone.
_PATIENCE = 1000 * AT_MOST
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


class Visit:
    """A page in a browser of its own, at ``address``, and all that the browser had to complain of.

    What counts: warnings and errors on the console, Content-Security-Policy among them, exceptions of scripts, dialogs,
    requests that failed, and requests to anywhere but ``address``. Chromium itself reports the status of a page that is
    an error; :meth:`open` takes the one that is expected.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.complaints: list[str] = []
        self.statuses: set[int] = set()
        self.context = browser.new_context(base_url=address, **options)
        self.context.set_default_timeout(_PATIENCE)
        self.page = self.context.new_page()
        self.context.on("console", self._heard)
        self.context.on("weberror", lambda error: self.complaints.append(f"exception: {error.error}"))
        self.context.on("request", self._requested)
        self.context.on("requestfailed", self._failed)
        self.page.on("dialog", self._asked)

    def open(self, path: str, status: int = 200) -> Response:
        """Go to an address, which must have this status."""
        self.statuses.add(status)
        response = self.page.goto(path)
        assert response is not None
        assert response.status == status
        return response

    def close(self) -> None:
        """End the visit, and fail the test where there was a complaint."""
        self.context.close()
        assert self.complaints == []

    def _heard(self, message: ConsoleMessage) -> None:
        status = _STATUS.match(message.text)
        if status is not None and int(status[1]) in self.statuses:
            return
        # What Chromium tells for information depends on when a key was pressed: that it left a focus where it was.
        if message.type != "info" or not message.text.startswith("Autofocus processing was blocked"):
            self.complaints.append(f"console, {message.type}: {message.text}")

    def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.complaints.append(f"left the host: {request.url}")

    def _failed(self, request: Request) -> None:
        # A page that is left before it is whole, and an address that turns out to be a download, are aborted.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}: {request.failure}")


_VISITS = pytest.StashKey[list[Visit]]()


class Visiting(Protocol):
    """What opens visits, with the options of a browser context."""

    def __call__(self, address: str, **options: Any) -> Visit: ...


# Of a module: a running Playwright holds the thread's event loop, and no other test could have one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        message = "no Chromium on this machine; install it (Debian: apt-get install chromium) to run the browser tests"
        if os.environ.get("QA_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=_PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def visiting(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visiting]:
    """Give what opens visits; a complaint of the browser during any of them fails the test."""
    visits = request.node.stash[_VISITS] = []

    def visit(address: str, **options: Any) -> Visit:
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield visit
    for each in visits:
        each.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the visits of a test before its servers, of which a page may still want its icon."""
    for visit in item.stash.get(_VISITS, []):
        visit.context.close()
