"""A page's picture in a browser: its marks lie on it at every size, and it is reached by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browsing import Visiting
from tests.support.site import ON_PAPER, Site

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("large", ["", "&large=true"], ids=["beside", "large"])
@pytest.mark.parametrize("width", [320, 900, 1440])
def test_marks_lie_on_the_picture(visiting: Visiting, site: Site, width: int, large: str) -> None:
    visit = visiting(site.address)
    visit.page.set_viewport_size({"width": width, "height": 700})
    visit.open(f"{ON_PAPER}{large}")
    picture = visit.page.locator(".paper img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("picture => picture.naturalWidth") in (800, 1600)
    paper, marks, mark = (
        visit.page.locator(each).first.bounding_box() for each in (".paper img", ".paper svg", ".paper rect")
    )
    assert paper
    assert marks
    assert mark
    for side in ("x", "y", "width", "height"):
        assert abs(paper[side] - marks[side]) <= 1
    # The words stand 72 of 600 points from the left and 700 of 800 from below.
    assert 0.12 < (mark["x"] - paper["x"]) / paper["width"] < 0.4
    assert 0.1 < (mark["y"] - paper["y"]) / paper["height"] < 0.14
    assert abs(paper["height"] / paper["width"] - 800 / 600) < 0.02


def test_on_a_wide_screen_all_of_the_page_stays_beside_the_text(visiting: Visiting, site: Site) -> None:
    visit = visiting(site.address)
    visit.page.set_viewport_size({"width": 1440, "height": 700})
    visit.open(ON_PAPER)
    paper, text = (visit.page.locator(each).bounding_box() for each in (".paper", ".text"))
    assert paper
    assert text
    assert paper["height"] <= 700
    assert paper["x"] + paper["width"] < text["x"]


def test_by_keyboard_it_is_opened_in_large_and_closed_again(visiting: Visiting, site: Site) -> None:
    visit = visiting(site.address)
    visit.open(ON_PAPER)
    paper = visit.page.locator(".paper")
    paper.focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**large=true**")
    visit.page.get_by_role("link", name="beside the text", exact=True).focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(lambda address: "large" not in address)
    expect(visit.page.locator("mark.chosen")).to_have_text("three crowns")
