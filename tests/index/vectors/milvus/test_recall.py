"""How an index in Milvus chooses what a query searches: by recall, measured when it is saved and when it is verified.

A fake stands for the server's collection: clusters whose centroids are some of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from qa.errors import VectorIndexError, VectorsUnavailable
from qa.index.vectors.clusters import list_count
from qa.index.vectors.milvus.collection import Collection
from qa.index.vectors.milvus.engine import MilvusVectors
from qa.protocols import VectorRows

ROWS, DIMENSION = 3000, 16
Matrix = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A search: of how many queries, in how many clusters, and whether recall was measured by it."""

    queries: int
    nprobe: int | None
    is_measured: bool


class ClusteredCollection:
    """What :class:`MilvusVectors` asks of a collection that is not filtered, in memory."""

    name = "fake"

    def __init__(self) -> None:
        self._ids: Integers = np.empty(0, np.int64)
        self._vectors: Matrix = np.empty((0, DIMENSION), np.float32)
        self.indexes: list[Mapping[str, object]] = []
        self.probed: int | None = None
        self.searches: list[Asked] = []

    def write(self, ids: Integers, vectors: Matrix, columns: Mapping[str, Sequence[str]], *, replace: bool) -> None:
        self._ids, self._vectors = np.append(self._ids, ids), np.concatenate([self._vectors, vectors])

    def flush(self) -> None: ...

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def drop_index(self) -> None: ...

    def index(self, parameters: Mapping[str, object]) -> None:
        self.indexes.append(parameters)
        self._centroids = self._vectors[:: len(self._ids) // cast("int", parameters.get("nlist", 1))]
        self._clusters = np.argmax(self._vectors @ self._centroids.T, axis=1)

    def count(self, expression: str = "") -> int:
        return len(self._ids)

    def vectors(self, expression: str, dimension: int) -> tuple[Integers, Matrix]:
        at = np.isin(self._ids, np.array(re.findall(r"\d+", expression), np.int64))
        return self._ids[at], self._vectors[at]

    def search(
        self,
        vectors: Matrix,
        limit: int,
        expression: str,
        parameters: Mapping[str, int],
        *,
        is_measured: bool = False,
    ) -> list[tuple[Integers, Matrix]]:
        self.probed = parameters.get("nprobe")
        self.searches.append(Asked(len(vectors), self.probed, is_measured))
        found = []
        for vector in vectors:
            probed = np.argsort(-(self._centroids @ vector))[: parameters.get("nprobe", len(self._centroids))]
            at = np.flatnonzero(np.isin(self._clusters, probed))
            products = self._vectors[at] @ vector
            best = np.argsort(-products)[:limit]
            found.append((self._ids[at[best]], products[best]))
        return found


def gathered(seed: int, rows: int) -> Matrix:
    """Make vectors of unit length in 50 groups, as texts of some subjects are."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((50, DIMENSION))
    vectors = centres[generator.integers(0, 50, rows)] + 0.5 * generator.standard_normal((rows, DIMENSION))
    return cast("Matrix", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def filled(collection: ClusteredCollection, exact_up_to: int, least_recall: float = 0.9) -> MilvusVectors:
    ids = np.empty(0, np.int64)
    index = MilvusVectors(cast("Collection", collection), DIMENSION, (), ids, exact_up_to, least_recall)
    index.upsert(VectorRows(3 * np.arange(ROWS), gathered(1, ROWS)))
    return index


def recall(index: MilvusVectors) -> float:
    """Measure by queries that are not rows with noise."""
    queries = gathered(2, 100)
    nearest = 3 * np.argsort(-(queries @ gathered(1, ROWS).T), axis=1)[:, :10]
    return float(
        np.mean([np.isin(of, ids).mean() for of, ids in zip(nearest, index.search(queries, 10)[0], strict=True)])
    )


def test_as_few_clusters_are_searched_as_find_what_exact_search_does(tmp_path: Path) -> None:
    collection = ClusteredCollection()
    index = filled(collection, exact_up_to=ROWS - 1)
    index.save(tmp_path)
    description = index.describe()
    clusters = list_count(ROWS)
    assert collection.indexes == [{"type": "IVF_FLAT", "nlist": clusters}]
    searched = cast("Mapping[str, int]", description["index"])["nprobe"]
    assert 1 < searched < clusters
    assert description["recall_queries"] == 200
    assert cast("float", description["recall_at_10"]) >= 0.985
    assert recall(index) >= 0.95
    index.verify()


def test_up_to_the_limit_search_is_exact_and_nothing_is_measured(tmp_path: Path) -> None:
    index = filled(ClusteredCollection(), exact_up_to=ROWS)
    index.save(tmp_path)
    assert index.describe()["index"] == {"type": "FLAT"}
    assert "recall_at_10" not in index.describe()
    assert recall(index) == 1
    index.verify()


def test_all_rows_are_searched_where_too_little_would_be_found(tmp_path: Path) -> None:
    collection = ClusteredCollection()
    # More than all of them cannot be found.
    index = filled(collection, exact_up_to=0, least_recall=1.01)
    index.save(tmp_path)
    assert [each["type"] for each in collection.indexes] == ["IVF_FLAT", "FLAT"]
    assert index.describe()["index"] == {"type": "FLAT"}
    assert "recall_at_10" not in index.describe()
    assert recall(index) == 1


class EmptyAnswers(ClusteredCollection):
    """A server that counts all rows and finds none, as while it moves them from one node to another."""

    def search(
        self,
        vectors: Matrix,
        limit: int,
        expression: str,
        parameters: Mapping[str, int],
        *,
        is_measured: bool = False,
    ) -> list[tuple[Integers, Matrix]]:
        return [(self._ids[:0], np.empty(0, np.float32)) for _ in vectors]


def test_what_all_clusters_do_not_find_is_no_measure(tmp_path: Path) -> None:
    index = filled(EmptyAnswers(), exact_up_to=0)
    with pytest.raises(VectorsUnavailable, match="another number of rows"):
        index.save(tmp_path)


def test_measuring_compares_no_more_rows_in_a_search_than_a_server_manages_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = ClusteredCollection()
    index = filled(collection, exact_up_to=0)
    clusters, most = list_count(ROWS), 2 * ROWS
    monkeypatch.setattr("qa.index.vectors.milvus.engine._COMPARED_AT_ONCE", most)
    index.save(tmp_path)
    assert all(asked.is_measured for asked in collection.searches)
    compared = [asked.queries * ROWS * (asked.nprobe or 0) / clusters for asked in collection.searches]
    assert max(compared) <= most
    # Fewer clusters are searched by more queries at once.
    assert {asked.queries for asked in collection.searches} >= {2, 50}
    collection.searches = []
    index.search(gathered(2, 3), 10)
    assert collection.searches == [Asked(3, collection.probed, is_measured=False)]


def test_where_one_query_alone_compares_more_rows_it_is_asked_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = ClusteredCollection()
    index = filled(collection, exact_up_to=0)
    monkeypatch.setattr("qa.index.vectors.milvus.engine._COMPARED_AT_ONCE", 1)
    index.save(tmp_path)
    assert {asked.queries for asked in collection.searches} == {1}


def test_a_search_for_more_rows_than_recall_is_measured_of_takes_four_times_the_clusters(tmp_path: Path) -> None:
    collection = ClusteredCollection()
    index = filled(collection, exact_up_to=0)
    index.save(tmp_path)
    measured = cast("Mapping[str, int]", index.describe()["index"])
    for k, expected in ((10, measured["nprobe"]), (11, min(4 * measured["nprobe"], measured["nlist"]))):
        index.search(gathered(2, 1), k)
        assert collection.probed == expected


def test_verifying_finds_that_clusters_hold_less_than_was_measured(tmp_path: Path) -> None:
    collection = ClusteredCollection()
    index = filled(collection, exact_up_to=0)
    index.save(tmp_path)
    # As if the server had clustered again, and worse.
    collection._clusters = np.random.default_rng(3).permutation(collection._clusters)
    with pytest.raises(
        VectorIndexError, match=r"search finds 0\.\d+ of the ten nearest vectors, and the manifest says"
    ):
        index.verify()
