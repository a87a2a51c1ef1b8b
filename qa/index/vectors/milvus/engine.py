"""The vector index of a snapshot in Milvus: written into a collection of its own, searched to whole ties, checked.

Up to :data:`EXACT_ROWS` rows Milvus compares a question with every vector; above, with those of the nearest clusters
(``IVF_FLAT``), and with all that pass where a filter lets few pass, or where too few were found.

The ids are kept in the snapshot's folder, in ascending order: masks of rows, which filters come to
(:mod:`qa.index.fields`), are over them, and every ten seconds they are compared in number with what the server answers
from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError, VectorsUnavailable
from qa.index.vectors.columns import unwritten
from qa.index.vectors.exact import DECIMALS, check_search
from qa.index.vectors.milvus.collection import METRIC, Collection
from qa.index.vectors.milvus.filters import LONGEST_LIST, both, field_name, ids_in
from qa.index.vectors.milvus.nearest import Ask, Found, Selection, nearest, select
from qa.index.vectors.milvus.record import new_name, write_record
from qa.index.vectors.spool import check_rows, lengths_are_one
from qa.protocols import Filter, VectorRows

if TYPE_CHECKING:
    from qa.types import Ids, Mask, MilvusAddress, Vectors

ENGINE = "milvus"
IDS_FILE = "vectors.ids.npy"
# Above, a search of every vector takes longer than a question should wait for it.
EXACT_ROWS = 200_000
# Rows of the largest segment that Milvus makes, 1 GB, of 384 dimensions: each segment has clusters of its own.
_SEGMENT_ROWS = 700_000
# Of the clusters that are searched: a million vectors gave a recall@10 of .97 at 1 in 32 (design of the project).
_PROBED = 32
# Rows that pass a filter, below which all of them are compared.
_FEW_PASS = 50_000
# Seconds after which it is looked again whether all rows can be searched.
_LOOK_EVERY = 10.0
_READ_BYTES = 4 << 20
# Ids that wait to be merged with those before them.
_MERGED = 1 << 16


class MilvusVectors:
    """See :class:`qa.protocols.MutableVectorIndex`. Searching is thread-safe as long as no one writes.

    Raises:
        VectorsUnavailable: the server cannot be reached, or answers with an error, or with a part of the rows. Every
            method that asks the server raises it.
    """

    def __init__(self, collection: Collection, dimension: int, columns: Sequence[str], ids: Ids) -> None:
        self._collection = collection
        self._dimension = dimension
        self._columns = tuple(columns)
        self._ids = ids
        self._recent: list[Ids] = []
        self._index: Mapping[str, Any] = {"type": "FLAT"}
        self._is_loaded = False
        self._seen_whole = 0.0

    @classmethod
    def create(cls, folder: Path, address: MilvusAddress, dimension: int, columns: Sequence[str]) -> MilvusVectors:
        """Make an empty collection, which ``folder`` names from before it is there.

        Raises:
            StorageError: the folder cannot be written.
        """
        for column in columns:
            field_name(column)
        collection = Collection(address, new_name(folder), strong=True)
        write_record(folder, collection.name)
        collection.create(dimension, columns)
        return cls(collection, dimension, columns, np.empty(0, np.int64))

    @classmethod
    def open(cls, folder: Path, description: Mapping[str, Any], address: MilvusAddress) -> MilvusVectors:
        """Open what :meth:`save` wrote; its collection is loaded where it is not.

        Raises:
            SnapshotCorrupt: the ids are damaged, or the server has no such collection, or other rows in it.
        """
        try:
            ids = np.load(folder / IDS_FILE, mmap_mode="r", allow_pickle=False)
            name, rows = description["collection"], description["rows"]
            dimension, columns, index = description["dimension"], description["columns"], description["index"]
        except (OSError, ValueError, KeyError) as error:
            raise SnapshotCorrupt(f"the vectors of {folder} cannot be read ({error}); build the index again") from error
        if ids.dtype != np.int64 or ids.shape != (rows,):
            raise SnapshotCorrupt(f"{folder / IDS_FILE} does not hold {rows} ids; build the index again")
        opened = cls(Collection(address, name, strong=False), dimension, columns, ids)
        opened._index = index
        try:
            opened._require_collection()
        except BaseException:
            opened.close()
            raise
        return opened

    def _require_collection(self) -> None:
        if not self._collection.exists():
            raise SnapshotCorrupt(
                f"Milvus has no collection {self._collection.name}, which holds the vectors; build the index again"
            )
        if not self._collection.is_loaded():
            self._collection.load()
        self._is_loaded = True
        self._require_whole()

    def upsert(self, rows: VectorRows) -> int:
        check_rows(rows, self._dimension, self._columns)
        ids, vectors = np.asarray(rows.ids), np.asarray(rows.vectors)
        # The first of equal ids in reversed order is the last one given.
        last = np.sort(len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1])
        is_known = np.logical_or.reduce([_contains(some, ids[last]) for some in (self._ids, *self._recent)])
        for replace in (False, True):
            at = last[is_known == replace]
            if len(at):
                columns = {name: [values[row] for row in at.tolist()] for name, values in rows.columns.items()}
                self._collection.write(ids[at], vectors[at], columns, replace=replace)
        self._recent.append(np.sort(ids[last[~is_known]]))
        if sum(map(len, self._recent)) > _MERGED:
            self._merge()
        return len(ids)

    def _merge(self) -> None:
        self._ids = np.sort(np.concatenate([self._ids, *self._recent]))
        self._recent = []

    def delete(self, ids: Ids) -> None:
        for start in range(0, len(ids), LONGEST_LIST):
            self._collection.delete(ids_in(ids[start : start + LONGEST_LIST].tolist()))
        self._merge()
        self._ids = self._ids[~np.isin(self._ids, ids)]

    def commit(self) -> None:
        """Do nothing: what was written is in the server's log, and reads of an index that is written see all of it."""

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        check_search(vectors, k, self._dimension)
        ids = np.full((len(vectors), k), -1, dtype=np.int64)
        cosines = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        selection = self._select(filter)
        nothing = selection.mask is not None and not selection.mask.any()
        if len(vectors) and len(self.ids()) and not nothing:
            self._make_readable()
            for query, (found, scores) in enumerate(self._nearest(vectors, k, selection)):
                ids[query, : len(found)], cosines[query, : len(found)] = found, scores
        return ids, cosines

    def _nearest(self, vectors: Vectors, k: int, selection: Selection) -> Sequence[Found]:
        """Search as the index does, and, where that may miss rows that pass, all clusters."""
        if time.monotonic() > self._seen_whole + _LOOK_EVERY:
            self._require_whole()
        is_exhaustive = self._index["type"] == "FLAT" or (
            not selection.is_everything and self._count(selection) <= _FEW_PASS
        )
        found = list(nearest(self._ask(is_exhaustive), vectors, k, selection, self.ids()))
        short = [query for query, (rows, _) in enumerate(found) if len(rows) < k]
        if short and not is_exhaustive:
            again = nearest(self._ask(True), vectors[short], k, selection, self.ids())
            for query, result in zip(short, again, strict=True):
                found[query] = result
        if any(len(rows) < k for rows, _ in found) and self._misses(k, selection, found):
            raise self._incomplete()
        return found

    def _misses(self, k: int, selection: Selection, found: Sequence[Found]) -> bool:
        """Tell whether rows that pass were not found, where fewer than ``k`` were."""
        expected = min(k, self._count(selection))
        return any(len(rows) < expected for rows, _ in found)

    def _ask(self, is_exhaustive: bool) -> Ask:
        parameters = {}
        if self._index["type"] != "FLAT":
            parameters["nprobe"] = self._index["nlist" if is_exhaustive else "nprobe"]
        return lambda vectors, limit, text: self._collection.search(vectors, limit, text, parameters)

    def _select(self, filter: Filter | None) -> Selection:
        ids = self.ids()
        return select(filter, self._columns, ids, lambda others: others is ids)

    def _count(self, selection: Selection) -> int:
        """Count the rows that pass."""
        if selection.mask is None:
            return (
                sum(self._collection.count(text) for text in selection.texts)
                if any(selection.texts)
                else len(self.ids())
            )
        if not any(selection.texts):
            return int(np.count_nonzero(selection.mask))
        passing = self.ids()[selection.mask]
        lists = [ids_in(passing[at : at + LONGEST_LIST].tolist()) for at in range(0, len(passing), LONGEST_LIST)]
        return sum(self._collection.count(both(text, some)) for text in selection.texts for some in lists)

    def _require_whole(self) -> None:
        """Raise VectorsUnavailable where the server answers from fewer or more rows than there are."""
        if self._collection.count() != len(self.ids()):
            raise self._incomplete()
        self._seen_whole = time.monotonic()

    def _incomplete(self) -> VectorsUnavailable:
        return VectorsUnavailable(
            f"Milvus answers from another number of rows than the {len(self.ids())} of the collection "
            f"{self._collection.name}; wait until it is loaded whole, or build the index again"
        )

    def _make_readable(self) -> None:
        """Load what is written and not saved yet, when it is read for the first time."""
        if not self._is_loaded:
            self._collection.index(self._index)
            self._collection.load()
            self._is_loaded = True

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        cosines: Vectors = np.round(self.rows(ids) @ vector, DECIMALS)
        return cosines

    def rows(self, ids: Ids) -> Vectors:
        if not len(ids):
            return np.empty((0, self._dimension), dtype=np.float32)
        wanted, at = np.unique(ids, return_inverse=True)
        if not _contains(self.ids(), wanted).all():
            raise VectorIndexError("a row was asked for that the index does not hold")
        self._make_readable()
        rows: Vectors = np.concatenate([vectors for _, vectors in self._read(wanted)])[at]
        return rows

    def _read(self, ids: Ids) -> Iterator[Found]:
        """Read the vectors of rows, given by their ids in ascending order, as many at once as a message should have."""
        step = max(1, min(LONGEST_LIST, _READ_BYTES // (4 * self._dimension)))
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            found, vectors = self._collection.vectors(ids_in(some.tolist()), self._dimension)
            order = np.argsort(found)
            if not np.array_equal(found[order], some):
                raise self._incomplete()
            yield some, vectors[order]

    def count(self, filter: Filter | None = None) -> int:
        selection = self._select(filter)
        if len(self.ids()) and any(selection.texts):
            self._make_readable()
        return self._count(selection) if len(self.ids()) else 0

    def ids(self) -> Ids:
        if self._recent:
            self._merge()
        return self._ids

    def verify(self) -> None:
        self._make_readable()
        self._require_whole()
        for ids, vectors in self._read(self.ids()):
            wrong = np.flatnonzero(~lengths_are_one(vectors))
            if len(wrong):
                raise VectorIndexError(f"the vector of id {ids[wrong[0]]} is not of unit length")

    def describe(self) -> Mapping[str, object]:
        return {
            "engine": ENGINE,
            "collection": self._collection.name,
            "rows": len(self.ids()),
            "dimension": self._dimension,
            "columns": list(self._columns),
            "metric": METRIC,
            "index": dict(self._index),
        }

    def save(self, folder: Path) -> None:
        """Write the ids into ``folder``, and return when all rows are stored, indexed and loaded, so that they can be
        served.
        """
        ids = self.ids()
        try:
            with (folder / IDS_FILE).open("wb") as file:
                np.save(file, ids, allow_pickle=False)
        except OSError as error:
            raise unwritten(folder / IDS_FILE) from error
        index = _index_for(len(ids))
        if self._is_loaded and index != self._index:
            self._collection.drop_index()
        self._collection.flush()
        self._collection.index(index)
        self._index = index
        self._collection.load()
        self._is_loaded = True
        self._require_whole()

    def close(self) -> None:
        self._collection.close()


def _index_for(rows: int) -> Mapping[str, Any]:
    """Return the parameters of an index of so many rows, and of its searches: by the square root rule of FAISS."""
    if rows <= EXACT_ROWS:
        return {"type": "FLAT"}
    clusters = 2 ** round(math.log2(4 * math.sqrt(min(rows, _SEGMENT_ROWS))))
    return {"type": "IVF_FLAT", "nlist": clusters, "nprobe": clusters // _PROBED}


def _contains(ids: Ids, some: Ids) -> Mask:
    """Tell of each of ``some (n,)`` whether it is among ``ids``, which are in ascending order."""
    if not len(ids):
        return np.zeros(len(some), np.bool_)
    found: Mask = ids[np.minimum(np.searchsorted(ids, some), len(ids) - 1)] == some
    return found
