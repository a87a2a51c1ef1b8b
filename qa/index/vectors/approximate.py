"""Approximate search: candidates of the nearest clusters in FAISS, put in order by codes of a byte a dimension.

All files are mapped. A filter that few rows pass is searched exactly, among the codes of those rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import SnapshotCorrupt
from qa.index import bitmaps
from qa.index.vectors.clusters import Clusters, list_count, train
from qa.index.vectors.codes import CODES_FILE, CodedRows, write_codes
from qa.index.vectors.exact import VECTORS_FILE, check_search
from qa.index.vectors.spool import SpooledRows
from qa.index.vectors.table import RowTable
from qa.index.vectors.tuning import LEAST_RECALL, VERIFIED_QUERIES, Effort, recall_of, require_recall, tune
from qa.machine import release_free_memory
from qa.protocols import Filter

if TYPE_CHECKING:
    from qa.types import Bits, Ids, Vectors

ENGINE = "approximate"
# Rows that a filter may leave to be searched exactly, which takes 2.7 ms.
_FEW = 10_000
# Recall with clusters that were taken over: from which on it is good enough, and how far it may be below that of their
# training where that was not.
_GOOD, _FALL = 0.97, 0.005
# How far the number of rows may be from that of the clusters' training.
_GROWTH = 2.0
_AT_ONCE = 8192
_FILLING, _MEASURING = "Filling the clusters", "Measuring how many clusters a search needs"


def ignore_stage(message: str) -> None:
    """Show nothing of what begins."""


def write_approximate(
    rows: SpooledRows,
    folder: Path,
    before: FaissIvf | None = None,
    least_recall: float = LEAST_RECALL,
    stage: Callable[[str], None] = ignore_stage,
) -> Mapping[str, object] | None:
    """Write an index of rows, at least one, into a folder, and return its description.

    Args:
        before: an index of the same encoder: its clusters are taken over as long as recall holds with them.
        least_recall: where no effort finds so much, nothing is written and ``None`` is returned.
        stage: is called with what begins, at ten million rows for minutes each.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """

    def begin(step: str) -> None:
        # What the step before has freed is not needed beside this one.
        release_free_memory()
        stage(step)

    begin(f"Coding {len(rows):,} vectors")
    write_codes(rows, folder / CODES_FILE)
    codes = CodedRows(folder / CODES_FILE, len(rows), rows.dimension)
    path = folder / VECTORS_FILE
    clusters, effort, trained_recall = None, None, 0.0
    if before is not None:
        begin(_FILLING)
        clusters = before.take_over(rows, codes, path)
        if clusters is not None:
            begin(_MEASURING)
            effort, trained_recall = tune(clusters, codes, rows), before.trained_recall
            # By the recall of their training, and not of the last update: many small falls would add up.
            if effort.recall < max(least_recall, min(_GOOD, trained_recall - _FALL)):
                clusters = None
    if clusters is None or effort is None:
        clusters = _train(rows, path, begin)
        begin(_MEASURING)
        effort = tune(clusters, codes, rows)
        trained_recall = effort.recall
    if effort.recall < least_recall:
        path.unlink()
        (folder / CODES_FILE).unlink()
        return None
    RowTable.write(rows, folder)
    trained = {"trained_rows": clusters.trained_rows, "trained_recall": round(trained_recall, 4)}
    return {"engine": ENGINE, "factory": clusters.factory, **trained, **effort.describe()}


def _train(rows: SpooledRows, path: Path, begin: Callable[[str], None]) -> Clusters:
    """Train clusters of rows, and fill them with these in a file."""
    begin(f"Training {list_count(len(rows)):,} clusters")
    empty = train(rows)
    begin(_FILLING)
    return empty.fill(path, rows, empty.entries(rows))


def _read_training(description: Mapping[str, object], effort: Effort) -> tuple[int, float]:
    """Read of how many rows clusters were trained, and the recall of then. Raises KeyError, ValueError."""
    match description["trained_rows"], description.get("trained_recall", effort.recall):
        case int(rows), int() | float() as recall:
            return rows, float(recall)
    raise ValueError("trained_rows or trained_recall is of a wrong type")


class FaissIvf:
    """Approximate search, open; see :class:`qa.protocols.VectorIndex`. Thread-safe.

    The cosines that it gives are those of the codes. Of what is nearest it finds the share that its description calls
    recall; of rows that are equal it finds those with the least ids, as exact search does.

    Args:
        description: what :func:`write_approximate` returned.

    Raises:
        SnapshotCorrupt: the files, or the description, are something else.
    """

    def __init__(self, folder: Path, description: Mapping[str, object]) -> None:
        self._folder = folder
        self._description = dict(description)
        try:
            self.effort = Effort.read(description)
            trained_rows, self.trained_recall = _read_training(description, self.effort)
        except (KeyError, ValueError, TypeError) as error:
            raise SnapshotCorrupt(
                f"the manifest does not say how the vectors in {folder} are searched ({error}); build the index again"
            ) from error
        self._clusters = Clusters.open(folder / VECTORS_FILE, trained_rows)
        index = self._clusters.index
        self._dimension: int = index.d
        self._table = RowTable(folder, index.ntotal)
        self._codes = CodedRows(folder / CODES_FILE, index.ntotal, index.d)

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        check_search(vectors, k, self._dimension)
        bits = None if filter is None else self._table.bits(filter)
        rows = len(self._codes) if bits is None else bitmaps.count(bits)
        few = bitmaps.numbers_in(bits) if bits is not None and rows <= _FEW else None
        ids = np.full((len(vectors), k), -1, dtype=np.int64)
        cosines = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        # One by one: which lists are near, and so what is found, must not depend on who else is asking.
        for query, vector in enumerate(vectors if rows else vectors[:0]):
            best, scores = self._best(vector, min(k, rows), rows, bits, few)
            ids[query, : len(best)], cosines[query, : len(best)] = best, scores
        return ids, cosines

    def _best(self, vector: Vectors, k: int, rows: int, bits: Bits | None, few: Ids | None) -> tuple[Ids, Vectors]:
        """Find the ``k`` nearest of the ``rows`` whose bits are set; exactly among ``few``, or where others are few."""
        if few is None:
            effort = self.effort.among(rows, self._clusters.lists, k)
            found = self._candidates(vector, k, effort, rows, bits)
            if found is not None:
                return found
            few = None if bits is None else bitmaps.numbers_in(bits)
        scores = self._codes.cosines(vector, few)
        # Those of the least score are ordered by id too, and may be many: all of them are kept until then.
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        return self._in_order(kept if few is None else few[kept], scores[kept], k)

    def _candidates(
        self, vector: Vectors, k: int, effort: Effort, rows: int, bits: Bits | None
    ) -> tuple[Ids, Vectors] | None:
        """Find the ``k`` nearest of the nearest lists; ``None`` where these hold fewer of those rows."""
        count = min(effort.candidates, rows)
        while True:
            products, at = self._clusters.search(vector, count, effort.nprobe, bits)
            if len(at) < k:
                return None
            scores = self._codes.cosines(vector, at)
            best = np.lexsort((self._table.ids[at], -scores))[:k]
            # Rows that are equal have equal products, and FAISS leaves open which of them it keeps: fetch all of them.
            if len(at) < count or count == rows or not (products[best] == products[-1]).any():
                return self._table.ids[at[best]], scores[best]
            count = min(rows, 4 * count)

    def _in_order(self, rows: Ids, scores: Vectors, k: int) -> tuple[Ids, Vectors]:
        ids = self._table.ids[rows]
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        return self._codes.cosines(vector, self._table.find(ids))

    def rows(self, ids: Ids) -> Vectors:
        return self._codes.take(self._table.find(ids))

    def count(self, filter: Filter | None = None) -> int:
        return self._table.count(filter)

    def ids(self) -> Ids:
        return self._table.ids

    def verify(self) -> None:
        self._table.verify()
        self._codes.verify()
        self._clusters.verify()
        require_recall(recall_of(self.effort, self._clusters, self._codes, VERIFIED_QUERIES), self.effort.recall)

    def take_over(self, rows: SpooledRows, codes: CodedRows, path: Path) -> Clusters | None:
        """Fill these clusters with other rows, in a file; ``None`` where they were trained for far more or fewer.

        Rows that have the ``codes`` that they have here stay in their lists, so that an update costs what is new.

        Raises:
            StorageError: the file cannot be written.
        """
        trained_rows = self._clusters.trained_rows
        if rows.dimension != self._dimension or not 1 / _GROWTH <= len(rows) / trained_rows <= _GROWTH:
            return None
        numbers = np.full(len(self._codes), -1, dtype=np.int32)
        is_new = np.ones(len(rows), dtype=np.bool_)
        for start in range(0, len(rows), _AT_ONCE):
            at = self._table.look_up(rows.ids[start : start + _AT_ONCE])
            known = np.flatnonzero(at >= 0)
            known = known[codes.are_same(start + known, self._codes, at[known])]
            numbers[at[known]] = start + known
            is_new[start + known] = False
        empty = Clusters.without_rows(self._folder / VECTORS_FILE, trained_rows)
        new = empty.entries(rows, np.flatnonzero(is_new))
        return empty.fill(path, rows, chain(self._clusters.kept(numbers), new))

    def describe(self) -> Mapping[str, object]:
        return dict(self._description)

    def close(self) -> None:
        """Leave the files to the garbage collector: a search may still read them."""
