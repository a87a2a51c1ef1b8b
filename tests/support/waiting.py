"""Waiting for a condition, never for a time in which it should have become true."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds, against hanging alone: however busy the machine is, it has come about by then.
AT_MOST = 120.0


def wait_for(condition: Callable[[], object], every: float = 0.01) -> None:
    """Return once ``condition`` returns something true, asked every so many seconds; fail where it never does."""
    deadline = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about within {AT_MOST:g} seconds"
        time.sleep(every)
