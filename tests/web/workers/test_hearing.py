"""What workers say to each other of a collection: what an empty one waits for, and what is about to be served."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from qa.models.loading import Models
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.server import _hear, _Process, _state_on_board
from qa.web.workers.board import Board, Place, Row
from tests.conftest import Build, hashing_encoder
from tests.support.waiting import wait_for

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


class _AppIsMade(Exception):
    """What ends a worker in the test before it serves."""


def test_a_worker_that_has_loaded_stands_on_the_board_before_it_can_be_asked(
    settings: Settings, indexed: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(tmp_path, 2)
    shown: list[tuple[State, ...]] = []

    def create_app(service: Service, *rest: object) -> NoReturn:
        wait_for(lambda: service.state().ready)
        shown.extend(row.states for row in board.rows())
        stopped.set()
        raise _AppIsMade

    monkeypatch.setattr("qa.web.server.create_app", create_app)
    monkeypatch.setattr("qa.web.server.share_counts", lambda place: None)
    stopped = threading.Event()
    models = Models(settings, hashing_encoder)
    with socket.socket() as listening:
        process = _Process(settings, listening, False, ["test"], lambda state: None, models, Place(2, board), stopped)
        with pytest.raises(_AppIsMade):
            process.serve()
    assert [state.snapshot for states in shown for state in states] == [indexed.state().snapshot]
