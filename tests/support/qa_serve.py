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
    """Start on a free port, and return the process and the address that it prints.

    In one process on every machine, unless flags or environment say another number of workers.
    """
    where = {"QA_INDEXES": str(settings.indexes), "QA_NAME": settings.name, "QA_WORKERS": "1"}
    process = subprocess.Popen(
        [QA, "serve", "--port", "0", *flags],
        env={**os.environ, **where, **environment},
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
