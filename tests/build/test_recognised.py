"""A scan in an index: read once, marked as recognised wherever it is shown, and left out where OCR is off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from qa.build.update import Update, follow, update
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import FileReport, Query
from qa.web.app import create_app
from tests.conftest import Recorder, hashing_encoder
from tests.support import pdfs
from tests.support.html_page import Page
from tests.support.scans import encoded, merged, scan

pytest.importorskip("rapidocr", reason="qa[ocr] is not installed")
pytestmark = pytest.mark.slow

SCANNED = encoded(scan("Harbour Office", "The ferry to Skellig leaves at noon from pier seven."), "PDF")
WRITTEN = pdfs.pdf(pdfs.lines("Apples are red and grow on trees.", "They are ripe in autumn."))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "harbour.pdf").write_bytes(merged(WRITTEN, SCANNED))
    (folder / "apples.txt").write_text("Apples are red.\n")
    return folder


def _index(settings: Settings, folder: Path, *, rebuild: bool = False) -> tuple[Update, Recorder]:
    recorder = Recorder()
    return update(settings, [folder], recorder, make=hashing_encoder, rebuild=rebuild), recorder


def _report(settings: Settings, id: str = "harbour.pdf") -> FileReport:
    with closing(Snapshots(settings.indexes, settings.name).open()) as index:
        (found,) = [report for report in index.store.report() if report.id == id]
        return found


def test_what_was_recognised_is_marked_wherever_it_is_shown(settings: Settings, folder: Path) -> None:
    _, recorder = _index(settings, folder)
    assert recorder.recognised == [("harbour.pdf", 2, 2)]
    report = _report(settings)
    ((page, confidence),) = report.recognised
    assert (page, report.status) == (2, "read")
    service = Service(settings, make=hashing_encoder)
    service.reload()
    hits = service.ask(Query("ferry Skellig noon pier", answer=False)).hits
    assert {hit.passage.page: hit.passage.recognised for hit in hits} == {1: confidence, None: None}
    http = TestClient(create_app(service))
    passages = http.get("/v1/ask", params={"q": "ferry Skellig noon pier"}).json()["passages"]
    assert {passage["page"]: passage["recognised"] for passage in passages} == {1: confidence, None: None}
    document = http.get("/v1/documents/harbour.pdf").json()
    assert [page["recognised"] for page in document["pages"]] == [None, confidence]
    (line,) = [line for line in http.get("/v1/documents").json()["report"] if line["id"] == "harbour.pdf"]
    assert line["recognised"] == [{"page": 2, "confidence": confidence}]
    sure = f"read by OCR ({int(100 * confidence)} % sure)"
    assert f"page 1, {sure}" in Page(http.get("/", params={"q": "ferry Skellig noon pier"}).text).text("main")
    assert f"page 2, {sure}" in Page(http.get("/documents/harbour.pdf").text).text("main")
    assert f"OCR read 1 page, {int(100 * confidence)} % sure" in Page(http.get("/documents").text).text("main")


def test_a_scan_is_recognised_once(settings: Settings, folder: Path) -> None:
    _index(settings, folder)
    entries = sorted((settings.indexes / ".recognised").rglob("*.json"))
    assert len(entries) == 1
    kept = entries[0].stat().st_mtime_ns
    again, recorder = _index(settings, folder)
    assert (again.counts.changed, recorder.recognised) == (False, [])
    before = _report(settings).recognised
    _index(settings, folder, rebuild=True)
    assert _report(settings).recognised == before
    assert entries[0].stat().st_mtime_ns == kept


def test_where_ocr_is_off_scans_are_left_out_and_named(settings: Settings, folder: Path) -> None:
    _index(settings, folder)
    off = settings.model_copy(update={"ocr": False})
    _, recorder = _index(off, folder)
    assert recorder.recognised == []
    reason = "page 2 has no text; it may be a scanned image: OCR is off (QA_OCR)"
    assert (_report(settings).reason, _report(settings).recognised) == (reason, ())
    # A server that follows the index reads as the index was read.
    (folder / "pears.txt").write_text("Pears are green.\n")
    follow(settings, Recorder(), hashing_encoder(settings, threads=1))
    assert _report(settings).reason == reason
