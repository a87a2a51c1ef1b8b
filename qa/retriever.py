"""A query to ranked passages. One leg so far: the bi-encoder's cosine."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from fnmatch import translate
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
        """Queries are encoded together, and each succeeds or fails by itself; results in their order.

        In a reply's timings ``encode`` is that of all the queries, and ``total`` begins with their arrival.
        """
        arrived = time.perf_counter()
        matching: dict[tuple[str, ...], Filter | None] = {(): None}
        filters = [self._checked(query, matching) for query in queries]
        sound = [at for at, filter in enumerate(filters) if not isinstance(filter, QueryError)]
        encoding = time.perf_counter()
        vectors = iter(self._encoder.encode_questions([queries[at].question for at in sound]))
        encoded = time.perf_counter()
        before = {"encode": 1000 * (encoded - encoding), "total": 1000 * (encoded - arrived)}
        return [
            filter if isinstance(filter, QueryError) else self._search(query, next(vectors), filter, before)
            for query, filter in zip(queries, filters, strict=True)
        ]

    def _checked(self, query: Query, matching: dict[tuple[str, ...], Filter | None]) -> Filter | QueryError | None:
        """The query's filter, or what is wrong with the query; ``matching`` keeps what globs came to."""
        try:
            check(query, self._limits)
            (tokens,) = self._encoder.count_question_tokens([query.question])
            if tokens > self._encoder.window:
                raise QuestionTooLong(tokens, self._encoder.window)
            if query.documents not in matching:
                matching[query.documents] = self._matching(query.documents)
        except QueryError as error:
            return error
        return matching[query.documents]

    def _matching(self, globs: tuple[str, ...]) -> Filter | None:
        ids = self.index.store.document_ids
        pattern = re.compile("|".join(map(translate, globs)))
        matching = tuple(id for id in ids if pattern.match(id))
        if not matching:
            raise QueryError("documents", f"no indexed document matches {' or '.join(map(repr, globs))}")
        return In(DOCUMENT_COLUMN, matching) if len(matching) < len(ids) else None

    def _search(self, query: Query, vector: Vectors, filter: Filter | None, before: Mapping[str, float]) -> Reply:
        started = time.perf_counter()
        ids, cosines = self.index.vectors.search(vector[None, :], query.top_k, filter)
        found = [(int(id), float(cosine)) for id, cosine in zip(ids[0], cosines[0], strict=True) if id >= 0]
        passages = self.index.store.find_passages([id for id, _ in found])
        hits = tuple(
            Hit(rank, passages[id][0], passages[id][1], Scores(dense=cosine))
            for rank, (id, cosine) in enumerate(found, start=1)
        )
        search = 1000 * (time.perf_counter() - started)
        timings = {"encode": before["encode"], "search": search, "total": before["total"] + search}
        return Reply(query.question, hits, self.index.manifest.id, timings)
