"""Two evaluations compared on a page: chosen from a list, computed meanwhile, read as numbers and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from qa.evaluation.jobs.jobs import Compared, Job
from tests.support.fake_evaluations import DONE, ID, QUESTION, FakeEvaluations
from tests.support.html_page import page
from tests.web.pages.test_evaluation_pages import KEYS, client_of, upload

ADDRESS = f"/evaluate/compare?a={ID}&b={ID}"


class TwoEvaluations(FakeEvaluations):
    def listing(self) -> list[Job]:
        return [] if self.job is None else [self.job, replace(self.job, id="0" * 32, name="before.jsonl")]


@pytest.fixture
def evaluations(tmp_path: Path) -> FakeEvaluations:
    return TwoEvaluations(tmp_path)


@pytest.fixture
def client(evaluations: FakeEvaluations) -> TestClient:
    client = client_of(evaluations)
    upload(client, "after.jsonl", QUESTION)
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="done", questions=1, asked=1)
    return client


def test_two_are_chosen_from_those_that_are_done(client: TestClient, evaluations: FakeEvaluations) -> None:
    shown = page(client, "/evaluate")
    (form,) = (form for form in shown.all("form") if form["action"] == "/evaluate/compare")
    assert form["method"] == "get"
    chosen = [option["value"] for option in shown.all("option") if "selected" in option][1:]
    # The newest against the one before it.
    assert chosen == ["0" * 32, ID]
    assert evaluations.job is not None
    evaluations.job = replace(evaluations.job, status="asking")
    assert "/evaluate/compare" not in client.get("/evaluate").text


def test_it_is_computed_meanwhile(client: TestClient) -> None:
    response = client.get(ADDRESS)
    assert response.headers["refresh"] == "2"
    assert "The comparison is being computed." in page(client, ADDRESS).text("main")


def test_the_numbers_and_the_verdict(client: TestClient, evaluations: FakeEvaluations) -> None:
    evaluations.compared = DONE
    assert "refresh" not in client.get(ADDRESS).headers
    shown = page(client, ADDRESS)
    text = shown.text("main")
    assert "Better. By passages.nDCG@10 of 1,200 questions: 1,100 better, 20 worse." in text
    assert "A change of less than 0.010 would probably go unseen" in text
    assert "They differ in mode: dense and hybrid." in text
    assert shown.texts["tr"][1].split() == [
        "passages.nDCG@10", "+0.125", "better", "+0.062", "to", "+0.188", "0.0003", "0.500", "0.625",
    ]  # fmt: skip
    assert shown.texts["tr"][2].split()[:5] == ["passages.<b>", "+0.125", "better", "?", "0.0003"]
    (report,) = (a["href"] for a in shown.all("a") if "compare/report" in (a["href"] or ""))
    assert report is not None
    opened = client.get(report)
    assert opened.status_code == 200
    assert "sha256-" in opened.headers["content-security-policy"]


def test_how_each_of_the_two_was_asked(client: TestClient, evaluations: FakeEvaluations) -> None:
    assert evaluations.job is not None
    asked = {"mode": "lexical", "top_k": 1, "rerank": True}
    before, after = evaluations.job, replace(evaluations.job, id="0" * 32, options=asked)
    kept = {job.id: job for job in (before, after)}
    evaluations.get = kept.__getitem__  # type: ignore[assignment]
    shown = page(client, f"/evaluate/compare?a={before.id}&b={after.id}")
    first, second = (" ".join(text.split()) for text in shown.texts["dd"])
    assert ", meaning and words, 20 passages, snapshot" in first
    assert ", words alone, 1 passage, re-ranked, snapshot" in second


def test_why_it_failed(client: TestClient, evaluations: FakeEvaluations) -> None:
    evaluations.compared = Compared("failed", detail="the two runs have no question in common")
    shown = page(client, ADDRESS)
    assert {"class": "error", "role": "alert"} in shown.all("p")
    assert "The two runs have no question in common." in shown.text("main")


def test_one_that_is_not_there(client: TestClient) -> None:
    assert client.get(f"/evaluate/compare?a={ID}&b={'1' * 32}").status_code == 404
    assert client.get(f"/evaluate/compare?a={ID}").status_code == 422
    assert client.get(f"/evaluate/compare?a={ID}&b={'1' * 65}").status_code == 422


def test_elsewhere_nothing_is_computed(evaluations: FakeEvaluations) -> None:
    assert client_of(evaluations, address="192.0.2.1").get(ADDRESS).status_code == 403
    assert client_of(evaluations, keys=KEYS).get(ADDRESS).status_code == 403
