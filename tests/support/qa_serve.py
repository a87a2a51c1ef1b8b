"""``qa serve``, as a person starts it, with the real weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from qa.settings import Settings
from tests.support.waiting import AT_MOST

QA = Path(sys.executable).parent / "qa"


def start(settings: Settings, *flags: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """Start on a free port, and return the process and the address that it prints."""
    process = subprocess.Popen(
        [QA, "serve", "--port", "0", *flags],
        env={**os.environ, "QA_INDEXES": str(settings.indexes), "QA_NAME": settings.name, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    address = line.removeprefix("Listening on ").partition(";")[0]
    assert address.startswith("http://127.0.0.1:"), line
    assert httpx2.get(f"{address}/healthz", timeout=AT_MOST).status_code == 200
    return process, address
