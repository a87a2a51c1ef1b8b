"""The client's upkeep of documents, against a server that keeps them: what is sent is what is kept."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qa.build.uploads import DocumentFolder
from qa.client import AsyncClient, Client
from qa.errors import RequestRefused, StorageError, UploadRefused
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from tests.conftest import hashing_encoder
from tests.support.uvicorn_server import serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reading_here")

APPLES = b"Apples grow on trees. They are red or green.\n"
PEARS = b"Pears ripen in autumn. Keep them cool.\n"
# More than one block, and few passages.
LONG = APPLES + b"\n" * 300_000
NAMES = ["fruit/pears.txt", 'a "quoted" name.txt', "100%25 äpfel; filename=x.txt"]


@pytest.fixture
def kept(settings: Settings) -> Path:
    folder = DocumentFolder(settings.indexes / settings.name, settings.upload_limits)
    folder.create()
    return folder.path


@pytest.fixture
def address(settings: Settings, kept: Path) -> Iterator[str]:
    service = Service(settings, make=hashing_encoder)
    with serving(create_app(service, None, maintenance=Maintenance(settings, service))) as (host, port):
        yield f"http://{host}:{port}"


class Awaited:
    """An ``AsyncClient`` whose methods are called as those of ``Client`` are."""

    def __init__(self, address: str, **options: Any) -> None:
        self._address, self._options = address, options

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            async def main() -> Any:
                async with AsyncClient(self._address, **self._options) as client:
                    return await getattr(client, name)(*arguments, **named)

            return asyncio.run(main())

        return call


@pytest.fixture(params=[Client, Awaited])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Return a maker of clients, which are closed behind the test."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(closing(request.param(address)))


@pytest.mark.server
def test_documents_are_uploaded_replaced_and_deleted(
    make: Callable[[str], Any], address: str, kept: Path, tmp_path: Path
) -> None:
    client, path = make(address), tmp_path / "apples.txt"
    path.write_bytes(LONG)
    sent = client.upload_documents([path, *((name, PEARS + name.encode()) for name in NAMES), ("more.txt", path)])
    assert [(file.id, file.status) for file in sent.files] == [
        (name, "added") for name in ["apples.txt", *NAMES, "more.txt"]
    ]
    assert (kept / "apples.txt").read_bytes() == (kept / "more.txt").read_bytes() == LONG
    assert all((kept / name).read_bytes() == PEARS + name.encode() for name in NAMES)
    first = hashlib.sha256(LONG).hexdigest()
    assert sent.files[0].sha256 == first
    wait_for(lambda: client.indexing().status == "done")
    assert client.document("more.txt").id == "more.txt"

    (replaced,) = client.put_document("apples.txt", PEARS, if_match=first).files
    assert (replaced.status, (kept / "apples.txt").read_bytes()) == ("replaced", PEARS)
    for method, arguments in (("put_document", ["apples.txt", path]), ("delete_document", ["apples.txt"])):
        with pytest.raises(RequestRefused) as refused:
            getattr(client, method)(*arguments, if_match=first)
        assert (refused.value.status, refused.value.type) == (412, "urn:qa:problem:document-replaced")
    assert (kept / "apples.txt").read_bytes() == PEARS
    client.delete_document("apples.txt", if_match=replaced.sha256)
    assert not (kept / "apples.txt").exists()
    wait_for(lambda: client.indexing().status == "done")
    wait_for(lambda: client.update_index().status in {"running", "unchanged", "done"})


@pytest.mark.server
def test_a_name_that_a_form_cannot_say_is_sent_by_itself(make: Callable[[str], Any], address: str, kept: Path) -> None:
    client = make(address)
    with pytest.raises(UploadRefused, match=r"'5%22 nails.txt' has %22 in it.*put_document"):
        client.upload_documents([("a.txt", APPLES), ("5%22 nails.txt", APPLES)])
    assert list(kept.iterdir()) == []
    assert client.put_document("5%22 nails.txt", APPLES).files[0].id == "5%22 nails.txt"


@pytest.mark.server
def test_a_name_that_is_taken_is_refused_or_replaced(make: Callable[[str], Any], address: str, kept: Path) -> None:
    client = make(address)
    client.upload_documents([("a.txt", APPLES)], into="fruit")
    with pytest.raises(RequestRefused) as refused:
        client.upload_documents([("a.txt", PEARS)], into="fruit")
    assert (refused.value.status, list(refused.value.errors)) == (422, ["fruit/a.txt"])
    assert [file.status for file in client.upload_documents([("fruit/a.txt", PEARS)], replace=True).files] == [
        "replaced"
    ]
    assert (kept / "fruit/a.txt").read_bytes() == PEARS
    with pytest.raises(RequestRefused, match="no file"):
        client.upload_documents([])
    with pytest.raises(RequestRefused, match="not accepted"):
        client.upload_documents([("a\r\nb.txt\x00.exe", b"MZ\x90\0" + b"\0" * 99)])


def test_a_file_that_cannot_be_read_is_named(make: Callable[[str], Any], tmp_path: Path) -> None:
    client = make("http://127.0.0.1:9")
    for path in (tmp_path / "none.txt", str(tmp_path / "none.txt")):
        with pytest.raises(StorageError, match=r"cannot read .*none\.txt: "):
            client.upload_documents([path])
    with pytest.raises(StorageError, match="cannot read"):
        client.put_document("a.txt", tmp_path / "none.txt")


def test_an_upload_is_sent_whole_again_and_from_the_disk(tmp_path: Path) -> None:
    path, sent = tmp_path / "large.txt", []
    path.write_bytes(APPLES * 50_000)

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        problem = {"type": "urn:qa:problem:overloaded", "title": "…", "status": 503, "detail": "busy"}
        return httpx2.Response(503, json=problem, headers={"Retry-After": "0" if len(sent) == 1 else "99"})

    transport = httpx2.MockTransport(handle)
    with Client("http://qa", transport=transport, patience=5) as client, pytest.raises(RequestRefused, match="busy"):
        client.put_document("large.txt", path)
    assert sent == [APPLES * 50_000] * 2


def test_both_clients_take_the_same_arguments() -> None:
    for name in ("upload_documents", "put_document", "delete_document", "indexing", "update_index"):
        sync, other = (inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient))
        assert sync.parameters == other.parameters
