"""The example, run as it stands: against a real server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.support.fake_service import FakeService
from tests.support.served import serving

QUESTION = "When does the ferry leave?"
pytestmark = [pytest.mark.server, pytest.mark.slow]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY / "examples",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation_by_the_protocol_s_own_client() -> None:
    with serving(FakeService()) as address:
        printed = run("mcp_conversation.py", f"{address}/mcp", QUESTION).splitlines()
    assert printed[:2] == ["→ tools/list", "← ask, list_documents, read_document"]
    assert [line.split(" ")[1] for line in printed if line.startswith("→")][1:] == ["ask", "read_document", "ask"]
    assert "The ferry leaves at noon" in printed[5]
    assert "is_error" in printed[-1]
    assert "the question is blank" in printed[-1]
