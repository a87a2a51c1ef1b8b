"""A page's picture in a browser: its marks lie on it at every size, and it is reached by keyboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from qa.readers.pictures.process import Picture, Wanted, draw
from qa.readers.recognition.recogniser import PageCache
from qa.service.pictures import Pictures
from qa.web import deps
from tests.support.browsing import Visiting
from tests.support.site import ON_PAPER, Site
from tests.support.waiting import AT_MOST

pytestmark = pytest.mark.browser


@pytest.fixture
def released(site: Site, tmp_path: Path) -> Iterator[threading.Event]:
    """Let nothing be drawn before this is set, and give no picture that was kept."""
    drawing = threading.Event()

    def draw_released(file: int, wanted: Wanted, cache: PageCache | None) -> Picture:
        assert drawing.wait(AT_MOST)
        return draw(file, wanted, cache)

    before = site.app.state.dependencies
    deps.install(site.app, [replace(before, pictures=Pictures(tmp_path, draw_released))])
    yield drawing
    drawing.set()
    deps.install(site.app, [before])


@pytest.mark.parametrize("script", [True, False], ids=["with-script", "without"])
def test_the_text_is_read_while_the_picture_is_drawn(
    visiting: Visiting, site: Site, released: threading.Event, script: bool
) -> None:
    visit = visiting(site.address, java_script_enabled=script, viewport={"width": 1440, "height": 700})
    page = visit.page
    page.goto(ON_PAPER, wait_until="commit")
    expect(page.locator("mark.chosen")).to_have_text("three crowns")
    expect(page.get_by_role("region", name="Page 1 of 2")).to_contain_text("is being drawn")
    # Both files of styles, without which it lies elsewhere, may come later than its text.
    expect(page.locator("mark.chosen")).to_have_css("background-color", "rgb(255, 211, 92)")
    expect(page.get_by_role("region", name="Page 1 of 2")).to_have_css("position", "sticky")
    painted = "performance.getEntriesByName('first-contentful-paint').length"
    if script:
        page.wait_for_function(painted)
    before = page.locator("mark.chosen").bounding_box()
    released.set()
    expect(page.get_by_role("img", name="with the marked text outlined")).to_be_visible()
    expect(page.get_by_text("is being drawn")).to_be_hidden()
    assert page.locator("mark.chosen").bounding_box() == before


def test_seen_in_large_its_page_is_painted_before_it(visiting: Visiting, site: Site, released: threading.Event) -> None:
    page = visiting(site.address).page
    page.goto(f"{ON_PAPER}&large=true", wait_until="commit")
    expect(page.get_by_role("heading", name="Page 1 of 2")).to_be_visible()
    released.set()
    expect(page.locator(".paper img")).to_be_visible()
    expect(page.locator("mark.chosen")).to_have_text("three crowns")


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
    assert text["x"] + text["width"] < paper["x"]


def test_on_a_narrow_one_it_stands_below_the_text_and_a_link_leads_to_it(visiting: Visiting, site: Site) -> None:
    visit = visiting(site.address, viewport={"width": 320, "height": 500})
    visit.open(ON_PAPER)
    visit.page.get_by_role("link", name="page 1 as a picture", exact=True).focus()
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator(".paper img")).to_be_in_viewport()
    paper, text = (visit.page.locator(each).bounding_box() for each in (".paper", ".text"))
    assert paper
    assert text
    assert text["y"] + text["height"] < paper["y"]


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
