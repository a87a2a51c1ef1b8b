"""The clusters in which an approximate index finds candidates: trained on a sample of its rows, or taken over.

It is what ``IVF4096,RaBitQ`` stands for in FAISS: the nearest of the centroids says in which list a row lies, and a bit
for each dimension on which side of it (Gao & Long, 2024, "RaBitQ: Quantizing High-Dimensional Vectors with a
Theoretical Error Bound for Approximate Nearest Neighbor Search").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import VectorIndexError
from qa.index.vectors.exact import load_faiss, read_faiss, write_faiss
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class Clusters:
    """An ``IndexIVFRaBitQ`` of FAISS for inner products, whose ids are the numbers of rows.

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
        """Read clusters to which other rows are to be added. Raises SnapshotCorrupt."""
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

    def add(self, rows: SpooledRows, numbers: Ids | None = None) -> None:
        """Add all rows, or those with these ``numbers (m,)``, each in the list whose centroid is nearest.

        Blocks are of one size, so that the file does not depend on how the rows came.
        """
        # This thread may be new to OpenMP, which counts threads for each of its callers.
        load_faiss()
        chosen = np.arange(len(rows)) if numbers is None else numbers
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            self.index.add_with_ids(rows.vectors(part), part)

    def keep(self, before: Clusters, numbers: Ids) -> None:
        """Add rows of another index with the same centroids, in the lists and with the codes that they have there.

        Args:
            numbers: ``(m,)``, for each row of ``before`` its number here, or -1 for one that is not kept.
        """
        faiss = load_faiss()
        lists, given = self.index.invlists, before.index.invlists
        for number in range(lists.nlist):
            size = given.list_size(number)
            if not size:
                continue
            rows = numbers[faiss.rev_swig_ptr(given.get_ids(number), size)]
            codes = faiss.rev_swig_ptr(given.get_codes(number), size * lists.code_size).reshape(size, -1)
            kept = rows >= 0
            # FAISS gets addresses: the arrays must have names, or they are gone before it reads them.
            rows, codes = rows[kept], codes[kept]
            if len(rows):
                lists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes))
                self.index.ntotal += len(rows)

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

    def write(self, path: Path) -> None:
        """Write the index. Raises StorageError."""
        write_faiss(self.index, path)


def list_count(rows: int) -> int:
    """Return how many lists an index has: a power of two, 2,048 for 200,000 rows and 16,384 for 10 million."""
    wanted = round(math.log2(_LISTS * math.sqrt(rows)))
    return int(2 ** min(wanted, int(math.log2(max(1, rows // _SAMPLE)))))


def train(rows: SpooledRows) -> Clusters:
    """Train on a sample of rows, in one thread and with a fixed seed: the same rows give the same clusters."""
    faiss = load_faiss()
    lists = list_count(len(rows))
    generator = np.random.default_rng(SEED)
    chosen = np.sort(generator.choice(len(rows), min(len(rows), _SAMPLE * lists), replace=False))
    # Filled, and not joined of parts, which would take twice the memory: a gigabyte at ten million rows.
    sample = np.empty((len(chosen), rows.dimension), np.float32)
    for at in range(0, len(chosen), _AT_ONCE):
        sample[at : at + _AT_ONCE] = rows.vectors(chosen[at : at + _AT_ONCE])
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
