"""A question after another on the page: what it may lean on is kept without a script, and what was searched is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from qa.types import Query, Turn
from qa.web.app import create_app
from qa.web.deps import Options
from tests.support.fake_service import ANSWER, LOADING, FakeService
from tests.support.html_page import Page, page

FIRST = "When does the ferry leave?"
AFTER = "/?q=Why?&previous=When+does+the+ferry+leave?&previous_answer=noon"
SEARCHED = "Why does the ferry leave?"


def kept(shown: Page) -> list[tuple[str | None, str | None]]:
    """Return what the page's first form keeps of the question that was answered."""
    hidden = [(each["name"], each["value"]) for each in shown.all("input") if each["type"] == "hidden"]
    return [(name, value) for name, value in hidden if name and name.startswith("previous")]


def test_the_next_question_may_lean_on_the_one_that_was_answered(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    assert kept(page(client, f"/?q={FIRST}")) == [("previous", FIRST), ("previous_answer", "noon")]
    assert kept(page(client, "/")) == []


@pytest.mark.parametrize("answer", [replace(ANSWER, outcome="not_found"), replace(ANSWER, text="noon " * 30)])
def test_an_answer_that_names_nothing_is_not_kept(client: TestClient, service: FakeService, answer: object) -> None:
    service.answer = answer  # type: ignore[assignment]
    assert kept(page(client, f"/?q={FIRST}")) == [("previous", FIRST)]


def test_what_was_searched_is_said_and_can_be_taken_back(client: TestClient, service: FakeService) -> None:
    shown = page(client, AFTER)
    assert service.asked == [Query("Why?", previous=(Turn(FIRST, "noon"),))]
    assert f"Searched for {SEARCHED} Search for what you typed alone" in shown.text("main")
    assert "/?q=Why%3F" in [link["href"] for link in shown.all("a")]
    # The next question follows what was searched, and not two words.
    assert kept(shown) == [("previous", SEARCHED)]
    assert shown.all("input")[0]["value"] == "Why?"


def test_a_question_that_stands_alone_is_not_changed(client: TestClient) -> None:
    shown = page(client, f"/?q=What+does+a+ticket+cost?&previous={FIRST}")
    assert "Searched for" not in shown.text("main")


def test_links_to_documents_keep_what_it_leans_on(client: TestClient) -> None:
    shown = page(client, AFTER)
    (reading, *_) = [link["href"] or "" for link in shown.all("a") if "start=" in (link["href"] or "")]
    asked = parse_qs(urlsplit(reading).query)
    assert (asked["previous"], asked["previous_answer"]) == ([FIRST], ["noon"])
    back = [link["href"] or "" for link in page(client, reading).all("a") if "/?q=" in (link["href"] or "")]
    assert parse_qs(urlsplit(back[0]).query) == parse_qs(urlsplit(AFTER).query)


def test_while_loading_it_is_kept(client: TestClient, service: FakeService) -> None:
    service.current = LOADING
    again = [link["href"] or "" for link in page(client, AFTER, 503).all("a") if "/?q=" in (link["href"] or "")]
    assert parse_qs(urlsplit(again[0]).query) == parse_qs(urlsplit(AFTER).query)


def test_what_is_wrong_with_it_is_said(client: TestClient) -> None:
    shown = page(client, "/?q=Why?" + "&previous=a" * 9, 422)
    assert "previous holds 9 questions; at most 8 are allowed; keep the last ones." in shown.text("form")
    assert kept(shown) == []


def test_a_judgment_is_of_what_was_searched(service: FakeService, tmp_path: Path) -> None:
    feedback = tmp_path / "feedback.jsonl"
    client = TestClient(create_app(service, options=Options(feedback=feedback)), follow_redirects=False)
    inputs = page(client, AFTER).all("input")
    at = next(at for at, each in enumerate(inputs) if each["name"] == "document")
    form = {str(each["name"]): str(each["value"]) for each in inputs[at - 1 : at + 4]}
    sent = client.post("/feedback", data={**form, "verdict": "yes"})
    assert parse_qs(urlsplit(sent.headers["location"]).query) == {"q": [SEARCHED]}
    assert json.loads(feedback.read_text())["question"] == SEARCHED
