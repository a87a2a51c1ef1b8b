"""Pictures of every page of a running service, light and dark, narrow and wide.

    .venv/bin/qa index seeds --name seeds
    QA_FEEDBACK=/tmp/feedback.jsonl .venv/bin/qa serve --name seeds --port 8000
    .venv/bin/python docs/pages/take.py http://127.0.0.1:8000 FOLDER [--width 320] [--scheme light] [PAGE …]

The pictures are ``FOLDER/<page>-<scheme>-<width>.png``; those in this folder were taken so. Where there are no two
evaluations to compare, the seed questions are evaluated twice first: by words, and by both.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

QUESTIONS = Path(__file__).parents[2] / "seeds" / "questions.jsonl"
ANSWERED = "How far is the army from Mosul?"
MISSING = "Who won the football match?"


def asked(question: str, options: str = "") -> str:
    """Return the address of a question."""
    return f"/?q={quote(question)}{options}"


def read_in_place(page: Page) -> None:
    """Go to the answer's place in its document."""
    page.goto(asked(ANSWERED))
    page.locator(".answer a").first.click()
    page.wait_for_url("**/documents/**")


def evaluate(page: Page, mode: str) -> None:
    """Have the seed questions evaluated, and wait for the report."""
    page.goto("/evaluate")
    page.get_by_label("Question file").set_input_files(QUESTIONS)
    page.get_by_label("Search by").select_option(mode)
    page.get_by_role("button", name="Evaluate").click()
    page.get_by_role("link", name="Read the report").wait_for(timeout=120_000)


def compare(page: Page) -> None:
    """Go to the comparison of the two newest evaluations."""
    page.goto("/evaluate")
    page.get_by_role("button", name="Compare").click()
    page.locator(".verdict").wait_for(timeout=60_000)


def show_evaluation(page: Page) -> None:
    """Go to the page of an evaluation that is done."""
    page.goto("/evaluate")
    page.locator(".jobs a").first.click()


def show_report(page: Page) -> None:
    """Go to the report of an evaluation."""
    page.goto("/evaluate")
    page.locator(".jobs a[href$=report]").first.click()


PAGES = {
    "ask": lambda page: page.goto("/"),
    "answer": lambda page: page.goto(asked(ANSWERED)),
    # An error that no answer keeps to, so that this one is a guess.
    "unsure": lambda page: page.goto(asked(ANSWERED, "&max_error=0.01")),
    "not-found": lambda page: page.goto(asked(MISSING)),
    "blank": lambda page: page.goto("/?q=%20"),
    "reading": read_in_place,
    "documents": lambda page: page.goto("/documents"),
    "evaluate": lambda page: page.goto("/evaluate"),
    "evaluation": show_evaluation,
    "report": show_report,
    "compare": compare,
    "missing": lambda page: page.goto("/nowhere"),
}


def main() -> None:
    """Take the pictures that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", default=list(PAGES))
    parser.add_argument("--width", type=int, action="append")
    parser.add_argument("--scheme", action="append")
    parser.add_argument("--whole", action="store_true", help="the whole page, however long, and not one window of it")
    arguments = parser.parse_intermixed_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(base_url=arguments.address)
        page = context.new_page()
        page.goto("/evaluate")
        for mode in ("lexical", "hybrid")[page.locator(".jobs a[href$=report]").count() :]:
            evaluate(page, mode)
        context.close()
        for scheme in arguments.scheme or ("light", "dark"):
            for width in arguments.width or (320, 1280):
                context = browser.new_context(
                    base_url=arguments.address,
                    viewport={"width": width, "height": 800 if width > 600 else 640},
                    color_scheme=scheme,
                )
                page = context.new_page()
                for name in arguments.pages:
                    PAGES[name](page)
                    path = arguments.folder / f"{name}-{scheme}-{width}.png"
                    page.screenshot(path=path, full_page=arguments.whole)
                    print(path)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
