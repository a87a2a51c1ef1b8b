"""The page, as its HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from qa.errors import Overloaded, QAError, QuestionTooLong
from qa.types import Hit, Passage, Query, Reply, Scores, State
from qa.web.app import create_app
from tests.support.fake_evaluations import FakeEvaluations
from tests.support.fake_service import DOCUMENTS, LOADING, REFUSED, SCRIPT, FakeService
from tests.support.html_page import BROWSER, Page, page


def test_empty_page_is_one_field(client: TestClient) -> None:
    shown = page(client, "/")
    (field,) = shown.all("input")
    assert (field["name"], field["id"], field["value"]) == ("q", "q", "")
    assert {"autofocus", "required"} <= set(field)
    assert "maxlength" not in field  # It would cut a pasted question in silence.
    assert shown.all("label") == [{"for": "q"}]
    assert shown.all("form")[0]["method"] == "get"
    assert "aria-invalid" not in field


def test_footer_says_what_the_server_cannot_do(client: TestClient, service: FakeService) -> None:
    service.current = replace(service.current, troubles=("evaluations cannot run",))
    assert '<p class="error">Evaluations cannot run.</p>' in client.get("/").text


def test_footer_says_what_is_indexed(client: TestClient) -> None:
    footer = page(client, "/").text("footer")
    assert "2 documents and 6 passages are indexed, built 1 April 2026, 12:00 UTC." in footer
    assert "Snapshot 20260401T120000.000Z-5a7b4a42" in footer


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2026-04-01T14:30:00+02:00", "1 April 2026, 12:30 UTC"),
        ("2026-04-01T14:30:00", "1 April 2026, 14:30."),
        ("yesterday", "yesterday"),
    ],
)
def test_when_it_was_built(client: TestClient, service: FakeService, created: str, shown: str) -> None:
    service.current = State(True, "ready", "serving", "one", "s1", documents=1, passages=1, created=created)
    footer = page(client, "/").text("footer")
    assert "1 document and 1 passage are indexed" in footer
    assert shown in footer


def test_results_are_cards_with_their_place(client: TestClient) -> None:
    shown = page(client, "/?q=When+does+the+ferry+leave%3F")
    assert shown.all("input")[0]["value"] == "When does the ferry leave?"
    assert "autofocus" not in shown.all("input")[0]
    assert shown.text("h2") == "5 passages, best match first"
    card = shown.text("article")
    assert "Ferry & <em>tickets</em> notes/ferry <i>.txt Crossing the bay page 1" in card
    assert "cosine0.105" in card
    assert "characters18–156" in card
    assert shown.all("article")[0]["aria-labelledby"] == "passage-1"


def test_full_text_is_linked(client: TestClient) -> None:
    links = [a["href"] or "" for a in page(client, "/?q=ferry").all("a")]
    assert "/v1/documents/notes/ferry%20%3Ci%3E.txt" in links
    texts = [client.get(link).json()["text"] for link in links if link.startswith("/v1/documents/")]
    assert SCRIPT in texts


def test_text_of_documents_is_text(client: TestClient) -> None:
    shown = page(client, "/?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert {"b", "em", "i"}.isdisjoint(tag for tag, _ in shown.elements)
    assert shown.all("script") == [{"src": "/static/ask.js", "defer": None}]
    assert shown.all("input")[0]["value"] == "<script>alert(1)</script>"
    quotes = shown.texts["blockquote"]
    assert any('<script>alert("pier")</script> & the <b>old</b> quay.\nIt carries' in quote for quote in quotes)


def test_passages_are_exact_and_keep_their_own_direction(client: TestClient) -> None:
    shown = page(client, "/?q=تفتح المكتبة")
    assert all(q == {"dir": "auto", "lang": ""} for q in shown.all("blockquote"))
    assert shown.texts["blockquote"][0] in DOCUMENTS["مكتبة.txt"].text
    assert shown.texts["h3"][0] == "المكتبة"
    assert shown.all("bdi")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "The question is blank; write what you want to know."),
        ("%20%09", "The question is blank; write what you want to know."),
        ("x" * 201, "The question has 201 characters; at most 200 are allowed; shorten it."),
        ("impossible", "The question is impossible; ask another."),
    ],
)
def test_errors_are_at_the_field_and_the_question_is_kept(client: TestClient, query: str, message: str) -> None:
    shown = page(client, f"/?q={query}", 422)
    (field,) = shown.all("input")
    assert (field["aria-invalid"], field["aria-describedby"]) == ("true", "error")
    assert field["value"] == query.replace("%20%09", " \t")
    assert {"class": "error", "id": "error", "role": "alert"} in shown.all("p")
    assert message in shown.text("form")


def test_too_many_tokens_is_an_error_at_the_field(client: TestClient, service: FakeService) -> None:
    service.failure = QuestionTooLong(300, 256)
    assert "The question has 300 tokens" in page(client, "/?q=a", 422).text("form")


def test_loading_says_so_and_tries_again(client: TestClient, service: FakeService) -> None:
    service.current = LOADING
    response = client.get("/?q=a+%26+b", headers=BROWSER)
    assert (response.headers["refresh"], response.headers["retry-after"]) == ("2", "2")
    shown = page(client, "/?q=a+%26+b", 503)
    assert shown.text("h1") == "Loading"
    assert "The snapshot and its model are being loaded." in shown.text("main")
    assert shown.text("q") == "a & b"
    assert "/?q=a+%26+b" in [a["href"] for a in shown.all("a")]


def test_refused_says_why_and_does_not_pretend_to_load(client: TestClient, service: FakeService) -> None:
    service.current = REFUSED
    assert "refresh" not in client.get("/", headers=BROWSER).headers
    shown = page(client, "/", 503)
    assert shown.text("h1") == "Not ready"
    assert "The snapshot was made by another model; index again." in shown.text("main")


def test_it_becomes_unready_between_two_looks() -> None:
    class Fading(FakeService):
        def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
            self.current = LOADING
            return super().ask_many(queries)

    assert page(TestClient(create_app(Fading())), "/?q=a", 503).text("h1") == "Loading"


def test_nothing_found(client: TestClient, service: FakeService) -> None:
    service.empty = True
    assert page(client, "/?q=a").text("h2") == "No passage was found"


def test_a_problem_is_told_under_the_name_of_the_index(client: TestClient, service: FakeService) -> None:
    assert page(client, "/nothing", 404).text("header").startswith("qa harbour")
    service.failure = RuntimeError("secret")
    assert page(client, "/?q=a", 500).text("header").startswith("qa harbour")


def test_a_problem_is_told_though_nothing_works(client: TestClient, service: FakeService) -> None:
    def broken() -> State:
        raise RuntimeError("secret")

    service.state = broken  # type: ignore[method-assign]
    shown = page(client, "/documents", 500)
    assert shown.text("h1") == "The server failed"
    assert "harbour" not in shown.text("header")


def test_evaluations_are_linked_only_where_there_are_any(
    client: TestClient, service: FakeService, tmp_path: Path
) -> None:
    evaluating = TestClient(create_app(service, FakeEvaluations(tmp_path)))
    for address, status in (("/", 200), ("/documents", 200), ("/nothing", 404)):
        links = [a["href"] for a in page(client, address, status).all("a")]
        assert "/evaluate" not in links
        assert "/documents" in links
        assert "/evaluate" in [a["href"] for a in page(evaluating, address, status).all("a")]


def test_a_person_is_told_on_a_page_what_a_program_is_told_in_json(client: TestClient, service: FakeService) -> None:
    assert (
        page(client, "/nothing", 404)
        .text("main")
        .startswith("There is nothing at this address There is nothing at /nothing.")
    )
    assert client.get("/v1/nothing", headers=BROWSER).headers["content-type"] == "application/problem+json"
    service.failure = RuntimeError("secret")
    failed = page(client, "/?q=a", 500).text("main")
    assert "The server failed" in failed
    assert "secret" not in failed


@pytest.mark.parametrize("address", ["/", "/?q=ferry", "/?q=", "/nothing"])
def test_landmarks_and_headings_are_in_order(client: TestClient, address: str) -> None:
    shown = Page(client.get(address, headers=BROWSER).text)
    tags = [tag for tag, _ in shown.elements]
    assert [tags.count(tag) for tag in ("main", "h1", "title")] == [1, 1, 1]
    assert [nav["aria-label"] for nav in shown.all("nav")] == ["Main", "More"]
    levels = [0] + [int(tag[1]) for tag in tags if tag in ("h1", "h2", "h3")]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert shown.all("html") == [{"lang": "en"}]
    assert not any(name == "style" or name.startswith("on") for _, attributes in shown.elements for name in attributes)
    assert "style" not in tags
    # All of it from files: the policy allows nothing within the page.
    assert all(script["src"] and script["src"].startswith("/static/") for script in shown.all("script"))
    assert all(not text for text in shown.texts.get("script", []))


def test_what_a_page_links_to_is_there(service: FakeService, tmp_path: Path) -> None:
    client = TestClient(create_app(service, FakeEvaluations(tmp_path)))
    shown = page(client, "/")
    addresses = [e["href"] or "" for e in (*shown.all("link"), *shown.all("a"))]
    assert [client.get(address).status_code for address in (*addresses, "/favicon.ico")] == [200] * (len(addresses) + 1)
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_the_page_is_light(client: TestClient) -> None:
    for path in ("/", "/?q=When+does+the+ferry+leave%3F"):
        parts = (path, "/static/style.css", "/static/ask.js", "/static/icon.svg")
        assert sum(len(client.get(part).content) for part in parts) < 30_000


def test_examples_are_for_whoever_does_not_know_what_to_ask(client: TestClient) -> None:
    shown = page(client, "/")
    assert "When does the ferry leave?" in shown.text("ul")
    link = next(a["href"] for a in shown.all("a") if a.get("dir") == "auto")
    assert page(client, link or "").all("input")[0]["value"] == "When does the ferry leave?"
    assert "For example" not in page(client, "/?q=ferry").texts["h2"]


def test_a_full_queue_keeps_the_question_and_says_when_to_come_again(client: TestClient, service: FakeService) -> None:
    service.failure = Overloaded("more questions are waiting than can be answered soon; try again later", 7)
    response = client.get("/?q=Where+is+the+quay%3F", headers=BROWSER)
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    shown = Page(response.text)
    assert shown.all("input")[0]["value"] == "Where is the quay?"
    assert "More questions are waiting than can be answered soon; try again later." in shown.text("form")
    # There is nothing wrong with the question.
    assert "aria-invalid" not in shown.all("input")[0]


def test_what_no_page_may_hold_is_not_echoed(client: TestClient) -> None:
    shown = client.get("/?q=a%00b%1bc%E2%80%AEd").text
    assert 'value="abcd"' in shown
    assert not {"\x00", "\x1b", "\u202e"} & set(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202egnp.exe", 'a<bdi class="control" data-name="RLO">\u202e</bdi>gnp.exe'),
        ("\u2066<b>\u2069", '<bdi class="control" data-name="LRI">\u2066</bdi>&lt;b&gt;<bdi class="control"'),
        ("bell\x07 tag\U000e0041", 'bell<bdi class="control" data-name="U+0007"></bdi> tag<bdi'),
        ("مرحبا\u200f tab\tline\n", "مرحبا\u200f tab\tline\n"),
    ],
)
def test_what_turns_text_about_shows_by_its_name(service: FakeService, text: str, shown: str) -> None:
    class Turning(FakeService):
        def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
            passage = Passage("0" * 16, "a.txt", 0, len(text), text)
            return [Reply(q.question, (Hit(1, passage, text, Scores(dense=1.0)),), "s") for q in queries]

    html = TestClient(create_app(Turning())).get("/?q=a").text
    quote, title = html.partition("<blockquote")[2], html.partition("<h3")[2]
    assert shown in quote.partition("</blockquote>")[0]
    assert shown in title.partition("</h3>")[0]


def test_the_question_stands_in_full_above_its_answer(client: TestClient) -> None:
    question = "When does the ferry leave?"
    assert page(client, f"/?q={question}").text("h1") == question
