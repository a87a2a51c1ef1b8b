"""Embeddings kept across builds, so that only text that is new is ever encoded, and a killed build is resumed.

Derived data: losing it costs time only, so a file that cannot be used is thrown away and begun again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qa.types import Vectors

CACHE_FILE = "embeddings.sqlite"

# The number of parameters that every build of SQLite takes in one statement.
_CHUNK = 500


def cache_keys(fingerprint: Mapping[str, object], texts: Iterable[str]) -> list[bytes]:
    """16 bytes for each text: a hash of the encoder's fingerprint and of what the encoder is given."""
    encoder = hashlib.blake2b(json.dumps(fingerprint, sort_keys=True).encode(), digest_size=32).digest()
    return [
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=encoder, digest_size=16).digest() for text in texts
    ]


class EmbeddingCache:
    """Vectors by key, in one SQLite file. One writer at a time: the index's lock is held by whoever opens it."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = _connect(path)
        except sqlite3.DatabaseError:
            for leftover in path.parent.glob(f"{path.name}*"):
                leftover.unlink()
            self._connection = _connect(path)

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, Vectors]:
        """The vectors ``(dimension,)`` that are known."""
        found: dict[bytes, Vectors] = {}
        for at in range(0, len(keys), _CHUNK):
            chunk = keys[at : at + _CHUNK]
            marks = ",".join("?" * len(chunk))
            for key, vector in self._connection.execute(
                f"SELECT key, vector FROM embeddings WHERE key IN ({marks}) AND length(vector) = ?",
                [*chunk, 4 * dimension],
            ):
                found[key] = np.frombuffer(vector, dtype="<f4")
        return found

    def put(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """``(n,)`` keys and ``(n, dimension)`` rows; kept for good when it returns."""
        rows = ((key, row.astype("<f4").tobytes()) for key, row in zip(keys, vectors, strict=True))
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

    def keep_only(self, keys: Iterable[bytes]) -> int:
        """Forget all other keys; returns how many were forgotten."""
        with self._connection:
            self._connection.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._connection.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((key,) for key in keys))
            forgotten = self._connection.execute(
                "DELETE FROM embeddings WHERE key NOT IN (SELECT key FROM kept)"
            ).rowcount
            self._connection.execute("DROP TABLE kept")
        self._connection.execute("VACUUM")
        return forgotten

    def close(self) -> None:
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
    return connection
