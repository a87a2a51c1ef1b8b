"""The answer on the page, and a document's text with a span marked in its place."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from qa.types import AnswerForm, Document, Page, Query, Section, Span
from qa.web.pages.document import WINDOW, Block, blocks, reach, window
from tests.support.fake_service import (
    ADDRESS,
    ANSWER,
    ATTACHMENT,
    DOCUMENTS,
    MAILBOX,
    NOON,
    SCRIPT,
    FakeService,
    citation,
)
from tests.support.html_page import BROWSER, page

FERRY = "notes/ferry <i>.txt"
SUM = hashlib.sha256(b"noon").hexdigest()[:16]


def test_the_answer_comes_first_with_its_place_and_how_sure_it_is(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    shown = page(client, "/?q=When+does+the+ferry+leave%3F")
    answer = shown.text("section")
    assert answer.startswith("Answer noon")
    assert "Crossing the bay" in answer
    assert "source unchanged" in answer
    assert "Confidence 80%." in answer
    assert (
        "Of 3,000 questions over other collections, 412 had an answer about as sure as this one, and 8 of 10" in answer
    )
    assert "All answers given at this setting, taken together, are wrong at most 30% of the time." in answer
    assert "Other values found ferry" in answer
    assert [mark.get("class") for mark in shown.all("mark")] == ["chosen", "chosen"]
    assert f"{ADDRESS}?start={NOON}&end={NOON + 4}&sum={SUM}&q=When+does+the+ferry+leave%3F#span" in [
        link["href"] for link in shown.all("a")
    ]


def test_a_mail_and_what_is_attached_to_it_lead_to_each_other(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in (MAILBOX, ATTACHMENT):
        monkeypatch.setitem(DOCUMENTS, document.id, document)
    shown = page(client, "/documents/box.mbox")
    assert "by <b>Ann</b>" in shown.text("main")
    address = "/documents/box.mbox/1/%3Ci%3E.csv"
    assert address in [link["href"] for link in shown.all("a")]
    attached = page(client, address)
    assert "attached to box.mbox" in attached.text("main")
    assert "/documents/box.mbox" in [link["href"] for link in attached.all("a")]
    listed = page(client, "/documents").text("main")
    assert "by <b>Ann</b>" in listed
    assert listed.count("<i>.csv") == 1  # its id says its title already


@pytest.mark.parametrize(("status", "said"), [("drifted", "source has changed since"), ("missing", "source is gone")])
def test_a_source_that_changed_is_told(client: TestClient, service: FakeService, status: str, said: str) -> None:
    service.answer = replace(ANSWER, citation=replace(citation(NOON, NOON + 4), status=status))  # type: ignore[arg-type]
    assert said in page(client, "/?q=ferry").text("section")


def test_a_guess_is_shown_in_its_place_and_called_a_guess(client: TestClient, service: FakeService) -> None:
    service.answer = replace(
        ANSWER, outcome="unsure", confidence=0.45, promised_error=None, note="nothing is certified"
    )
    shown = page(client, "/?q=ferry")
    section = shown.text("section")
    assert section.startswith("Not sure: this is only the best guess noon")
    assert "Confidence 45%." in section
    assert "Nothing is certified." in section
    assert [mark.get("class") for mark in shown.all("mark")] == ["guess", "guess"]
    assert "nothing that is indexed" not in shown.text("main")


def test_where_nothing_is_found_no_text_is_shown_as_an_answer(client: TestClient, service: FakeService) -> None:
    service.answer = replace(ANSWER, outcome="not_found", confidence=0.05)
    shown = page(client, "/?q=ferry")
    section = shown.text("section")
    assert section.startswith("No answer found None of the passages that were read is about this.")
    assert "noon" not in section
    assert "could not be read" not in section
    assert shown.texts["h2"][1] == "5 passages, best match first"
    assert shown.all("mark") == []


@pytest.mark.parametrize(
    ("files", "said"), [(1, "One file could not be read"), (1200, "1,200 files could not be read")]
)
def test_files_that_could_not_be_read_are_named_beside_it(
    client: TestClient, service: FakeService, files: int, said: str
) -> None:
    service.answer = replace(ANSWER, outcome="not_found", unread_files=files)
    shown = page(client, "/?q=ferry")
    assert said in shown.text("section")
    assert "/documents?status=failed" in [link["href"] for link in shown.all("a")]


@pytest.mark.parametrize("form", ["sentence", "list", "row"])
def test_an_answer_that_is_more_than_a_phrase_is_shown_whole(
    client: TestClient, service: FakeService, form: AnswerForm
) -> None:
    text = "It carries:\n- forty people\n- twenty bicycles"
    service.answer = replace(ANSWER, form=form, text=text)
    response = client.get("/?q=ferry", headers=BROWSER)
    assert f'<p class="said {form}" dir="auto">{text}</p>' in response.text


def test_passages_alone_are_shown_without_an_answer(client: TestClient, service: FakeService) -> None:
    shown = page(client, "/?q=ferry&answer=false&max_error=0.1")
    assert service.asked == [Query("ferry", answer=False, max_error=0.1)]
    assert "passages only" in shown.text("form")
    assert "at most 10% of answers wrong" in shown.text("form")
    assert {"answer": "false", "max_error": "0.1"}.items() <= {
        str(field["name"]): field.get("value") for field in shown.all("input")
    }.items()


def test_a_document_is_shown_whole_with_the_span_marked(client: TestClient) -> None:
    shown = page(client, f"{ADDRESS}?start={NOON}&end={NOON + 4}")
    assert shown.texts["mark"] == ["noon"]
    assert shown.all("mark")[0]["id"] == "span"
    assert "".join(shown.texts["div"]) == SCRIPT
    assert [e["aria-level"] for e in shown.all("div") if e.get("role") == "heading"] == ["2", "2"]
    assert "page 1" in shown.text("article")
    assert {"b", "em", "i"}.isdisjoint(tag for tag, _ in shown.elements)
    assert shown.all("script") == []


def test_a_link_from_before_a_change_marks_nothing_else(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"{ADDRESS}?start={NOON}&end={NOON + 4}&sum={SUM}"
    shown = page(client, address)
    assert shown.texts["mark"] == ["noon"]
    assert "has changed since" not in shown.text("main")
    for text in (SCRIPT.replace("noon", "dusk"), SCRIPT[: NOON + 2], ""):
        monkeypatch.setitem(DOCUMENTS, FERRY, replace(DOCUMENTS[FERRY], text=text, sections=(), pages=()))
        shown = page(client, address)
        assert "mark" not in shown.texts
        assert "This document has changed since the link to it was made." in shown.text("main")


def test_the_links_of_a_question_say_what_they_lead_to(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    shown = page(client, "/?q=When+does+the+ferry+leave%3F")
    links = [link["href"] or "" for link in shown.all("a") if "start=" in (link["href"] or "")]
    assert len(links) >= 3
    for link in links:
        there = page(client, link)
        assert "sum=" in link
        assert "has changed since" not in there.text("main")
        assert there.texts["mark"]


def test_the_passages_of_a_question_lead_to_each_other(client: TestClient) -> None:
    shown = page(client, f"{ADDRESS}?start={NOON}&end={NOON + 4}&q=When+does+the+ferry+leave%3F")
    steps = [text for text in shown.texts["a"] if "passage" in text]
    assert "Next passage (2)" in steps
    assert "Previous passage (0)" not in steps
    assert shown.texts["q"] == ["When does the ferry leave?"]


@pytest.mark.parametrize("query", ["", "?start=5&end=5", "?start=9&end=2", "?start=99999&end=999999", "?q=%20"])
def test_a_span_that_is_none_marks_nothing(client: TestClient, query: str) -> None:
    assert "mark" not in page(client, ADDRESS + query).texts


@pytest.mark.parametrize(("query", "field"), [("?start=-1", "start"), ("?start=x", "start"), ("?end=1e9", "end")])
def test_a_span_that_is_no_number_is_refused(client: TestClient, query: str, field: str) -> None:
    assert field in page(client, ADDRESS + query, 422).text("main").lower().split()


def test_a_document_that_is_not_there(client: TestClient) -> None:
    assert page(client, "/documents/secret.txt", 404).text("h1") == "No such document"


def test_a_large_document_is_shown_in_parts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"Line {n} of a long book.\n" for n in range(10_000))
    book = replace(DOCUMENTS[FERRY], id="book.txt", text=text, sections=(), pages=())
    monkeypatch.setitem(DOCUMENTS, "book.txt", book)
    at = text.index("Line 5000 ")
    shown = page(client, f"/documents/book.txt?start={at}&end={at + 9}")
    assert shown.texts["mark"] == ["Line 5000"]
    assert len("".join(shown.texts["div"])) <= WINDOW
    links = dict(zip(shown.texts["a"], (a["href"] or "" for a in shown.all("a")), strict=True))
    assert "Line 4700 " in page(client, links["Text before"]).text("article")
    assert "Line 5700 " in page(client, links["Text after"]).text("article")


@st.composite
def laid_out(draw: st.DrawFn) -> Document:
    text = draw(st.text(min_size=1, max_size=60))
    at = st.integers(0, len(text))
    starts = sorted(draw(st.sets(at, max_size=4)))
    sections = tuple(Section("?", 1, s, min(s + draw(st.integers(0, 5)), len(text)), len(text)) for s in starts)
    pages = tuple(Page(n, s, len(text)) for n, s in enumerate(sorted(draw(st.sets(at, max_size=4))), start=1))
    return Document("d", "", text, "0" * 64, "text/plain", "text/1", sections=sections, pages=pages)


def all_blocks(document: Document, span: Span | None) -> list[Block]:
    return blocks(document.text, Span(0, len(document.text)), document.sections, document.pages, span)


@given(document=laid_out(), start=st.integers(0, 60), length=st.integers(0, 60))
def test_nothing_of_what_is_shown_is_left_out_or_said_twice(document: Document, start: int, length: int) -> None:
    span = Span(start, start + length) if length and start + length <= len(document.text) else None
    found = [piece for block in all_blocks(document, span) for piece in block.pieces]
    assert "".join(piece.text for piece in found) == document.text
    marked = "".join(piece.text for piece in found if piece.marks)
    assert marked == (document.text[span.start : span.end] if span else "")


@given(lines=st.lists(st.integers(0, 3000), max_size=60), at=st.floats(0, 1))
def test_what_is_asked_for_is_in_the_window(lines: list[int], at: float) -> None:
    text = "\n".join("x" * length for length in lines) or "x"
    position = int(at * (len(text) - 1))
    near = reach(len(text), position)
    shown = window(text[near.start : near.end], len(text), position)
    assert near.start <= shown.start
    assert shown.end <= near.end
    assert shown.start <= position < shown.end
    assert shown.end - shown.start <= WINDOW
