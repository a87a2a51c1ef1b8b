"""The filters of the ask page: what can be chosen, what is chosen, and how a condition is taken back."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.testclient import TestClient

from qa.index.fields import Facet, FacetValue
from qa.types import Eq, In, Query, Range
from tests.support.fake_service import FACETS, LOADING, FakeService
from tests.support.html_page import Page, page


@pytest.fixture(autouse=True)
def fields(service: FakeService) -> None:
    service.fields = FACETS


def filters(address: str | None) -> list[str]:
    return parse_qs(urlsplit(address or "").query).get("filter", [])


def checkboxes(shown: Page) -> dict[str | None, bool]:
    return {field["value"]: "checked" in field for field in shown.all("input") if field.get("type") == "checkbox"}


def address(*texts: str) -> str:
    return f"/?{urlencode([('q', 'ferry'), *(('filter', text) for text in texts)])}"


def test_what_can_be_chosen_has_a_checkbox_and_a_count(client: TestClient) -> None:
    shown = page(client, "/")
    assert checkboxes(shown) == {
        "folder=notes": False,
        **{"type=txt": False, "type=md <b>": False},
        **{f"author=Person {number}": False for number in range(8)},
    }
    assert shown.texts["legend"] == ["Folder", "Type", "Author", "Date"]
    assert "notes 1 document" in " ".join(shown.text("details").split())
    # Of the values that have no checkbox a name can be written, and some are suggested.
    (other,) = [field for field in shown.all("input") if field.get("list")]
    assert (other["name"], len(shown.all("option"))) == ("named.author", 12)
    assert "Another of 20" in shown.text("details")


def test_what_divides_nothing_is_not_offered(client: TestClient, service: FakeService) -> None:
    of_all, of_none = Facet("type", "value", 2, 1, (FacetValue("txt", 2),)), Facet("sender", "value", 0, 0, ())
    service.fields = (of_all, of_none)
    assert page(client, "/").all("details") == []


def test_what_is_chosen_counts_is_shown_and_can_be_taken_back(client: TestClient, service: FakeService) -> None:
    shown = page(client, address("folder=notes", "author=Person 15", "author=person 1", "title=Ferry", "date>=2024-05"))
    assert service.asked[0].filter == (
        Eq("folder", "notes"),
        In("author", ("Person 15", "person 1")),
        Eq("title", "Ferry"),
        Range("date", "2024-05"),
    )
    checked = [text for text, is_checked in checkboxes(shown).items() if is_checked]
    assert checked == ["folder=notes", "author=Person 1", "author=Person 15"]
    named = ("filter", "since", "until")
    values = {
        field["name"]: field["value"]
        for field in shown.all("input")
        if field["name"] in named and field.get("type") != "checkbox"
    }
    assert values == {"filter": "title=Ferry", "since": "2024-05-01", "until": ""}
    chips = [filters(a["href"]) for a in shown.all("a") if (a["href"] or "").startswith("/?q=ferry&filter=")]
    every = ["folder=notes", "author=Person 15", "author=person 1", "title=Ferry", "date>=2024-05"]
    assert chips == [[text for text in every if text != gone] for gone in every]
    words = [text.replace(" ×", "").removeprefix("Remove the filter ") for text in shown.texts["a"] if "×" in text]
    assert words == ["Folder: notes", "Author: Person 15", "Author: person 1", "Title: Ferry", "Date from 2024-05"]


def test_a_filter_is_kept_for_the_next_question_and_in_the_documents(client: TestClient) -> None:
    reading = [a["href"] for a in page(client, address("folder=notes")).all("a") if "start=" in (a["href"] or "")]
    assert reading
    assert {tuple(filters(each)) for each in reading} == {("folder=notes",)}
    back = [a["href"] for a in page(client, reading[0] or "").all("a") if (a["href"] or "").startswith("/?")]
    assert [filters(each) for each in back] == [["folder=notes"]]


def test_days_and_names_lead_to_the_address_of_their_filter(client: TestClient, service: FakeService) -> None:
    form = [("q", "ferry"), ("filter", "type=txt"), ("named.author", " Person 17 "), ("filter", "author=Person 1")]
    form += [("since", "2024-01-01"), ("until", "2024-05-31"), ("top_k", "2")]
    sent = client.get(f"/?{urlencode(form)}", follow_redirects=False)
    assert sent.status_code == 303
    assert service.asked == []
    page(client, sent.headers["location"])
    range_ = Range("date", "2024-01-01", "2024-05-31")
    assert service.asked == [
        Query("ferry", top_k=2, filter=(Eq("type", "txt"), In("author", ("Person 1", "Person 17")), range_))
    ]
    nothing = client.get("/?q=ferry&since=&until=&named.author=", follow_redirects=False)
    assert nothing.headers["location"] == "/?q=ferry"


@pytest.mark.parametrize(
    ("texts", "days", "kept"),
    [
        (["date=2024"], ("2024-01-01", "2024-12-31"), []),
        (["date<=2024-02"], ("", "2024-02-29"), []),
        (["date>=2024-02-01T10:00Z"], ("", ""), ["date>=2024-02-01T10:00Z"]),
        (["date=2023", "date=2024"], ("", ""), ["date=2023", "date=2024"]),
        (["date=2023", "date>=2024"], ("2023-01-01", "2023-12-31"), ["date>=2024"]),
        (["created>=2024"], ("", ""), ["created>=2024"]),
    ],
)
def test_dates_that_are_no_days_are_kept_beside_the_form(
    client: TestClient, texts: list[str], days: tuple[str, str], kept: list[str]
) -> None:
    inputs = page(client, address(*texts)).all("input")
    assert tuple(field["value"] for field in inputs if field.get("type") == "date") == days
    hidden = [field for field in inputs if field.get("type") == "hidden" and field["name"] == "filter"]
    assert [field["value"] for field in hidden] == kept


def test_what_no_document_has_stays_in_sight_and_nothing_is_found(client: TestClient, service: FakeService) -> None:
    service.empty = True
    shown = page(client, address("language=xx"))
    assert checkboxes(shown)["language=xx"]
    assert "No document passes these filters together." in " ".join(shown.texts["p"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filter=autor%3DAnn", "there is no field 'autor'; did you mean author?"),
        ("filter=folder", "'folder' is no condition"),
        ("since=soon", "'soon' is no date for the field date"),
        ("named.colour=red", "there is no field 'colour'"),
    ],
)
def test_a_wrong_filter_is_named_and_dropped_from_the_next_question(
    client: TestClient, text: str, message: str
) -> None:
    shown = page(client, f"/?q=ferry&top_k=2&{text}", 422) if "=" in text and text[:6] == "filter" else None
    if shown is None:
        sent = client.get(f"/?q=ferry&top_k=2&{text}", follow_redirects=False)
        shown = page(client, sent.headers["location"], 422)
    assert message in " ".join(shown.texts["p"])
    hidden = {field["name"]: field["value"] for field in shown.all("input") if field.get("type") == "hidden"}
    assert hidden == {"top_k": "2"}


def test_a_blank_question_is_named_before_a_wrong_filter(client: TestClient) -> None:
    shown = page(client, "/?q=+&filter=autor%3DAnn", 422)
    assert "The question is blank" in " ".join(shown.texts["p"])
    assert "autor=Ann" in [field["value"] for field in shown.all("input")]


def test_while_loading_the_filter_is_kept(client: TestClient, service: FakeService) -> None:
    service.current = replace(LOADING)
    again = [a["href"] for a in page(client, address("folder=notes"), 503).all("a")]
    assert [filters(each) for each in again if (each or "").startswith("/?")] == [["folder=notes"]]


def test_values_of_documents_are_text(client: TestClient) -> None:
    response = client.get("/?filter=type%3D%3Cscript%3E")
    assert "<script>" not in response.text.replace('<script src="/static/ask.js" defer></script>', "")
    assert "md <b>" not in response.text


def test_the_list_of_documents_is_filtered_by_the_same_form(client: TestClient) -> None:
    assert len(page(client, "/documents").all("tr")) == 5
    shown = page(client, "/documents?filter=folder%3Dnotes&sort=characters&page=3")
    rows = [a["href"] for a in shown.all("a") if (a["href"] or "").startswith("/documents/")]
    assert rows == ["/documents/notes/ferry%20%3Ci%3E.txt"]
    assert "1 file was found that passes: 1 read." in shown.text("main")
    assert checkboxes(shown)["folder=notes"]
    # Sorting, and other statuses, keep the filter; a chip takes it back.
    links = [a["href"] or "" for a in shown.all("a")]
    assert "/documents?status=failed&sort=characters&filter=folder%3Dnotes" in links
    assert "/documents?filter=folder%3Dnotes" in links
    assert "/documents?sort=characters" in links
    hidden = {field["name"]: field["value"] for field in shown.all("input") if field.get("type") == "hidden"}
    assert hidden == {"sort": "characters"}


def test_days_and_names_lead_to_the_address_of_the_list(client: TestClient) -> None:
    sent = client.get("/documents?status=read&named.author=Ann&since=2024-05-01&until=", follow_redirects=False)
    expected = "/documents?status=read&filter=author%3DAnn&filter=date%3E%3D2024-05-01"
    assert (sent.status_code, sent.headers["location"]) == (303, expected)


@pytest.mark.parametrize(
    ("filter", "message"), [("folder", "is no condition"), ("autor=Ann", "did you mean author? Fields: folder, type")]
)
def test_a_wrong_filter_of_the_list_is_named(client: TestClient, filter: str, message: str) -> None:
    assert message in page(client, f"/documents?{urlencode({'filter': filter})}", 422).text("main")


def test_where_no_document_passes_the_list_says_so(client: TestClient) -> None:
    shown = page(client, "/documents?filter=folder%3Dnowhere")
    assert "No document passes these filters together. Remove one of them." in shown.text("main")
