"""The sums of a snapshot's files: compared with its manifest's before anything is trusted, and large ones remembered.

To sum tens of gigabytes takes minutes, and a published file never changes. So a large file is summed once on a machine,
and again whenever the system says that it may be another: when its device, inode, size, or time of last change differ.
What is remembered lies beside the snapshots. Whoever can write there could have changed the snapshots as well.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from qa.errors import StorageError
from qa.files import identity_of, is_settled, read_sums, sha256_of_file, write_sums

SUMS_FILE = "sums.json"
# Bytes of a file that is summed at every opening: 10 ms of one core.
_SMALL = 16 * 2**20


class SnapshotSums:
    """The sums of the files of one index's snapshots. Thread-safe.

    Args:
        folder: of the index; ``None`` remembers nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, folder: Path, names: Iterable[str], *, read_all: bool = False) -> dict[str, str]:
        """Return the SHA-256 of each of the named files that is there.

        Args:
            read_all: whether to read every file, also one whose sum is remembered.

        Raises:
            OSError: a file cannot be read.
        """
        with self._lock:
            known = self._read() | self._known
        found, computed = {}, {}
        for name in names:
            with suppress(FileNotFoundError):
                status = (folder / name).stat()
                if not stat.S_ISREG(status.st_mode):
                    continue
                identity, begun = identity_of(status), time.time_ns()
                if status.st_size > _SMALL and identity in known and not read_all:
                    found[name] = known[identity]
                    continue
                found[name] = sha256_of_file(folder / name)
                if status.st_size > _SMALL and is_settled(folder / name, status, begun):
                    computed[identity] = found[name]
        self._remember({identity: sum for identity, sum in computed.items() if known.get(identity) != sum})
        return found

    def remember(self, folder: Path, sums: Mapping[str, str]) -> None:
        """Remember the sums of the named files, which this process has just written and summed, and nobody else writes.

        Raises:
            OSError: a file cannot be looked at.
        """
        looked_at = ((sum, (folder / name).stat()) for name, sum in sums.items())
        self._remember({identity_of(status): sum for sum, status in looked_at if status.st_size > _SMALL})

    def _remember(self, new: Mapping[str, str]) -> None:
        if new:
            with self._lock:
                self._known |= new
                self._write(self._read() | self._known)

    def _read(self) -> dict[str, str]:
        """Read what was remembered; nothing where there is no such file, or it is not what was written."""
        return {} if self._folder is None else read_sums(self._folder / SUMS_FILE)

    def _write(self, sums: dict[str, str]) -> None:
        """Write the sums of files that are still there; where the folder cannot be written, this process knows them."""
        if self._folder is None:
            return
        present = set()
        # Another process may remove a file or a folder meanwhile: that is no reason to refuse this snapshot.
        for folder, _, names in os.walk(self._folder / "snapshots"):
            for name in names:
                with suppress(OSError):
                    present.add(identity_of(Path(folder, name).stat()))
        with suppress(StorageError):
            write_sums(
                self._folder / SUMS_FILE, {identity: sums[identity] for identity in sorted(present & sums.keys())}
            )
