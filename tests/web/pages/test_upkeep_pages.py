"""The pages that change documents, as forms send them: no script is needed."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import Key
from tests.conftest import Build, hashing_encoder
from tests.support.waiting import wait_for
from tests.web.api.test_uploads import (  # noqa: F401 - fixtures
    APPLES,
    HERE,
    PEARS,
    indexed,
    kept,
    open_client,
)
from tests.web.middleware.test_access import BOSS, dialogue

pytestmark = pytest.mark.usefixtures("reading_here")

ELSEWHERE = ("203.0.113.7", 5000)


@pytest.fixture
def client(settings: Settings, kept: Path) -> TestClient:  # noqa: F811
    return open_client(settings)


def send(client: TestClient, *files: tuple[str, bytes], field: str = "files", **fields: str) -> httpx2.Response:
    parts = [*((name, (None, value.encode())) for name, value in fields.items()), *((field, file) for file in files)]
    return client.post("/upkeep/upload", files=parts)


def sum_in(page: str) -> str:
    """Return the sum of the version that a page shows, which its form sends."""
    found = re.search(r'name="sha256" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


def test_an_empty_collection_has_a_page_that_takes_its_first_documents(client: TestClient) -> None:
    service: Service = client.app.state.dependencies.service  # type: ignore[attr-defined]
    service.clear()
    asking = client.get("/")
    assert asking.status_code == 503
    assert 'href="/documents"' in asking.text
    page = client.get("/documents").text
    assert "The collection is empty; upload documents" in page
    assert (
        '<form class="upload" id="upload" action="/upkeep/upload" method="post" enctype="multipart/form-data"' in page
    )
    sent = send(client, ("apples.txt", APPLES), ("tool.exe", b"MZ\x90\0" + b"\0" * 99))
    assert (sent.status_code, sent.headers["location"]) == (303, "/upkeep/changes")
    indexed(client)
    changes = client.get("/upkeep/changes").text
    assert "is up to date" in changes
    assert "It is a Windows program." in changes
    assert "apples.txt" in client.get("/documents").text


def test_the_fields_of_the_form_say_where_to_and_whether_to_replace(client: TestClient, kept: Path) -> None:  # noqa: F811
    send(client, ("apples.txt", APPLES), into="fruit")
    send(client, ("apples.txt", PEARS), into="fruit")
    assert (kept / "fruit/apples.txt").read_bytes() == APPLES
    send(client, ("apples.txt", PEARS), into="fruit", replace="yes")
    assert (kept / "fruit/apples.txt").read_bytes() == PEARS
    send(client, ("jam/plums.txt", APPLES), field="folder")
    assert (kept / "jam/plums.txt").exists()
    indexed(client)


def test_a_script_gets_what_became_of_each_file(client: TestClient) -> None:
    sent = client.post(
        "/upkeep/upload", files=[("files", ("../a.txt", APPLES))], headers={"Accept": "application/json"}
    )
    assert sent.status_code == 200
    assert sent.json()["files"][0]["status"] == "refused"
    policy = client.get("/documents", headers={"Accept": "text/html"}).headers["content-security-policy"]
    assert "connect-src 'self'" not in policy  # Nothing is served yet, and no form is shown.


def test_a_document_is_replaced_under_its_name_by_a_file_of_any(client: TestClient, kept: Path) -> None:  # noqa: F811
    send(client, ("apples.txt", APPLES))
    indexed(client)
    listing = client.get("/documents")
    assert "connect-src 'self'" in listing.headers["content-security-policy"]
    assert 'href="/upkeep/replace?document=apples.txt"' in listing.text
    address = "/upkeep/replace?document=apples.txt"
    page = client.get(address).text
    form = [("sha256", (None, sum_in(page).encode())), ("file", ("new name.txt", PEARS))]
    replaced = client.post(address, files=form)
    assert (replaced.status_code, replaced.headers["location"]) == (303, "/upkeep/changes")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {"apples.txt": PEARS}
    indexed(client)
    # The page of the first version is out of date, and says so.
    late = client.post(address, files=form)
    assert late.status_code == 422
    assert "has been replaced since" in late.text
    broken = client.post(address, files=[("file", ("a.exe", b"MZ\x90\0" + b"\0" * 99))])
    assert broken.status_code == 422
    assert "It is a Windows program." in broken.text
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {"apples.txt": PEARS}


def test_a_document_is_deleted_after_a_question(client: TestClient, kept: Path) -> None:  # noqa: F811
    send(client, ("apples.txt", APPLES), ("pears.txt", PEARS))
    indexed(client)
    address = "/upkeep/delete?document=apples.txt"
    page = client.get(address).text
    assert list(kept.iterdir())
    other = client.post(address, data={"sha256": "0" * 64})
    assert other.status_code == 412
    gone = client.post(address, data={"sha256": sum_in(page)})
    assert (gone.status_code, gone.headers["location"]) == (303, "/upkeep/changes")
    indexed(client)
    assert [path.name for path in kept.iterdir()] == ["pears.txt"]
    assert client.get(address).status_code == 404
    assert "apples.txt" not in client.get("/documents").text


def test_while_the_index_is_updated_the_page_of_changes_reloads_itself(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance: Maintenance = client.app.state.dependencies.maintenance  # type: ignore[attr-defined]
    from qa.service.indexing import Indexing

    with monkeypatch.context() as patched:
        patched.setattr(maintenance, "indexing", lambda: Indexing("running", "a.txt is read", files=9, done=4))
        page = client.get("/upkeep/changes")
    assert page.headers["refresh"]
    assert "4 of 9 files" in page.text
    assert "refresh" not in client.get("/upkeep/changes").headers


def test_a_folder_of_the_operator_s_own_can_be_updated_and_not_changed(settings: Settings, build: Build) -> None:
    build()
    client = open_client(settings)
    client.app.state.dependencies.service.reload()  # type: ignore[attr-defined]
    page = client.get("/documents").text
    assert "folders of its operator" in page
    assert "/upkeep/upload" not in page
    assert "/upkeep/delete" not in page
    assert client.get("/upkeep/delete?document=apples.txt").status_code == 409
    assert client.post("/upkeep/index").status_code == 303
    wait_for(lambda: client.get("/v1/index").json()["status"] == "unchanged")


def listing(settings: Settings, keys: tuple[Key, ...], at: tuple[str, int], headers: dict[str, str]) -> str:
    service = Service(settings, make=hashing_encoder)
    service.clear()
    app = create_app(service, None, Options(keys=keys), Maintenance(settings, service))
    page = TestClient(app, "http://localhost", client=at).get("/documents", headers=headers)
    assert page.status_code == 200
    return page.text


def test_who_may_change_nothing_is_offered_nothing(settings: Settings, kept: Path) -> None:  # noqa: F811
    assert "/upkeep" in listing(settings, (), HERE, {})
    assert "/upkeep" not in listing(settings, (), ELSEWHERE, {})
    # With keys the page offers to ask for one, and the form to who has sent it.
    signed_out = listing(settings, (BOSS,), HERE, {})
    assert 'href="/upkeep"' in signed_out
    assert "/upkeep/upload" not in signed_out
    assert "/upkeep/upload" in listing(settings, (BOSS,), ELSEWHERE, dialogue("operating"))
