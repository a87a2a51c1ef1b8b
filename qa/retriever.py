"""A query to ranked passages: the legs' candidates together, each with every leg's score, fused and made distinct."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

import numpy as np

from qa.diversity import distinct_first
from qa.errors import QueryError, QuestionTooLong
from qa.filters import And, Filter, In
from qa.fusion import fused, is_blind
from qa.index import DOCUMENT_COLUMN, Index, below
from qa.protocols import Encoder, Reranker
from qa.queries import check
from qa.types import Hit, Leg, Limits, Passage, Query, Reply, Scores

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

# Candidates that each leg gives at least, and windows that are fetched for each passage.
_DEPTH = 100
_WINDOWS_PER_PASSAGE = 3
# The first places, in which no passage repeats another.
_DISTINCT = 10
_READ_AT_ONCE = 16
# Candidates that a cross-encoder reads at most.
_RERANKED = 50
# Rows whose cosines tell what chance gives.
_SAMPLE = 1024

_NO_TERM = "no word of the question occurs in what was searched"
_BLIND = "the model tells no passage apart by this question, as where it does not know the language"


@dataclass(frozen=True, slots=True)
class Found:
    """A reply without its answer, and what an answer is chosen by.

    ``hits`` are the reply's, and more where it shows fewer than ``depth``. ``vector (d,)`` is the question's, ``None``
    where no embeddings were compared; ``chance`` are mean and standard deviation of the cosines of the question and
    windows chosen at random. ``terms`` are the forms of the question's words.
    """

    reply: Reply
    hits: tuple[Hit, ...]
    vector: Vectors | None
    terms: tuple[tuple[str, ...], ...]
    chance: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Candidates, best first: passages' keys and every leg's scores, ``None`` for a leg that took no part.

    ``logits (m,)`` are of the first ``m`` candidates, which they have put in order.
    """

    keys: Ids
    dense: Vectors | None
    lexical: Vectors | None
    scores: Vectors
    legs: tuple[Leg, ...]
    terms: tuple[tuple[str, ...], ...]
    chance: tuple[float, float] | None
    logits: Vectors | None = None


class Retriever:
    """Searches one open index with the encoder that it was made with. Thread-safe.

    Raises:
        SnapshotIncompatible: on construction, where the index was made with another encoder.
    """

    def __init__(
        self,
        index: Index,
        encoder: Encoder,
        limits: Limits,
        reranker: Reranker | None = None,
        rerank_budget_ms: float = 200.0,
    ) -> None:
        index.manifest.require_encoder(encoder.name, encoder.fingerprint)
        self.index = index
        self._encoder = encoder
        self._limits = limits
        self._reranker = reranker
        self._budget_ms = rerank_budget_ms
        # Keys are hashes: the first of them are a sample at random, and the same at every start.
        self._sample = index.windows[:_SAMPLE]

    def retrieve(self, queries: Sequence[Query]) -> list[Reply | QueryError]:
        """The replies of :meth:`find`, which have no answers."""
        return [found if isinstance(found, QueryError) else found.reply for found in self.find(queries)]

    def find(self, queries: Sequence[Query], depth: int = 0) -> list[Found | QueryError]:
        """Queries are encoded together, and each succeeds or fails by itself; results in their order.

        ``depth`` is how many hits are found at least, shown or not. In a reply's timings ``encode`` is that of all the
        queries, and ``total`` begins with their arrival.
        """
        arrived = time.perf_counter()
        matching: dict[tuple[tuple[str, ...], tuple[str, ...]], Filter | None] = {}
        filters = [self._checked(query, matching) for query in queries]
        sound = [at for at, filter in enumerate(filters) if not isinstance(filter, QueryError)]
        encoding = time.perf_counter()
        to_encode = [at for at in sound if queries[at].mode != "lexical"]
        vectors = dict(
            zip(to_encode, self._encoder.encode_questions([queries[at].question for at in to_encode]), strict=True)
        )
        encoded = time.perf_counter()
        before = {"encode": 1000 * (encoded - encoding), "total": 1000 * (encoded - arrived)}
        return [
            filter if isinstance(filter, QueryError) else self._search(query, vectors.get(at), filter, before, depth)
            for at, (query, filter) in enumerate(zip(queries, filters, strict=True))
        ]

    def _checked(
        self, query: Query, matching: dict[tuple[tuple[str, ...], tuple[str, ...]], Filter | None]
    ) -> Filter | QueryError | None:
        """The query's filter, or what is wrong with the query; ``matching`` keeps what globs came to."""
        try:
            check(query, self._limits)
            if query.rerank and self._reranker is None:
                raise QueryError("rerank", "there is no re-ranker; leave rerank out, or serve with QA_RERANKER")
            if query.mode != "lexical":
                (tokens,) = self._encoder.count_question_tokens([query.question])
                if tokens > self._encoder.window:
                    raise QuestionTooLong(tokens, self._encoder.window)
            globs = (query.documents, query.sections)
            if globs not in matching:
                parts = [part for part in (self._documents(query.documents), self._sections(query.sections)) if part]
                matching[globs] = parts[0] if len(parts) == 1 else And(tuple(parts)) if parts else None
        except QueryError as error:
            return error
        return matching[globs]

    def _documents(self, globs: tuple[str, ...]) -> Filter | None:
        if not globs:
            return None
        ids = self.index.store.document_ids
        matching = tuple(filter(_pattern(globs).match, ids))
        if not matching:
            raise QueryError("documents", f"no indexed document matches {' or '.join(map(repr, globs))}")
        return In(DOCUMENT_COLUMN, matching) if len(matching) < len(ids) else None

    def _sections(self, globs: tuple[str, ...]) -> Filter | None:
        if not globs:
            return None
        pattern = _pattern(globs)
        matching = [path for path in self.index.store.paths if any(map(pattern.match, path))]
        if not matching:
            raise QueryError("sections", f"no heading matches {' or '.join(map(repr, globs))}")
        return below(matching)

    def _search(
        self, query: Query, vector: Vectors | None, filter: Filter | None, before: Mapping[str, float], depth: int
    ) -> Found:
        started = time.perf_counter()
        ranked = self._ranked(query, vector, filter)
        searched = time.perf_counter()
        if query.rerank and self._reranker is not None:
            ranked = self._reranked(self._reranker, query.question, ranked)
        reranking = 1000 * (time.perf_counter() - searched)
        keys, wanted = ranked.keys.tolist(), max(query.top_k, depth)
        found: dict[int, tuple[Passage, str]] = {}
        order = distinct_first(self._passages(keys, found), min(_DISTINCT, wanted), wanted)[:wanted]
        hits = tuple(Hit(rank, *found[keys[at]], _scores(ranked, at)) for rank, at in enumerate(order, start=1))
        spent = 1000 * (time.perf_counter() - started)
        timings = {"encode": before["encode"], "search": spent - reranking, "total": before["total"] + spent}
        if query.rerank:
            timings["rerank"] = reranking
        shown = hits[: query.top_k]
        reply = Reply(query.question, shown, self.index.manifest.id, timings, legs=ranked.legs)
        return Found(reply, hits, vector if ranked.dense is not None else None, ranked.terms, ranked.chance)

    def _passages(self, keys: Sequence[int], found: dict[int, tuple[Passage, str]]) -> Iterator[Passage]:
        """The passages of ``keys``, read as far as they are asked for and kept in ``found`` with their titles."""
        for start in range(0, len(keys), _READ_AT_ONCE):
            chunk = keys[start : start + _READ_AT_ONCE]
            found.update(self.index.store.find_passages(chunk))
            yield from (found[key][0] for key in chunk)

    def _ranked(self, query: Query, vector: Vectors | None, filter: Filter | None) -> _Ranked:
        """Everything that either leg found, best first; equal scores by passage id."""
        depth = max(_DEPTH, 2 * query.top_k)
        terms = self.index.lexical.question_terms(query.question) if query.mode != "dense" else []
        by_words = self.index.lexical.search(terms, depth, filter)[0] if terms else np.empty(0, np.int64)
        legs, by_vector, sees, chance = [], by_words[:0], False, None
        if vector is not None:
            by_vector, best = self._nearest(vector, depth, filter)
            sample = self.index.vectors.cosines(vector, self._sample)
            chance = (float(sample.mean()), float(sample.std())) if len(sample) else None
            # A leg that cannot see is better than none.
            sees = not len(by_words) or not self._is_blind(vector, best, sample, filter)
            legs.append(Leg("dense", sees, "" if sees else _BLIND))
        if query.mode != "dense":
            legs.append(Leg("lexical", bool(len(by_words)), "" if len(by_words) else _NO_TERM))
        keys = np.union1d(by_vector, by_words) if sees else by_words
        dense = self._cosines(vector, keys) if vector is not None and sees else None
        lexical = self._bm25(terms, keys) if len(by_words) else None
        scores = _one_score(dense, lexical)
        order = np.lexsort((keys, -scores))
        return _Ranked(
            keys[order],
            None if dense is None else dense[order],
            None if lexical is None else lexical[order],
            scores[order],
            tuple(legs),
            tuple(terms),
            chance,
        )

    def _reranked(self, reranker: Reranker, question: str, ranked: _Ranked) -> _Ranked:
        """The first candidates in the order of their logits, as many as the budget allows; the others after them."""
        from qa.encoders.cross_encoder import score_within

        first = ranked.keys[:_RERANKED].tolist()
        passages = self.index.store.find_passages(first)
        texts = [passages[key][0].searched_text for key in first]
        logits = score_within(reranker, question, texts, self._budget_ms) if texts else np.empty(0, np.float32)
        by_logit = np.argsort(-logits, kind="stable")
        order = np.concatenate([by_logit, np.arange(len(logits), len(ranked.keys))])
        return _Ranked(
            ranked.keys[order],
            None if ranked.dense is None else ranked.dense[order],
            None if ranked.lexical is None else ranked.lexical[order],
            ranked.scores[order],
            ranked.legs,
            ranked.terms,
            ranked.chance,
            logits[by_logit],
        )

    def _nearest(self, vector: Vectors, depth: int, filter: Filter | None) -> tuple[Ids, float]:
        """The passages with the nearest windows, and the cosine of the nearest."""
        vectors, wanted = self.index.vectors, _WINDOWS_PER_PASSAGE * depth
        while True:
            ids, cosines = vectors.search(vector[None, :], wanted, filter)
            found = ids[0][ids[0] >= 0]
            passages = np.unique(self.index.passages_of(found))
            if len(found) < wanted or len(passages) >= depth:
                return passages, float(cosines[0, 0])
            wanted *= 4

    def _is_blind(self, vector: Vectors, best: float, sample: Vectors, filter: Filter | None) -> bool:
        """Of the question and the whole collection, whatever part of it is searched: a few rows hold no high cosine."""
        if filter is not None:
            best = float(self.index.vectors.search(vector[None, :], 1)[1][0, 0])
        return is_blind(best, sample, len(self.index.windows))

    def _cosines(self, vector: Vectors, passages: Ids) -> Vectors:
        """Of each passage ``(n,)``, the cosine of its nearest window."""
        windows, starts = self.index.windows_of(passages)
        if not len(windows):
            return np.empty(0, np.float32)
        best: Vectors = np.maximum.reduceat(self.index.vectors.cosines(vector, windows), starts)
        return best

    def _bm25(self, terms: Sequence[tuple[str, ...]], passages: Ids) -> Vectors:
        """Of each passage ``(n,)``, 0 where none of the terms occurs in it."""
        scores = self.index.lexical.scores(terms, passages.tolist())
        return np.array([scores.get(key, 0.0) for key in passages.tolist()], dtype=np.float32)


def _one_score(dense: Vectors | None, lexical: Vectors | None) -> Vectors:
    if dense is not None and lexical is not None:
        return np.round(fused(dense, lexical), 6)
    if dense is not None:
        return dense
    return lexical if lexical is not None else np.empty(0, np.float32)


def _scores(ranked: _Ranked, at: int) -> Scores:
    both = ranked.dense is not None and ranked.lexical is not None
    return Scores(
        dense=None if ranked.dense is None else float(ranked.dense[at]),
        lexical=None if ranked.lexical is None else float(ranked.lexical[at]),
        fused=float(ranked.scores[at]) if both else None,
        rerank=float(ranked.logits[at]) if ranked.logits is not None and at < len(ranked.logits) else None,
    )


def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))
