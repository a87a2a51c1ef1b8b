"""The sums of models' files, remembered for as long as the files are the same.

To sum encoder, compiled encoder and reader takes a quarter of a second of each start. A file is summed again whenever
the system says that it may be another, as for snapshots (:mod:`qa.index.sums`, docs/decisions/0036).
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from qa.errors import StorageError
from qa.files import identity_of, is_settled, read_sums, sha256_of_file, write_sums

SUMS_FILE = "sums.json"
# Bytes of a file that is summed at every start: under a millisecond.
_SMALL = 2**20
# Sums that are kept: those of files that were replaced go, the oldest first.
_MOST = 64

_writing = threading.Lock()


def remembered_sha256(path: Path, folder: Path | None) -> str:
    """Return the SHA-256, in hexadecimal, of a file.

    Args:
        folder: keeps what is remembered, in ``sums.json``, where it can be written; ``None`` remembers nothing.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    if folder is None or status.st_size <= _SMALL:
        return sha256_of_file(path)
    identity, begun = identity_of(status), time.time_ns()
    if (known := read_sums(folder / SUMS_FILE).get(identity)) is not None:
        return known
    found = sha256_of_file(path)
    if is_settled(path, status, begun):
        with _writing, suppress(StorageError, OSError):
            _write(folder, {**read_sums(folder / SUMS_FILE), identity: found})
    return found


def _write(folder: Path, sums: dict[str, str]) -> None:
    """Write the sums that were found last; raise StorageError where that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sums(folder / SUMS_FILE, dict(list(sums.items())[-_MOST:]))
