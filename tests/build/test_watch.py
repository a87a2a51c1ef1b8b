"""`--watch`: what changes in the folder changes the answers, and no request fails or mixes two snapshots meanwhile."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from qa.build.embeddings import CACHE_FILE
from qa.build.update import follow, update
from qa.build.watch import require_watchable, watch, watched_paths
from qa.errors import SnapshotIncompatible, SourceNotFound, WriterBusy
from qa.index.snapshots import Snapshots
from qa.protocols import Encoder
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query, Reply
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.hashing import HashingEncoder
from tests.support.waiting import AT_MOST, wait_for

pytestmark = pytest.mark.slow


@contextmanager
def watching(
    settings: Settings, encoder: Callable[[], Encoder], trouble: Callable[[str], None] = lambda clause: None
) -> Iterator[None]:
    """Run the watch in a thread, as the server does, until the block ends."""
    stopped = threading.Event()
    thread = threading.Thread(target=watch, args=(settings, encoder, stopped, trouble))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@pytest.fixture
def watched(settings: Settings, folder: Path, build: Build) -> Iterator[Service]:
    """Make a service over ``folder``, followed and watched by threads as the server runs them."""
    build()
    service, stopped = Service(settings, make=hashing_encoder), threading.Event()
    service.reload()
    is_on = threading.Event()

    def encoder() -> Encoder:
        # What changed before is looked for when the watch is on.
        is_on.set()
        return service.encoder()

    following = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    with watching(settings, encoder, partial(service.note, "watch")):
        following.start()
        try:
            assert is_on.wait(AT_MOST)
            yield service
        finally:
            stopped.set()
            following.join()


def found(service: Service, question: str) -> str:
    return service.ask(Query(question, top_k=1)).hits[0].passage.document


def documents(service: Service) -> list[str]:
    return [document.id for document in service.collection().documents]


def test_a_new_file_a_change_and_a_deletion_show_in_answers(watched: Service, folder: Path) -> None:
    before = documents(watched)
    (folder / "quinces.txt").write_text("Quinces are yellow.\n")
    wait_for(lambda: found(watched, "quinces yellow") == "quinces.txt")
    (folder / "quinces.txt").write_text("Medlars are brown.\n")
    wait_for(lambda: watched.ask(Query("medlars brown", 1)).hits[0].passage.text == "Medlars are brown.")
    (folder / "quinces.txt").unlink()
    wait_for(lambda: found(watched, "medlars brown") != "quinces.txt")
    assert documents(watched) == before


def test_when_every_file_is_deleted_the_state_says_so_until_there_is_one(watched: Service, folder: Path) -> None:
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in files:
        path.unlink()
    wait_for(lambda: bool(watched.state().troubles))
    said = "nothing that can be read is left of what was indexed; what is served was read before"
    assert watched.state().troubles == (said,)
    assert watched.state().detail.endswith(f"; {said}")
    assert watched.state().ready
    for path, content in files.items():
        path.write_bytes(content)
    wait_for(lambda: not watched.state().troubles)


def test_when_the_folder_itself_is_gone_the_state_says_so(watched: Service, folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    said = ("what was indexed is not where it was; what is served was read before",)
    wait_for(lambda: watched.state().troubles == said)
    assert watched.state().ready
    folder.with_name("moved").rename(folder)
    wait_for(lambda: not watched.state().troubles)


def test_under_steady_edits_no_request_fails_or_is_mixed(watched: Service, folder: Path, settings: Settings) -> None:
    """The file says one number in both of its sections: a reply with two numbers has mixed two snapshots."""
    replies, snapshots, until = list[Reply](), set[str](), time.monotonic() + AT_MOST

    def edit() -> int:
        for number in count():
            replacement = folder / ".day.new"
            replacement.write_text(f"# Morning\n\nThe day is {number}.\n\n# Evening\n\nThe day is {number}.\n")
            replacement.rename(folder / "day.md")
            time.sleep(0.2)
            if len(snapshots) > 3 or time.monotonic() > until:
                return number
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        editing = pool.submit(edit)
        while not editing.done():
            replies.append(watched.ask(Query("the day is", top_k=2, documents=("day.md", "apples.txt"))))
            snapshots.add(replies[-1].snapshot)
        last = editing.result()
    numbers = [{re.sub(r"\D", "", hit.passage.text) for hit in r.hits if hit.title == "Morning"} for r in replies]
    assert len(snapshots) > 3
    assert max(map(len, numbers)) == 1
    wait_for(lambda: f"The day is {last}." in watched.ask(Query("the day is", 1)).hits[0].passage.text)
    assert len(Snapshots(settings.indexes, settings.name).ids()) <= settings.keep_snapshots + 1


def test_what_changed_while_nobody_watched_is_found_at_the_start(
    settings: Settings, folder: Path, build: Build
) -> None:
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    before = documents(service)
    (folder / "quinces.txt").write_text("Quinces are yellow.\n")

    def is_found() -> bool:
        service.reload()
        return found(service, "quinces yellow") == "quinces.txt"

    with watching(settings, service.encoder):
        wait_for(is_found)
    assert documents(service) == sorted([*before, "quinces.txt"])


def test_a_folder_that_is_replaced_is_watched_on(watched: Service, folder: Path) -> None:
    new = folder.with_name("new")
    new.mkdir()
    (new / "quinces.txt").write_text("Quinces are yellow.\n")
    folder.rename(folder.with_name("old"))
    new.rename(folder)
    wait_for(lambda: found(watched, "quinces yellow") == "quinces.txt")
    (folder / "medlars.txt").write_text("Medlars are brown.\n")
    wait_for(lambda: found(watched, "medlars brown") == "medlars.txt")
    assert documents(watched) == ["medlars.txt", "quinces.txt"]


def test_a_file_that_is_replaced_by_renaming_is_watched_on(settings: Settings, folder: Path, build: Build) -> None:
    file = folder / "apples.txt"
    build(file)
    service = Service(settings, make=hashing_encoder)
    service.reload()
    with watching(settings, service.encoder):
        for colour in ("red", "green", "gold"):
            replacement = folder / "apples.new"
            replacement.write_text(f"Apples are {colour}.\n")
            replacement.rename(file)
            wait_for(lambda colour=colour: service.reload() or colour in _first(service))  # type: ignore[misc]
    assert documents(service) == ["apples.txt"]
    assert _first(service) == "Apples are gold."


def test_documents_are_split_as_they_were_whatever_the_server_is_set_to(settings: Settings, folder: Path) -> None:
    (folder / "long.txt").write_text("Quinces are yellow and hard. " * 20)
    made_with = settings.model_copy(update={"passage_tokens": 40, "overlap_tokens": 0})
    before = update(made_with, [folder], Recorder(), make=hashing_encoder)
    (folder / "new.txt").write_text("Medlars are brown.\n")
    after = follow(settings, Recorder(), HashingEncoder())
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert after.counts.passages == before.counts.passages + 1
    assert after.counts.encoded == 1


def test_embeddings_that_only_old_snapshots_used_are_forgotten(settings: Settings, folder: Path, build: Build) -> None:
    before = build().manifest.id
    few = settings.model_copy(update={"keep_snapshots": 1})
    (folder / "apples.txt").write_text("Oranges need sun.\n")
    with watching(few, HashingEncoder):
        wait_for(lambda: Snapshots(few.indexes, few.name).current() != before)
        assert "Oranges" in _texts(few)
        wait_for(lambda: _embeddings(few) == _windows(few))


def _embeddings(settings: Settings) -> int:
    connection = sqlite3.connect(settings.indexes / settings.name / CACHE_FILE, AT_MOST)
    try:
        (count,) = connection.execute("SELECT count(*) FROM embeddings").fetchone()
        return int(count)
    finally:
        connection.close()


def _windows(settings: Settings) -> int:
    index = Snapshots(settings.indexes, settings.name).open()
    try:
        return len(index.relations.windows)
    finally:
        index.close()


def _texts(settings: Settings) -> str:
    index = Snapshots(settings.indexes, settings.name).open()
    try:
        return " ".join(passage.text for passage in index.store.all_passages())
    finally:
        index.close()


class OtherEncoder(HashingEncoder):
    @property
    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint, "weights": "others"}


def test_another_model_is_refused_and_nothing_is_encoded_again(settings: Settings, folder: Path, build: Build) -> None:
    before = build().manifest
    (folder / "new.txt").write_text("Medlars are brown.\n")
    with pytest.raises(SnapshotIncompatible, match=r"made with the model .* set QA_MODEL to the snapshot's model"):
        follow(settings, Recorder(), OtherEncoder())
    assert Snapshots(settings.indexes, settings.name).current() == before.id


def test_serving_with_another_model_is_refused_at_the_start(settings: Settings, build: Build) -> None:
    build()
    with pytest.raises(SnapshotIncompatible, match="set QA_MODEL to the snapshot's model"):
        require_watchable(settings)


def test_when_other_paths_are_indexed_meanwhile_those_are_watched(
    watched: Service, folder: Path, tmp_path: Path, build: Build
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "quinces.txt").write_text("Quinces are yellow.\n")
    wait_for(lambda: not _busy(build, other))
    (folder / "apples.txt").write_text("Apples are crisp.\n")
    (other / "medlars.txt").write_text("Medlars are brown.\n")
    wait_for(lambda: found(watched, "medlars brown") == "medlars.txt")
    assert {document.id for document in watched.collection().documents} == {"quinces.txt", "medlars.txt"}


def _busy(build: Build, folder: Path) -> bool:
    try:
        build(folder)
    except WriterBusy:
        return True
    return False


def _first(service: Service) -> str:
    return service.ask(Query("apples are", 1)).hits[0].passage.text


def test_the_paths_are_those_the_index_was_made_of(settings: Settings, folder: Path, build: Build) -> None:
    build()
    snapshots = Snapshots(settings.indexes, settings.name)
    assert watched_paths(snapshots) == (folder,)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(SourceNotFound, match="which this index was made of, is not there"):
        watched_paths(snapshots)
