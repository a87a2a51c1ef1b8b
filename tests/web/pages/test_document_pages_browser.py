"""The page of the collection in a real browser: by links alone, at three widths."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browsing import Visiting
from tests.support.site import WIDTHS, Site

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("javascript", [False, True], ids=["without-javascript", "with-javascript"])
def test_filter_sort_turn_the_page_and_read(visiting: Visiting, site: Site, javascript: bool, width: int) -> None:
    page = visiting(site.address, java_script_enabled=javascript, viewport={"width": width, "height": 700}).page
    page.goto("/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Documents").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("link", name="next").click()
    expect(rows).to_have_count(58)
    page.get_by_role("link", name="Characters").click()
    expect(page.get_by_role("columnheader", name="Characters")).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("b.pdf")
    page.get_by_role("link", name="failed 3").click()
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="Status").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Status")).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    expect(page.get_by_role("columnheader", name="Characters")).to_have_attribute("aria-sort", "descending")
    page.goto("/documents?sort=file&order=desc")
    page.get_by_role("link", name="مكتبة.txt", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("المكتبة")
