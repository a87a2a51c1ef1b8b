"""A page as a picture beside its text, and over HTTP: marked where the span stands, or a sentence that says why not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from qa.build.update import update
from qa.errors import DocumentNotFound
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import SnapshotDocument
from qa.web.app import create_app
from qa.web.deps import Options
from tests.conftest import Recorder, hashing_encoder
from tests.support.pdfs import Text, lines, pdf
from tests.support.waiting import AT_MOST

pytestmark = pytest.mark.slow

FIRST, SECOND = "The ferry leaves at noon.", "A ticket costs three crowns."
ADDRESS = "/documents/below/tickets%20%3Ci%3E.pdf"


_FILE = pdf([Text(FIRST)], lines(SECOND))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Index a PDF, a mail with one attached, and a text, for all tests; return the settings and the files' folder."""
    home = tmp_path_factory.mktemp("sheet")
    folder = home / "documents"
    (folder / "below").mkdir(parents=True)
    (folder / "apples.txt").write_text("Apples grow on trees.")
    (folder / "below" / "tickets <i>.pdf").write_bytes(_FILE)
    mail = EmailMessage()
    mail["Subject"] = "Tickets"
    mail.set_content("The tickets are attached.")
    mail.add_attachment(pdf([Text(FIRST)]), maintype="application", subtype="pdf", filename="plan.pdf")
    (folder / "mail.eml").write_bytes(mail.as_bytes())
    settings = Settings(indexes=home / "indexes", name="test")
    update(settings, (folder,), Recorder(), make=hashing_encoder, read=read_source)
    return settings, folder


@pytest.fixture(scope="module")
def service(served: tuple[Settings, Path]) -> Service:
    service = Service(served[0], make=hashing_encoder)
    service.reload()
    return service


@pytest.fixture
def file(served: tuple[Settings, Path]) -> Iterator[Path]:
    """Give the PDF, which a test may change or remove."""
    path = served[1] / "below" / "tickets <i>.pdf"
    yield path
    path.write_bytes(_FILE)


@pytest.fixture
def client(served: tuple[Settings, Path], service: Service) -> TestClient:
    return TestClient(create_app(service, options=Options(pictures=served[0].indexes)))


@pytest.fixture
def place(client: TestClient) -> Callable[[str], str]:
    """Return the parameters of the span of a text in the document."""
    text = client.get(f"/v1{ADDRESS}").json()["text"]

    def find(said: str) -> str:
        start = text.index(said)
        return f"start={start}&end={start + len(said)}"

    return find


def status_for_who_hung_up(app: ASGIApp, path: str, query: bytes, while_sent: bool) -> int:
    """Return the status of a request whose client is gone once it has been read, or once a part has been sent."""
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[Message] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        if (message := next(messages, None)) is not None:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            gone.set()

    if not while_sent:
        gone.set()

    scope = {
        **{"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": ""},
        **{"path": path, "raw_path": path.encode(), "query_string": query},
        **{"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 5000), "server": ("localhost", 80)},
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, send), AT_MOST))
    status: int = sent[0]["status"]
    return status


def test_the_page_of_a_span_is_shown_with_the_span_marked(client: TestClient, place: Callable[[str], str]) -> None:
    page = client.get(f"{ADDRESS}?{place('three crowns')}").text
    assert "Page 2 of 2" in page
    assert page.count("<rect ") == 1
    assert '<mark class="chosen" id="span">three crowns</mark>' in page
    source = re.search(r'<img src="([^"]+)"', page)
    assert source
    picture = client.get(source[1].replace("&amp;", "&"))
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["content-type"] == "image/png"
    assert "immutable" in picture.headers["cache-control"]
    assert 'style="' not in page
    assert page.index('id="span"') < page.index("<img"), "the text is not kept waiting"


def test_a_page_can_be_leafed_through_and_seen_in_large(client: TestClient, place: Callable[[str], str]) -> None:
    page = client.get(f"{ADDRESS}?page=2&{place('ferry')}&q=ferry").text
    assert "The marked text stands on another page." in page
    for _ in range(2):
        (link,) = re.findall(r'href="([^"]+)">page 1<', page) or re.findall(r'href="([^"]+)">page 2<', page)
        page = client.get(link.replace("&amp;", "&")).text
    (large,) = re.findall(r'href="([^"]+)">larger<', page)
    assert "q=ferry" in large
    page = client.get(large.replace("&amp;", "&")).text
    assert "width=1600" in page
    assert ">beside the text<" in page


def test_without_a_span_the_text_leads_to_its_pages(client: TestClient) -> None:
    page = client.get(ADDRESS).text
    assert "<img" not in page
    (link,) = re.findall(r'href="([^"]+)">pages as pictures<', page)
    assert "Page 1 of 2" in client.get(link.replace("&amp;", "&")).text
    assert "pages as pictures" not in client.get("/documents/apples.txt?start=0&end=6").text
    assert "<img" not in client.get("/documents/apples.txt?start=0&end=6&page=1").text


@pytest.mark.parametrize(("change", "says"), [("write", "has changed since"), ("remove", "not where it was indexed")])
def test_of_a_file_that_has_changed_or_gone_the_text_is_shown_and_no_picture(
    client: TestClient, place: Callable[[str], str], file: Path, change: str, says: str
) -> None:
    span = place("three crowns")
    assert "<img" in client.get(f"{ADDRESS}?{span}").text
    if change == "write":
        file.write_bytes(pdf([Text("Something else.")]))
    else:
        file.unlink()
    shown = client.get(f"{ADDRESS}?{span}")
    assert shown.status_code == 200
    assert says in shown.text
    assert "<img" not in shown.text
    assert '<mark class="chosen" id="span">three crowns</mark>' in shown.text
    for address in (f"/v1/pictures{ADDRESS[10:]}?page=2", f"/v1/marks{ADDRESS[10:]}?{span}"):
        refused = client.get(address)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:qa:problem:original-unavailable")


def test_the_place_of_a_span_over_http(client: TestClient, place: Callable[[str], str]) -> None:
    found = client.get(f"/v1/marks{ADDRESS[10:]}?{place('three crowns')}").json()
    assert (found["page"], found["pages"], found["note"], found["continues"]) == (2, 2, "", False)
    (rectangle,) = found["rectangles"]
    assert rectangle["left"] > 12
    assert 0 < rectangle["height"] < 3
    assert client.get(found["picture"]).status_code == 200


NO_PICTURE = [
    ("pictures/below/tickets%20%3Ci%3E.pdf?page=3", 404, "picture-unavailable"),
    ("pictures/below/tickets%20%3Ci%3E.pdf?page=0", 422, "invalid-request"),
    ("pictures/below/tickets%20%3Ci%3E.pdf?width=801", 422, "invalid-request"),
    ("pictures/below/tickets%20%3Ci%3E.pdf?sha256=" + "0" * 64, 409, "original-unavailable"),
    ("pictures/apples.txt", 404, "picture-unavailable"),
    ("pictures/nothing.pdf", 404, "document-not-found"),
    ("pictures/../../secret.pdf", 404, "not-found"),
    ("pictures/%2e%2e/secret.pdf", 404, "document-not-found"),
    ("marks/apples.txt?start=0&end=5", 404, "picture-unavailable"),
    ("marks/below/tickets%20%3Ci%3E.pdf?start=0&end=5000", 422, "invalid-request"),
    ("marks/below/tickets%20%3Ci%3E.pdf?start=5&end=5", 422, "invalid-request"),
    ("marks/below/tickets%20%3Ci%3E.pdf", 422, "missing-field"),
]


def test_what_has_no_picture_is_a_problem(client: TestClient) -> None:
    for path, status, code in NO_PICTURE:
        refused = client.get(f"/v1/{path}")
        assert (refused.status_code, refused.json()["type"]) == (status, f"urn:qa:problem:{code}"), path


def test_what_is_attached_to_a_mail_is_shown_as_long_as_the_mail_is_the_same(
    client: TestClient, served: tuple[Settings, Path]
) -> None:
    page = client.get("/documents/mail.eml/plan.pdf?start=4&end=9").text
    assert page.count("<rect ") == 1
    mail = served[1] / "mail.eml"
    mail.write_bytes(mail.read_bytes() + b"\n")
    assert "has changed since" in client.get("/documents/mail.eml/plan.pdf?start=4&end=9").text


def test_many_pictures_at_once_are_refused_in_words(
    client: TestClient, place: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.dependencies.drawing, "_most", 0)  # type: ignore[attr-defined]
    shown = client.get(f"{ADDRESS}?{place('three crowns')}")
    assert (shown.status_code, "Too many pictures" in shown.text) == (200, True)
    refused = client.get(f"/v1/pictures{ADDRESS[10:]}")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (f"/v1/pictures{ADDRESS[10:]}", b"page=1", 499),
        (f"/v1/marks{ADDRESS[10:]}", b"start=0&end=3", 499),
        (ADDRESS, b"start=0&end=3", 200),
    ],
)
def test_nothing_is_drawn_for_who_hangs_up_while_waiting(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, query: bytes, status: int
) -> None:
    # As though others had every place of the lane.
    monkeypatch.setattr(client.app.state.dependencies.drawing, "_free", 0)  # type: ignore[attr-defined]
    assert status_for_who_hung_up(client.app, unquote(path), query, while_sent=status == 200) == status


def test_a_document_that_goes_while_its_page_is_sent_leaves_a_whole_page(
    client: TestClient, place: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    span = place("three crowns")

    def gone(id: str) -> SnapshotDocument:
        raise DocumentNotFound(f"no indexed document is named {id!r}")

    monkeypatch.setattr(service, "document", gone)
    page = client.get(f"{ADDRESS}?{span}").text
    assert "There is no picture of page 2: no indexed document" in page
    assert page.rstrip().endswith("</html>")


def test_where_it_is_off_there_are_none(settings: Settings, service: Service) -> None:
    client = TestClient(create_app(service))
    assert "<img" not in client.get(f"{ADDRESS}?start=0&end=3").text
    assert client.get(f"/v1/pictures{ADDRESS[10:]}").status_code == 404
    assert Options.from_settings(settings).pictures == settings.indexes
    assert Options.from_settings(settings.model_copy(update={"pictures": False})).pictures is None
