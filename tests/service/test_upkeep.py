"""Documents uploaded, replaced and deleted behind a running service: what is acknowledged is kept, and indexed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from qa.build.update import update
from qa.build.uploads import DocumentFolder
from qa.errors import (
    CollectionFixed,
    DocumentNotFound,
    DocumentReplaced,
    NotReady,
    StorageError,
    UploadRefused,
)
from qa.index.snapshots import Snapshots
from qa.readers.pictures.process import Picture, Wanted
from qa.readers.registry import read_source
from qa.service.indexing import Indexing
from qa.service.maintenance import Maintenance
from qa.service.pictures import FOLDER, WIDTHS, Pictures
from qa.service.service import Service
from qa.service.upkeep import Outcome, Received
from qa.settings import Settings
from qa.types import Query
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.pdfs import lines, pdf
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reading_here")

APPLES = b"Apples grow on trees. They are red or green.\n"
PEARS = b"Pears ripen in autumn. Keep them cool.\n"


@pytest.fixture
def operator(settings: Settings) -> Maintenance:
    """Return what serves a collection that keeps its own documents, and has none yet."""
    DocumentFolder(settings.indexes / settings.name, settings.upload_limits).create()
    return serve(settings)


def serve(settings: Settings) -> Maintenance:
    service = Service(settings, make=hashing_encoder)
    return Maintenance(settings, service)


def received(operator: Maintenance, name: str, data: bytes) -> Received:
    staged = operator.upkeep.stage()
    staged.write(data)
    staged.finish()
    return Received(name, staged)


def upload(operator: Maintenance, replace: bool = False, **files: bytes) -> list[Outcome]:
    """Upload files, whose names have ``_`` for the dot, and wait until they are indexed."""
    sent = [received(operator, name.replace("_", "."), data) for name, data in files.items()]
    outcomes = operator.upkeep.take(sent, replace=replace)
    ended(operator)
    return outcomes


def ended(operator: Maintenance) -> Indexing:
    wait_for(lambda: operator.indexing().status != "running")
    return operator.indexing()


def service_of(operator: Maintenance) -> Service:
    return operator._service


def answers(operator: Maintenance, question: str) -> list[str]:
    """Return the documents that a question finds."""
    return [hit.passage.document for hit in service_of(operator).ask(Query(question)).hits]


def documents_of(settings: Settings) -> dict[str, bytes]:
    folder = settings.indexes / settings.name / "documents"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_first_upload_into_an_empty_collection_is_answered_from(operator: Maintenance, settings: Settings) -> None:
    with pytest.raises(NotReady):
        service_of(operator).ask(Query("Where do apples grow?"))
    (outcome,) = upload(operator, apples_txt=APPLES)
    assert (outcome.id, outcome.status) == ("apples.txt", "added")
    done = operator.indexing()
    assert (done.status, [(change.id, change.status) for change in done.changes]) == (
        "done",
        [("apples.txt", "indexed")],
    )
    assert answers(operator, "Where do apples grow?") == ["apples.txt"]
    assert list((settings.indexes / settings.name / "incoming").iterdir()) == []


def test_each_file_of_an_upload_succeeds_or_fails_by_itself(operator: Maintenance, settings: Settings) -> None:
    outcomes = upload(operator, apples_txt=APPLES, photo_xyz=b"\0\1", pears_txt=PEARS)
    assert [outcome.status for outcome in outcomes] == ["added", "refused", "added"]
    assert "no reader" in outcomes[1].reason
    assert [(change.id, change.status) for change in operator.indexing().changes] == [
        ("apples.txt", "indexed"),
        ("photo.xyz", "refused"),
        ("pears.txt", "indexed"),
    ]
    assert sorted(documents_of(settings)) == ["apples.txt", "pears.txt"]


def test_a_replaced_file_changes_the_answer(operator: Maintenance) -> None:
    upload(operator, apples_txt=APPLES, pears_txt=PEARS)
    (refused,) = upload(operator, apples_txt=b"Apples are stored in Kiel.\n")
    assert refused.status == "refused"
    assert "Kiel" not in service_of(operator).document("apples.txt").document.text
    (replaced,) = upload(operator, replace=True, apples_txt=b"Apples are stored in Kiel.\n")
    assert replaced.status == "replaced"
    assert "Kiel" in service_of(operator).document("apples.txt").document.text


def test_a_file_that_cannot_be_read_replaces_nothing(operator: Maintenance, settings: Settings) -> None:
    upload(operator, apples_txt=APPLES)
    before = service_of(operator).state().snapshot
    (outcome,) = upload(operator, replace=True, apples_txt=b"MZ\x90\0" + b"\0" * 100)
    assert outcome.status == "refused"
    assert documents_of(settings) == {"apples.txt": APPLES}
    assert service_of(operator).state().snapshot == before


def test_with_a_document_its_pictures_are_deleted_and_no_others(operator: Maintenance, settings: Settings) -> None:
    first, other = pdf(lines("Apples grow on trees.")), pdf(lines("Pears grow as well."))
    upload(operator, apples_pdf=first, pears_pdf=other)

    def blank(file: int, wanted: Wanted, cache: object) -> Picture:
        characters = len(wanted.before) + len(wanted.text)
        return Picture(b"\x89PNG", wanted.width, 1000, np.zeros((characters, 4), np.int16), 1.0)

    service, pictures = service_of(operator), Pictures(settings.indexes, blank)
    for id in ("apples.pdf", "pears.pdf"):
        for width in WIDTHS:
            pictures.of(service.document(id).document, 1, partial(service.original, id), width)
    operator.upkeep.remove("apples.pdf")
    kept = [path.name for path in (settings.indexes / FOLDER).iterdir()]
    assert len(kept) == len(WIDTHS)
    assert all(name.startswith(hashlib.sha256(other).hexdigest()) for name in kept)
    ended(operator)


def test_what_is_deleted_is_gone(operator: Maintenance, settings: Settings) -> None:
    upload(operator, apples_txt=APPLES, pears_txt=PEARS)
    operator.upkeep.remove("apples.txt")
    assert ended(operator).changes[-1].status == "removed"
    assert answers(operator, "Where do apples grow?") == ["pears.txt"]
    assert sorted(documents_of(settings)) == ["pears.txt"]
    with pytest.raises(DocumentNotFound):
        operator.upkeep.remove("apples.txt")


def test_without_the_last_document_the_collection_is_empty_and_answers_nothing(operator: Maintenance) -> None:
    upload(operator, apples_txt=APPLES)
    operator.upkeep.remove("apples.txt")
    assert ended(operator).status == "done"
    state = service_of(operator).state()
    assert (state.ready, state.status) == (False, "empty")
    with pytest.raises(NotReady, match="empty"):
        service_of(operator).ask(Query("Where do apples grow?"))
    upload(operator, pears_txt=PEARS)
    assert answers(operator, "When do pears ripen?") == ["pears.txt"]


def test_another_server_over_the_same_index_sees_that_it_is_empty(operator: Maintenance, settings: Settings) -> None:
    upload(operator, apples_txt=APPLES)
    other, stopped = Service(settings, make=hashing_encoder), threading.Event()
    other.reload()
    operator.upkeep.remove("apples.txt")
    following = threading.Thread(target=other.keep_current, args=(stopped, lambda state: None))
    following.start()
    try:
        wait_for(lambda: other.state().status == "empty")
    finally:
        stopped.set()
        following.join()


def test_of_two_who_replace_the_second_is_told(operator: Maintenance) -> None:
    (first,) = upload(operator, apples_txt=APPLES)
    operator.upkeep.put(received(operator, "apples.txt", b"Apples of one.\n"), first.sha256)
    with pytest.raises(DocumentReplaced):
        operator.upkeep.put(received(operator, "apples.txt", b"Apples of another.\n"), first.sha256)
    with pytest.raises(DocumentReplaced):
        operator.upkeep.remove("apples.txt", first.sha256)
    ended(operator)
    assert "of one" in service_of(operator).document("apples.txt").document.text


def test_a_folder_of_the_operator_s_own_is_not_changed_from_outside(
    settings: Settings, build: Build, folder: Path
) -> None:
    build()
    operator = serve(settings)
    assert "operator" in operator.upkeep.why_fixed()
    for act in (operator.upkeep.stage, lambda: operator.upkeep.remove("apples.txt")):
        with pytest.raises(CollectionFixed):
            act()
    # Also where it kept documents of its own before.
    DocumentFolder(settings.indexes / settings.name, settings.upload_limits).create()
    with pytest.raises(CollectionFixed):
        operator.upkeep.remove("apples.txt")
    assert (folder / "apples.txt").exists()


def test_an_index_of_another_folder_is_not_replaced_by_uploads(
    operator: Maintenance, settings: Settings, build: Build
) -> None:
    staged = received(operator, "figs.txt", b"Figs are sweet.\n")
    build()
    with pytest.raises(CollectionFixed):
        operator.upkeep.take([staged], replace=True)
    assert documents_of(settings) == {}
    assert staged.staged is not None
    assert not staged.staged.path.exists()


def test_what_was_acknowledged_is_indexed_at_the_next_start(operator: Maintenance, settings: Settings) -> None:
    """As after a kill between the two: the file stands in the folder, and no index holds it."""
    upload(operator, apples_txt=APPLES)
    folder = DocumentFolder(settings.indexes / settings.name, settings.upload_limits)
    staged = folder.stage()
    staged.write(PEARS)
    staged.finish()
    with folder.changing() as change:
        change.land(staged, "pears.txt", replace=False)
    again = serve(settings)
    again.upkeep.catch_up()
    ended(again)
    assert answers(again, "When do pears ripen?")[0] == "pears.txt"


def test_a_start_of_an_empty_collection_says_so(operator: Maintenance) -> None:
    assert operator.upkeep.catch_up() is None
    assert operator.indexing().status == "none"


def test_a_moved_index_keeps_its_documents(operator: Maintenance, settings: Settings, tmp_path: Path) -> None:
    upload(operator, apples_txt=APPLES)
    moved = settings.model_copy(update={"indexes": tmp_path / "moved"})
    settings.indexes.rename(moved.indexes)
    again = serve(moved)
    assert again.upkeep.why_fixed() == ""
    again.upkeep.catch_up()
    ended(again)
    assert service_of(again).source_status("apples.txt") == "verified"


def test_qa_index_builds_the_same_from_the_folder(operator: Maintenance, settings: Settings) -> None:
    upload(operator, apples_txt=APPLES)
    own = settings.indexes / settings.name / "documents"
    done = update(settings, [own], Recorder(), make=hashing_encoder, read=read_source)
    assert done.manifest.documents == 1
    assert serve(settings).upkeep.why_fixed() == ""


def test_what_comes_while_an_update_runs_gets_one_of_its_own(
    operator: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qa.build import update as module

    build, begun, go_on = module.update_own, threading.Event(), threading.Event()

    def waiting(*arguments: object) -> object:
        done = build(*arguments)  # type: ignore[arg-type]
        begun.set()
        go_on.wait()
        return done

    monkeypatch.setattr("qa.build.update.update_own", waiting)
    operator.upkeep.take([received(operator, "apples.txt", APPLES)], replace=False)
    begun.wait()
    operator.upkeep.take([received(operator, "pears.txt", PEARS)], replace=False)
    assert {change.id: change.status for change in operator.indexing().changes}["pears.txt"] == "waiting"
    go_on.set()
    assert [change.status for change in ended(operator).changes] == ["indexed", "indexed"]
    assert answers(operator, "When do pears ripen?")[0] == "pears.txt"


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, at: str) -> Iterator[None]:
    def fails(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(at, fails)
        yield


def test_a_full_disk_while_it_is_received_or_lands_loses_nothing(
    operator: Maintenance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(operator, apples_txt=APPLES)
    with full_disk(monkeypatch, "qa.build.uploads.StagedFile"), pytest.raises(StorageError):
        operator.upkeep.stage()
    staged = received(operator, "apples.txt", b"Apples are stored in Kiel.\n")
    with full_disk(monkeypatch, "qa.build.uploads.os.rename"), pytest.raises(StorageError):
        operator.upkeep.put(staged)
    assert documents_of(settings) == {"apples.txt": APPLES}
    assert list((settings.indexes / settings.name / "incoming").iterdir()) == []
    assert answers(operator, "Where do apples grow?") == ["apples.txt"]


def test_a_disk_that_is_full_for_the_index_keeps_the_file_and_the_answers(
    operator: Maintenance, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    upload(operator, apples_txt=APPLES)
    with full_disk(monkeypatch, "qa.build.builder.StoreWriter.add_document"):
        upload(operator, pears_txt=PEARS)
    failed = operator.indexing()
    assert failed.status == "failed"
    assert [(change.id, change.status) for change in failed.changes[1:]] == [("pears.txt", "failed")]
    assert "not indexed yet" in failed.changes[-1].reason
    assert answers(operator, "Where do apples grow?") == ["apples.txt"]
    assert documents_of(settings)["pears.txt"] == PEARS
    # The same file sent again, as whoever sees that may try, has the index updated.
    (again,) = upload(operator, pears_txt=PEARS)
    assert again.status == "unchanged"
    assert operator.indexing().status == "done"
    assert answers(operator, "When do pears ripen?")[0] == "pears.txt"


def test_a_collection_whose_first_documents_are_being_indexed_says_so(
    operator: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qa.build import update as module

    build, begun, go_on = module.update_own, threading.Event(), threading.Event()

    def waiting(*arguments: object) -> object:
        begun.set()
        go_on.wait()
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("qa.build.update.update_own", waiting)
    service_of(operator).clear()
    assert "upload documents" in service_of(operator).state().detail
    sent = [received(operator, "apples.txt", APPLES), received(operator, "pears.txt", PEARS)]
    operator.upkeep.take(sent, replace=False)
    begun.wait()
    state = service_of(operator).state()
    assert (state.status, state.detail) == (
        "empty",
        "2 files are being indexed; questions are answered when that is done",
    )
    with pytest.raises(NotReady, match="2 files are being indexed"):
        service_of(operator).ask(Query("Where do apples grow?"))
    go_on.set()
    ended(operator)
    assert service_of(operator).state().ready


def test_a_collection_whose_first_update_failed_says_so(operator: Maintenance, monkeypatch: pytest.MonkeyPatch) -> None:
    service_of(operator).clear()
    with full_disk(monkeypatch, "qa.build.builder.StoreWriter.add_document"):
        upload(operator, apples_txt=APPLES)
    state = service_of(operator).state()
    assert (state.ready, state.status) == (False, "empty")
    assert state.detail.startswith(
        "none of the documents is indexed yet; the last update of the index failed: the disk is full"
    )
    assert "upload documents" not in state.detail


def test_a_failed_update_is_said_until_one_succeeds(operator: Maintenance, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(operator, apples_txt=APPLES, pears_txt=PEARS)
    with full_disk(monkeypatch, "qa.build.update.update_own"):
        operator.upkeep.remove("apples.txt")
        ended(operator)
    state = service_of(operator).state()
    assert state.ready
    (trouble,) = state.troubles
    assert trouble in state.detail
    assert "the disk is full" in trouble
    assert "POST /v1/index" in trouble
    operator.index()
    ended(operator)
    assert service_of(operator).state().troubles == ()
    assert answers(operator, "Where do apples grow?") == ["pears.txt"]


def test_a_failed_update_is_tried_again_by_itself(operator: Maintenance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.service.upkeep._RETRY_EVERY", 0.01)
    stopped = threading.Event()
    trying = threading.Thread(target=operator.upkeep.keep_trying, args=(stopped,))
    with full_disk(monkeypatch, "qa.build.builder.StoreWriter.add_document"):
        upload(operator, apples_txt=APPLES)
    assert operator.indexing().status == "failed"
    trying.start()
    try:
        wait_for(lambda: operator.indexing().status == "done")
    finally:
        stopped.set()
        trying.join()
    assert answers(operator, "Where do apples grow?") == ["apples.txt"]


def test_many_uploads_leave_a_few_snapshots(settings: Settings) -> None:
    few = settings.model_copy(update={"keep_snapshots": 2})
    DocumentFolder(few.indexes / few.name, few.upload_limits).create()
    operator = serve(few)
    for number in range(4):
        upload(operator, replace=True, apples_txt=f"Apples grow in {number} gardens.\n".encode())
    assert len(Snapshots(few.indexes, few.name).ids()) == 2


def test_names_and_limits_are_checked(operator: Maintenance, settings: Settings) -> None:
    with pytest.raises(UploadRefused, match="path within"):
        operator.upkeep.put(received(operator, "../apples.txt", APPLES))
    assert documents_of(settings) == {}
    assert list((settings.indexes / settings.name / "incoming").iterdir()) == []


def test_a_build_from_the_command_line_meanwhile_is_waited_for(
    operator: Maintenance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.service.indexing._AGAIN", 0.01)
    with Snapshots(settings.indexes, settings.name).writing():
        operator.upkeep.take([received(operator, "apples.txt", APPLES)], replace=False)
        wait_for(lambda: "another process" in operator.indexing().detail)
    assert ended(operator).status == "done"
