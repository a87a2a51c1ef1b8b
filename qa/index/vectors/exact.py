"""Exact search by inner product in FAISS, which is the cosine, as every vector is of unit length.

The file is an ``IndexFlatIP``, which is mapped: processes that serve one snapshot share it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError
from qa.index import bitmaps
from qa.index.vectors.columns import unwritten
from qa.index.vectors.spool import SpooledRows, lengths_are_one
from qa.index.vectors.table import RowTable
from qa.protocols import Filter

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

ENGINE = "exact"
VECTORS_FILE = "vectors.faiss"
# Up to so many rows exact search takes no more than 13 ms on one core, and the files are small.
EXACT_UP_TO = 200_000

# Inner products of equal vectors differ in their last bits with the rows around them; a tie must stay a tie.
# Every engine rounds so, so that a cosine is the same in all of them.
DECIMALS = 6
TIE_MARGIN = 32
_AT_ONCE = 4096
# How many numbers follow, as FAISS writes it.
_COUNT = struct.Struct("<Q")


def load_faiss() -> Any:
    """Import FAISS, with one thread for the thread that calls: OpenMP counts them for each of its callers.

    Queries run side by side, and threads that fight for two cores are slower than one.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def check_search(vectors: Vectors, k: int, dimension: int) -> None:
    """Raise VectorIndexError unless queries are ``(q, d)`` and ``k`` is at least 1."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise VectorIndexError(f"queries of shape {vectors.shape} in an index of {dimension} dimensions")
    if k < 1:
        raise VectorIndexError(f"k is {k}; it must be at least 1")


def write_faiss(index: Any, path: Path) -> None:
    """Write an index of FAISS. Raises StorageError."""
    try:
        load_faiss().write_index(index, str(path))
    except RuntimeError as error:
        raise unwritten(path) from error


def read_faiss(path: Path, kind: str, flags: str) -> Any:
    """Map an index of FAISS.

    Args:
        kind: the name of its class.
        flags: the name of the flag that maps it; which one maps what is in ``docs/decisions/0035``.

    Raises:
        SnapshotCorrupt: the file cannot be read, or holds an index of another class.
    """
    faiss = load_faiss()
    try:
        index = faiss.read_index(str(path), getattr(faiss, flags))
    except RuntimeError as error:
        raise SnapshotCorrupt(f"{path} cannot be read by FAISS; build the index again") from error
    if type(index).__name__ != kind:
        raise SnapshotCorrupt(f"{path} holds a {type(index).__name__}, not an {kind}; build the index again")
    return index


def write_exact(rows: SpooledRows, folder: Path) -> Mapping[str, object]:
    """Write an index of rows into a folder, and return its description. Raises StorageError."""
    # What FAISS writes of an index is this, and its rows; it would hold all of them.
    faiss = load_faiss()
    index = faiss.IndexFlatIP(rows.dimension)
    index.ntotal = len(rows)
    header = faiss.serialize_index(index).tobytes()[: -_COUNT.size] + _COUNT.pack(len(rows) * rows.dimension)
    path = folder / VECTORS_FILE
    try:
        with path.open("wb") as file:
            file.write(header)
            for start in range(0, len(rows), _AT_ONCE):
                file.write(np.ascontiguousarray(rows.vectors(slice(start, start + _AT_ONCE))).data)
    except OSError as error:
        raise unwritten(path) from error
    RowTable.write(rows, folder)
    return {"engine": ENGINE}


class FaissFlat:
    """Exact search, open; see :class:`qa.protocols.VectorIndex`. Thread-safe.

    Raises:
        SnapshotCorrupt: the files are something else.
    """

    def __init__(self, folder: Path) -> None:
        self._index = read_faiss(folder / VECTORS_FILE, "IndexFlatIP", "IO_FLAG_MMAP_IFC")
        self._table = RowTable(folder, self._index.ntotal)

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        check_search(vectors, k, self._index.d)
        parameters, rows = self._selection(filter)
        ids = np.full((len(vectors), k), -1, dtype=np.int64)
        cosines = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        least = min(k, rows)
        if least and len(vectors):
            fetch = min(rows, least + TIE_MARGIN)
            for query, (found, scores) in enumerate(self._search(vectors, least, fetch, rows, parameters)):
                ids[query, : len(found)], cosines[query, : len(found)] = found, scores
        return ids, cosines

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        cosines: Vectors = np.round(self.rows(ids) @ vector, DECIMALS)
        return cosines

    def rows(self, ids: Ids) -> Vectors:
        stored: Vectors = self._index.reconstruct_batch(self._table.find(ids))
        return stored

    def _selection(self, filter: Filter | None) -> tuple[Any, int]:
        faiss = load_faiss()
        if filter is None:
            return None, len(self._table.ids)
        bits = self._table.bits(filter)
        # A bit for each row: to look up 150,000 ids in a set took 20 ms, to look at 300,000 bits takes one.
        return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits)), bitmaps.count(bits)

    def _search(
        self, vectors: Vectors, k: int, fetch: int, rows: int, parameters: Any
    ) -> Iterator[tuple[Ids, Vectors]]:
        """Search all queries at once: reading the rows is what takes the time, and they are read once for all of them.

        FAISS leaves open which of equal scores it keeps: fetch until the tie at rank ``k`` is whole.
        """
        scores_of, rows_of = self._index.search(vectors, fetch, params=parameters)
        found = zip(np.round(scores_of, DECIMALS), self._table.ids[rows_of], strict=True)
        for query, (scores, ids) in enumerate(found):
            if fetch < rows and scores[-1] >= scores[k - 1]:
                yield from self._search(vectors[query : query + 1], k, min(rows, 4 * fetch), rows, parameters)
            else:
                order = np.lexsort((ids, -scores))[:k]
                yield ids[order], scores[order]

    def count(self, filter: Filter | None = None) -> int:
        return self._table.count(filter)

    def ids(self) -> Ids:
        return self._table.ids

    def verify(self) -> None:
        self._table.verify()
        for start in range(0, self._index.ntotal, _AT_ONCE):
            vectors = self._index.reconstruct_n(start, min(_AT_ONCE, self._index.ntotal - start))
            if len(wrong := np.flatnonzero(~lengths_are_one(vectors))):
                raise VectorIndexError(f"the vector of id {self._table.ids[start + wrong[0]]} is not of unit length")

    def describe(self) -> Mapping[str, object]:
        return {"engine": ENGINE}

    def close(self) -> None:
        """Leave the files to the garbage collector: a search may still read them."""
