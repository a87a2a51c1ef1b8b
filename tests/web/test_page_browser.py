"""The page in a real browser, from a real server. No script is ours, so nothing may depend on one."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from qa.web.app import create_app
from tests.web.conftest import LOADING, READY, FakeService

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUESTION = "When does the ferry leave?"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        message = "no Chromium on this machine; install it (Debian: apt-get install chromium) to run the browser tests"
        if os.environ.get("QA_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield browser
    browser.close()


class Served:
    """A service behind a real uvicorn, in a thread of this process."""

    def __init__(self) -> None:
        self.service = FakeService()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(create_app(self.service), log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    served = Served()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    yield running
    running.service.current = READY


class Journey:
    """A browser at the page that remembers what it fetched and what it complained about."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(base_url=address, **options)
        self.context.set_default_timeout(10_000)
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def finish(self) -> None:
        self.context.close()
        assert self.complaints == []
        assert self.requests
        assert all(url.startswith(f"{self.address}/") for url in self.requests)


@pytest.fixture(params=[False, True], ids=["without-javascript", "with-javascript"])
def journey(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Iterator[Journey]:
    journey = Journey(browser, served.address, java_script_enabled=request.param)
    yield journey
    journey.finish()


def test_ask_share_and_go_back(journey: Journey) -> None:
    page = journey.page
    page.goto("/")
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("5 passages, best match first")
    shared = page.url
    assert shared.startswith(f"{journey.address}/?q=")

    page.go_back()
    expect(page.get_by_role("article")).to_have_count(0)
    page.goto(shared)
    expect(page.get_by_label("Your question")).to_have_value(QUESTION)
    expect(page.get_by_role("article").first).to_contain_text("The ferry leaves at noon")


def test_by_keyboard_alone(journey: Journey) -> None:
    page = journey.page
    page.goto("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(5)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="qa, start page")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Ask")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="read in place").first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/documents/notes/ferry**")
    expect(page.locator("mark#span")).to_contain_text("The ferry leaves at noon")
    expect(page.locator("mark#span")).to_be_in_viewport()
    page.get_by_role("link", name="Next passage (2)").first.click()
    expect(page.locator("mark#span")).to_have_count(1)
    page.get_by_role("link", name="Back to").click()
    expect(page.get_by_role("article")).to_have_count(5)


def test_text_of_documents_shows_as_itself(journey: Journey) -> None:
    page = journey.page
    page.goto(f"/?q={quote(QUESTION)}")
    expect(page.get_by_role("article").first).to_contain_text('<script>alert("pier")</script> & the <b>old</b> quay')
    expect(page.locator("main script, main b, main em")).to_have_count(0)


def test_a_blank_question_is_answered_at_the_field(journey: Journey) -> None:
    page = journey.page
    page.goto("/")
    page.keyboard.type("   ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The question is blank; write what you want to know.")
    expect(page.get_by_label("Your question")).to_be_focused()
    # The browser itself reports the status of the page, 422, on its console.
    assert all("422" in complaint for complaint in journey.complaints)
    journey.complaints.clear()


def test_loading_gives_way_to_the_answer(journey: Journey, served: Served) -> None:
    served.service.current = LOADING
    page = journey.page
    page.goto(f"/?q={quote(QUESTION)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Loading")
    served.service.current = READY
    expect(page.get_by_role("article")).to_have_count(5, timeout=10_000)
    assert all("503" in complaint for complaint in journey.complaints)
    journey.complaints.clear()


@pytest.mark.parametrize("path", ["/", f"/?q={quote(QUESTION)}", "/?q=%20", "/?q=المكتبة", "/?q=" + "x" * 200])
@pytest.mark.parametrize("width", [320, 768, 1920])
def test_nothing_scrolls_sideways(browser: Browser, served: Served, width: int, path: str) -> None:
    journey = Journey(browser, served.address, viewport={"width": width, "height": 700})
    journey.page.goto(path)
    assert journey.page.evaluate("document.documentElement.scrollWidth") <= width
    journey.context.close()


def test_each_passage_runs_in_its_own_direction(browser: Browser, served: Served) -> None:
    journey = Journey(browser, served.address)
    journey.page.goto("/?q=تفتح المكتبة")
    direction = "element => getComputedStyle(element).direction"
    assert journey.page.get_by_label("Your question").evaluate(direction) == "rtl"
    assert journey.page.locator("blockquote").first.evaluate(direction) == "rtl"
    assert journey.page.locator("blockquote").last.evaluate(direction) == "ltr"
    journey.finish()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, served: Served, scheme: str) -> None:
    journey = Journey(browser, served.address, color_scheme=scheme)
    journey.page.goto(f"/?q={quote(QUESTION)}")
    ratios: dict[str, float] = journey.page.evaluate(CONTRASTS)
    assert len(ratios) > 10
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    journey.finish()


# WCAG 2.2, success criterion 1.4.3: relative luminance of each text against the nearest painted ground behind it.
CONTRASTS = """() => {
    const rgb = color => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const color = rgb(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const ratios = {};
    for (const element of document.body.querySelectorAll("*")) {
        const ownText = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!ownText && element.tagName !== "INPUT") continue;
        const [a, b] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))];
        ratios[`${element.tagName} ${element.className} ${element.textContent.slice(0, 20)}`] =
            (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }
    return ratios;
}"""
