"""Vectors of texts: known ones from a cache, new ones from the encoder, which works while the next are prepared.

The cache is kept across builds, so that only new text is ever encoded and a build that was killed or failed is resumed.
It is derived data: losing it costs time only, so a file that is damaged is thrown away and begun again, and so is a row
that its sum does not fit.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qa.build.known import filter_of
from qa.errors import StorageError
from qa.protocols import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Vectors

CACHE_FILE = "embeddings.sqlite"

# The number of parameters that every build of SQLite takes in one statement.
_CHUNK = 500
# A file with a greater share of free pages than one in so many is written again, and any of fewer pages than these.
_WORTH_WRITING = 8
_SMALL = 10_000
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_T = TypeVar("_T")


def cache_keys(fingerprint: Mapping[str, object], texts: Iterable[str]) -> Iterator[bytes]:
    """Compute 16 bytes for each text: a hash of the encoder's fingerprint and of what the encoder is given."""
    encoder = hashlib.blake2b(json.dumps(fingerprint, sort_keys=True).encode(), digest_size=32).digest()
    for text in texts:
        yield hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=encoder, digest_size=16).digest()


def _sum(key: bytes, vector: bytes) -> bytes:
    """Compute 8 bytes that prove a row whole."""
    return hashlib.blake2b(vector, key=key, digest_size=8).digest()


class EmbeddingCache:
    """Vectors by key, in one SQLite file. One writer at a time: the index's lock is held by whoever opens it.

    The key of a row stands in a table of its own with the number of the build that put it or asked for it, until
    :meth:`finish` says that a snapshot uses it. So what failed builds have left is known, and only what the last of
    them needs is kept for the next.

    Args:
        timeout: seconds to wait for somebody else's lock.

    Attributes:
        has_unfinished: whether there were rows without a snapshot when it was opened; those that are asked for stay.

    Raises:
        StorageError: from every method, where the disk is full or cannot be read or written.
    """

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self._path = path
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._build = time.time_ns()
        # Asked once, and not with every batch: what this build itself has put would be looked through each time.
        self.has_unfinished = self._run(_has_unfinished)

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, Vectors]:
        """Look up the vectors ``(dimension,)`` that are known and whole."""

        def known(connection: sqlite3.Connection) -> dict[bytes, Vectors]:
            self._claim(connection, keys)
            return dict(_known(connection, keys, dimension))

        return self._run(known)

    def known(self) -> NDArray[np.uint8]:
        """Return what :class:`qa.build.known.KnownKeys` looks into, of all keys."""

        def read(connection: sqlite3.Connection) -> NDArray[np.uint8]:
            (count,) = connection.execute("SELECT count(*) FROM embeddings").fetchone()
            return filter_of((key for (key,) in connection.execute("SELECT key FROM embeddings")), count)

        return self._run(read)

    def _claim(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
        """Give rows of earlier builds that failed the number of this one."""
        if self.has_unfinished:
            with connection:
                connection.executemany(
                    "UPDATE pending SET build = ? WHERE key = ? AND build != ?",
                    ((self._build, key, self._build) for key in keys),
                )

    def put(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keep ``(n, dimension)`` rows of unit length under ``(n,)`` keys; they are on the disk when it returns."""
        stored = ((key, row.astype("<f4").tobytes()) for key, row in zip(keys, vectors, strict=True))
        rows = [(key, vector, _sum(key, vector)) for key, vector in stored]

        def insert(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO embeddings (key, vector, sum) VALUES (?, ?, ?)", rows)
                connection.executemany(
                    "INSERT OR REPLACE INTO pending VALUES (?, ?)", ((key, self._build) for key in keys)
                )

        self._run(insert)

    def finish(self, *, used: bool) -> None:
        """End a build: forget what builds before it left that it did not need.

        Args:
            used: whether a snapshot holds what it put; if not, that stays for the next build, and no longer.
        """

        def forget(connection: sqlite3.Connection) -> int:
            with connection:
                of_others = "FROM pending WHERE build != ?"
                forgotten = connection.execute(
                    f"DELETE FROM embeddings WHERE key IN (SELECT key {of_others})", [self._build]
                ).rowcount
                connection.execute(f"DELETE {of_others}", [self._build])
                if used:
                    connection.execute("DELETE FROM pending")
                return forgotten

        if self._run(forget):
            self._run(_compact)

    def keep_only(self, keys: Iterable[bytes]) -> int:
        """Forget all other keys; returns how many were forgotten. What ``keys`` raises, it raises, and forgets none."""

        def keep(connection: sqlite3.Connection) -> int:
            connection.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY) WITHOUT ROWID")
            with connection:
                connection.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((key,) for key in keys))
                unused = connection.execute("DELETE FROM embeddings WHERE key NOT IN (SELECT key FROM kept)").rowcount
            _compact(connection)
            return unused

        return self._run(keep)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[sqlite3.Connection], _T], again: bool = True) -> _T:
        try:
            if self._connection is None:
                self._connection = _connect(self._path, self._timeout)
            return work(self._connection)
        except sqlite3.Error as error:
            self.close()
            # Only the primary code, the low byte: SQLite refines it above. A lock or a full disk is no damage.
            if again and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                for leftover in self._path.parent.glob(f"{self._path.name}*"):
                    leftover.unlink()
                return self._run(work, again=False)
            raise StorageError(
                f"cannot use {self._path} ({error}); check the folder's permissions and the disk's free space"
            ) from error


def _has_unfinished(connection: sqlite3.Connection) -> bool:
    """Tell whether builds that failed have left rows."""
    return connection.execute("SELECT 1 FROM pending").fetchone() is not None


def _known(connection: sqlite3.Connection, keys: Sequence[bytes], dimension: int) -> Iterator[tuple[bytes, Vectors]]:
    for at in range(0, len(keys), _CHUNK):
        chunk = keys[at : at + _CHUNK]
        marks = ",".join("?" * len(chunk))
        found = connection.execute(
            f"SELECT key, vector, sum FROM embeddings WHERE key IN ({marks}) AND length(vector) = ?",
            [*chunk, 4 * dimension],
        )
        whole = [(key, stored) for key, stored, sum in found if sum == _sum(key, stored)]
        rows = np.frombuffer(b"".join(stored for _, stored in whole), dtype="<f4").reshape(-1, dimension)
        # Another length than 1 would fail the verification of every build to come.
        is_unit = np.abs(np.sqrt(np.einsum("nd,nd->n", rows, rows)) - 1.0) < 1e-3
        yield from ((key, row) for (key, _), row, good in zip(whole, rows, is_unit.tolist(), strict=True) if good)


def _compact(connection: sqlite3.Connection) -> None:
    """Give back the disk's space where that is worth writing the whole file again."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free * _WORTH_WRITING > pages or pages < _SMALL:
        connection.execute("VACUUM")


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _make_tables(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    # An earlier version had the number of the build in a column of its own, which is left as it is.
    connection.execute("CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL, sum BLOB)")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS pending (key BLOB PRIMARY KEY, build INTEGER NOT NULL) WITHOUT ROWID"
    )
    columns = {column[1] for column in connection.execute("PRAGMA table_info(embeddings)")}
    if "sum" not in columns:
        # Of a version of the program without sums: encoding all of it again would take longer than trusting it once.
        connection.create_function("row_sum", 2, _sum, deterministic=True)
        with connection:
            connection.execute("ALTER TABLE embeddings ADD COLUMN sum BLOB")
            connection.execute("UPDATE embeddings SET sum = row_sum(key, vector)")


class Embedding:
    """Encodes in one thread beside the caller's, and keeps what it encoded. For one caller.

    A runtime leaves the interpreter's lock alone while it computes, so that reading and splitting cost a build nothing.

    Args:
        load: loads the encoder; called before the first text that is new.
    """

    def __init__(self, encoder: Encoder, cache: EmbeddingCache, load: Callable[[], None]) -> None:
        self._encoder = encoder
        self._cache = cache
        self._load = load
        self._is_loaded = False
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._in_flight: set[bytes] = set()
        self.encoded = 0

    def begin(self, texts: Sequence[str]) -> Callable[[], Vectors]:
        """Begin to encode what is not known; what is returned waits for it and gives the rows ``(n, d)``.

        They are to be asked for in the order in which they were begun.
        """
        keys = list(cache_keys(self._encoder.fingerprint, texts))
        known = self._cache.get(keys, self._encoder.dimension)
        coming_or_known = self._in_flight | known.keys()
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in coming_or_known}
        self._in_flight |= new.keys()
        coming: Future[Vectors] | None = None
        if new:
            if not self._is_loaded:
                self._load()
                self._is_loaded = True
            coming = self._beside.submit(self._encoder.encode_passages, list(new.values()))

        def rows() -> Vectors:
            if coming is not None:
                encoded = coming.result()
                self._cache.put(list(new), encoded)
                known.update(zip(new, encoded, strict=True))
                self._in_flight -= new.keys()
                self.encoded += len(new)
            # What another call encoded meanwhile.
            known.update(self._cache.get([key for key in keys if key not in known], self._encoder.dimension))
            return np.stack([known[key] for key in keys])

        return rows

    def close(self) -> None:
        """Give up what was begun and not waited for."""
        self._beside.shutdown(cancel_futures=True)
