"""The service as the web and the command line use it: loading, switching snapshots, and what it says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from qa.build.update import update
from qa.errors import (
    DocumentNotFound,
    DuplicateDocument,
    IndexNotFound,
    ModelNotFound,
    NothingToIndex,
    NotReady,
    SnapshotCorrupt,
    SnapshotIncompatible,
    SourceNotFound,
)
from qa.index.snapshots import Snapshots
from qa.protocols import Encoder
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Eq, FileReport, In, Query, Range, State
from tests.conftest import REPOSITORY, SEED, Build, Recorder, hashing_encoder
from tests.support.hashing import HashingEncoder
from tests.support.waiting import wait_for


def other_encoder(settings: Settings, *, threads: int) -> Encoder:
    return HashingEncoder(dimension=64)


def test_before_it_has_loaded_it_says_so(settings: Settings) -> None:
    service = Service(settings, make=hashing_encoder)
    state = service.state()
    assert (state.ready, state.status, state.index, state.snapshot) == (False, "loading", "test", None)
    for call in (lambda: service.ask(Query("x")), service.collection, lambda: service.document("x")):
        with pytest.raises(NotReady, match="being loaded"):
            call()


def test_ready_it_names_what_it_serves(service: Service, settings: Settings) -> None:
    state = service.state()
    assert (state.ready, state.status, state.documents, state.passages) == (True, "ready", 3, 4)
    assert state.snapshot == Snapshots(settings.indexes, settings.name).current()


def test_reload_switches_only_when_the_snapshot_did(service: Service, build: Build, folder: Path) -> None:
    assert not service.reload()
    (folder / "quinces.txt").write_text("Quinces are yellow.\n")
    id = build().manifest.id
    assert service.reload()
    reply = service.ask(Query("What colour are quinces?"))
    assert (reply.snapshot, reply.hits[0].passage.document) == (id, "quinces.txt")


class Interrupted(HashingEncoder):
    """An encoder during whose loading other snapshots become current, one each time."""

    def __init__(self, snapshots: Snapshots) -> None:
        super().__init__()
        self.snapshots = snapshots
        self.moves: list[str] = []

    def load(self) -> None:
        if self.moves:
            with self.snapshots.writing() as writer:
                writer.activate(self.moves.pop(0))
        super().load()


@pytest.fixture
def three(build: Build, folder: Path) -> list[str]:
    """Build three snapshots, of which the last is current, and return their ids."""
    ids = [build().manifest.id]
    for fruit in ("quinces", "medlars"):
        (folder / f"{fruit}.txt").write_text(f"The {fruit} are yellow.\n")
        ids.append(build().manifest.id)
    return ids


def test_what_becomes_current_during_a_load_is_served_and_not_what_was_loaded(
    settings: Settings, three: list[str]
) -> None:
    encoder = Interrupted(Snapshots.of(settings))
    service = Service(settings, make=lambda settings, *, threads: encoder)
    encoder.moves = [three[0]]
    assert service.reload()
    assert service.ask(Query("apples")).snapshot == three[0]
    served: list[str | None] = []
    service.announce_with(lambda: served.extend([service.switching_to, service.state().snapshot]))
    activate(settings, three[1])
    encoder.moves = [three[0]]
    assert not service.reload()
    assert (service.state().snapshot, service.state().revision) == (three[0], 1)
    # The other processes have read what would have been served.
    assert served == [three[1], three[0]]
    assert service.switching_to is None


def test_a_pointer_that_moves_all_the_time_keeps_nobody_from_answers(settings: Settings, three: list[str]) -> None:
    encoder = Interrupted(Snapshots.of(settings))
    service = Service(settings, make=lambda settings, *, threads: encoder)
    encoder.moves = 5 * three[:2]
    assert service.reload()
    assert service.state().snapshot == three[1]
    encoder.moves = []
    assert service.reload()
    assert service.state().snapshot == three[0]


def test_what_was_loaded_is_not_served_where_the_index_is_gone_meanwhile(
    settings: Settings, three: list[str], service: Service
) -> None:
    activate(settings, three[1])
    service.announce_with((settings.indexes / "test" / "CURRENT").unlink)
    before = service.state()
    with pytest.raises(IndexNotFound):
        service.reload()
    assert service.state() == before


def activate(settings: Settings, id: str) -> None:
    with Snapshots.of(settings).writing() as writer:
        writer.activate(id)


def test_a_document_that_is_gone_no_longer_answers(service: Service, build: Build, folder: Path) -> None:
    (folder / "apples.txt").unlink()
    build()
    service.reload()
    assert "apples.txt" not in {hit.passage.document for hit in service.ask(Query("apples")).hits}


def test_a_broken_new_snapshot_leaves_the_old_one_serving(service: Service, build: Build, settings: Settings) -> None:
    before = service.state()
    broken = build().manifest.id
    (settings.indexes / "test" / "snapshots" / broken / "vectors.faiss").write_bytes(b"")
    with pytest.raises(SnapshotCorrupt, match=r"vectors\.faiss"):
        service.reload()
    assert service.state() == before
    assert service.ask(Query("apples")).snapshot == before.snapshot


def test_a_snapshot_of_another_model_is_refused_before_that_model_is_loaded(build: Build, settings: Settings) -> None:
    build()

    class Unloadable(HashingEncoder):
        def load(self) -> None:
            raise AssertionError("loaded")

    with pytest.raises(SnapshotIncompatible):
        Service(settings, make=lambda settings, *, threads: Unloadable(dimension=64)).reload()


class Precise(HashingEncoder):
    @property
    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint, "precision": "bf16", "runtime": "openvino"}


def test_where_only_the_precision_differs_that_is_what_is_named(build: Build, settings: Settings) -> None:
    build()
    with pytest.raises(SnapshotIncompatible, match=r"at precision fp32, and bf16 is in use; set QA_PRECISION=fp32"):
        Service(settings, make=lambda settings, *, threads: Precise()).reload()


def test_beside_what_is_not_found_stand_the_files_that_could_not_be_read(
    build: Build, settings: Settings, folder: Path
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    missing = service.ask(Query("Who won the chess championship of 1972?")).answer
    assert missing is not None
    assert (missing.outcome, missing.unread_files) == ("not_found", 1)
    found = service.ask(Query("When do pears ripen?")).answer
    assert found is not None
    assert found.outcome != "not_found"
    assert found.unread_files == 0
    assert service.ask(Query("When do pears ripen?", answer=False)).answer is None


@pytest.mark.parametrize(
    ("limits", "unread"),
    [
        ({}, 4),
        ({"filter": (Eq("type", "PDF"),)}, 2),
        ({"filter": (Eq("folder", "hr"),)}, 2),
        ({"filter": (Eq("folder", "hr/old"), Eq("type", "pdf"))}, 1),
        ({"filter": (In("type", ("html", "docx")),)}, 2),
        # Of what could not be read at all nobody knows who wrote it; a part that was read says it.
        ({"filter": (Eq("author", "Ann"),)}, 1),
        ({"filter": (Eq("author", "Ann"), Eq("folder", "hr"))}, 0),
        ({"filter": (Range("date", "1990", None),)}, 0),
        ({"documents": ("hr/*", "apples.txt")}, 2),
        ({"documents": ("apples.txt",)}, 0),
        ({"documents": ("*",), "filter": (Eq("type", "pdf"), Eq("folder", "it"))}, 0),
        ({"sections": ("Pears",)}, 0),
    ],
)
def test_files_that_could_not_be_read_count_where_they_could_pass(
    build: Build, settings: Settings, folder: Path, limits: dict[str, Any], unread: int
) -> None:
    (folder / "hr/old").mkdir(parents=True)
    for name in ("broken.pdf", "hr/old/broken.pdf", "hr/broken.docx"):
        (folder / name).write_bytes(b"%PDF-1.7\nnothing more" if name.endswith("pdf") else b"PK\x03\x04 word/")
    damaged = "<meta name=author content=Ann><p>Ann likes quinces: äöüäöüäöü ".encode() + b"\xff</p>"
    (folder / "partly.html").write_bytes(damaged)
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    answer = service.ask(Query("Who won the chess championship of 1972?", **limits)).answer
    assert answer is not None
    assert (answer.outcome, answer.unread_files) == ("not_found", unread)


def test_a_service_of_one_snapshot_keeps_to_it_and_is_closed(build: Build, settings: Settings) -> None:
    first = build().manifest.id
    service = Service(settings, make=hashing_encoder, snapshot=first)
    service.reload()
    build()
    assert not service.reload()
    assert service.ask(Query("apples")).snapshot == first
    service.close()
    with pytest.raises(NotReady):
        service.ask(Query("apples"))


def test_following_loads_switches_and_outlives_a_refused_snapshot(build: Build, settings: Settings) -> None:
    first = build().manifest.id
    service, stopped = Service(settings, make=hashing_encoder), threading.Event()
    heard: list[State] = []
    thread = threading.Thread(target=service.keep_current, args=(stopped, heard.append))
    thread.start()
    try:
        wait_for(lambda: service.state().snapshot == first)
        update(settings, [SEED], Recorder(), make=other_encoder)
        wait_for(lambda: "refused" in service.state().detail)
        assert service.ask(Query("apples")).snapshot == first
        with Snapshots(settings.indexes, settings.name).writing() as writer:
            writer.activate(first)
        wait_for(lambda: "refused" not in service.state().detail)
        third = build().manifest.id
        wait_for(lambda: service.state().snapshot == third)
    finally:
        stopped.set()
        thread.join()
    assert [state.snapshot for state in heard] == [first, third]


@pytest.mark.parametrize("content", [b"\xff", b"", b"../.."])
def test_following_outlives_a_pointer_that_holds_no_id(
    service: Service, build: Build, settings: Settings, content: bytes
) -> None:
    stopped = threading.Event()
    thread = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    thread.start()
    try:
        (settings.indexes / "test" / "CURRENT").write_bytes(content)
        wait_for(lambda: "damaged" in service.state().detail)
        assert service.ask(Query("apples")).hits
        id = build().manifest.id
        wait_for(lambda: service.state().snapshot == id)
    finally:
        stopped.set()
        thread.join()


def test_following_tries_again_what_may_pass(build: Build, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    id = build().manifest.id
    monkeypatch.setattr("qa.service.following._RETRY_EVERY", 0.05)
    failures = iter([OSError("too many open files"), ModelNotFound("the hub is down")])

    def make(settings: Settings, *, threads: int) -> Encoder:
        for failure in failures:
            raise failure
        return HashingEncoder()

    service, stopped = Service(settings, make=make), threading.Event()
    thread = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    thread.start()
    try:
        wait_for(lambda: service.state().snapshot == id)
        assert next(failures, None) is None
        assert service.ask(Query("apples")).hits
    finally:
        stopped.set()
        thread.join()


def test_following_names_why_nothing_is_served(build: Build, settings: Settings) -> None:
    build()
    service, stopped = Service(settings, make=other_encoder), threading.Event()
    thread = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    thread.start()
    try:
        wait_for(lambda: service.state().status == "refused")
        assert "they differ in dimension" in service.state().detail
        with pytest.raises(NotReady, match="they differ in dimension"):
            service.ask(Query("apples"))
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (lambda folder: (folder / "vectors.faiss").write_bytes(b""), "damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "damaged"),
    ],
)
def test_what_clients_are_told_of_a_failure_holds_no_path(
    build: Build, settings: Settings, damage: Callable[[Path], object], status: str
) -> None:
    damage(settings.indexes / "test" / "snapshots" / build().manifest.id)
    state = followed_once(Service(settings, make=hashing_encoder))
    assert (state.ready, state.status) == (False, status)
    assert str(settings.indexes) not in state.detail
    assert "log" in state.detail


def test_a_missing_model_is_a_named_state(build: Build, settings: Settings, tmp_path: Path) -> None:
    build()
    state = followed_once(Service(settings.model_copy(update={"model": str(tmp_path)})))
    assert (state.status, str(tmp_path) in state.detail) == ("no-model", False)


def followed_once(service: Service) -> State:
    """Return the state after following has tried to load what is current."""
    stopped = threading.Event()
    thread = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    thread.start()
    try:
        wait_for(lambda: service.state().status != "loading")
    finally:
        stopped.set()
        thread.join()
    return service.state()


def test_the_collection_lists_documents_and_every_file(service: Service) -> None:
    collection = service.collection()
    assert [document.id for document in collection.documents] == ["apples.txt", "below/plums.txt", "pears.md"]
    assert [document.title for document in collection.documents] == ["apples.txt", "plums.txt", "Pears"]
    report = {report.id: report for report in collection.report}
    assert set(report) == {"apples.txt", "below/plums.txt", "pears.md", "photo.xyz"}
    assert report["photo.xyz"].status == "skipped"
    assert report["photo.xyz"].reason
    assert report["apples.txt"].passages == 1


def test_a_document_comes_whole_and_an_unknown_one_is_named(service: Service, folder: Path) -> None:
    document = service.document("pears.md").document
    assert document.text == "Pears\n\nPears ripen in autumn.\n\nStorage\n\nKeep them cool."
    assert [section.title for section in document.sections] == ["Pears", "Storage"]
    with pytest.raises(DocumentNotFound, match=r"no indexed document has the id '\.\./apples\.txt'"):
        service.document("../apples.txt")


def test_progress_adds_up_to_the_bytes_of_the_files(build: Build, folder: Path) -> None:
    (folder / "long.txt").write_text("A sentence that is there to be long. " * 2000)
    listener = Recorder()
    build(listener=listener)
    assert listener.total == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert listener.done == pytest.approx(listener.total)
    assert len(listener.reports) == 5


def test_missing_and_empty_folders_are_errors_that_leave_no_snapshot(
    build: Build, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(SourceNotFound, match="absent"):
        build(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToIndex, match="there is no file to index"):
        build(tmp_path / "empty")
    (tmp_path / "empty" / "x.bin").write_bytes(b"\x00")
    with pytest.raises(NothingToIndex, match=r"nothing could be read: x\.bin: skipped"):
        build(tmp_path / "empty")
    assert Snapshots(settings.indexes, settings.name).ids() == []


def test_one_folder_by_two_names_is_refused(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(folder)
    with pytest.raises(DuplicateDocument, match="are the same folder or file; give one of them"):
        build(folder, tmp_path / "other")


def test_an_index_is_no_document_of_itself(build: Build, settings: Settings, tmp_path: Path) -> None:
    build()
    report = {report.id: report for report in reports_of(build, tmp_path)}
    assert report["indexes/test/CURRENT"].reason == "it belongs to an index"
    assert report["documents/apples.txt"].status == "read"


def test_a_link_to_an_index_is_none_either(build: Build, tmp_path: Path) -> None:
    build()
    (tmp_path / "documents/link.txt").symlink_to(tmp_path / "indexes/test/CURRENT")
    report = {report.id: report for report in reports_of(build, tmp_path)}
    assert report["documents/link.txt"].reason == "it belongs to an index"


def reports_of(build: Build, path: Path) -> list[FileReport]:
    listener = Recorder()
    build(path, listener=listener)
    return listener.reports


def test_a_folder_whose_name_is_no_unicode_is_indexed(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.txt").write_text("Apples.\n")
    assert build(folder).manifest.sources == (str(tmp_path / "caf\\udce9"),)


BUILDING = """
import resource, signal, sys
from pathlib import Path
from qa.build.update import SilentListener, update
from qa.models.languages import detect_language
from qa.readers.registry import read_source
from qa.settings import Settings
from tests.conftest import hashing_encoder

detect_language("What tells languages apart is unpacked into a file of its own, once.")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
settings = Settings(indexes=Path(sys.argv[1]), name=sys.argv[2])
update(settings, [Path(sys.argv[3])], SilentListener(), make=hashing_encoder, read=read_source, rebuild=True)
"""


def test_a_full_disk_is_an_error_of_one_line(settings: Settings, folder: Path, build: Build) -> None:
    """RLIMIT_FSIZE stands in for the disk: a write beyond it fails as one on a full disk does."""
    before = build().manifest.id
    (folder / "large.txt").write_text("".join(f"Sentence number {n} is here. " for n in range(20_000)))
    command = [sys.executable, "-c", BUILDING, str(settings.indexes), settings.name, str(folder)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    error = ended.stderr.splitlines()[-1]
    assert error.startswith("qa.errors.StorageError: ")
    assert "the disk's free space" in error
    assert Snapshots(settings.indexes, settings.name).current() == before
