"""What one collection makes of a server's answers: how long it waits, what it bears, and with what it calls.

A fake stands for Milvus's client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from qa.errors import VectorsUnavailable
from qa.index.vectors.milvus import collection as module
from qa.index.vectors.milvus.collection import Collection
from qa.types import MilvusAddress

SECONDS = 10.0


class Failure(Exception):
    """Stands for the exception of Milvus's client."""


class Client:
    """A client whose answers a test gives; an exception among them is raised."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.called: list[tuple[str, Mapping[str, Any]]] = []
        self.indexing: Iterator[Mapping[str, Any] | Exception] = iter(())
        self.loading: Iterator[str | Exception] = iter(())
        self.replicas = 0

    def prepare_index_params(self) -> Any:
        return SimpleNamespace(add_index=lambda *arguments, **named: None)

    def create_index(self, *arguments: Any, **named: Any) -> None: ...

    def load_collection(self, name: str, **named: Any) -> None:
        self.called.append(("load", named))

    def describe_index(self, *arguments: Any, **named: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._next(self.indexing)
        return answer

    def get_load_state(self, *arguments: Any, **named: Any) -> Mapping[str, Any]:
        return {"state": self._next(self.loading)}

    def describe_replica(self, *arguments: Any, **named: Any) -> list[Any]:
        return [object()] * self.replicas

    def search(self, name: str, data: Any, limit: int, **named: Any) -> list[list[Any]]:
        self.called.append(("search", named))
        return [[] for _ in data]

    def _next(self, answers: Iterator[Any]) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


Make = Callable[..., tuple[Collection, Client]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    pytest.importorskip("grpc")

    def make(replicas: int = 1) -> tuple[Collection, Client]:
        client = Client()
        pymilvus = SimpleNamespace(MilvusClient=lambda *arguments, **named: client, MilvusException=Failure)
        monkeypatch.setattr(module, "_pymilvus", lambda: pymilvus)
        monkeypatch.setattr(module, "_LOOK_EVERY", 0.0)
        address = MilvusAddress("http://milvus:19530", seconds=SECONDS, replicas=replicas)
        return Collection(address, "c", strong=False), client

    return make


DONE = {"state": "Finished", "pending_index_rows": 0}
BUSY = {"state": "InProgress", "pending_index_rows": 5}


def test_bad_answers_while_it_indexes_or_loads_are_borne(make: Make) -> None:
    collection, client = make()
    client.indexing = iter([BUSY, Failure("no coordinator"), Failure("no coordinator"), BUSY, Failure("again"), DONE])
    collection.index({"type": "FLAT"})
    client.loading = iter(["Loading", Failure("no coordinator"), "Loaded"])
    collection.load()
    assert next(client.indexing, None) is None
    assert next(client.loading, None) is None


def test_where_nothing_but_errors_come_the_last_is_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    collection, client = make()
    monkeypatch.setattr(module, "_INDEX_BORNE_SECONDS", -1.0)
    client.indexing = iter([BUSY, Failure("the coordinator is away")])
    with pytest.raises(VectorsUnavailable, match=r"milvus:19530 cannot index .*\(the coordinator is away\)"):
        collection.index({"type": "FLAT"})
    monkeypatch.setattr(module, "_LOAD_SECONDS", -1.0)
    client.loading = iter([Failure("out of memory")])
    with pytest.raises(VectorsUnavailable, match="out of memory"):
        collection.load()


def test_what_never_gets_done_is_waited_for_so_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    collection, client = make()
    monkeypatch.setattr(module, "_LOAD_SECONDS", -1.0)
    client.loading = iter(["Loading"])
    with pytest.raises(VectorsUnavailable, match="did not load a collection within -1 seconds"):
        collection.load()


def test_an_index_that_the_server_has_given_up_is_not_waited_for(make: Make) -> None:
    collection, client = make()
    client.indexing = iter([{"state": "Failed", "index_state_fail_reason": "no space"}])
    with pytest.raises(VectorsUnavailable, match="could not index the vectors: no space"):
        collection.index({"type": "FLAT"})


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_replicas_that_are_asked_for_are_loaded(make: Make, replicas: int) -> None:
    collection, client = make(replicas)
    client.loading = iter(["Loaded"])
    collection.load()
    assert [named["replica_number"] for name, named in client.called if name == "load"] == [replicas]


@pytest.mark.parametrize(("asked", "loaded", "is_said"), [(1, 1, False), (2, 2, False), (2, 1, True), (1, 2, False)])
def test_fewer_replicas_than_are_asked_for_are_logged(make: Make, asked: int, loaded: int, is_said: bool) -> None:
    collection, client = make(asked)
    client.replicas = loaded
    with capture_logs() as logs:
        collection.warn_of_replicas()
    assert [(line["loaded"], line["asked"]) for line in logs] == [(loaded, asked)] * is_said
    assert all("QA_MILVUS_REPLICAS" in line["event"] and "release" in line["to_do"] for line in logs)


def test_an_answer_has_the_time_that_is_set_and_a_measurement_more(make: Make) -> None:
    collection, client = make()
    vectors = np.ones((1, 4), np.float32)
    collection.search(vectors, 10, "", {})
    collection.search(vectors, 10, "", {}, is_measured=True)
    given = [named["timeout"] for name, named in client.called if name == "search"]
    assert given == [SECONDS, 120.0]
