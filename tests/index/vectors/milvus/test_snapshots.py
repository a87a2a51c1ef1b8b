"""Snapshots whose vectors are in Milvus: built, asked, moved and pruned, and what happens where the server fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from qa.build.update import prune, update
from qa.errors import QAError, SnapshotIncompatible, VectorsUnavailable
from qa.index.snapshots import Snapshots
from qa.index.vectors.milvus.collection import Collection
from qa.index.vectors.milvus.engine import MilvusVectors
from qa.index.vectors.milvus.record import release_collection
from qa.protocols import VectorRows
from qa.service.service import Service
from qa.settings import Settings, load_settings
from qa.types import MilvusAddress, Query, Reply
from qa.web.app import create_app
from tests.conftest import REPOSITORY, Build, Recorder, hashing_encoder
from tests.support.milvus_server import MilvusServer
from tests.support.uvicorn_server import serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

QUESTIONS = ["Where do apples grow?", "When do pears ripen?", "Plums are blue", "Keep them cool."]
TOKEN = "root:Milvus-secret"


@pytest.fixture
def settings(server: MilvusServer, tmp_path: Path) -> Settings:
    secret = SecretStr(TOKEN)
    return Settings(
        indexes=tmp_path / "indexes", name="test", milvus=server.uri, milvus_token=secret, milvus_seconds=60
    )


@pytest.fixture
def address(settings: Settings) -> MilvusAddress:
    assert settings.milvus_address is not None
    return settings.milvus_address


@pytest.fixture
def running(server: MilvusServer) -> Iterator[MilvusServer]:
    """Return the server for tests that end it; it runs again afterwards."""
    yield server
    if not server.is_running:
        server.start()


def collections_of(address: MilvusAddress) -> set[str]:
    """Return all collections of the server, those of other tests too."""
    collection = Collection(address, "any", strong=True)
    try:
        return set(collection._client.list_collections())
    finally:
        collection.close()


def named(snapshots: Snapshots) -> set[str]:
    return {snapshots.manifest(id).vectors["collection"] for id in snapshots.ids()}


def answers(service: Service) -> list[list[tuple[str, int, float | None]]]:
    """Return of each question the passages found: their documents, places and cosines."""
    replies = [service.ask(Query(question)) for question in QUESTIONS]
    return [[(hit.passage.document, hit.passage.start, hit.scores.dense) for hit in reply.hits] for reply in replies]


def served(settings: Settings) -> Service:
    service = Service(settings, make=hashing_encoder)
    service.reload()
    return service


def test_an_index_in_milvus_answers_as_one_in_its_folder_and_moves_there_and_back(
    settings: Settings, build: Build, address: MilvusAddress, folder: Path
) -> None:
    others = collections_of(address)
    manifest = build().manifest
    assert manifest.vectors["engine"] == "milvus"
    assert manifest.vectors["index"] == {"type": "FLAT"}
    snapshots = Snapshots.of(settings)
    snapshots.verify()
    for path in snapshots.path(manifest.id).rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes()
    in_milvus = answers(served(settings))

    # Not a file has changed, and still the vectors move.
    local = settings.model_copy(update={"milvus": ""})
    with pytest.raises(SnapshotIncompatible, match="are in Milvus; set QA_MILVUS"):
        Snapshots.of(local).open()
    moved = update(local, [folder], Recorder(), make=hashing_encoder)
    assert (moved.manifest.vectors["engine"], moved.counts.encoded) == ("exact", 0)
    assert answers(served(local)) == in_milvus
    back = update(settings, [folder], Recorder(), make=hashing_encoder)
    assert (back.manifest.vectors["engine"], back.counts.encoded, back.counts.changed) == ("milvus", 0, True)
    assert not update(settings, [folder], Recorder(), make=hashing_encoder).counts.changed
    assert collections_of(address) - others == {manifest.vectors["collection"], back.manifest.vectors["collection"]}

    with snapshots.writing() as writer:
        writer.activate(manifest.id)
        assert answers(served(settings)) == in_milvus
        writer.activate(back.manifest.id)
    with pytest.raises(VectorsUnavailable, match="set QA_MILVUS"), Snapshots.of(local).writing() as writer:
        writer.prune(1)
    prune(settings.model_copy(update={"keep_snapshots": 1}))
    assert snapshots.ids() == [back.manifest.id]
    assert collections_of(address) - others == named(snapshots)
    assert list(snapshots.folder.glob("snapshots/.*")) == []


def loaded(address: MilvusAddress, snapshots: Snapshots) -> list[bool]:
    """Tell of each snapshot, oldest first, whether its collection is in the server's memory."""
    found = []
    for id in snapshots.ids():
        with closing(Collection(address, snapshots.manifest(id).vectors["collection"], strong=True)) as collection:
            found.append(collection.is_loaded())
    return found


def test_two_snapshots_take_memory_of_the_server_and_an_older_one_is_loaded_when_it_is_activated(
    settings: Settings, build: Build, address: MilvusAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = [build().manifest for _ in range(3)]
    behind = served(settings)
    expected = answers(behind)
    snapshots = Snapshots.of(settings)
    assert loaded(address, snapshots) == [False, True, True]
    # A server that is behind serves an older one still, and looks every ten seconds whether all of it is there.
    monkeypatch.setattr("qa.index.vectors.milvus.engine._LOOK_EVERY", 0.0)
    release_collection(snapshots.path(snapshots.ids()[-1]), address)
    assert answers(behind) == expected
    with snapshots.writing() as writer:
        writer.activate(first.id)
    assert answers(served(settings)) == expected
    assert loaded(address, snapshots) == [True, True, True]


def build_and_be_killed(indexes: str, uri: str, folder: str) -> None:
    """Build, and end as a machine does that loses its power, when all is written and nothing published."""

    class Dying(Recorder):
        def stage(self, message: str) -> None:
            if message.startswith("Verifying"):
                os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(indexes=Path(indexes), name="test", milvus=uri, milvus_seconds=60)
    update(settings, [Path(folder)], Dying(), make=hashing_encoder, rebuild=True)


def test_a_build_that_is_killed_leaves_the_old_snapshot_active_and_its_collection_is_dropped_by_the_next(
    settings: Settings, build: Build, address: MilvusAddress, folder: Path
) -> None:
    others = collections_of(address)
    first = build().manifest
    before = answers(served(settings))
    work = f"import sys; from {__name__} import build_and_be_killed; build_and_be_killed(*sys.argv[1:])"
    command = [sys.executable, "-c", work, str(settings.indexes), settings.milvus, str(folder)]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    snapshots = Snapshots.of(settings)
    assert snapshots.current() == first.id
    assert answers(served(settings)) == before
    assert len(collections_of(address) - others) == 2
    second = build().manifest
    assert collections_of(address) - others == {first.vectors["collection"], second.vectors["collection"]}


def test_a_build_that_fails_leaves_no_collection(settings: Settings, build: Build, address: MilvusAddress) -> None:
    others = collections_of(address)

    class Interrupting(Recorder):
        def advanced(self, size: float, encoded: float | None = None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(listener=Interrupting())
    assert collections_of(address) == others


def test_while_milvus_is_away_questions_are_refused_and_then_answered_whole(
    settings: Settings, build: Build, folder: Path, running: MilvusServer
) -> None:
    """It is killed under load: no answer is a shorter one, failures are counted, and what was there is there again."""
    settings = settings.model_copy(update={"milvus_seconds": 1})
    build()
    service = served(settings)
    expected = answers(service)
    outcomes: Counter[str] = Counter()

    def ask(number: int) -> None:
        at = number % len(QUESTIONS)
        try:
            reply: Reply = service.ask(Query(QUESTIONS[at]))
        except VectorsUnavailable:
            outcomes["refused"] += 1
        else:
            found = [(hit.passage.document, hit.passage.start, hit.scores.dense) for hit in reply.hits]
            outcomes["answered" if found == expected[at] else "wrong"] += 1

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(24)]
        asked[10].result()
        running.kill()
        for each in asked:
            each.result()
    assert outcomes["answered"] >= 10
    assert outcomes["refused"] > 0

    # Whoever starts now says so, and whoever asks is told to come again.
    late = Service(settings, make=hashing_encoder)
    with pytest.raises(VectorsUnavailable, match="check that it runs"):
        late.reload()
    with serving(create_app(service)) as (host, port):
        refused = httpx2.post(f"http://{host}:{port}/v1/ask", json={"question": QUESTIONS[0]}, timeout=60)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:qa:problem:vectors-unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        running.start()
        wait_for(lambda: _succeeds(service))
        assert answers(service) == expected
        accepted = httpx2.post(f"http://{host}:{port}/v1/ask", json={"question": QUESTIONS[0]}, timeout=60)
        assert accepted.status_code == 200
    assert late.reload()
    assert answers(late) == expected
    assert outcomes["wrong"] == 0


def _succeeds(service: Service) -> bool:
    try:
        service.ask(Query(QUESTIONS[0]))
    except VectorsUnavailable:
        return False
    return True


def test_what_cannot_be_dropped_now_is_dropped_by_the_next_writer(
    settings: Settings, build: Build, folder: Path, address: MilvusAddress, running: MilvusServer
) -> None:
    others = collections_of(address)
    build()
    build()
    impatient = settings.model_copy(update={"milvus_seconds": 1, "keep_snapshots": 1})
    running.kill()
    with pytest.raises(VectorsUnavailable, match="check that it runs"):
        prune(impatient)
    snapshots = Snapshots.of(settings)
    assert len(snapshots.ids()) == 1
    with capture_logs() as logs, pytest.raises(VectorsUnavailable):
        update(impatient, [folder], Recorder(), make=hashing_encoder)
    assert [line["event"] for line in logs] == ["a collection is dropped later"]
    running.start()
    with snapshots.writing():
        pass
    assert collections_of(address) - others == named(snapshots)
    assert list(snapshots.folder.glob("snapshots/.*")) == []


def test_a_disk_that_is_full_is_an_error_of_the_build(programs: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", small], check=False).returncode:
        pytest.skip("a small file system cannot be mounted by this user")
    # On the disk that is full its log would end before it says so.
    log = tmp_path / "milvus.log"
    server = MilvusServer(programs, small, log=log)
    try:
        server.start()
        aside = tmp_path / "index" / "snapshots" / ".aside-1"
        aside.mkdir(parents=True)
        index = MilvusVectors.create(aside, MilvusAddress(server.uri, seconds=10), 384, ())
        vectors = np.random.default_rng(0).standard_normal((4000, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

        def fill() -> None:
            for start in range(0, 400_000, len(vectors)):
                index.upsert(VectorRows(np.arange(start, start + len(vectors)), vectors))

        # The server says so, or is gone already: it ends at a full disk.
        with pytest.raises(VectorsUnavailable, match="cannot write rows"):
            fill()
        # Its parts in C++ and in Go begin the words differently.
        assert "no space left on device" in log.read_text(errors="replace").lower()
    finally:
        server.kill()
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("http://root:secret@milvus:19530", "holds a user or a password; put them into QA_MILVUS_TOKEN"),
        ("milvus:19530", "is no address"),
        ("http://milvus", "is no address"),
        ("http://milvus:port", "is no address"),
    ],
)
def test_a_wrong_address_is_refused_without_being_shown(uri: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_MILVUS", uri)
    with pytest.raises(QAError, match=f"QA_MILVUS {fault}") as raised:
        load_settings()
    assert "secret" not in str(raised.value)
