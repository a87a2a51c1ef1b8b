"""A cluster of several Milvus processes on this machine: two replicas, of which one is lost under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from qa.errors import VectorsUnavailable
from qa.index.vectors.milvus.engine import MilvusVectors
from qa.protocols import VectorRows
from qa.types import MilvusAddress
from tests.support.milvus_server import MilvusServer, run_cluster
from tests.support.waiting import wait_for

ROWS, DIMENSION = 2000, 16
Cluster = tuple[MilvusServer, list[MilvusServer]]


@pytest.fixture(scope="module")
def cluster(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster of two query nodes."""
    pytest.importorskip("confluent_kafka", reason="the broker that a cluster needs comes with confluent-kafka")
    with run_cluster(programs, tmp_path_factory.mktemp("cluster"), more_nodes=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    made = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def fill(folder: Path, address: MilvusAddress, vectors: NDArray[np.float32]) -> MilvusVectors:
    """Make an index in a snapshot's folder, and save it."""
    folder.mkdir(parents=True)
    index = MilvusVectors.create(folder, address, DIMENSION, ())
    index.upsert(VectorRows(np.arange(len(vectors)), vectors))
    index.save(folder)
    return index


def test_more_replicas_than_there_are_nodes_are_refused(
    cluster: Cluster, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    with pytest.raises(VectorsUnavailable, match=r"in the 3 replicas of QA_MILVUS_REPLICAS \(nodes not enough\)"):
        fill(tmp_path / "snapshots" / "one", MilvusAddress(cluster[0].uri, seconds=10, replicas=3), vectors)


def test_fewer_replicas_than_are_asked_for_are_said_when_an_index_is_opened(
    cluster: Cluster, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots" / "one"
    address = MilvusAddress(cluster[0].uri, seconds=10, replicas=1)
    with closing(fill(folder, address, vectors)) as written:
        description = written.describe()
    said: list[list[tuple[int, int]]] = []
    for asked in (1, 2):
        with capture_logs() as logs:
            MilvusVectors.open(folder, description, replace(address, replicas=asked)).close()
        said.append([(line["loaded"], line["asked"]) for line in logs])
    assert said == [[], [(1, 2)]]


def test_the_loss_of_a_query_node_is_an_error_or_a_full_answer_and_never_a_part(
    cluster: Cluster, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    first, (node,) = cluster
    folder = tmp_path / "snapshots" / "one"
    address = MilvusAddress(first.uri, seconds=5, replicas=2)
    with closing(fill(folder, address, vectors)) as written:
        description = written.describe()
    assert replicas(first.uri, str(description["collection"])) == 2
    queries = vectors[:4]
    expected = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :10]
    whole: list[bool] = []
    stopped = threading.Event()

    def ask(served: MilvusVectors) -> None:
        while not stopped.is_set():
            try:
                whole.append(np.array_equal(served.search(queries, 10)[0], expected))
            except VectorsUnavailable:
                continue

    with closing(MilvusVectors.open(folder, description, address)) as served:
        asking = [threading.Thread(target=ask, args=(served,)) for _ in range(2)]
        for thread in asking:
            thread.start()
        try:
            wait_for(lambda: len(whole) > 100)
            node.kill()
            before = len(whole)
            wait_for(lambda: len(whole) > before + 300)
        finally:
            stopped.set()
            for thread in asking:
                thread.join()
    assert set(whole) == {True}


def replicas(uri: str, collection: str) -> int:
    """Count the query nodes that hold a collection."""
    from pymilvus import MilvusClient

    with closing(MilvusClient(uri)) as client:
        return len({node for group in client.describe_replica(collection) for node in group.group_nodes})
