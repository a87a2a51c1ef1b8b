"""Asking, reading in place and judging in a real browser: with and without the script, and by keyboard alone."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browsing import Visit, Visiting
from tests.support.fake_service import FACETS, LOADING, READY, SCRIPT
from tests.support.site import ASKED, QUESTION, WIDTHS, Site

pytestmark = pytest.mark.browser

Options = dict[str, object]


@pytest.fixture(params=WIDTHS)
def window(request: pytest.FixtureRequest) -> Options:
    return {"viewport": {"width": request.param, "height": 800}}


@pytest.fixture(params=[False, True], ids=["without-javascript", "with-javascript"])
def script(request: pytest.FixtureRequest) -> Options:
    return {"java_script_enabled": request.param}


@pytest.fixture
def options(window: Options, script: Options) -> Options:
    return {**window, **script}


def press_tab_to(page: Page, wanted: Locator) -> None:
    """Go there by keyboard alone, and check that the focus is visible all the way."""
    # What a page says may be there before its stylesheet is.
    page.wait_for_load_state()
    for _ in range(40):
        page.keyboard.press("Tab")
        at = wanted.evaluate(FOCUS)
        assert at in ("there", "seen", "nowhere"), at
        if at == "there":
            return
    raise AssertionError(f"Tab does not come to {wanted}")


# After the last element the focus is nowhere once: in the browser's own bars.
FOCUS = """wanted => {
    const at = document.activeElement;
    if (at === document.body) return "nowhere";
    const box = at.getBoundingClientRect();
    const isInWindow = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const style = getComputedStyle(at);
    if (!isInWindow || style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return at.outerHTML;
    return at === wanted ? "there" : "seen";
}"""


def test_ask_read_in_place_share_and_go_back(visiting: Visiting, site: Site, options: Options) -> None:
    site.answer()
    page = visiting(site.address, **options).page
    page.goto("/")
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("region", name="Answer")).to_contain_text("noon")
    expect(page.get_by_role("article")).to_have_count(5)
    shared = page.url
    assert shared.startswith(f"{site.address}/?q=")

    page.get_by_role("region", name="Answer").get_by_role("link").first.click()
    expect(page.locator("mark#span")).to_have_text("noon")
    expect(page.locator("mark#span")).to_be_in_viewport()
    page.get_by_role("link", name="Next passage (2)").first.click()
    expect(page.locator("mark#span")).not_to_have_text("noon")
    page.get_by_role("link", name="Back to").click()
    expect(page.get_by_role("article")).to_have_count(5)

    for _ in range(4):
        page.go_back()
    expect(page.get_by_role("article")).to_have_count(0)
    page.go_forward()
    expect(page.get_by_label("Your question")).to_have_value(QUESTION)
    page.goto(shared)
    expect(page.get_by_role("article").first).to_contain_text("The ferry leaves at noon")


def test_by_keyboard_alone(visiting: Visiting, site: Site, options: Options) -> None:
    site.answer()
    page = visiting(site.address, **options).page
    page.goto("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(5)
    press_tab_to(page, page.locator(".passage summary").first)
    page.keyboard.press("Enter")
    expect(page.locator(".passage dl").first).to_be_visible()
    press_tab_to(page, page.get_by_role("link", name="show in document").nth(1))
    page.keyboard.press("Enter")
    page.wait_for_url("**/documents/**")
    expect(page.locator("mark#span")).to_be_in_viewport()
    press_tab_to(page, page.get_by_role("link", name="Previous passage (1)").last)
    page.keyboard.press("Enter")
    expect(page.locator("mark#span")).to_contain_text("The ferry leaves at noon")
    press_tab_to(page, page.get_by_role("link", name="Back to"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(5)


def test_the_keys_of_the_script(visiting: Visiting, site: Site, window: Options) -> None:
    page = visiting(site.address, **window).page
    page.goto(ASKED)
    page.keyboard.press("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    cards = page.get_by_role("article")
    for key, at in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0)):
        page.keyboard.press(key)
        expect(cards.nth(at)).to_be_focused()
        expect(cards.nth(at)).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/documents/**")
    expect(page.locator("mark#span")).to_contain_text("The ferry leaves at noon")


def test_a_question_may_hold_a_slash(visiting: Visiting, site: Site) -> None:
    page = visiting(site.address).page
    page.goto("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("and/or")
    expect(page.get_by_label("Your question")).to_have_value("and/or")


def test_an_example_is_asked_by_a_click(visiting: Visiting, site: Site, options: Options) -> None:
    page = visiting(site.address, **options).page
    page.goto("/")
    page.get_by_role("link", name=QUESTION).click()
    expect(page.get_by_label("Your question")).to_have_value(QUESTION)
    expect(page.get_by_role("article")).to_have_count(5)


def test_questions_asked_before_are_known_to_this_browser_alone(
    visiting: Visiting, site: Site, window: Options
) -> None:
    page = visiting(site.address, **window).page
    asked = "What is <b>carried</b>?"
    page.goto(f"/?q={quote(asked)}")
    page.goto("/")
    recent = page.get_by_role("region", name="Your recent questions")
    recent.get_by_role("link", name=asked).click()
    expect(page.get_by_label("Your question")).to_have_value(asked)
    page.go_back()
    recent.get_by_role("button", name="Clear the list").click()
    expect(recent).to_be_hidden()
    page.reload()
    expect(recent).to_be_hidden()
    other = visiting(site.address, **window).page
    other.goto("/")
    expect(other.get_by_role("region", name="Your recent questions")).to_be_hidden()


def test_without_the_script_nothing_is_said_of_earlier_questions(visiting: Visiting, site: Site) -> None:
    page = visiting(site.address, java_script_enabled=False).page
    page.goto(ASKED)
    page.goto("/")
    expect(page.get_by_text("Your recent questions")).to_be_hidden()


def test_a_passage_is_judged(visiting: Visiting, site: Site, options: Options) -> None:
    page = visiting(site.address, **options).page
    page.goto(ASKED)
    page.get_by_role("button", name=re.compile("This does not ?: passage 1")).click()
    expect(page.get_by_role("status")).to_contain_text("this does not answer the question")
    expect(page.get_by_role("article")).to_have_count(5)
    page.reload()
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_role("status")).to_have_count(0)
    (line,) = site.feedback.read_text().splitlines()
    assert json.loads(line)["question"] == QUESTION


def test_the_original_is_saved(visiting: Visiting, site: Site, options: Options) -> None:
    page = visiting(site.address, **options).page
    page.goto(ASKED)
    page.get_by_role("link", name="show in document").first.click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="original file").click()
    assert saved.value.path().read_text(encoding="utf-8") == SCRIPT


def test_text_of_documents_shows_as_itself(visiting: Visiting, site: Site, script: Options) -> None:
    page = visiting(site.address, **script).page
    page.goto(ASKED)
    expect(page.get_by_role("article").first).to_contain_text('<script>alert("pier")</script> & the <b>old</b> quay')
    expect(page.locator("main script, main b, main em")).to_have_count(0)


def test_a_blank_question_is_answered_at_the_field(visiting: Visiting, site: Site, script: Options) -> None:
    visit: Visit = visiting(site.address, **script)
    visit.statuses.add(422)
    page = visit.page
    page.goto("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("   ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The question is blank; write what you want to know.")
    expect(page.get_by_label("Your question")).to_be_focused()


def test_loading_gives_way_to_the_answer(visiting: Visiting, site: Site) -> None:
    site.service.current = LOADING
    visit = visiting(site.address, java_script_enabled=False)
    visit.open(ASKED, 503)
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Loading")
    site.service.current = READY
    expect(visit.page.get_by_role("article")).to_have_count(5)


def test_each_passage_runs_in_its_own_direction(visiting: Visiting, site: Site) -> None:
    page = visiting(site.address).page
    page.goto(f"/?q={quote('تفتح المكتبة')}")
    direction = "element => getComputedStyle(element).direction"
    assert page.get_by_label("Your question").evaluate(direction) == "rtl"
    assert page.locator("blockquote").first.evaluate(direction) == "rtl"
    assert page.locator("blockquote").last.evaluate(direction) == "ltr"


def test_filters_are_chosen_and_taken_back_by_keyboard(visiting: Visiting, site: Site, script: Options) -> None:
    site.service.fields = FACETS
    page = visiting(site.address, viewport={"width": 320, "height": 800}, **script).page
    page.goto("/")
    page.get_by_label("Your question").fill(QUESTION)
    press_tab_to(page, page.get_by_text("Filter the documents"))
    page.keyboard.press("Enter")
    press_tab_to(page, page.get_by_role("checkbox", name="notes"))
    page.keyboard.press("Space")
    press_tab_to(page, page.get_by_label("Another of 20"))
    page.keyboard.type("Person 17")
    press_tab_to(page, page.get_by_role("button", name="Ask with these filters"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=*filter=folder*filter=author*")
    expect(page.get_by_role("article")).not_to_have_count(0)
    assert "named" not in page.url
    chips = page.get_by_role("list", name="Filters").get_by_role("link")
    expect(chips).to_have_text([re.compile("Folder: notes"), re.compile("Author: Person 17")])
    press_tab_to(page, chips.first)
    page.keyboard.press("Enter")
    expect(chips).to_have_text([re.compile("Author: Person 17")])
    assert "folder" not in page.url
