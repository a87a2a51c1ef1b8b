"""The vector index of a snapshot in Milvus: written into a collection of its own, searched to whole ties, checked.

Up to so many rows as files are searched exactly, Milvus compares a question with every vector; above, with those of the
nearest clusters (``IVF_FLAT``), and with all that pass where a filter lets few pass, or where too few were found. How
many clusters are searched is found when the index is saved, by the recall that is measured (:mod:`..tuning`).

The ids are kept in the snapshot's folder, in ascending order: masks of rows, which filters come to
(:mod:`qa.index.fields`), are over them, and every ten seconds they are compared in number with what the server answers
from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError, VectorsUnavailable
from qa.index.vectors.clusters import list_count
from qa.index.vectors.columns import unwritten
from qa.index.vectors.exact import DECIMALS, EXACT_UP_TO, check_search
from qa.index.vectors.milvus.collection import METRIC, Collection
from qa.index.vectors.milvus.filters import LONGEST_LIST, both, field_name, ids_in
from qa.index.vectors.milvus.nearest import Ask, Found, Selection, nearest, select
from qa.index.vectors.milvus.record import new_name, write_record
from qa.index.vectors.spool import check_rows, lengths_are_one
from qa.index.vectors.tuning import (
    LEAST_RECALL,
    QUERIES,
    RANK,
    VERIFIED_QUERIES,
    least_cosines,
    least_that_suffices,
    lists_for,
    make_queries,
    numbers_of_lists,
    recall_at_10,
    require_recall,
)
from qa.protocols import Filter, VectorRows

if TYPE_CHECKING:
    from qa.types import Ids, Mask, MilvusAddress, Vectors

ENGINE = "milvus"
_EXACT = "FLAT"
IDS_FILE = "vectors.ids.npy"
# Rows of the largest segment that Milvus makes, 1 GB, of 384 dimensions: each segment has clusters of its own.
_SEGMENT_ROWS = 700_000
# Rows that pass a filter, below which all of them are compared.
_FEW_PASS = 50_000
# Queries of which recall is measured, in one search, and rows that they are compared with in it: one core compares some
# six million rows of 384 dimensions a second, and its memory reads no more.
_MEASURED_AT_ONCE, _COMPARED_AT_ONCE = 50, 20_000_000
# Seconds after which it is looked again whether all rows can be searched.
_LOOK_EVERY = 10.0
_READ_BYTES = 4 << 20
# Ids that wait to be merged with those before them.
_MERGED = 1 << 16


class MilvusVectors:
    """See :class:`qa.protocols.MutableVectorIndex`. Searching is thread-safe as long as no one writes.

    Args:
        exact_up_to: the number of rows up to which search is exact.
        least_recall: what approximate search has to find, or search is exact with any number of rows.

    Raises:
        VectorsUnavailable: the server cannot be reached, or answers with an error, or with a part of the rows. Every
            method that asks the server raises it.
    """

    def __init__(
        self,
        collection: Collection,
        dimension: int,
        columns: Sequence[str],
        ids: Ids,
        exact_up_to: int = EXACT_UP_TO,
        least_recall: float = LEAST_RECALL,
    ) -> None:
        self._collection = collection
        self._exact_up_to = exact_up_to
        self._least_recall = least_recall
        self._dimension = dimension
        self._columns = tuple(columns)
        self._ids = ids
        self._recent: list[Ids] = []
        self._index: Mapping[str, Any] = {"type": _EXACT}
        # As it was measured when the index was saved; exact search has none.
        self._recall: float | None = None
        self._is_loaded = False
        self._seen_whole = 0.0

    @classmethod
    def create(
        cls,
        folder: Path,
        address: MilvusAddress,
        dimension: int,
        columns: Sequence[str],
        exact_up_to: int = EXACT_UP_TO,
        least_recall: float = LEAST_RECALL,
    ) -> MilvusVectors:
        """Make an empty collection, which ``folder`` names from before it is there.

        Raises:
            StorageError: the folder cannot be written.
        """
        for column in columns:
            field_name(column)
        collection = Collection(address, new_name(folder), strong=True)
        write_record(folder, collection.name)
        collection.create(dimension, columns)
        return cls(collection, dimension, columns, np.empty(0, np.int64), exact_up_to, least_recall)

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
            # Snapshots of earlier versions have none.
            recall = None if "recall_at_10" not in description else float(description["recall_at_10"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotCorrupt(f"the vectors of {folder} cannot be read ({error}); build the index again") from error
        if ids.dtype != np.int64 or ids.shape != (rows,):
            raise SnapshotCorrupt(f"{folder / IDS_FILE} does not hold {rows} ids; build the index again")
        opened = cls(Collection(address, name, strong=False), dimension, columns, ids)
        opened._index, opened._recall = index, recall
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
        self._require_whole()
        self._collection.warn_of_replicas()
        self._is_loaded = True

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
        is_exhaustive = self._index["type"] == _EXACT or (
            not selection.is_everything and self._count(selection) <= _FEW_PASS
        )
        found = list(nearest(self._ask(k, is_exhaustive), vectors, k, selection, self.ids()))
        short = [query for query, (rows, _) in enumerate(found) if len(rows) < k]
        if short and not is_exhaustive:
            again = nearest(self._ask(k, True), vectors[short], k, selection, self.ids())
            for query, result in zip(short, again, strict=True):
                found[query] = result
        if any(len(rows) < k for rows, _ in found) and self._misses(k, selection, found):
            raise self._incomplete()
        return found

    def _misses(self, k: int, selection: Selection, found: Sequence[Found]) -> bool:
        """Tell whether rows that pass were not found, where fewer than ``k`` were."""
        expected = min(k, self._count(selection))
        return any(len(rows) < expected for rows, _ in found)

    def _ask(self, k: int, is_exhaustive: bool) -> Ask:
        if self._index["type"] == _EXACT:
            return self._ask_clusters(None)
        clusters = self._index["nlist"]
        return self._ask_clusters(clusters if is_exhaustive else lists_for(k, self._index["nprobe"], clusters))

    def _ask_clusters(self, nprobe: int | None) -> Ask:
        """Ask so many clusters of an index that has some."""
        parameters = {} if nprobe is None else {"nprobe": nprobe}
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
        """Raise VectorsUnavailable where the server answers from fewer or more rows than there are.

        Who builds releases older snapshots, and does not know who serves one still: it is loaded again here.
        """
        if not self._collection.is_loaded():
            self._collection.load()
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
        queries = self._queries(VERIFIED_QUERIES if self._recall is not None else 0)
        least = least_cosines(queries, self._checked())
        if self._recall is not None:
            found = self._measured(queries, self._index["nprobe"], self._index["nlist"])
            require_recall(recall_at_10(found, least, len(self.ids())), self._recall)

    def _checked(self) -> Iterator[Vectors]:
        """Read all vectors. Raises VectorIndexError for one that is not of unit length."""
        for ids, vectors in self._read(self.ids()):
            wrong = np.flatnonzero(~lengths_are_one(vectors))
            if len(wrong):
                raise VectorIndexError(f"the vector of id {ids[wrong[0]]} is not of unit length")
            yield vectors

    def _queries(self, count: int) -> Vectors:
        """Make queries, by which recall is measured."""
        ids = self.ids()
        return make_queries(lambda at: self.rows(ids[at]), len(ids), count)

    def _measured(self, queries: Vectors, nprobe: int, clusters: int) -> list[Vectors]:
        """Find the cosines of the ten rows nearest to each of the queries, in so many of the clusters."""
        everything = Selection(("",), None)
        compared = max(1, len(self.ids()) * nprobe // clusters)
        at_once = min(_MEASURED_AT_ONCE, max(1, _COMPARED_AT_ONCE // compared))

        def ask(vectors: Vectors, limit: int, text: str) -> Sequence[Found]:
            return self._collection.search(vectors, limit, text, {"nprobe": nprobe}, is_measured=True)

        return [
            cosines
            for start in range(0, len(queries), at_once)
            for _, cosines in nearest(ask, queries[start : start + at_once], RANK, everything, self.ids())
        ]

    def describe(self) -> Mapping[str, object]:
        measured = {} if self._recall is None else {"recall_at_10": round(self._recall, 4), "recall_queries": QUERIES}
        return {
            "engine": ENGINE,
            "collection": self._collection.name,
            "rows": len(self.ids()),
            "dimension": self._dimension,
            "columns": list(self._columns),
            "metric": METRIC,
            "index": dict(self._index),
            **measured,
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
        self._collection.flush()
        clusters = list_count(min(len(ids), _SEGMENT_ROWS)) if len(ids) > self._exact_up_to else 0
        self._index_as({"type": "IVF_FLAT", "nlist": clusters} if clusters else {"type": _EXACT})
        self._recall = None
        if clusters:
            self._tune(clusters)

    def _index_as(self, index: Mapping[str, Any]) -> None:
        """Index all rows that are stored, and load them, instead of what they were indexed as before."""
        if self._is_loaded and index != self._index:
            self._collection.drop_index()
        self._collection.index(index)
        self._index = index
        self._collection.load()
        self._is_loaded = True
        self._require_whole()

    def _tune(self, clusters: int) -> None:
        """Find how many clusters a query has to search; all rows are searched exactly where too little is found."""
        queries, rows = self._queries(QUERIES), len(self.ids())
        # All clusters hold all vectors, as they are. What `verify` compares with is computed here, of what it reads.
        exact = self._measured(queries, clusters, clusters)
        if any(len(cosines) < min(RANK, rows) for cosines in exact):
            raise self._incomplete()
        least = np.array([cosines[-1] for cosines in exact])
        nprobe, recall = least_that_suffices(
            (nprobe, recall_at_10(self._measured(queries, nprobe, clusters), least, rows))
            for nprobe in numbers_of_lists(clusters)
        )
        if recall < self._least_recall:
            self._index_as({"type": _EXACT})
            return
        self._index, self._recall = {**self._index, "nprobe": nprobe}, recall

    def close(self) -> None:
        self._collection.close()


def _contains(ids: Ids, some: Ids) -> Mask:
    """Tell of each of ``some (n,)`` whether it is among ``ids``, which are in ascending order."""
    if not len(ids):
        return np.zeros(len(some), np.bool_)
    found: Mask = ids[np.minimum(np.searchsorted(ids, some), len(ids) - 1)] == some
    return found
