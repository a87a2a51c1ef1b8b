"""What an address of a page names beside the question counts, and is kept from page to page."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from qa.errors import QueryError
from qa.types import Limits, Query, Turn
from qa.web.pages.rendering import asking_address, read_query, reading_address
from tests.support.fake_service import LOADING, FakeService
from tests.support.html_page import page

LIMITS = Limits(question_chars=200, top_k=10, batch=4)
CHOSEN = "top_k=2&mode=lexical&documents=notes/*&documents=*.pdf&sections=T*"
ASKED = f"/?q=ferry&{CHOSEN}"
OPTIONS = {"top_k": ["2"], "mode": ["lexical"], "documents": ["notes/*", "*.pdf"], "sections": ["T*"]}


def parameters(address: str | None) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address or "").query)


def test_what_an_address_names_counts(client: TestClient, service: FakeService) -> None:
    shown = page(client, ASKED)
    assert service.asked == [Query("ferry", 2, ("notes/*", "*.pdf"), ("T*",), "lexical")]
    assert "2 passages, best match first" in shown.texts["h2"]
    told = shown.text("form")
    assert "by words alone at most 2 passages in notes/* or in *.pdf below T*" in told


@pytest.mark.parametrize("name", ["q", "top_k", "mode", "rerank"])
def test_what_may_stand_once_is_refused_twice(client: TestClient, service: FakeService, name: str) -> None:
    shown = client.get(f"/?q=ferry&{name}=1&{name}=2")
    assert shown.status_code == 422
    assert f"{name} is given more than once." in shown.text
    assert service.asked == []


@pytest.mark.parametrize(
    "address", ["/documents?page=1&page=2", "/documents?sort=file&sort=status", "/documents/ferry.txt?start=0&start=1"]
)
def test_so_it_is_by_other_pages(client: TestClient, address: str) -> None:
    shown = client.get(address, headers={"Accept": "text/html"})
    assert shown.status_code == 422
    assert shown.headers["content-type"].startswith("text/html")
    assert "is given more than once." in shown.text


def test_it_is_kept_for_the_next_question_and_in_every_link(client: TestClient) -> None:
    shown = page(client, ASKED)
    kept: dict[str, list[str]] = {}
    for field in shown.all("input"):
        if field.get("type") == "hidden" and field["name"] != "previous":
            kept.setdefault(field["name"] or "", []).append(field["value"] or "")
    assert kept == OPTIONS
    reading = [
        a["href"] for a in shown.all("a") if "/documents/" in (a["href"] or "") and "start=" in (a["href"] or "")
    ]
    assert [OPTIONS.items() <= parameters(address).items() for address in reading] == [True] * 2
    assert "/?q=ferry" in [a["href"] for a in shown.all("a")]

    opened = page(client, reading[0] or "")
    steps = [a["href"] for a in opened.all("a") if (a["href"] or "").startswith("/?")]
    assert [parameters(step) for step in steps] == [{"q": ["ferry"], **OPTIONS}]
    assert "Next passage (2)" in opened.texts["a"]
    last = next(a["href"] for a in opened.all("a") if "start=" in (a["href"] or ""))
    assert "Next passage (3)" not in page(client, last or "").texts["a"]


def test_as_usual_nothing_is_said_of_it(client: TestClient) -> None:
    shown = page(client, "/?q=ferry&top_k=5&mode=hybrid&rerank=false")
    assert [field["name"] for field in shown.all("input")] == ["q", "previous"]
    assert "reset these options" not in shown.text("form")


def test_without_a_question_it_is_kept_for_the_first(client: TestClient, service: FakeService) -> None:
    shown = page(client, f"/?{CHOSEN}")
    assert service.asked == []
    assert "by words alone" in shown.text("form")
    examples = [a["href"] for a in shown.all("a") if a.get("dir") == "auto"]
    assert [OPTIONS.items() <= parameters(example).items() for example in examples] == [True, True]
    assert "/" in [a["href"] for a in shown.all("a") if a["href"]]


def test_while_loading_it_is_kept(client: TestClient, service: FakeService) -> None:
    service.current = LOADING
    again = [a["href"] for a in page(client, ASKED, 503).all("a") if (a["href"] or "").startswith("/?")]
    assert [parameters(address) for address in again] == [{"q": ["ferry"], **OPTIONS}]


@pytest.mark.parametrize("question", ["", "q=ferry&"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("top_k=0", "The parameter top_k must be from 1 to 10."),
        ("top_k=many", "The parameter top_k must be a whole number."),
        ("mode=telepathic", "The parameter mode can only be 'hybrid', 'dense' or 'lexical'."),
        ("rerank=perhaps", "The parameter rerank must be true or false."),
        (
            "documents=a&documents=",
            "The parameter documents[1] is empty; write a pattern such as reports/*.txt, or leave it out.",
        ),
        ("sections=%00", "The parameter sections[0] holds a NUL character; remove it."),
        ("topk=3", "The parameter topk is not a known field; did you mean top_k? Known fields: q, top_k"),
    ],
)
def test_a_wrong_value_is_told_by_its_field_and_the_rest_is_kept(
    client: TestClient, service: FakeService, question: str, wrong: str, message: str
) -> None:
    shown = page(client, f"/?{question}{wrong}&sections=T*" if "sections" not in wrong else f"/?{question}{wrong}", 422)
    assert message in shown.text("form")
    field = shown.all("input")[0]
    assert field["value"] == ("ferry" if question else "")
    # There is nothing wrong with the question.
    assert "aria-invalid" not in field
    kept = [(e["name"], e["value"]) for e in shown.all("input")[1:]]
    assert kept == ([] if "sections" in wrong else [("sections", "T*")])
    assert service.asked == []


def test_what_others_add_to_an_address_is_passed_over(client: TestClient, service: FakeService) -> None:
    """Mail programs and networks add parameters to shared addresses."""
    shown = page(client, "/?q=ferry&fbclid=IwAR2&utm_source=mail&=&top_k=2")
    assert service.asked == [Query("ferry", 2)]
    inputs = [(e["name"], e["value"]) for e in shown.all("input")]
    assert inputs == [("q", "ferry"), ("previous", "ferry"), ("top_k", "2")]


def test_what_the_service_refuses_of_it_is_not_asked_again(client: TestClient, service: FakeService) -> None:
    service.outcome = QueryError("documents", "no indexed document matches 'x*'")
    shown = page(client, "/?q=ferry&documents=x*&top_k=2", 422)
    assert "No indexed document matches 'x*'." in shown.text("form")
    assert [(e["name"], e["value"]) for e in shown.all("input")] == [("q", "ferry"), ("top_k", "2")]


@given(
    st.builds(
        Query,
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(lambda q: f"a{q}"),
        st.integers(1, 10),
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)).map(tuple),
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)).map(tuple),
        st.sampled_from(["hybrid", "dense", "lexical"]),
        st.booleans(),
        previous=st.lists(st.builds(Turn, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
        .map(lambda turns: turns[:8])
        .map(tuple),
    )
)
def test_an_address_says_how_it_was_asked(query: Query) -> None:
    limits = Limits(question_chars=10_000, top_k=10, batch=1)
    for address in (asking_address(query), reading_address("a/b ?.txt", 3, 9, query)):
        assert read_query(QueryParams(urlsplit(address).query), limits) == (query, ())
