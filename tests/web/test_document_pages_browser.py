"""The page of the collection in a real browser: by links alone, at the narrowest and a wide window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from qa.types import FileReport
from qa.web.app import create_app
from tests.web.browsed import browsed
from tests.web.test_document_pages import FILES, Collected
from tests.web.test_page_browser import CONTRASTS, Journey, browser, playwright  # noqa: F401 fixtures

pytestmark = pytest.mark.browser

MANY = tuple(FileReport(f"folder/with/a/long/name/{n:03}.txt", "read", characters=n) for n in range(150))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with browsed(create_app(Collected(FILES + MANY))) as served:
        yield served


@pytest.mark.parametrize("width", [320, 1440])
@pytest.mark.parametrize("javascript", [False, True], ids=["without-javascript", "with-javascript"])
def test_filter_sort_and_turn_the_page(
    browser: Browser,  # noqa: F811
    address: str,
    javascript: bool,
    width: int,
) -> None:
    journey = Journey(browser, address, java_script_enabled=javascript, viewport={"width": width, "height": 700})
    page = journey.page
    page.goto("/documents")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("link", name="next").click()
    expect(rows).to_have_count(55)
    page.get_by_role("link", name="Characters").click()
    expect(page.get_by_role("columnheader", name="Characters")).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("b.pdf")
    page.get_by_role("link", name="failed 2").click()
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Status").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Status")).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    expect(page.get_by_role("columnheader", name="Characters")).to_have_attribute("aria-sort", "descending")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    journey.finish()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, address: str, scheme: str) -> None:  # noqa: F811
    journey = Journey(browser, address, color_scheme=scheme)
    journey.page.goto("/documents?sort=status")
    ratios: dict[str, float] = journey.page.evaluate(CONTRASTS)
    assert len(ratios) > 10
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    journey.finish()
