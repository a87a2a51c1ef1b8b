"""What is served no more is let go: a snapshot that was pruned takes neither memory nor disk."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qa.errors import QueryError
from qa.index.snapshots import Snapshots
from qa.service.replaced import Replaced
from qa.service.service import Service
from qa.settings import Settings
from qa.types import CitationClaim, Eq, Query
from tests.conftest import Build
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not say what is mapped")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def files_in_use(snapshot: str) -> list[str]:
    """Return the files of a snapshot that this process has mapped or open."""
    found = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    for link in list(Path("/proc/self/fd").iterdir()):
        # Some were open only while they were listed.
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [path for path in found if snapshot in path]


def publish_another(build: Build, folder: Path) -> str:
    (folder / "quinces.txt").write_text("Quinces are yellow.\n", encoding="utf-8")
    return build().manifest.id


def test_the_files_of_a_replaced_snapshot_are_let_go_at_once(indexed: Service, build: Build, folder: Path) -> None:
    before = indexed.state().snapshot
    assert before is not None
    with without_garbage_collection():
        indexed.ask(Query("Where do appels grow?", filter=(Eq("type", "txt"),)))
        indexed.ask(Query("When do pears ripen?", documents=("pears.md",)))
        indexed.examples()
        indexed.facets()
        indexed.listing(0, 10, ["*.txt"])
        list(indexed.stream("pears.md").text)
        assert files_in_use(before)
        publish_another(build, folder)
        assert indexed.reload()
        assert files_in_use(before) == []


def test_what_an_error_ties_into_a_circle_is_let_go_too(indexed: Service, build: Build, folder: Path) -> None:
    before = indexed.state().snapshot
    assert before is not None
    stopped = threading.Event()
    with without_garbage_collection():
        try:
            indexed.ask(Query("Where do apples grow?", filter=(Eq("colour", "red"),)))
        except QueryError as error:
            error.circle = error  # type: ignore[attr-defined]
        publish_another(build, folder)
        assert indexed.reload()
        assert files_in_use(before)
        keeping = threading.Thread(target=indexed.keep_current, args=(stopped, print))
        keeping.start()
        wait_for(lambda: not files_in_use(before))
        stopped.set()
        keeping.join()


def test_garbage_is_looked_for_only_while_something_is_held_and_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected: list[None] = []
    monkeypatch.setattr("gc.collect", lambda: collected.append(None))
    replaced, held = Replaced(), threading.Event()

    def looks_that_collect(looks: int) -> list[int]:
        """Return by which of so many looks garbage is looked for, counted from 1."""
        found = []
        for look in range(1, looks + 1):
            replaced.look()
            found += [look] * len(collected)
            collected.clear()
        return found

    assert looks_that_collect(40) == []
    replaced.add(held)
    assert looks_that_collect(40) == [2, 4, 8, 16, 32]
    del held
    assert looks_that_collect(40) == []


def test_a_removed_snapshot_that_citations_were_checked_against_is_closed(
    indexed: Service, build: Build, folder: Path, settings: Settings
) -> None:
    before = indexed.state().snapshot
    assert before is not None
    publish_another(build, folder)
    indexed.reload()
    indexed.check_citation(CitationClaim("pears.md", 0, 5, "0" * 64), before)
    shutil.rmtree(Snapshots.of(settings).path(before))
    assert files_in_use(before)
    stopped = threading.Event()
    keeping = threading.Thread(target=indexed.keep_current, args=(stopped, print))
    keeping.start()
    wait_for(lambda: not files_in_use(before))
    stopped.set()
    keeping.join()
