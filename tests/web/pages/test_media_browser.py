"""The pages as somebody sets the browser up: forced colours, less motion, paper, and text at four times its size."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browsing import Visiting
from tests.support.fake_service import LOADING
from tests.support.site import ASKED, IN_PLACE, Site

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", [ASKED, IN_PLACE])
def test_what_is_highlighted_is_seen_in_forced_colours(visiting: Visiting, site: Site, path: str) -> None:
    site.answer()
    page = visiting(site.address, forced_colors="active").page
    page.goto(path)
    ground = "element => getComputedStyle(element).backgroundColor"
    assert page.locator("mark").first.evaluate(ground) != page.locator("body").evaluate(ground)


def test_nothing_moves_for_whoever_wants_less_motion(
    visiting: Visiting, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page does not reload while it is looked at.
    monkeypatch.setattr("qa.web.pages.ask.RETRY_SECONDS", 600)
    site.service.current = LOADING
    moving = "element => getComputedStyle(element, '::before').animationName"
    for wish, name in (("reduce", "none"), ("no-preference", "slide")):
        visit = visiting(site.address, reduced_motion=wish, java_script_enabled=False)
        visit.open("/", 503)
        assert visit.page.locator(".progress").evaluate(moving) == name
        visit.page.goto("about:blank")


def test_on_paper_are_the_answer_and_the_passages_and_nothing_to_press(visiting: Visiting, site: Site) -> None:
    site.answer()
    page = visiting(site.address).page
    page.goto(ASKED)
    page.emulate_media(media="print")
    expect(page.get_by_role("region", name="Answer")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(5)
    for button in page.get_by_role("button").all():
        expect(button).to_be_hidden()
    for link in page.get_by_role("navigation").all():
        expect(link).to_be_hidden()


def test_at_four_times_the_size_a_question_is_asked_and_answered(visiting: Visiting, site: Site) -> None:
    """WCAG 2.2, success criterion 1.4.10: 1280 by 1024 at 400 % are 320 by 256 CSS pixels."""
    site.answer()
    page = visiting(site.address, viewport={"width": 320, "height": 256}, device_scale_factor=4).page
    page.goto("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("When does the ferry leave?")
    page.keyboard.press("Enter")
    said = page.locator(".said")
    said.scroll_into_view_if_needed()
    expect(said).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
