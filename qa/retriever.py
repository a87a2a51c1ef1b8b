"""A query to ranked passages. One leg so far: the bi-encoder's cosine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from qa.errors import QueryError, QuestionTooLong
from qa.filters import Filter, In
from qa.index import DOCUMENT_COLUMN, Index
from qa.queries import check
from qa.types import Encoder, Hit, Limits, Query, Reply, Scores

if TYPE_CHECKING:
    from qa.types import Vectors


class Retriever:
    """Searches one open index with the encoder that it was made with. Thread-safe.

    Raises:
        SnapshotIncompatible: on construction, where the index was made with another encoder.
    """

    def __init__(self, index: Index, encoder: Encoder, limits: Limits) -> None:
        index.manifest.require_encoder(encoder.name, encoder.fingerprint)
        self.index = index
        self._encoder = encoder
        self._limits = limits

    def retrieve(self, queries: Sequence[Query]) -> list[Reply | QueryError]:
        """Queries are encoded together, and each succeeds or fails by itself; results in their order."""
        started = time.perf_counter()
        filters: list[Filter | QueryError | None] = [self._checked(query) for query in queries]
        sound = [at for at, filter in enumerate(filters) if not isinstance(filter, QueryError)]
        vectors = iter(self._encoder.encode_questions([queries[at].question for at in sound]))
        encode_ms = 1000 * (time.perf_counter() - started)
        return [
            filter if isinstance(filter, QueryError) else self._search(query, next(vectors), filter, encode_ms)
            for query, filter in zip(queries, filters, strict=True)
        ]

    def _checked(self, query: Query) -> Filter | QueryError | None:
        """The query's filter, or what is wrong with the query."""
        try:
            check(query, self._limits)
            return self._filter(query)
        except QueryError as error:
            return error

    def _filter(self, query: Query) -> Filter | None:
        (tokens,) = self._encoder.count_question_tokens([query.question])
        if tokens > self._encoder.window:
            raise QuestionTooLong(tokens, self._encoder.window)
        if not query.documents:
            return None
        ids = self.index.store.document_ids()
        matching = tuple(id for id in ids if any(fnmatchcase(id, glob) for glob in query.documents))
        if not matching:
            raise QueryError("documents", f"no indexed document matches {' or '.join(map(repr, query.documents))}")
        return In(DOCUMENT_COLUMN, matching)

    def _search(self, query: Query, vector: Vectors, filter: Filter | None, encode_ms: float) -> Reply:
        started = time.perf_counter()
        ids, cosines = self.index.vectors.search(vector[None, :], query.top_k, filter)
        found = [(int(id), float(cosine)) for id, cosine in zip(ids[0], cosines[0], strict=True) if id >= 0]
        passages = self.index.store.find_passages([id for id, _ in found])
        hits = tuple(
            Hit(rank, passages[id][0], passages[id][1], Scores(dense=cosine))
            for rank, (id, cosine) in enumerate(found, start=1)
        )
        search_ms = 1000 * (time.perf_counter() - started)
        timings = {"encode": encode_ms, "search": search_ms, "total": encode_ms + search_ms}
        return Reply(query.question, hits, self.index.manifest.id, timings)
