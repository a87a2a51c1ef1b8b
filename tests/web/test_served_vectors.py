"""What a server says when it was given a Milvus server, and the snapshot that it serves is from before."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from qa.settings import Settings
from qa.types import State
from qa.web.server import warn_of_files
from tests.conftest import Build


@pytest.mark.parametrize(("milvus", "is_said"), [("http://127.0.0.1:1", True), ("", False)], ids=["milvus", "files"])
def test_vectors_in_files_are_said_where_a_server_was_named(
    build: Build, settings: Settings, milvus: str, is_said: bool
) -> None:
    snapshot = build().manifest.id
    state = State(True, "ready", "", index=settings.name, snapshot=snapshot)
    with capture_logs() as logged:
        warn_of_files(settings.model_copy(update={"milvus": milvus}), state)
    assert [(entry["log_level"], entry["snapshot"]) for entry in logged] == [("warning", snapshot)] * is_said
    assert all("index again" in entry["event"] for entry in logged)
