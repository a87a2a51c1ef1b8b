"""Exact search by inner product in FAISS, which is the cosine, as every vector is of unit length.

The index is an ``IndexIDMap`` over an ``IndexFlatIP``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError
from qa.index.vectors.columns import COLUMNS_FILE, Columns, unwritten
from qa.protocols import Filter, VectorRows

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

ENGINE = "exact"
VECTORS_FILE = "vectors.faiss"

# Inner products of equal vectors differ in their last bits with the rows around them; a tie must stay a tie.
_DECIMALS = 6
_TIE_MARGIN = 32
_VERIFIED_AT_ONCE = 65536


def _faiss() -> Any:
    import faiss

    # One thread a query: queries run side by side, and threads that fight for two cores are slower than one.
    faiss.omp_set_num_threads(1)
    return faiss


class FaissFlat:
    """Exact search; see :class:`qa.protocols.VectorIndex`. Searching is thread-safe as long as no one writes.

    Args:
        dimension: of the vectors.
        columns: names of the filter columns that every row carries.
    """

    def __init__(self, dimension: int, columns: Sequence[str] = ()) -> None:
        faiss = _faiss()
        self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
        self._dimension = dimension
        self._columns = Columns(columns)
        self._ids: Ids = np.empty(0, dtype=np.int64)
        self._by_id: Ids | None = None
        self._pending: list[VectorRows] = []

    def upsert(self, rows: VectorRows) -> int:
        ids, vectors = np.asarray(rows.ids), np.asarray(rows.vectors)
        if vectors.shape != (len(ids), self._dimension) or vectors.dtype != np.float32 or ids.dtype != np.int64:
            raise VectorIndexError(
                f"ids {ids.shape} {ids.dtype} and vectors {vectors.shape} {vectors.dtype} do not fit an index of "
                f"int64 ids and float32 vectors of {self._dimension} dimensions"
            )
        if len(ids) and int(ids.min()) < 0:
            raise VectorIndexError(f"id {int(ids.min())} is negative")
        self._columns.check(rows.columns, len(ids))
        self._pending.append(VectorRows(ids, vectors, rows.columns))
        return len(ids)

    def delete(self, ids: Ids) -> None:
        self.commit()
        gone = np.isin(self._ids, ids)
        if not gone.any():
            return
        faiss = _faiss()
        self._index.remove_ids(faiss.IDSelectorBatch(self._ids[gone]))
        self._columns.keep(~gone)
        self._ids, self._by_id = self._ids[~gone], None

    def commit(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        ids = np.concatenate([rows.ids for rows in pending])
        # The first of equal ids in reversed order is the last one given.
        last = np.sort(len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1])
        self.delete(ids)
        self._index.add_with_ids(np.concatenate([rows.vectors for rows in pending])[last], ids[last])
        columns = {name: [v for rows in pending for v in rows.columns[name]] for name in self._columns.names}
        self._columns.append({name: [values[row] for row in last] for name, values in columns.items()})
        self._ids, self._by_id = np.concatenate([self._ids, ids[last]]), None

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        if vectors.ndim != 2 or vectors.shape[1] != self._dimension:
            raise VectorIndexError(f"queries of shape {vectors.shape} in an index of {self._dimension} dimensions")
        if k < 1:
            raise VectorIndexError(f"k is {k}; it must be at least 1")
        parameters, rows = self._selection(filter)
        ids = np.full((len(vectors), k), -1, dtype=np.int64)
        cosines = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        least = min(k, rows)
        if least and len(vectors):
            fetch = min(rows, least + _TIE_MARGIN)
            for query, (found, scores) in enumerate(self._search(vectors, least, fetch, rows, parameters)):
                ids[query, : len(found)], cosines[query, : len(found)] = found, scores
        return ids, cosines

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        cosines: Vectors = np.round(self.rows(ids) @ vector, _DECIMALS)
        return cosines

    def rows(self, ids: Ids) -> Vectors:
        if not len(ids):
            return np.empty((0, self._dimension), dtype=np.float32)
        at = np.searchsorted(self._ids, ids, sorter=self._order())
        rows = self._order()[np.minimum(at, len(self._ids) - 1)] if len(self._ids) else at
        if not len(self._ids) or not np.array_equal(self._ids[rows], ids):
            raise VectorIndexError("a row was asked for that the index does not hold")
        stored: Vectors = _faiss().downcast_index(self._index.index).reconstruct_batch(rows)
        return stored

    def _order(self) -> Ids:
        """Return the rows in the order of their ids."""
        if self._by_id is None:
            self._by_id = np.argsort(self._ids)
        return self._by_id

    def _selection(self, filter: Filter | None) -> tuple[Any, int]:
        faiss = _faiss()  # this thread may be new to OpenMP, which counts threads for each of its callers
        if filter is None:
            return None, len(self._ids)
        mask = self._columns.mask(filter, self._ids)
        # A bit for each row: to look up 150,000 ids in a set took 20 ms, to look at 300,000 bits takes one.
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        return faiss.SearchParameters(sel=selector), int(np.count_nonzero(mask))

    def _search(
        self, vectors: Vectors, k: int, fetch: int, rows: int, parameters: Any
    ) -> Iterator[tuple[Ids, Vectors]]:
        """Search all queries at once: reading the rows is what takes the time, and they are read once for all of them.

        FAISS leaves open which of equal scores it keeps: fetch until the tie at rank ``k`` is whole.
        """
        # The rows themselves, since a selector counts them and knows no ids.
        scores_of, rows_of = self._index.index.search(vectors, fetch, params=parameters)
        for query, (scores, ids) in enumerate(zip(np.round(scores_of, _DECIMALS), self._ids[rows_of], strict=True)):
            if fetch < rows and scores[-1] >= scores[k - 1]:
                yield from self._search(vectors[query : query + 1], k, min(rows, 4 * fetch), rows, parameters)
            else:
                order = np.lexsort((ids, -scores))[:k]
                yield ids[order], scores[order]

    def count(self, filter: Filter | None = None) -> int:
        return len(self._ids) if filter is None else int(np.count_nonzero(self._columns.mask(filter, self._ids)))

    def ids(self) -> Ids:
        return self._ids

    def verify(self) -> None:
        flat = _faiss().downcast_index(self._index.index)
        for start in range(0, flat.ntotal, _VERIFIED_AT_ONCE):
            vectors = flat.reconstruct_n(start, min(_VERIFIED_AT_ONCE, flat.ntotal - start))
            wrong = np.flatnonzero(~np.isclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3))
            if len(wrong):
                raise VectorIndexError(f"the vector of id {self._ids[start + wrong[0]]} is not of unit length")

    def save(self, folder: Path) -> None:
        self.commit()
        try:
            _faiss().write_index(self._index, str(folder / VECTORS_FILE))
        except RuntimeError as error:
            raise unwritten(folder / VECTORS_FILE) from error
        self._columns.save(folder / COLUMNS_FILE)

    @classmethod
    def open(cls, folder: Path) -> FaissFlat:
        """Read what :meth:`save` wrote. Raises SnapshotCorrupt where the files are something else."""
        faiss = _faiss()
        path = folder / VECTORS_FILE
        try:
            stored = faiss.read_index(str(path))
        except RuntimeError as error:
            raise SnapshotCorrupt(f"{path} cannot be read by FAISS; build the index again") from error
        if not isinstance(stored, faiss.IndexIDMap):
            raise SnapshotCorrupt(f"{path} holds a {type(stored).__name__}, not an IndexIDMap; build the index again")
        index = cls(stored.d)
        index._index = stored
        index._ids = faiss.vector_to_array(stored.id_map)
        index._columns = Columns.open(folder / COLUMNS_FILE, len(index._ids))
        return index

    def describe(self) -> Mapping[str, object]:
        return {"engine": ENGINE}

    def close(self) -> None:
        self._index.reset()
        self._pending = []
        self._ids = np.empty(0, dtype=np.int64)
