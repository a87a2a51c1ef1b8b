"""Why a server does not serve what is current: a word for programs, a clause for clients, what to do about it."""

from __future__ import annotations

from qa.errors import (
    CalibrationError,
    EncoderError,
    IndexNotFound,
    SnapshotError,
    SnapshotIncompatible,
    StorageError,
)

# By the state that /readyz names; docs/operating.md has more words.
_TO_DO = {
    "refused": "set QA_MODEL and QA_PRECISION to those of the snapshot, or build the index again",
    "no-index": "build the index with qa index, or activate a snapshot with qa snapshots activate",
    "damaged": "activate another snapshot with qa snapshots activate, or build the index again",
    "calibration": "run qa calibrate again, or remove calibration.json from the index's folder",
    "no-model": "put the model where QA_MODEL says, or install the package that brings it",
    "storage": "free space, or give the server's user the right to read the index and write its temporary folder",
    "failed": "it is tried again; report it with the lines above if it stays",
}


def public_reason(error: Exception) -> tuple[str, str]:
    """A word and a clause for clients, who learn no path of this machine; the log has the message itself."""
    match error:
        case SnapshotIncompatible():
            return "refused", str(error)
        case IndexNotFound():
            return "no-index", "the index is not there; it has to be built again"
        case SnapshotError() | CalibrationError():
            what = "snapshot" if isinstance(error, SnapshotError) else "calibration"
            return "damaged", f"the current {what} cannot be used; the server's log says why and what to do"
        case EncoderError():
            return "no-model", "the model cannot be loaded; the server's log says why and what to do"
        case StorageError() | OSError():
            return "storage", "the disk is full, or cannot be read or written; the server's log says where"
        case _:
            return "failed", "the snapshot could not be loaded; the server's log says why"


def to_do(error: Exception) -> str:
    """For the operator. A calibration is damaged as a snapshot is, and mended otherwise."""
    return _TO_DO["calibration" if isinstance(error, CalibrationError) else public_reason(error)[0]]
