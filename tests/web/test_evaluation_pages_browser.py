"""A question file evaluated from a real browser: its forms are taken, though the browser hides their origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from qa.web.app import create_app
from tests.web.browsed import browsed
from tests.web.conftest import FakeService
from tests.web.test_evaluations import QUESTION, FakeEvaluations
from tests.web.test_page_browser import Journey, browser, playwright  # noqa: F401 fixtures

pytestmark = pytest.mark.browser


@pytest.fixture
def evaluations(tmp_path: Path) -> FakeEvaluations:
    return FakeEvaluations(tmp_path)


@pytest.fixture
def address(evaluations: FakeEvaluations) -> Iterator[str]:
    with browsed(create_app(FakeService(), evaluations)) as served:
        yield served


@pytest.mark.parametrize("width", [320, 1440])
@pytest.mark.parametrize("javascript", [False, True], ids=["without-javascript", "with-javascript"])
def test_from_the_file_to_the_report_and_gone(
    browser: Browser,  # noqa: F811
    address: str,
    evaluations: FakeEvaluations,
    javascript: bool,
    width: int,
) -> None:
    journey = Journey(browser, address, java_script_enabled=javascript, viewport={"width": width, "height": 700})
    page = journey.page
    page.goto("/evaluate")
    file: FilePayload = {"name": "mine.jsonl", "mimeType": "application/x-ndjson", "buffer": QUESTION}
    page.get_by_label("Question file").set_input_files(file)
    page.get_by_role("button", name="Evaluate").click()
    expect(page.get_by_role("status")).to_contain_text("queued")
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="done", questions=1, asked=1)
    # By itself, without a click.
    expect(page.get_by_role("link", name="Read the report")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Remove").click()
    page.wait_for_url("**/evaluate")
    expect(page.locator("main")).to_contain_text("None yet.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    journey.finish()
