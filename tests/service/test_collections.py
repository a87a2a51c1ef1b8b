"""Two real small indexes in one server: shared models, and nothing else in common."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qa.build.update import update
from qa.errors import NotReady
from qa.index.snapshots import names_to_serve
from qa.models.loading import Models
from qa.protocols import Encoder
from qa.readers.registry import read_source
from qa.service.collections import Collections
from qa.settings import Settings
from qa.types import Query, State
from tests.conftest import Recorder, hashing_encoder
from tests.support.waiting import wait_for

TEXTS = {
    "hr": "Leave\n\nEvery employee has thirty days of leave. A week of it may be kept for the next year.\n",
    "it": "Passwords\n\nA password is changed every ninety days. The help desk is at extension 4711.\n",
}


@pytest.fixture
def indexes(settings: Settings, tmp_path: Path) -> Settings:
    """Give the settings of a folder with the indexes ``hr`` and ``it``."""
    for name, text in TEXTS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        of_one = settings.model_copy(update={"name": name})
        update(of_one, (folder,), Recorder(), make=hashing_encoder, read=read_source)
    return settings


def loaded(collections: Collections) -> Collections:
    for each in collections:
        each.service.reload()
    return collections


def test_each_collection_answers_from_its_own_documents(indexes: Settings) -> None:
    for each in loaded(Collections(indexes, ("hr", "it"), Models(indexes, hashing_encoder))):
        (hit,) = each.service.ask(Query("How many days?", answer=False)).hits
        assert hit.passage.document == f"{each.name}.txt"
        assert (each.service.state().index, each.service.state().documents) == (each.name, 1)


def test_the_models_are_made_once(indexes: Settings) -> None:
    made: list[str] = []

    def make(settings: Settings, *, threads: int) -> Encoder:
        made.append(settings.model)
        return hashing_encoder(settings, threads=threads)

    collections = loaded(Collections(indexes, ("hr", "it"), Models(indexes, make)))
    assert len(made) == 1
    first, second = (each.service for each in collections)
    assert first.encoder() is second.encoder()


def test_a_broken_one_takes_none_of_the_others_down(indexes: Settings) -> None:
    (pointer,) = indexes.indexes.glob("it/CURRENT")
    (manifest,) = indexes.indexes.glob("it/snapshots/*/manifest.json")
    manifest.write_text("{}")
    collections = Collections(indexes, ("hr", "it"), Models(indexes, hashing_encoder))
    ready: list[State] = []
    stopped = threading.Event()
    threads = collections.keep_current(stopped, ready.append)
    hr, it = (each.service for each in collections)
    try:
        wait_for(lambda: hr.state().ready and it.state().status == "damaged")
        assert hr.ask(Query("How many days?", answer=False)).hits
        with pytest.raises(NotReady):
            it.ask(Query("How many days?"))
        assert [state.index for state in ready] == ["hr"]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert pointer.exists()


def test_a_new_snapshot_of_one_is_served_and_the_others_stay(indexes: Settings, tmp_path: Path) -> None:
    collections = loaded(Collections(indexes, ("hr", "it"), Models(indexes, hashing_encoder)))
    hr, it = (each.service for each in collections)
    before: dict[str, State] = {"hr": hr.state(), "it": it.state()}
    (tmp_path / "hr" / "more.txt").write_text("Sick notes go to the office.\n", encoding="utf-8")
    of_hr = indexes.model_copy(update={"name": "hr"})
    update(of_hr, (tmp_path / "hr",), Recorder(), make=hashing_encoder, read=read_source)
    assert [hr.reload(), it.reload()] == [True, False]
    assert hr.state().documents == 2
    assert it.state() == before["it"]


def test_one_index_is_updated_at_a_time(indexes: Settings) -> None:
    collections = loaded(Collections(indexes, ("hr", "it"), Models(indexes, hashing_encoder)))
    operators = [each.maintenance for each in collections]
    with collections.turn:
        assert [operator.index().status for operator in operators] == ["running", "running"]
        assert [operator.indexing().status for operator in operators] == ["running", "running"]
    wait_for(lambda: all(operator.indexing().status == "unchanged" for operator in operators))


@pytest.mark.parametrize(
    ("default", "names", "every", "served"),
    [
        ("seeds", (), False, ["seeds"]),
        ("seeds", ("it", "hr", "it"), False, ["it", "hr"]),
        ("seeds", (), True, ["hr", "it"]),
        ("it", (), True, ["it", "hr"]),
        ("seeds", ("it",), True, ["it", "hr"]),
    ],
)
def test_which_are_served(tmp_path: Path, default: str, names: tuple[str, ...], every: bool, served: list[str]) -> None:
    for name in ("it", "hr", ".models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "CURRENT").touch()
    assert names_to_serve(tmp_path, default, names, every=every) == served


def test_of_an_empty_folder_the_default_is_asked_for(tmp_path: Path) -> None:
    assert names_to_serve(tmp_path, "seeds", (), every=True) == ["seeds"]
