"""The files that were indexed, to download: where it is set, as they were indexed, and nothing else of the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from qa.answers.citations import FileSums, SourceFiles
from qa.errors import DocumentNotFound, OriginalUnavailable
from qa.service.service import Service
from qa.web.app import create_app
from qa.web.deps import Options
from tests.support.fake_service import SCRIPT, FakeService

ADDRESS = "/originals/notes/ferry%20%3Ci%3E.txt"


def client_of(service: FakeService, *, originals: bool = True) -> TestClient:
    return TestClient(create_app(service, options=Options(originals=originals)))


def test_off_unless_it_is_set(service: FakeService) -> None:
    client = client_of(service, originals=False)
    assert client.get(ADDRESS).status_code == 404
    assert "/originals/" not in client.get("/documents/notes/ferry%20%3Ci%3E.txt").text


def test_it_is_saved_and_never_shown(service: FakeService) -> None:
    client = client_of(service)
    assert ADDRESS in client.get("/documents/notes/ferry%20%3Ci%3E.txt").text
    sent = client.get(ADDRESS)
    assert sent.content == SCRIPT.encode()
    assert sent.headers["content-type"] == "application/octet-stream"
    assert sent.headers["content-length"] == str(len(SCRIPT.encode()))
    assert sent.headers["content-disposition"] == (
        "attachment; filename=\"ferry <i>.txt\"; filename*=UTF-8''ferry%20%3Ci%3E.txt"
    )
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in sent.headers["content-security-policy"]
    arabic = client.get("/originals/مكتبة.txt").headers["content-disposition"]
    assert arabic.startswith("attachment; filename=\"_____.txt\"; filename*=UTF-8''%D9%85")


def test_one_that_has_changed_is_no_link_and_a_problem(service: FakeService) -> None:
    service.source = "drifted"
    client = client_of(service)
    assert "/originals/" not in client.get("/documents/notes/ferry%20%3Ci%3E.txt").text
    refused = client.get(ADDRESS)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:qa:problem:original-unavailable")


@pytest.mark.parametrize("id", ["../secret.txt", "..%2fsecret.txt", "%2fetc%2fpasswd", "notes/../../secret", "a%00b"])
def test_only_what_is_indexed_has_an_original(service: FakeService, id: str) -> None:
    assert client_of(service).get(f"/originals/{id}").status_code == 404


@pytest.fixture
def original(indexed: Service) -> Callable[[str], bytes]:
    return lambda id: b"".join(indexed.original(id).blocks())


def test_the_bytes_are_those_that_were_indexed(original: Callable[[str], bytes], folder: Path) -> None:
    expected = (folder / "apples.txt").read_bytes()
    assert hashlib.sha256(original("apples.txt")).digest() == hashlib.sha256(expected).digest()
    with pytest.raises(DocumentNotFound):
        original("nothing.txt")


def test_changed_bytes_are_not_sent(original: Callable[[str], bytes], indexed: Service, folder: Path) -> None:
    assert indexed.source_status("apples.txt") == "verified"
    (folder / "apples.txt").write_text("something else")
    assert indexed.source_status("apples.txt") == "drifted"
    with pytest.raises(OriginalUnavailable, match="has changed"):
        original("apples.txt")


def test_the_end_of_what_changes_meanwhile_is_not_sent(folder: Path) -> None:
    large = folder / "large.txt"
    large.write_text("Plums are blue. " * 20_000)
    sha256 = hashlib.sha256(large.read_bytes()).hexdigest()
    found = SourceFiles([str(folder)], FileSums()).original("large.txt", sha256)
    with large.open("r+") as file:
        file.write("P")
        assert len(b"".join(found.blocks())) == found.size
    found = SourceFiles([str(folder)], FileSums()).original("large.txt", sha256)
    with large.open("r+") as file:
        file.write("X")
    sent: list[bytes] = []
    with pytest.raises(OriginalUnavailable, match="while it was read"):
        sent.extend(found.blocks())
    assert len(b"".join(sent)) < found.size


def test_a_file_that_is_gone_is_not_sent(original: Callable[[str], bytes], folder: Path) -> None:
    (folder / "apples.txt").unlink()
    with pytest.raises(OriginalUnavailable, match="not where it was indexed"):
        original("apples.txt")


def test_a_link_that_took_its_place_leads_nowhere(
    original: Callable[[str], bytes], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_bytes((folder / "apples.txt").read_bytes())
    (folder / "apples.txt").unlink()
    (folder / "apples.txt").symlink_to(outside)
    with pytest.raises(OriginalUnavailable, match="not where it was indexed"):
        original("apples.txt")
