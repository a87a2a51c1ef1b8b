"""Snapshots switched and the index updated behind a running service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from qa.errors import SnapshotCorrupt, SnapshotError, SnapshotNotFound, WriterBusy
from qa.index.snapshots import Snapshots
from qa.service.indexing import Indexing
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query
from tests.conftest import Build
from tests.support.waiting import wait_for


@pytest.fixture
def operator(settings: Settings, service: Service) -> Maintenance:
    return Maintenance(settings, service)


def ended(operator: Maintenance) -> Indexing:
    wait_for(lambda: operator.indexing().status != "running")
    return operator.indexing()


def test_rollback_is_one_call(operator: Maintenance, service: Service, build: Build, folder: Path) -> None:
    first = service.state().snapshot
    (folder / "figs.txt").write_text("Figs are sweet.\n")
    second = build(folder).manifest.id
    service.reload()
    assert service.ask(Query("figs")).snapshot == second
    assert first is not None
    assert operator.activate(first).snapshot == first
    assert service.ask(Query("figs")).snapshot == first
    assert [info.active for info in operator.snapshots()] == [False, True]


@pytest.mark.parametrize("damage", ["vectors.faiss", "documents.sqlite", "manifest.json"])
def test_a_damaged_snapshot_is_refused_and_the_other_served_on(
    operator: Maintenance, service: Service, build: Build, settings: Settings, damage: str
) -> None:
    first = service.state().snapshot
    second = build().manifest.id
    assert first is not None
    operator.activate(first)
    path = Snapshots(settings.indexes, settings.name).path(second) / damage
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SnapshotCorrupt):
        operator.activate(second)
    assert service.state().snapshot == Snapshots(settings.indexes, settings.name).current() == first
    assert service.ask(Query("plums")).snapshot == first


def test_one_that_is_not_there(operator: Maintenance, service: Service) -> None:
    with pytest.raises(SnapshotNotFound):
        operator.activate("20260401T120000.000Z-5a7b4a42")
    assert service.state().ready


def test_while_another_writes(operator: Maintenance, service: Service, settings: Settings) -> None:
    id = service.state().snapshot
    assert id is not None
    with Snapshots(settings.indexes, settings.name).writing(), pytest.raises(WriterBusy):
        operator.activate(id)


def test_the_index_is_brought_up_to_date(settings: Settings, operator: Maintenance, service: Service) -> None:
    before = service.state().snapshot
    assert operator.index().status == "running"
    assert ended(operator).status == "unchanged"
    (settings.indexes.parent / "documents" / "figs.txt").write_text("Figs are sweet.\n")
    operator.index()
    done = ended(operator)
    assert (done.status, done.snapshot) == ("done", service.state().snapshot)
    assert done.snapshot != before
    assert done.started is not None


class Immediate:
    """A thread that is over before whoever started it goes on, as one may be on a busy machine."""

    def __init__(self, target: Callable[[], None], **options: object) -> None:
        self.start = target


def test_what_is_begun_is_said_to_run_however_soon_it_is_over(
    operator: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.service.indexing.threading", SimpleNamespace(Thread=Immediate))
    assert operator.index().status == "running"
    assert operator.indexing().status == "unchanged"


def test_what_fails_is_told_and_nothing_else_happens(
    operator: Maintenance, service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> None:
        raise OSError("no space left on /srv")

    monkeypatch.setattr("qa.build.update.follow", fails)
    operator.index()
    failed = ended(operator)
    assert failed.status == "failed"
    assert "/srv" not in failed.detail
    assert service.state().ready


def test_an_index_that_is_gone(settings: Settings) -> None:
    with pytest.raises(SnapshotError):
        Maintenance(settings, Service(settings)).index()
