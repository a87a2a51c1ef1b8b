"""What workers say to each other of a collection: what an empty one waits for, and what is about to be served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.server import _hear, _state_on_board
from qa.web.workers.board import Row
from tests.conftest import Build

INDEXING = "2 files are being indexed; questions are answered when that is done"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (State(False, "empty", INDEXING, index="own"), INDEXING),
        (State(True, "ready", "serving snapshot one", index="own", snapshot="one"), "are indexed and being loaded"),
        (State(False, "empty", "the collection is empty; upload documents", index="own"), "upload documents"),
    ],
    ids=["the first indexes", "the first has loaded what it indexed", "nobody has documents"],
)
def test_a_worker_says_what_an_empty_collection_waits_for(tmp_path: Path, first: State, expected: str) -> None:
    service = Service(Settings(indexes=tmp_path, name="own"))
    service.clear()
    _hear(Row(1, os.getpid(), (first,), {}), {"own": service})
    state = service.state()
    assert state.status == "empty"
    assert expected in state.detail
    assert ("upload documents" in state.detail) is (expected == "upload documents")


def test_what_a_worker_is_about_to_serve_stands_on_the_board(indexed: Service, build: Build, folder: Path) -> None:
    (folder / "quinces.txt").write_text("Quinces are yellow.\n", encoding="utf-8")
    id = build().manifest.id
    shown: list[State] = []
    indexed.announce_with(lambda: shown.append(_state_on_board(indexed)))
    assert indexed.reload()
    assert [(state.ready, state.snapshot) for state in shown] == [(True, id)]
    assert _state_on_board(indexed) == indexed.state()
