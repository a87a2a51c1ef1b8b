"""Uploads in a browser: with progress where scripts run, whole where they do not, and by the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from qa.build.uploads import DocumentFolder
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from tests.conftest import hashing_encoder
from tests.support.browsing import Visiting
from tests.support.uvicorn_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("reading_here")]

APPLES = b"Apples grow on trees. They are red or green.\n"


@pytest.fixture
def served(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Give the address of an empty collection that takes uploads, and its folder."""
    folder = DocumentFolder(settings.indexes / settings.name, settings.upload_limits)
    folder.create()
    service = Service(settings, make=hashing_encoder)
    service.clear()
    with serving(create_app(service, maintenance=Maintenance(settings, service))) as (host, port):
        yield f"http://{host}:{port}", folder.path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with a document, one below it, and a file that no reader takes."""
    tree = tmp_path / "fruit"
    (tree / "below").mkdir(parents=True)
    (tree / "apples.txt").write_bytes(APPLES)
    (tree / "below" / "pears.txt").write_text("Pears ripen in autumn.\n")
    (tree / "tool.exe").write_bytes(b"MZ\x90\0" + b"\0" * 99)
    return tree


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_whole_folder_is_uploaded_and_what_was_refused_is_said(
    visiting: Visiting, served: tuple[str, Path], tree: Path, scripts: bool
) -> None:
    address, kept = served
    visit = visiting(address, java_script_enabled=scripts)
    visit.open("/documents")
    visit.page.get_by_label("Or a whole folder").set_input_files(tree)
    visit.page.get_by_role("button", name="Upload").click()
    visit.page.wait_for_url("**/upkeep/changes")
    expect(visit.page.get_by_role("status")).to_contain_text("is up to date")
    expect(visit.page.get_by_text("fruit/below/pears.txt: indexed")).to_be_visible()
    expect(visit.page.get_by_text("fruit/tool.exe: not accepted")).to_be_visible()
    assert (kept / "fruit/below/pears.txt").exists()
    visit.open("/documents")
    expect(visit.page.get_by_role("link", name="fruit/apples.txt", exact=True)).to_be_visible()


def test_files_that_are_dropped_are_uploaded(visiting: Visiting, served: tuple[str, Path]) -> None:
    address, kept = served
    visit = visiting(address)
    visit.open("/documents")
    dropped = visit.page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["Figs are sweet.\\n"], "figs.txt"));
          return data;
        }"""
    )
    visit.page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
    expect(visit.page.locator("#sending")).to_contain_text("1 file to upload")
    visit.page.get_by_role("button", name="Upload").click()
    visit.page.wait_for_url("**/upkeep/changes")
    assert (kept / "figs.txt").read_text() == "Figs are sweet.\n"


def test_documents_are_deleted_by_the_keyboard_alone(visiting: Visiting, served: tuple[str, Path], tree: Path) -> None:
    address, kept = served
    visit = visiting(address)
    visit.open("/documents")
    visit.page.get_by_label("Files: choose them").set_input_files(tree / "apples.txt")
    visit.page.get_by_role("button", name="Upload").press("Enter")
    visit.page.wait_for_url("**/upkeep/changes")
    expect(visit.page.get_by_role("status")).to_contain_text("is up to date")
    visit.page.get_by_role("link", name="All documents").press("Enter")
    visit.page.get_by_role("link", name="Delete apples.txt").press("Enter")
    visit.page.get_by_role("button", name="Delete it").press("Enter")
    visit.page.wait_for_url("**/upkeep/changes")
    expect(visit.page.get_by_text("apples.txt: deleted")).to_be_visible()
    assert list(kept.iterdir()) == []
    visit.open("/", 503)
    expect(visit.page.get_by_role("heading", name="Nothing to ask yet")).to_be_visible()


def test_a_connection_that_breaks_off_is_said(visiting: Visiting, served: tuple[str, Path], tree: Path) -> None:
    address, _ = served
    visit = visiting(address)
    visit.open("/documents")
    visit.page.route("**/upkeep/upload", lambda route: route.fulfill(status=502, body="bad gateway"))
    visit.statuses.add(502)
    visit.page.get_by_label("Files: choose them").set_input_files(tree / "apples.txt")
    visit.page.get_by_role("button", name="Upload").click()
    expect(visit.page.locator("#sending")).to_contain_text("The server answered 502.")
    expect(visit.page.locator("#sending")).to_contain_text("apples.txt: not sent")
    expect(visit.page.get_by_role("button", name="Upload")).to_be_enabled()


def test_a_file_above_the_limit_is_not_sent_and_the_others_are(
    visiting: Visiting, served: tuple[str, Path], tree: Path
) -> None:
    address, kept = served
    visit = visiting(address)
    visit.open("/documents")
    visit.page.locator("#upload").evaluate("form => { form.dataset.most = 60; }")
    (tree / "large.txt").write_text("Plums are blue. " * 10)
    visit.page.get_by_label("Files: choose them").set_input_files([tree / "large.txt", tree / "apples.txt"])
    visit.page.get_by_role("button", name="Upload").click()
    expect(visit.page.locator("#sending")).to_contain_text("1 of 2 were not accepted.")
    expect(visit.page.locator("#sending")).to_contain_text("large.txt: larger than the most that is read")
    assert [path.name for path in kept.iterdir()] == ["apples.txt"]


def test_what_a_busy_server_refuses_is_sent_again(visiting: Visiting, served: tuple[str, Path], tree: Path) -> None:
    address, kept = served
    visit = visiting(address)
    visit.open("/documents")
    busy = {"status": 503, "headers": {"Retry-After": "0.01"}, "body": "{}"}
    visit.page.route("**/upkeep/upload", lambda route: route.fulfill(**busy), times=1)
    visit.statuses.add(503)
    visit.page.get_by_label("Files: choose them").set_input_files(tree / "apples.txt")
    visit.page.get_by_role("button", name="Upload").click()
    visit.page.wait_for_url("**/upkeep/changes")
    assert [path.name for path in kept.iterdir()] == ["apples.txt"]
