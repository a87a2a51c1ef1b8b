"""The report in a real browser, from a file: what its script does, and that nothing is blocked or overflows."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from qa.evaluation.comparison import compare_runs
from qa.evaluation.report import comparison_page
from tests.evaluation.test_report import evaluated, evil, page
from tests.support.browsing import Visiting

pytestmark = pytest.mark.browser


def opened(visiting: Visiting, folder: Path, html: str, *, width: int = 1000, script: bool = True) -> Page:
    """Open the page from a file, which is all that the browser may load."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    shown = visiting(path.as_uri(), viewport={"width": width, "height": 800}, java_script_enabled=script).page
    shown.goto(path.as_uri())
    return shown


def titles(shown: Page) -> list[str]:
    return list(shown.locator("ol.questions > li:visible .text").all_text_contents())


def test_finding_filtering_and_ordering(visiting: Visiting, tmp_path: Path) -> None:
    shown = opened(visiting, tmp_path, page(evaluated()))
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


def test_questions_open_by_keyboard(visiting: Visiting, tmp_path: Path) -> None:
    shown = opened(visiting, tmp_path, page(evaluated()))
    summaries = shown.locator("ol.questions summary")
    summaries.nth(0).focus()
    shown.keyboard.press("ArrowDown")
    expect(summaries.nth(1)).to_be_focused()
    shown.keyboard.press("Enter")
    expect(shown.locator("ol.questions > li").nth(1).locator("blockquote").first).to_be_visible()
    shown.keyboard.press("ArrowUp")
    expect(summaries.nth(0)).to_be_focused()


def test_without_a_script_everything_is_there_and_opens(visiting: Visiting, tmp_path: Path) -> None:
    shown = opened(visiting, tmp_path, page(evaluated()), script=False)
    expect(shown.get_by_label("Find")).to_be_hidden()
    shown.locator("ol.questions summary").first.click()
    expect(shown.locator("ol.questions mark.evidence").first).to_be_visible()


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize("width", [320, 1600])
def test_nothing_runs_over_and_axe_finds_nothing(visiting: Visiting, tmp_path: Path, kind: str, width: int) -> None:
    bad = evil(evaluated())
    html = page(bad) if kind == "report" else comparison_page(compare_runs(bad, evil(evaluated(worse=True))))
    shown = opened(visiting, tmp_path, html, width=width)
    for summary in shown.locator("ol.questions summary").all():
        summary.click()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        found = Axe().run(shown)
        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
