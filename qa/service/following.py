"""A server that serves whatever snapshot is current: when it looks, and what it does about one that it cannot serve."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from qa.errors import QAError, SnapshotError
from qa.index.snapshots import Snapshots
from qa.service.serving_states import public_reason, to_do

log = structlog.get_logger(__name__)

# Seconds between two looks at which snapshot is current, and before a failure that may pass is met again.
_LOOK_EVERY = 1.0
_RETRY_EVERY = 10.0


def follow(
    snapshots: Snapshots,
    load: Callable[[], None],
    failed: Callable[[Exception], None],
    stopped: threading.Event,
) -> None:
    """Call ``load`` now and ever again, until ``stopped``; ``failed`` gets whatever it raises.

    A snapshot that is refused or damaged is not tried again before another is current; whatever else goes wrong may
    pass, and is tried again.
    """
    refused: str | None = None
    while not stopped.is_set():
        wait = _LOOK_EVERY
        try:
            if snapshots.current() != refused:
                refused = None
                load()
        except SnapshotError as error:
            refused = snapshots.current_or_none()
            failed(error)
        except Exception as error:  # whatever it is: what was served before is served on, and this goes on too
            wait = _RETRY_EVERY
            failed(error)
        stopped.wait(wait)


def log_failure(index: str, error: Exception) -> None:
    """What is not served and what to do about it, with the trace of an error that nobody foresaw."""
    log.error(
        "snapshot not loaded",
        index=index,
        state=public_reason(error)[0],
        reason=str(error),
        to_do=to_do(error),
        exc_info=None if isinstance(error, QAError | OSError) else error,
    )
