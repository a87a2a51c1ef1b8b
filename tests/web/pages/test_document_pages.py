"""The page of the collection: what became of every file, and that an address alone filters, sorts and pages it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from qa.types import Collection, DocumentSummary, FileReport
from qa.web.app import create_app
from qa.web.pages.documents import COLUMNS, STATUSES, View, parse_view
from tests.support.fake_service import FILES, LOADING, SNAPSHOT, FakeService
from tests.support.html_page import BROWSER, Page, page


class Collected(FakeService):
    """With the files that a test sets; those that were read, and one kept since, are indexed."""

    def __init__(self, files: tuple[FileReport, ...] = FILES) -> None:
        super().__init__()
        self.files = files

    def collection(self) -> Collection:
        self._require_ready()
        indexed = [file for file in self.files if file.status in ("read", "partial") or file.kept_since]
        summaries = (
            DocumentSummary(f.id, f"Title of {f.id}", "text/plain", "0" * 64, f.characters, f.pages, f.passages)
            for f in indexed
        )
        return Collection(SNAPSHOT, tuple(summaries), self.files)


@pytest.fixture
def service() -> Collected:
    return Collected()


def files_on(shown: Page) -> list[str]:
    """List the files in the order of the page."""
    text = shown.text("tbody")
    return sorted((file.id for file in FILES if file.id in text), key=text.index)


def test_every_file_is_there_with_what_became_of_it_and_why(client: TestClient) -> None:
    shown = page(client, "/documents")
    rows = shown.text("tbody")
    assert files_on(shown) == ["a <i>.txt", "b.pdf", "movie.mp4", "old.txt", "scan.pdf"]
    assert "b.pdf Title of b.pdf partly read A font is broken.2 pages have no text. 12,345 7 30" in rows
    assert "movie.mp4 skipped No reader for video/mp4. 0 0" in rows
    assert "Permission denied.The indexed version is that of 1 March 2026, 08:30 UTC." in rows
    assert shown.text("tfoot") == "Total of 5 13,145 7 33"
    assert "5 files were found: 2 failed, 1 skipped, 1 partly read, 1 read." in shown.text("main")


def test_documents_are_linked_and_what_is_not_indexed_is_not(client: TestClient) -> None:
    links = [e["href"] or "" for e in page(client, "/documents").all("a")]
    documents = [link for link in links if link.startswith("/documents/")]
    assert documents == ["/documents/a%20%3Ci%3E.txt", "/documents/b.pdf", "/documents/old.txt"]


def test_the_links_lead_to_the_documents() -> None:
    client = TestClient(create_app(FakeService()))
    links = [e["href"] or "" for e in page(client, "/documents").all("a")]
    documents = [link for link in links if link.startswith("/documents/")]
    titles = [page(client, link).text("h1") for link in documents]
    assert titles == ["Ferry & <em>tickets</em>", "المكتبة"]


@pytest.mark.parametrize(
    ("status", "files"),
    [
        ("failed", ["old.txt", "scan.pdf"]),
        ("skipped", ["movie.mp4"]),
        ("partial", ["b.pdf"]),
        ("read", ["a <i>.txt"]),
    ],
)
def test_a_status_is_a_link_that_leaves_only_its_files(client: TestClient, status: str, files: list[str]) -> None:
    address = f"/documents?status={status}"
    assert address in [e["href"] for e in page(client, "/documents").all("a")]
    shown = page(client, address)
    assert files_on(shown) == files
    (current,) = (e for e in shown.all("a") if e.get("aria-current") == "true")
    assert current["href"] == address


@pytest.mark.parametrize("column", [column.name for column in COLUMNS])
def test_a_column_is_a_link_that_sorts_and_the_second_click_turns_it_round(client: TestClient, column: str) -> None:
    place = [str(each.name) for each in COLUMNS].index(column)

    def click(shown: Page) -> Page:
        heads = re.findall(r"<th [^>]*scope=\"col\".*?href=\"([^\"]*)\"", client.get(self_of(shown)).text, re.S)
        return at(heads[place].replace("&amp;", "&"))

    addresses: dict[int, str] = {}

    def at(address: str) -> Page:
        shown = page(client, address)
        addresses[id(shown)] = address
        return shown

    def self_of(shown: Page) -> str:
        return addresses[id(shown)]

    start = at("/documents?sort=status" if column == "file" else "/documents")
    once = click(start)
    twice = click(once)
    sorts = [[e["aria-sort"] or "" for e in shown.all("th") if e.get("aria-sort")] for shown in (once, twice)]
    assert sorted(sort for (sort,) in sorts) == ["ascending", "descending"]
    assert files_on(once) != files_on(twice)
    assert click(twice).texts["tbody"] == once.texts["tbody"]


def test_of_numbers_the_largest_come_first(client: TestClient) -> None:
    assert files_on(page(client, "/documents?sort=characters"))[:2] == ["b.pdf", "a <i>.txt"]
    assert files_on(page(client, "/documents?sort=characters&order=asc"))[-2:] == ["a <i>.txt", "b.pdf"]


def test_names_and_reasons_of_files_are_text(client: TestClient, service: Collected) -> None:
    service.files = (FileReport("<script>x</script>\u202etxt.exe", "failed", "<b>bold</b> \ud800"),)
    shown = page(client, "/documents")
    assert "<script>x</script>\u202etxt.exe" in shown.text("tbody")
    assert "<b>bold</b> ?" in shown.text("tbody")
    assert shown.all("script") == []
    assert shown.all("b") == []
    assert len(shown.all("bdi")) > 1


def test_tens_of_thousands_of_files_come_a_page_at_a_time(client: TestClient, service: Collected) -> None:
    service.files = tuple(replace(FILES[1], id=f"{number:05}.txt") for number in range(30_001))
    response = client.get("/documents", headers=BROWSER)
    assert len(response.content) < 100_000
    first = Page(response.text)
    assert "Files 1 to 100 of 30,001" in first.text("caption")
    assert [e["href"] for e in first.all("a") if e.get("rel")] == ["/documents?page=2"]
    last = page(client, "/documents?page=301")
    assert "Files 30,001 to 30,001 of 30,001" in last.text("caption")
    assert [e["href"] for e in last.all("a") if e.get("rel")] == ["/documents?page=300"]
    # The sum is of all that were found, not of the page.
    assert "24,000,800" in last.text("tfoot")
    # A link of yesterday, when there were more.
    assert page(client, "/documents?page=999").text("caption") == last.text("caption")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=lost", "The parameter status must be one of failed, skipped, partial, read."),
        ("sort=colour", "The parameter sort must be one of file, status, characters, pages, passages."),
        ("order=up", "The parameter order must be asc or desc."),
        ("page=0", "The parameter page must be a whole number from 1."),
        ("page=-1", "The parameter page must be a whole number from 1."),
        ("page=%D9%A3", "The parameter page must be a whole number from 1."),
        ("page=99999999999999999999", "The parameter page must be a whole number from 1."),
    ],
)
def test_an_address_that_is_wrong_is_told_what_it_may_be(client: TestClient, query: str, message: str) -> None:
    assert message in page(client, f"/documents?{query}", 422).text("main")


def test_nothing_was_found_and_nothing_has_this_status(client: TestClient, service: Collected) -> None:
    service.files = FILES[:1]
    assert "No file has this status." in page(client, "/documents?status=failed").text("main")
    service.files = ()
    assert "No file was found to index." in page(client, "/documents").text("main")


def test_before_the_snapshot_is_loaded(client: TestClient, service: Collected) -> None:
    service.current = LOADING
    assert "being loaded" in page(client, "/documents", 503).text("main")


def test_a_page_links_to_it(service: Collected) -> None:
    assert "/documents" in [e["href"] for e in page(TestClient(create_app(service)), "/").all("a")]


views = st.builds(
    View,
    status=st.sampled_from([None, *STATUSES]),
    sort=st.sampled_from([column.name for column in COLUMNS]),
    descending=st.booleans(),
    page=st.integers(1, 10**9 - 1),
)


@given(views)
def test_the_address_of_a_view_leads_to_that_view(view: View) -> None:
    parameters = dict(part.split("=") for part in view.address().partition("?")[2].split("&") if part)
    found = parse_view(
        parameters.get("status", ""),
        parameters.get("sort", "file"),
        parameters.get("order", ""),
        parameters.get("page", "1"),
    )
    assert found == view
