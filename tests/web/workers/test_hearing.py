"""What a worker says of an empty collection, of which the first worker alone knows what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.server import _hear
from qa.web.workers.board import Row

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
