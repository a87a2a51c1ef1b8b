"""Documents uploaded, replaced and deleted over HTTP: what is said of them is what is kept, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from qa.build.uploads import DocumentFolder, StagedFile
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from qa.web.deps import Options
from tests.conftest import Build, hashing_encoder
from tests.support.uvicorn_server import serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reading_here")

APPLES = b"Apples grow on trees. They are red or green.\n"
PEARS = b"Pears ripen in autumn. Keep them cool.\n"
HERE = ("127.0.0.1", 5000)


@pytest.fixture
def kept(settings: Settings) -> Path:
    """Return the folder of a collection that keeps its own documents, and has none yet."""
    folder = DocumentFolder(settings.indexes / settings.name, settings.upload_limits)
    folder.create()
    return folder.path


def open_client(settings: Settings, options: Options | None = None) -> TestClient:
    service = Service(settings, make=hashing_encoder)
    app = create_app(service, None, options or Options(), Maintenance(settings, service))
    return TestClient(app, "http://localhost", raise_server_exceptions=False, client=HERE, follow_redirects=False)


@pytest.fixture
def client(settings: Settings, kept: Path) -> TestClient:
    return open_client(settings)


def upload(client: TestClient, *files: tuple[str, bytes], **parameters: Any) -> httpx2.Response:
    return client.post("/v1/documents", files=[("files", file) for file in files], params=parameters)


def indexed(client: TestClient) -> dict[str, Any]:
    """Return what ``GET /v1/index`` says once nothing runs any more."""
    wait_for(lambda: client.get("/v1/index").json()["status"] != "running")
    found: dict[str, Any] = client.get("/v1/index").json()
    return found


def incoming(kept: Path) -> list[str]:
    folder = kept.with_name("incoming")
    return [path.name for path in folder.iterdir()]


def problem(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].removeprefix("urn:qa:problem:")


def test_whether_documents_are_replaced_is_said_once(client: TestClient, kept: Path) -> None:
    reply = client.post("/v1/documents?replace=false&replace=true", files=[("files", ("apples.txt", APPLES))])
    assert (reply.status_code, reply.json()["detail"]) == (422, "replace is given more than once.")
    assert not (kept / "apples.txt").exists()


def test_from_an_empty_server_to_an_answer(client: TestClient, kept: Path) -> None:
    assert client.get("/readyz").json()["state"] == "loading"
    sent = upload(client, ("apples.txt", APPLES), ("below/pears.txt", PEARS), ("tool.exe", b"MZ\x90\0" + b"\0" * 99))
    assert sent.status_code == 202
    files = sent.json()["files"]
    assert [(file["id"], file["status"]) for file in files] == [
        ("apples.txt", "added"),
        ("below/pears.txt", "added"),
        ("tool.exe", "refused"),
    ]
    assert files[2]["reason"] == "it is a Windows program"
    assert (kept / "below/pears.txt").read_bytes() == PEARS
    done = indexed(client)
    assert done["status"] == "done"
    assert [change["status"] for change in done["changes"]] == ["indexed", "indexed", "refused"]
    asked = client.get("/v1/ask", params={"q": "When do pears ripen?"}).json()
    assert asked["passages"][0]["document"]["id"] == "below/pears.txt"
    assert client.get("/v1/documents/apples.txt").json()["source_sha256"] == files[0]["sha256"]


def test_a_document_is_put_replaced_and_deleted(client: TestClient, kept: Path) -> None:
    first = client.put("/v1/documents/fruit/apples.txt", content=APPLES).json()["files"][0]
    assert (first["id"], first["status"]) == ("fruit/apples.txt", "added")
    changed = client.put(
        "/v1/documents/fruit/apples.txt", content=PEARS, headers={"If-Match": f'"{first["sha256"]}"'}
    ).json()["files"][0]
    assert changed["status"] == "replaced"
    indexed(client)
    assert "Pears" in client.get("/v1/documents/fruit/apples.txt").json()["text"]
    late = client.put("/v1/documents/fruit/apples.txt", content=APPLES, headers={"If-Match": first["sha256"]})
    assert problem(late) == (412, "document-replaced")
    assert problem(client.delete("/v1/documents/fruit/apples.txt", headers={"If-Match": first["sha256"]})) == (
        412,
        "document-replaced",
    )
    assert client.delete("/v1/documents/fruit/apples.txt").status_code == 202
    indexed(client)
    assert list(kept.iterdir()) == []
    assert problem(client.get("/v1/documents/fruit/apples.txt")) == (503, "not-ready")
    assert problem(client.delete("/v1/documents/fruit/apples.txt")) == (404, "document-not-found")


def test_a_name_that_is_taken_is_replaced_only_where_that_is_asked_for(client: TestClient, kept: Path) -> None:
    upload(client, ("apples.txt", APPLES))
    refused = upload(client, ("apples.txt", PEARS))
    assert problem(refused) == (422, "upload-refused")
    assert refused.json()["errors"][0]["field"] == "apples.txt"
    assert (kept / "apples.txt").read_bytes() == APPLES
    assert upload(client, ("apples.txt", PEARS), replace=True).json()["files"][0]["status"] == "replaced"
    assert upload(client, ("apples.txt", PEARS)).json()["files"][0]["status"] == "unchanged"
    indexed(client)


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/etc/passwd", "a/../../out.txt", ".hidden", "a\u202etxt.exe", "a%0A.txt/..", "x" * 300 + ".txt"],
)
def test_names_that_could_lead_elsewhere_are_refused(client: TestClient, kept: Path, name: str) -> None:
    assert problem(upload(client, (name, APPLES))) == (422, "upload-refused")
    assert [*kept.iterdir(), *incoming(kept)] == []
    assert not (kept.parent / "out.txt").exists()


def test_what_is_put_at_a_strange_address_is_refused(client: TestClient, kept: Path) -> None:
    for address in ("..%2Fout.txt", "%2Fetc%2Fpasswd", ".hidden", "a%00.txt", "a%0A.txt", "a\\b.txt"):
        refused = client.put(f"/v1/documents/{address}", content=APPLES)
        assert refused.status_code in (404, 422), address
    assert [*kept.iterdir(), *incoming(kept)] == []


def test_a_file_above_the_limit_is_refused_and_the_others_are_kept(settings: Settings, kept: Path) -> None:
    client = open_client(settings.model_copy(update={"max_file_mb": 1}))
    large = b"word " * 300_000
    files = upload(client, ("large.txt", large), ("apples.txt", APPLES)).json()["files"]
    assert [file["status"] for file in files] == ["refused", "added"]
    assert "larger than 1 MB" in files[0]["reason"]
    assert problem(client.put("/v1/documents/large.txt", content=large)) == (422, "upload-refused")
    assert [path.name for path in kept.iterdir()] == ["apples.txt"]
    assert incoming(kept) == []
    indexed(client)


def test_an_upload_above_its_limit_is_given_up(settings: Settings, kept: Path) -> None:
    client = open_client(settings, Options(max_documents_bytes=10_000))
    large = b"word " * 4_000

    def parts() -> Iterator[bytes]:
        yield large

    assert problem(upload(client, ("large.txt", large))) == (413, "body-too-large")
    assert problem(client.put("/v1/documents/large.txt", content=parts())) == (413, "body-too-large")
    assert [*kept.iterdir(), *incoming(kept)] == []


def test_a_collection_holds_so_many_files(settings: Settings, kept: Path) -> None:
    client = open_client(settings.model_copy(update={"max_documents": 1}))
    files = upload(client, ("apples.txt", APPLES), ("pears.txt", PEARS)).json()["files"]
    assert [file["status"] for file in files] == ["added", "refused"]
    assert problem(client.put("/v1/documents/figs.txt", content=PEARS)) == (409, "collection-full")
    indexed(client)


def test_a_form_of_too_many_parts_is_refused(client: TestClient, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.web.receiving.MOST_FILES", 2)
    refused = upload(client, *[(f"{number}.txt", APPLES) for number in range(3)])
    assert problem(refused) == (413, "too-many-files")
    refused = client.post("/v1/documents", files=[(f"field{number}", (None, b"x")) for number in range(11)])
    assert problem(refused) == (413, "too-many-files")
    assert [*kept.iterdir(), *incoming(kept)] == []


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nApples.'
UNNAMED, EMPTY = (
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n\r\n--b--\r\n' % name
    for name in (b"", b"a.txt")
)
LONG = b'--b\r\nContent-Disposition: form-data; name="into"\r\n\r\n' + b"x" * 5_000 + b"\r\n--b--"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (PART, 400, "body-unreadable"),
        (b"", 400, "body-unreadable"),
        (b"no form at all", 400, "malformed-form"),
        (b"--b\r\n\r\nApples.\r\n--b--\r\n", 400, "malformed-form"),
        (b"--b\r\nX: " + b"y" * 5_000 + b"\r\n\r\nApples.\r\n--b--\r\n", 400, "malformed-form"),
        (b"--b\r\n" + b"X: y\r\n" * 9 + b"\r\nApples.\r\n--b--\r\n", 400, "malformed-form"),
        (b"--b--\r\n", 422, "missing-field"),
        (LONG, 422, "invalid-request"),
        (UNNAMED, 422, "missing-field"),
        (EMPTY, 422, "upload-refused"),
    ],
)
def test_a_form_that_is_broken_leaves_nothing(
    client: TestClient, kept: Path, body: bytes, status: int, code: str
) -> None:
    assert problem(client.post("/v1/documents", content=body, headers=BOUNDARY)) == (status, code)
    assert [*kept.iterdir(), *incoming(kept)] == []


@pytest.mark.parametrize(
    ("sent", "id"),
    [
        (b"the %22old%22 bridge.txt", 'the "old" bridge.txt'),
        (b'the \\"old\\" bridge.txt', 'the "old" bridge.txt'),
        # A percent sign is no sign of an escape by itself, and browsers leave it as it is.
        (b"100%25 of 5%.txt", "100%25 of 5%.txt"),
    ],
    ids=["as browsers do", "as curl did", "nothing is escaped"],
)
def test_a_name_is_kept_as_it_was_before_a_form_escaped_it(
    client: TestClient, kept: Path, sent: bytes, id: str
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n%b\r\n--b--\r\n' % (sent, APPLES)
    reply = client.post("/v1/documents", content=body, headers=BOUNDARY)
    assert [file["id"] for file in reply.json()["files"]] == [id]
    assert [path.name for path in kept.iterdir()] == [id]


def test_a_name_with_an_escaped_line_break_is_refused(client: TestClient, kept: Path) -> None:
    reply = upload(client, ("a\r\nb.txt", APPLES))
    assert problem(reply) == (422, "upload-refused")
    assert "control character" in reply.text
    assert list(kept.iterdir()) == []


def test_what_was_received_in_vain_is_removed_beside_the_event_loop(
    settings: Settings, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, removed = StagedFile.discard, []

    def discard(staged: StagedFile) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        remove(staged)
        removed.append(staged.path)

    monkeypatch.setattr(StagedFile, "discard", discard)
    client = open_client(settings.model_copy(update={"max_file_mb": 1}))
    assert problem(client.post("/v1/documents", content=PART, headers=BOUNDARY)) == (400, "body-unreadable")
    assert problem(client.put("/v1/documents/large.txt", content=b"word " * 300_000)) == (422, "upload-refused")
    assert len(removed) == 2
    assert incoming(kept) == []


@pytest.mark.parametrize("match", ["apples", "0" * 63, 'W/"' + "0" * 64 + '"'])
def test_what_is_to_be_replaced_or_deleted_is_named_by_its_sha256(client: TestClient, kept: Path, match: str) -> None:
    headers = {"If-Match": match}
    for refused in (
        client.put("/v1/documents/apples.txt", content=APPLES, headers=headers),
        client.delete("/v1/documents/apples.txt", headers=headers),
    ):
        assert problem(refused) == (422, "invalid-request")
        assert refused.json()["errors"][0]["field"] == "If-Match"
    assert [*kept.iterdir(), *incoming(kept)] == []


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data", "", "text/plain; boundary=b"])
def test_what_is_no_form_is_refused(client: TestClient, media_type: str) -> None:
    refused = client.post("/v1/documents", content=b"{}", headers={"Content-Type": media_type})
    assert problem(refused) == (415, "unsupported-media-type")


def test_files_go_into_the_folder_that_is_named_before_them(client: TestClient, kept: Path) -> None:
    sent = client.post("/v1/documents", files=[("into", (None, b"/fruit/")), ("files", ("apples.txt", APPLES))])
    assert sent.json()["files"][0]["id"] == "fruit/apples.txt"
    sent = client.post("/v1/documents", files=[("into", (None, b"..")), ("files", ("apples.txt", APPLES))])
    assert sent.status_code == 422
    assert [path.name for path in kept.iterdir()] == ["fruit"]
    indexed(client)


def test_a_refusal_writes_the_ids_of_documents_as_they_are(client: TestClient, kept: Path) -> None:
    (kept / "sub" / "dir").mkdir(parents=True)
    (kept / "file.txt").write_bytes(APPLES)
    refused = client.put("/v1/documents/sub/dir", content=APPLES)
    assert (problem(refused), refused.json()["detail"]) == (
        (422, "upload-refused"),
        "'sub/dir' is no file but a folder.",
    )
    refused = client.put("/v1/documents/file.txt/dir.txt", content=APPLES)
    assert refused.json()["detail"].startswith("'file.txt' is no folder, and 'file.txt/dir.txt' would lie in it;")


def test_a_folder_of_the_operator_s_own_is_not_changed(settings: Settings, build: Build, folder: Path) -> None:
    build()
    client = open_client(settings)
    for refused in (
        upload(client, ("figs.txt", PEARS)),
        client.put("/v1/documents/figs.txt", content=PEARS),
        client.delete("/v1/documents/apples.txt"),
    ):
        assert problem(refused) == (409, "collection-fixed")
        assert "operator" in refused.json()["detail"]
    assert (folder / "apples.txt").exists()


def test_a_full_disk_is_said_and_nothing_is_left(
    client: TestClient, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qa.build.uploads.os.fsync", full)
    assert problem(upload(client, ("apples.txt", APPLES))) == (503, "storage-unavailable")
    assert problem(client.put("/v1/documents/apples.txt", content=APPLES)) == (503, "storage-unavailable")
    assert [*kept.iterdir(), *incoming(kept)] == []


def test_so_many_uploads_arrive_at_once(client: TestClient, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = client.app.state.dependencies.receiving  # type: ignore[attr-defined]
    busy.take(busy.most)
    refused = upload(client, ("apples.txt", APPLES))
    assert problem(refused) == (503, "overloaded")
    assert refused.json()["detail"] == (
        "at most 4 uploads may arrive at once, 3 of them from one client; try again when one of them is done."
    )
    assert refused.headers["Retry-After"]
    assert problem(client.put("/v1/documents/apples.txt", content=APPLES)) == (503, "overloaded")
    busy.give(busy.most)
    assert upload(client, ("apples.txt", APPLES)).status_code == 202
    indexed(client)


@pytest.mark.server
def test_a_large_upload_is_not_held_in_memory(settings: Settings, kept: Path) -> None:
    """Its bytes are on the disk while it still arrives, and gone where it breaks off."""
    service = Service(settings, make=hashing_encoder)
    app = create_app(service, None, Options(), Maintenance(settings, service))
    seen: list[int] = []

    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 18)
        wait_for(lambda: received(kept) >= 8 << 20)
        seen.append(received(kept))
        raise ConnectionAbortedError

    with serving(app) as (host, port):
        with pytest.raises(ConnectionAbortedError):
            httpx2.put(f"http://{host}:{port}/v1/documents/large.txt", content=parts())
        wait_for(lambda: not incoming(kept))
    assert seen
    assert list(kept.iterdir()) == []


def received(kept: Path) -> int:
    return sum(path.stat().st_size for path in kept.with_name("incoming").iterdir())
