"""The clusters in which an approximate index finds candidates: trained on a sample of its rows, or taken over.

It is what ``IVF4096,RaBitQ`` stands for in FAISS: the nearest of the centroids says in which list a row lies, and a bit
for each dimension on which side of it (Gao & Long, 2024, "RaBitQ: Quantizing High-Dimensional Vectors with a
Theoretical Error Bound for Approximate Nearest Neighbor Search").
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import VectorIndexError
from qa.index.arrays import sort_records
from qa.index.vectors.columns import unwritten, writing
from qa.index.vectors.exact import load_faiss, read_faiss, write_faiss
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Bits, Ids, Vectors

SEED = 1
# The number of lists is so many times the root of that of rows.
_LISTS = 4.0
# Rows for each list that centroids are trained on.
_SAMPLE = 40
_ITERATIONS = 10
_AT_ONCE = 8192
# From so many lists on the nearest are found by a graph, as it is faster then.
_GRAPH = 8192
_LINKS = 32
# Bits for each dimension of a query, see the paper.
_QUERY_BITS = 4
# What stands before the lists in a file of FAISS: "ilar", how many lists, bytes of a code, and either "full" and a size
# for each list, or, where most are empty, "sprs" and the sizes of the others.
_HEADER = struct.Struct("<4sQQ4sQ")


@dataclass(frozen=True, slots=True)
class Clusters:
    """An ``IndexIVFRaBitQ`` of FAISS for inner products, mapped or with empty lists; its ids are the numbers of rows.

    ``trained_rows`` is how many rows the index had for which the clusters were trained.
    """

    index: Any
    trained_rows: int

    @classmethod
    def open(cls, path: Path, trained_rows: int) -> Clusters:
        """Map what :meth:`write` wrote. Raises SnapshotCorrupt."""
        index = read_faiss(path, "IndexIVFRaBitQ", "IO_FLAG_MMAP")
        faiss = load_faiss()
        # Else each query starts threads that read the lists ahead, which takes longer than the query.
        faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        return cls(index, trained_rows)

    @classmethod
    def without_rows(cls, path: Path, trained_rows: int) -> Clusters:
        """Read clusters with empty lists, to be filled with other rows. Raises SnapshotCorrupt."""
        index = read_faiss(path, "IndexIVFRaBitQ", "IO_FLAG_MMAP")
        faiss = load_faiss()
        lists = faiss.ArrayInvertedLists(index.nlist, index.code_size)
        index.replace_invlists(lists, True)
        lists.this.disown()
        index.ntotal = 0
        return cls(index, trained_rows)

    @property
    def factory(self) -> str:
        """The string of which ``faiss.index_factory`` makes such an index."""
        graph = f"_HNSW{_LINKS}" if self._has_graph else ""
        return f"IVF{self.lists}{graph},RaBitQ"

    @property
    def lists(self) -> int:
        return int(self.index.nlist)

    @property
    def _has_graph(self) -> bool:
        faiss = load_faiss()
        return isinstance(faiss.downcast_index(self.index.quantizer), faiss.IndexHNSWFlat)

    def entries(self, rows: SpooledRows, numbers: Ids | None = None) -> Iterator[NDArray[Any]]:
        """Make the entries of all rows, or of those with these ``numbers (m,)``, each in the list that is nearest.

        Blocks are of one size, so that they do not depend on how the rows came.
        """
        # This thread may be new to OpenMP, which counts threads for each of its callers.
        faiss = load_faiss()
        for start in range(0, len(rows) if numbers is None else len(numbers), _AT_ONCE):
            end = start + _AT_ONCE
            part = np.arange(start, min(end, len(rows))) if numbers is None else numbers[start:end]
            vectors, codes = rows.vectors(part), np.empty((len(part), self.index.code_size), np.uint8)
            # FAISS gets addresses: the arrays must have names, or they are gone before it reads them.
            lists = self.index.quantizer.assign(vectors, 1).ravel()
            self.index.encode_vectors(len(part), faiss.swig_ptr(vectors), faiss.swig_ptr(lists), faiss.swig_ptr(codes))
            yield self._entries(lists, part, codes)

    def kept(self, numbers: NDArray[np.int32]) -> Iterator[NDArray[Any]]:
        """Yield the entries of rows that stay in their lists, with their codes, list by list.

        Args:
            numbers: ``(n,)``, the number that each row gets, or -1 for one that is not kept.
        """
        faiss = load_faiss()
        lists = self.index.invlists
        for number in range(lists.nlist):
            if size := lists.list_size(number):
                rows = numbers[faiss.rev_swig_ptr(lists.get_ids(number), size)]
                codes = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).reshape(size, -1)
                is_kept = rows >= 0
                yield self._entries(number, rows[is_kept], codes[is_kept])

    def _entries(self, lists: Ids | int, rows: NDArray[Any], codes: NDArray[np.uint8]) -> NDArray[Any]:
        entries = np.empty(len(rows), self._entry_type)
        entries["key"], entries["row"], entries["code"] = lists, rows, codes
        return entries

    @property
    def _entry_type(self) -> np.dtype[Any]:
        """A row in a list: the list's number, the row's and its code."""
        return np.dtype([("key", np.int32), ("row", np.int32), ("code", np.uint8, (self.index.code_size,))])

    def fill(self, path: Path, rows: SpooledRows, entries: Iterable[NDArray[Any]]) -> Clusters:
        """Write these clusters with an entry for each of the rows, and map what was written.

        The file is as FAISS writes it, which would hold all lists while they are filled: 64 bytes a row. Here memory
        is that of some of the lists (:func:`qa.index.arrays.sort_records`).

        Raises:
            StorageError: the file, or a temporary one beside the rows, cannot be written.
        """
        # One that is there may be mapped, and must not be written over.
        path.unlink(missing_ok=True)
        self.index.ntotal = len(rows)
        write_faiss(self.index, path)
        self.index.ntotal = 0
        lists, code_size = self.lists, self.index.code_size
        sizes = np.zeros(lists, np.uint64)
        try:
            with path.open("r+b") as file:
                # Empty lists are all that stands at the end.
                at = file.seek(-_HEADER.size, os.SEEK_END)
                file.write(_HEADER.pack(b"ilar", lists, code_size, b"full", lists) + sizes.tobytes())
                for part in sort_records(entries, self._entry_type, len(rows), lists, rows.folder):
                    numbers, starts = np.unique(part["key"], return_index=True)
                    bounds = [*starts.tolist(), len(part)]
                    sizes[numbers] = np.diff(bounds)
                    for start, end in pairwise(bounds):
                        file.write(part["code"][start:end].tobytes())
                        file.write(part["row"][start:end].astype(np.int64).data)
                file.seek(at + _HEADER.size)
                file.write(sizes.data)
        except OSError as error:
            raise unwritten(path) from error
        return Clusters.open(path, self.trained_rows)

    def search(self, vector: Vectors, count: int, nprobe: int, bits: Bits | None = None) -> tuple[Vectors, Ids]:
        """Find the rows nearest to a query ``(d,)`` in the ``nprobe`` nearest lists.

        Returns:
            estimated inner products and numbers of at most ``count`` rows, nearest
            first; where bits are given, of the rows whose bits are set.
        """
        faiss = load_faiss()
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        parameters = faiss.IVFRaBitQSearchParameters()
        parameters.nprobe, parameters.qb, parameters.centered = nprobe, _QUERY_BITS, False
        if selector is not None:
            parameters.sel = selector
        if self._has_graph:
            graph = faiss.SearchParametersHNSW(efSearch=max(64, 2 * nprobe))
            parameters.quantizer_params = graph
        (distances,), (rows,) = self.index.search(vector[None, :], count, params=parameters)
        return distances[rows >= 0], rows[rows >= 0]

    def verify(self) -> None:
        """Raise VectorIndexError unless each row is in one list."""
        faiss = load_faiss()
        lists = self.index.invlists
        seen = np.zeros(self.index.ntotal, dtype=np.bool_)
        for number in range(lists.nlist):
            if size := lists.list_size(number):
                rows = faiss.rev_swig_ptr(lists.get_ids(number), size)
                seen[rows[(rows >= 0) & (rows < len(seen))]] = True
        if missing := int(np.count_nonzero(~seen)):
            raise VectorIndexError(f"{missing} rows are in no list of the approximate index")


def list_count(rows: int) -> int:
    """Return how many lists an index has: a power of two, 2,048 for 200,000 rows and 16,384 for 10 million."""
    wanted = round(math.log2(_LISTS * math.sqrt(rows)))
    return int(2 ** min(wanted, int(math.log2(max(1, rows // _SAMPLE)))))


def train(rows: SpooledRows) -> Clusters:
    """Train on a sample of rows, in one thread and with a fixed seed: the same rows give the same clusters.

    The sample lies in a file, which is mapped: it is a gigabyte at ten million rows.

    Raises:
        StorageError: the file cannot be written.
    """
    faiss = load_faiss()
    lists = list_count(len(rows))
    chosen = _sample(len(rows), min(len(rows), _SAMPLE * lists))
    path = rows.folder / "sample"
    with writing(path) as file:
        for at in range(0, len(chosen), _AT_ONCE):
            file.write(rows.vectors(chosen[at : at + _AT_ONCE]).data)
    sample = np.memmap(path, np.float32, "r", shape=(len(chosen), rows.dimension)).view(np.ndarray)
    path.unlink()
    parameters = faiss.ClusteringParameters()
    parameters.niter, parameters.seed, parameters.spherical = _ITERATIONS, SEED, True
    # FAISS prints what it thinks of the size of a sample.
    parameters.min_points_per_centroid, parameters.max_points_per_centroid = 1, len(sample)
    clustering = faiss.Clustering(rows.dimension, lists, parameters)
    clustering.train(sample, faiss.IndexFlatIP(rows.dimension))
    centroids = faiss.vector_to_array(clustering.centroids).reshape(lists, rows.dimension)
    if lists >= _GRAPH:
        quantizer = faiss.IndexHNSWFlat(rows.dimension, _LINKS, faiss.METRIC_INNER_PRODUCT)
        quantizer.hnsw.efConstruction, quantizer.hnsw.efSearch = 100, 32
    else:
        quantizer = faiss.IndexFlatIP(rows.dimension)
    quantizer.add(centroids)
    index = faiss.IndexIVFRaBitQ(quantizer, rows.dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.own_fields = True
    quantizer.this.disown()
    index.train(sample[:_AT_ONCE])
    return Clusters(index, len(rows))


def _sample(rows: int, count: int) -> Ids:
    """Choose ``count`` numbers of rows, ascending, one of each stretch of rows: it takes no memory for the others."""
    bounds = np.linspace(0, rows, count + 1).astype(np.int64)
    shares = np.random.default_rng(SEED).random(count)
    return bounds[:-1] + (shares * np.diff(bounds)).astype(np.int64)
