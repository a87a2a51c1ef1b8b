"""What the server logs: lines of one format, nothing that a terminal acts on, and no noise of clients that hang up."""

from __future__ import annotations

import json
import logging
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from qa.errors import SettingsError
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.server import _listen_to_workers
from qa.web.workers.board import Board, Place
from tests.support.fake_evaluations import FakeEvaluations
from tests.support.fake_service import FakeService
from tests.support.uvicorn_server import serving
from tests.support.waiting import AT_MOST, wait_for

LOGGING = """
import logging, sys, warnings
import structlog
from qa.web.server import _configure_logging

_configure_logging(sys.argv[1])
structlog.get_logger("qa").error("ours", reason="a\\x1b[31m \\u202e b")
logging.getLogger("uvicorn.error").error("of %s\\x1b[2J \\u202e", "uvicorn")
warnings.warn("of Python")
try:
    raise RuntimeError("broken\\x1b[2J")
except RuntimeError:
    logging.getLogger("uvicorn.error").exception("with a traceback")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
"""


@pytest.mark.parametrize("format", ["json", "text"])
def test_every_line_of_the_log_has_one_format_and_acts_on_no_terminal(format: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING, format], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert done.stdout == ""
    assert not {"\x1b", "\u202e"} & set(done.stderr)
    for line, level in zip(lines, ("error", "error", "warning", "error"), strict=True):
        if format == "json":
            fields = json.loads(line)
            assert fields["level"] == level
            assert {"event", "timestamp"} <= set(fields)
        else:
            assert line.startswith("timestamp='")
            assert f"level='{level}' event=" in line


@pytest.mark.server
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/ask", "application/json"),
        ("/v1/ask/batch", "application/json"),
        ("/v1/evaluations?top_k=5", "application/x-ndjson"),
        ("/evaluate", "multipart/form-data; boundary=x"),
        ("/feedback", "application/x-www-form-urlencoded"),
        ("/mcp", "application/json"),
    ],
)
def test_a_client_that_hangs_up_leaves_no_traceback(
    path: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    options = Options(feedback=tmp_path / "feedback.jsonl")
    app = create_app(FakeService(), FakeEvaluations(tmp_path), options)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
    with capture_logs() as logs, serving(app) as address:
        for how in (0, 1):
            with socket.create_connection(address, timeout=AT_MOST) as connection:
                connection.sendall(head.encode() + b'{"question":')
                # At once, and by a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", how, 0))
        wait_for(lambda: _posts(app) >= 2)
    assert [line for line in logs if line.get("exc_info") or line["log_level"] in ("warning", "error")] == []
    assert [record for record in caplog.records if record.exc_info] == []


def _posts(app: object) -> float:
    """Count the requests with a body that have come to their end."""
    registry = app.state.dependencies.monitoring.registry  # type: ignore[attr-defined]
    return sum(
        float(sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "qa_requests_total" and sample.labels["method"] == "POST"
    )


def test_a_socket_between_workers_that_cannot_be_bound_is_said(tmp_path: Path) -> None:
    place = Place(1, Board(tmp_path, 2))
    place.first_socket.mkdir()
    with pytest.raises(SettingsError, match=r"cannot listen on .*first\.socket .*; set TMPDIR .* --workers 1"):
        _listen_to_workers(place)
