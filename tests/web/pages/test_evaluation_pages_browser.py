"""A question file evaluated from a real browser: its forms are taken, though the browser hides their origin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import FilePayload, expect

from tests.support.browsing import Visit, Visiting
from tests.support.fake_evaluations import DONE, QUESTION
from tests.support.site import COMPARED, WIDTHS, Site

pytestmark = pytest.mark.browser

FILE: FilePayload = {"name": "mine.jsonl", "mimeType": "application/x-ndjson", "buffer": QUESTION}


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@pytest.fixture(params=[False, True], ids=["without-javascript", "with-javascript"])
def visit(request: pytest.FixtureRequest, visiting: Visiting, site: Site, width: int) -> Visit:
    return visiting(site.address, java_script_enabled=request.param, viewport={"width": width, "height": 700})


def submit(visit: Visit, file: FilePayload) -> None:
    visit.page.goto("/evaluate")
    visit.page.get_by_label("Question file").set_input_files(file)
    visit.page.get_by_role("button", name="Evaluate").focus()
    visit.page.keyboard.press("Enter")


def test_from_the_file_to_the_report_and_gone(visit: Visit, site: Site) -> None:
    page = visit.page
    submit(visit, FILE)
    expect(page.get_by_role("status")).to_contain_text("queued")
    assert site.evaluations.job is not None
    site.evaluations.job = replace(site.evaluations.job, status="done", questions=1, asked=1)
    # By itself, without a click.
    page.get_by_role("link", name="Read the report").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto("/evaluate")
    page.get_by_role("link", name="mine.jsonl,").click()
    page.get_by_role("link", name="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Remove mine.jsonl?")
    page.get_by_role("link", name="Keep it").click()
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove the evaluation").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/evaluate")
    expect(page.locator("main")).to_contain_text("None yet.")


def test_what_is_wrong_with_the_file_is_told_and_another_is_taken_and_cancelled(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page does not reload in the moment in which its button is pressed.
    monkeypatch.setattr("qa.web.pages.evaluations.REFRESH_SECONDS", 600)
    visit.statuses.add(422)
    page = visit.page
    submit(visit, {**FILE, "buffer": b"{"})
    expect(page.get_by_role("alert")).to_contain_text("mine.jsonl, line 1")
    submit(visit, FILE)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the evaluation").click()
    page.wait_for_url("**/evaluate")
    expect(page.locator("main")).to_contain_text("None yet.")


def test_two_are_compared_question_by_question_and_the_other_way_round(visit: Visit, site: Site) -> None:
    page = visit.page
    site.job("done", questions=5, asked=5)
    page.goto(COMPARED)
    expect(page.get_by_role("status")).to_contain_text("is being computed")
    site.evaluations.compared = DONE
    # By itself, without a click.
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    page.get_by_role("link", name="Swap before and after").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    page.get_by_role("link", name="Every question that changed").click()
    page.wait_for_url("**/evaluate/compare/report**")
    page.go_back()
    page.get_by_role("link", name="All evaluations").click()
    page.wait_for_url("**/evaluate")
