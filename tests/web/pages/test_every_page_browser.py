"""Every page in every circumstance: accessible by axe, and within its window, on paper too."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.browsing import Visiting
from tests.support.site import PAGES, WIDTHS, Site

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that reload by themselves stand still while they are looked at."""
    monkeypatch.setattr("qa.web.pages.evaluations.REFRESH_SECONDS", 600)
    monkeypatch.setattr("qa.web.pages.upkeep.REFRESH_SECONDS", 600)
    monkeypatch.setattr("qa.web.pages.ask.RETRY_SECONDS", 600)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, visiting: Visiting, site: Site) -> Page:
    shown = PAGES[request.param]
    shown.prepare(site)
    visit = visiting(site.address)
    if shown.cookie:
        name, _, value = shown.cookie.partition("=")
        visit.context.add_cookies([{"name": name, "value": value, "url": site.address}])
    visit.open(shown.path, shown.status)
    for summary in visit.page.locator("summary").all()[:2]:
        summary.click()
    return visit.page


def test_axe_finds_no_violation(page: Page) -> None:
    axe = Axe()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            found = axe.run(page)
            assert found.violations_count == 0, f"{scheme}, {width} px: {found.generate_report()}"


def test_nothing_scrolls_sideways_or_is_cut_off(page: Page) -> None:
    for media, widths in (("screen", WIDTHS), ("print", (700,))):
        page.emulate_media(media=media)  # type: ignore[arg-type]
        for width in widths:
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OUTSIDE, width) == []


@pytest.mark.parametrize(
    ("name", "columns", "rows"), [("documents", 5, 102), ("documents-failed", 5, 5), ("compared", 7, 3)]
)
def test_tables_fit_every_width_and_stay_tables(
    visiting: Visiting, site: Site, name: str, columns: int, rows: int
) -> None:
    PAGES[name].prepare(site)
    visit = visiting(site.address)
    visit.open(PAGES[name].path)
    table = visit.page.get_by_role("table")
    for width in WIDTHS:
        visit.page.set_viewport_size({"width": width, "height": 700})
        assert visit.page.locator(".wide").evaluate("wide => wide.scrollWidth <= wide.clientWidth"), width
        # As a screen reader is told of it, cards or not.
        assert table.get_by_role("row").count() == rows
        assert table.get_by_role("columnheader").count() == columns
        assert table.get_by_role("row").nth(1).get_by_role("cell").count() == columns - 1
    # In a card every number has the name of its column, which is said once; a file without pages has no number there.
    visit.page.set_viewport_size({"width": 320, "height": 700})
    numbers = table.locator("tbody tr").first.locator(".number:not(:empty)")
    assert numbers.count()
    for number in numbers.all():
        said = number.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert (number.get_attribute("data-label") or "?") in said
        expect(number).to_have_accessible_name(number.inner_text())


# Whatever shows text ends within the window, unless it stands in what scrolls by itself or is for screen readers alone.
OUTSIDE = """width => [...document.body.querySelectorAll("*")].filter(element => {
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!text || element.closest(".wide, .unseen, pre, svg, details:not([open]) > :not(summary)")) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
}).map(element => `${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`)"""
