"""One collection of a Milvus server: every call, timeout, retry and error of Milvus's client is here.

The client repeats a call that could not be sent, or that the server was too busy for, until the call's time is over. A
call that fails after all is a :class:`VectorsUnavailable`: nothing is answered from what came before it. Milvus itself
fails a search where a shard has no node that holds all of it, and tries the shard's other replicas before.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import structlog

from qa.errors import ExtraMissing, VectorsUnavailable
from qa.index.vectors.milvus.filters import ID_FIELD, MOST_BYTES, field_name, stored_value

if TYPE_CHECKING:
    from qa.types import Ids, MilvusAddress, Vectors

log = structlog.get_logger(__name__)

VECTOR_FIELD = "vector"
# The inner product, which is the cosine, as every vector is of unit length.
METRIC = "IP"
# Results of one search, and rows of one query: Milvus's own bound.
WINDOW = 16_384
# Vectors of one shard are searched by one node for each replica; a node holds tens of millions of 384 dimensions.
_SHARDS = 1
# Seconds that creating, describing and dropping may take at most, and writing a batch, and looking for what was done.
_CHANGE_SECONDS = 60.0
_WRITE_SECONDS = 120.0
# Seconds that the server may take to write what it has in memory, to index it, and to load it. Ten million rows took
# nobody that long; they bound what a server that never gets there costs.
_FLUSH_SECONDS = 900.0
_INDEX_SECONDS = 6 * 3600.0
_LOAD_SECONDS = 3600.0
# Seconds of that for which nothing but errors may be answered when it is asked how far it is: a part of the server that
# starts again, as in a cluster it does, must not cost hours of indexing. Whoever loads may have a person waiting.
_INDEX_BORNE_SECONDS, _LOAD_BORNE_SECONDS = 600.0, 60.0
# Seconds that a search may take by which recall is measured. Nobody waits for the answer.
_MEASURE_SECONDS = 120.0
_LOOK_EVERY = 0.2
_BATCH_BYTES = 8 << 20
_SHOWN_CHARS = 300
# Answers of one request, over all of its questions.
_MOST_RESULTS = 1 << 18


class _GivenUp(VectorsUnavailable):
    """What the server was asked to do has failed, and it does not try again."""


class Collection:
    """A collection by its name, which need not exist yet.

    Args:
        address: of the server, whose ``seconds`` are the time that a search or a query may take.
        strong: reads see all that was written before them; otherwise, what was written more than 5 seconds ago, for a
            collection that does not change any more, and a hundred times faster.

    Raises:
        ExtraMissing: the client is not installed.
        VectorsUnavailable: the server cannot be reached, or refuses the token. Every method raises it, too.
    """

    def __init__(self, address: MilvusAddress, name: str, *, strong: bool) -> None:
        self.name = name
        self._address = address
        self._consistency = "Strong" if strong else "Bounded"
        connect = _pymilvus().MilvusClient
        self._failures = _failures()
        with self._calling("be reached"):
            # A shared connection would have the patience of whoever opened it first.
            self._client = connect(address.uri, token=address.token, timeout=address.seconds, dedicated=True)

    def create(self, dimension: int, columns: Sequence[str]) -> None:
        """Create the collection, empty and without an index."""
        types = _pymilvus().DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ID_FIELD, types.INT64, is_primary=True)
        schema.add_field(VECTOR_FIELD, types.FLOAT_VECTOR, dim=dimension)
        for column in columns:
            schema.add_field(field_name(column), types.VARCHAR, max_length=MOST_BYTES)
        with self._calling("create a collection"):
            self._client.create_collection(
                self.name,
                schema=schema,
                num_shards=_SHARDS,
                consistency_level="Strong",
                timeout=_CHANGE_SECONDS,
            )

    def exists(self) -> bool:
        with self._calling("say which collections it has"):
            return bool(self._client.has_collection(self.name, timeout=self._address.seconds))

    def drop(self) -> None:
        """Drop the collection; it is no error where there is none."""
        # A server that is away is noticed in the time that a search may take.
        if not self.exists():
            return
        with self._calling("drop a collection"):
            self._client.drop_collection(self.name, timeout=_CHANGE_SECONDS)

    def write(self, ids: Ids, vectors: Vectors, columns: Mapping[str, Sequence[str]], *, replace: bool) -> None:
        """Write rows ``(n,)`` of distinct ids; where some may be there already, ``replace`` them.

        When it returns, the rows are in the server's log: they outlive its end.
        """
        write = self._client.upsert if replace else self._client.insert
        step = max(1, _BATCH_BYTES // (4 * vectors.shape[1]))
        with self._calling("write rows"):
            for start in range(0, len(ids), step):
                rows = slice(start, start + step)
                batch = [
                    {ID_FIELD: id, VECTOR_FIELD: vector}
                    for id, vector in zip(ids[rows].tolist(), vectors[rows], strict=True)
                ]
                for column, values in columns.items():
                    name = field_name(column)
                    for row, value in zip(batch, values[rows], strict=True):
                        row[name] = stored_value(value)
                write(self.name, batch, timeout=_WRITE_SECONDS)

    def delete(self, expression: str) -> None:
        """Delete the rows that pass."""
        with self._calling("delete rows"):
            self._client.delete(self.name, filter=expression, timeout=_WRITE_SECONDS)

    def flush(self) -> None:
        """Return when what was written is in the server's store, out of its log."""
        with self._calling("store what was written"):
            self._client.flush(self.name, timeout=_FLUSH_SECONDS)

    def index(self, parameters: Mapping[str, object]) -> None:
        """Index the vectors, and return when all that are stored are indexed.

        Args:
            parameters: ``type``, and what Milvus wants to know of an index of that type.
        """
        index = self._client.prepare_index_params()
        of_type = {name: value for name, value in parameters.items() if name != "type"}
        index.add_index(VECTOR_FIELD, index_type=parameters["type"], metric_type=METRIC, params=of_type)
        with self._calling("index what was written"):
            self._client.create_index(self.name, index, timeout=_CHANGE_SECONDS, sync=False)
        self._wait(self._is_indexed, _INDEX_SECONDS, _INDEX_BORNE_SECONDS, "index what was written")

    def drop_index(self) -> None:
        """Drop the index, and what is loaded with it."""
        with self._calling("drop an index"):
            self._client.release_collection(self.name, timeout=_CHANGE_SECONDS)
            self._client.drop_index(self.name, VECTOR_FIELD, timeout=_CHANGE_SECONDS)

    def _is_indexed(self) -> bool:
        found = self._client.describe_index(self.name, VECTOR_FIELD, timeout=self._address.seconds) or {}
        if found.get("state") == "Failed":
            raise _GivenUp(f"{self._server} could not index the vectors: {found.get('index_state_fail_reason')}")
        return found.get("state") == "Finished" and not found.get("pending_index_rows")

    def load(self) -> None:
        """Load the collection in every replica, and return when all of it can be searched."""
        replicas = self._address.replicas
        of_many = "" if replicas == 1 else f" in the {replicas} replicas of QA_MILVUS_REPLICAS"
        with self._calling(f"load a collection{of_many}"):
            self._client.load_collection(self.name, replica_number=replicas, timeout=_CHANGE_SECONDS, _async=True)
        self._wait(self.is_loaded, _LOAD_SECONDS, _LOAD_BORNE_SECONDS, "load a collection")

    def release(self) -> None:
        """Free the memory that the collection takes; it is no error where there is none. It can be loaded again."""
        if not self.exists():
            return
        with self._calling("release a collection"):
            self._client.release_collection(self.name, timeout=_CHANGE_SECONDS)

    def is_loaded(self) -> bool:
        with self._calling("say what is loaded"):
            state = self._client.get_load_state(self.name, timeout=self._address.seconds)["state"]
        return str(getattr(state, "name", state)) == "Loaded"

    def warn_of_replicas(self) -> None:
        """Log that the collection is loaded in fewer replicas than are asked for: it keeps those that it has."""
        if (asked := self._address.replicas) == 1:
            return
        with self._calling("say in how many replicas a collection is loaded"):
            loaded = len(self._client.describe_replica(self.name, timeout=self._address.seconds))
        if loaded < asked:
            log.warning(
                "vectors are loaded in fewer replicas than QA_MILVUS_REPLICAS asks for",
                collection=self.name,
                loaded=loaded,
                asked=asked,
                to_do="release the collection in Milvus, and it is loaded again; or build the index again",
            )

    def count(self, expression: str = "") -> int:
        """Count the rows that pass."""
        with self._calling("count rows"):
            (found,) = self._client.query(
                self.name,
                filter=expression,
                output_fields=["count(*)"],
                consistency_level=self._consistency,
                timeout=self._address.seconds,
            )
        return int(found["count(*)"])

    def vectors(self, expression: str, dimension: int) -> tuple[Ids, Vectors]:
        """Read the ids ``(n,)`` and vectors ``(n, d)`` of the rows that pass, at most as many as a window holds."""
        with self._calling("read vectors"):
            found = self._client.query(
                self.name,
                filter=expression,
                output_fields=[ID_FIELD, VECTOR_FIELD],
                limit=WINDOW,
                consistency_level=self._consistency,
                timeout=self._address.seconds,
            )
        ids = np.fromiter((row[ID_FIELD] for row in found), np.int64, len(found))
        return ids, np.array([row[VECTOR_FIELD] for row in found], np.float32).reshape(len(ids), dimension)

    def search(
        self,
        vectors: Vectors,
        limit: int,
        expression: str,
        parameters: Mapping[str, object],
        *,
        is_measured: bool = False,
    ) -> list[tuple[Ids, Vectors]]:
        """Find for each of ``vectors (q, d)`` the ids and inner products, both ``(n,)``, of the nearest rows that pass.

        Args:
            limit: the most rows for each, up to :data:`WINDOW`.
            parameters: how the index is searched.
            is_measured: whether recall is measured by it, which may take longer than an answer.
        """
        seconds = max(_MEASURE_SECONDS, self._address.seconds) if is_measured else self._address.seconds
        found: list[tuple[Ids, Vectors]] = []
        # Lite multiplies matrices, and the last bits of a product depend on what is multiplied beside it.
        step = max(1, _MOST_RESULTS // limit) if _is_server(self._address) else 1
        for start in range(0, len(vectors), step):
            with self._calling("search"):
                results = self._client.search(
                    self.name,
                    data=vectors[start : start + step],
                    filter=expression,
                    limit=limit,
                    anns_field=VECTOR_FIELD,
                    search_params={"metric_type": METRIC, "params": dict(parameters)},
                    consistency_level=self._consistency,
                    timeout=seconds,
                )
            if len(results) != len(vectors[start : start + step]):
                raise VectorsUnavailable(f"{self._server} answered {len(results)} of the questions; ask again")
            for hits in results:
                ids = np.fromiter((hit[ID_FIELD] for hit in hits), np.int64, len(hits))
                scores = np.fromiter((hit["distance"] for hit in hits), np.float32, len(hits))
                found.append((ids, scores))
        return found

    def close(self) -> None:
        self._client.close()

    @property
    def _server(self) -> str:
        return f"Milvus at {shown_address(self._address)}"

    def _wait(self, is_done: Callable[[], bool], seconds: float, borne_seconds: float, doing: str) -> None:
        """Ask until it is done, for so many ``seconds``, and for ``borne_seconds`` where nothing but errors come."""
        now = answered = time.monotonic()
        deadline = now + seconds
        while True:
            error: VectorsUnavailable | None = None
            try:
                with self._calling(doing):
                    if is_done():
                        return
                answered = time.monotonic()
            except _GivenUp:
                raise
            except VectorsUnavailable as failure:
                error = failure
            now = time.monotonic()
            if error is not None and now > min(deadline, answered + borne_seconds):
                raise error
            if now > deadline:
                raise VectorsUnavailable(f"{self._server} did not {doing} within {seconds:g} seconds")
            time.sleep(_LOOK_EVERY)

    @contextmanager
    def _calling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            reason = " ".join(str(getattr(error, "message", "") or error).split())[:_SHOWN_CHARS]
            if self._address.token:
                reason = reason.replace(self._address.token, "…")
            raise VectorsUnavailable(
                f"{self._server} cannot {doing} ({reason}); check that it runs, and QA_MILVUS and QA_MILVUS_TOKEN"
            ) from None


def shown_address(address: MilvusAddress) -> str:
    """Return host and port, or the file of Milvus Lite, without what may be secret in a URI."""
    parts = urlsplit(address.uri)
    return f"{parts.hostname}:{parts.port or 19530}" if _is_server(address) else address.uri


def _is_server(address: MilvusAddress) -> bool:
    """Tell whether it is a server, and not a file of Milvus Lite."""
    return urlsplit(address.uri).scheme in {"http", "https"}


@cache
def _pymilvus() -> Any:
    """Import Milvus's client, which takes a second, and brings pandas and gRPC.

    It would load a ``.env`` file into the environment, and print each error that it raises, which may hold a question.
    """
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
    try:
        import pymilvus
    except ImportError as error:
        raise ExtraMissing("an index in Milvus", "milvus") from error
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus


def _failures() -> tuple[type[Exception], ...]:
    import grpc

    return _pymilvus().MilvusException, grpc.RpcError
