"""Vector indexes behind :class:`qa.protocols.VectorIndex`, each with string columns that a search can be filtered by.

One so far: exact inner product in FAISS (``IndexIDMap`` over ``IndexFlatIP``), which is the cosine, as every vector is
of unit length. One contract suite (``tests/index/test_vectors.py``) holds them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError, VectorIndexError
from qa.protocols import And, Filter, Rows, VectorIndex, VectorRows
from qa.types import Eq, In, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Mask, Vectors


VECTORS_FILE = "vectors.faiss"
COLUMNS_FILE = "vectors.columns.npz"

# Inner products of equal vectors differ in their last bits with the rows around them; a tie must stay a tie.
_DECIMALS = 6
_TIE_MARGIN = 32
_VERIFIED_AT_ONCE = 65536


class Columns:
    """Declared columns, one string a row in each, coded as integers. Rows are in the order of their appending."""

    def __init__(self, names: Sequence[str]) -> None:
        self._values: dict[str, dict[str, int]] = {name: {} for name in names}
        self._codes: dict[str, NDArray[np.int32]] = {name: np.empty(0, np.int32) for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    def check(self, columns: Mapping[str, Sequence[str]], rows: int) -> None:
        """Raise VectorIndexError unless the columns are the declared ones and ``rows`` long."""
        if set(columns) != set(self._values):
            raise VectorIndexError(f"columns {sorted(columns)} were given, {sorted(self._values)} are declared")
        for name, values in columns.items():
            if len(values) != rows:
                raise VectorIndexError(f"column {name!r} has {len(values)} values for {rows} rows")

    def append(self, columns: Mapping[str, Sequence[str]]) -> None:
        for name, values in columns.items():
            known = self._values[name]
            codes = np.fromiter((known.setdefault(value, len(known)) for value in values), np.int32, len(values))
            self._codes[name] = np.concatenate([self._codes[name], codes])

    def keep(self, mask: Mask) -> None:
        """Drop the rows where ``mask`` is false."""
        self._codes = {name: codes[mask] for name, codes in self._codes.items()}

    def mask(self, filter: Filter, ids: Ids) -> Mask:
        """Find which of the rows of ``ids (n,)`` pass ``filter``, as booleans.

        Raises:
            VectorIndexError: the filter names a column that is not declared, or was made for other rows.
        """
        match filter:
            case And(filters):
                mask = np.ones(len(ids), dtype=np.bool_)
                for part in filters:
                    mask &= self.mask(part, ids)
                return mask
            case Rows(of, mask):
                if of is not ids or len(mask) != len(ids):
                    raise VectorIndexError("the filter was made for other rows than the index has")
                return mask
            case Eq(column, value):
                return self._matching(column, {value})
            case In(column, values):
                return self._matching(column, set(values))
            case Range(column, low, high):
                known = self._known(column)
                inside = {v for v in known if (low is None or v >= low) and (high is None or v <= high)}
                return self._matching(column, inside)

    def _known(self, column: str) -> dict[str, int]:
        if column not in self._values:
            raise VectorIndexError(f"no filter column {column!r}; declared are {sorted(self._values)}")
        return self._values[column]

    def _matching(self, column: str, values: set[str]) -> Mask:
        known = self._known(column)
        passing = np.zeros(len(known), dtype=np.bool_)
        passing[[known[value] for value in values if value in known]] = True
        mask: Mask = passing[self._codes[column]]
        return mask

    def save(self, path: Path) -> None:
        """Write an ``.npz``: for each column its codes, and its values as UTF-8 JSON. Nothing is pickled.

        Raises:
            StorageError: the disk is full, or cannot be written.
        """
        arrays: dict[str, NDArray[np.int32] | NDArray[np.uint8]] = {}
        for name, values in self._values.items():
            arrays[f"{name}.codes"] = self._codes[name]
            arrays[f"{name}.values"] = np.frombuffer(json.dumps(list(values)).encode(), dtype=np.uint8)
        try:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise _unwritten(path) from error

    @classmethod
    def open(cls, path: Path, rows: int) -> Columns:
        """Read what :meth:`save` wrote. Raises SnapshotCorrupt unless it holds ``rows`` values in each column."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = [key.removesuffix(".codes") for key in arrays.files if key.endswith(".codes")]
                columns = cls(names)
                for name in names:
                    values = json.loads(arrays[f"{name}.values"].tobytes())
                    columns._values[name] = {value: code for code, value in enumerate(values)}
                    columns._codes[name] = arrays[f"{name}.codes"]
        except (OSError, ValueError, KeyError) as error:
            raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error
        for name, codes in columns._codes.items():
            if len(codes) != rows or (
                rows and not 0 <= int(codes.min()) <= int(codes.max()) < len(columns._values[name])
            ):
                raise SnapshotCorrupt(f"column {name!r} in {path} does not fit its {rows} rows; build the index again")
        return columns


def _unwritten(path: Path) -> StorageError:
    return StorageError(f"cannot write {path}; check the folder's permissions and the disk's free space")


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
            raise _unwritten(folder / VECTORS_FILE) from error
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

    def close(self) -> None:
        self._index.reset()
        self._pending = []
        self._ids = np.empty(0, dtype=np.int64)


def new_vectors(dimension: int, columns: Sequence[str]) -> VectorIndex:
    """Make an empty index in memory; exact search is the only back end so far."""
    return FaissFlat(dimension, columns)


def open_vectors(folder: Path) -> VectorIndex:
    """Open what :meth:`qa.protocols.VectorIndex.save` wrote. Raises SnapshotCorrupt."""
    return FaissFlat.open(folder)
