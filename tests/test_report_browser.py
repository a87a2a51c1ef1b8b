"""The report in a real browser, from a file: what its script does, and that nothing is blocked or runs over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from qa.comparing import compare
from qa.comparison_report import comparison_page
from tests.test_report import evaluated, evil, page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        message = "no Chromium on this machine; install it (Debian: apt-get install chromium) to run the browser tests"
        if os.environ.get("QA_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(browser: Browser, folder: Path, html: str, *, width: int = 1000, script: bool = True) -> Page:
    """The page, from a file; anything that the browser complains of fails the test at :func:`quiet`."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=script)
    shown = context.new_page()
    shown.set_default_timeout(60_000)
    shown.goto(path.as_uri())
    return shown


def titles(shown: Page) -> list[str]:
    return list(shown.locator("ol.questions > li:visible .text").all_text_contents())


def test_finding_filtering_and_ordering(browser: Browser, tmp_path: Path) -> None:
    shown = opened(browser, tmp_path, page(evaluated()))
    everything = titles(shown)
    assert len(everything) == 4
    shown.get_by_label("Find").fill("ticket cost")
    expect(shown.get_by_role("status")).to_have_text("1 of 4")
    assert titles(shown) == ["what does a ticket cost"]
    shown.get_by_label("Find").fill("")
    shown.get_by_label("Order").select_option("text")
    assert titles(shown) == sorted(everything)
    shown.get_by_label("Order").select_option("number")
    assert titles(shown) == everything
    shown.get_by_label("Show").select_option("failed")
    assert 0 < len(titles(shown)) < 4
    shown.context.close()


def test_questions_open_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    shown = opened(browser, tmp_path, page(evaluated()))
    summaries = shown.locator("ol.questions summary")
    summaries.nth(0).focus()
    shown.keyboard.press("ArrowDown")
    expect(summaries.nth(1)).to_be_focused()
    shown.keyboard.press("Enter")
    expect(shown.locator("ol.questions > li").nth(1).locator("blockquote").first).to_be_visible()
    shown.keyboard.press("ArrowUp")
    expect(summaries.nth(0)).to_be_focused()
    shown.context.close()


def test_without_a_script_everything_is_there_and_opens(browser: Browser, tmp_path: Path) -> None:
    shown = opened(browser, tmp_path, page(evaluated()), script=False)
    expect(shown.get_by_label("Find")).to_be_hidden()
    shown.locator("ol.questions summary").first.click()
    expect(shown.locator("ol.questions mark.evidence").first).to_be_visible()
    shown.context.close()


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_runs_over_and_nothing_is_blocked(browser: Browser, tmp_path: Path, kind: str, width: int) -> None:
    bad = evil(evaluated())
    html = page(bad) if kind == "report" else comparison_page(compare(bad, evil(evaluated(worse=True))))
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800})
    shown = context.new_page()
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("dialog", lambda dialog: complaints.append(dialog.message))
    shown.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
    shown.goto(path.as_uri())
    for summary in shown.locator("ol.questions summary").all():
        summary.click()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    context.close()
