"""A query to a reply: checked, encoded, searched for, re-ranked if asked, near-copies moved back, passages read."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np

from qa.errors import QueryError, QuestionTooLong
from qa.index.field_writer import describe_file
from qa.index.fields import Fields
from qa.index.index import Index, below
from qa.index.store import Store
from qa.protocols import And, Encoder, Filter, Reranker, Rows
from qa.search.filters import filter_faults, values_of
from qa.search.follow_ups import resolve
from qa.search.query import check, find_question
from qa.search.ranking import Nearest, Ranked, Ranker, search_depth
from qa.text.globs import Names, fold
from qa.text.words import passage_terms
from qa.types import Condition, FileReport, Hit, Limits, Passage, Query, Reply

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

# Passages that are kept, about 3 kB each.
_MOST = 4096
_READ_AT_ONCE = 16
# Shared words over all words (Jaccard, 1901). Copies with another date or name stay above, passages that overlap by
# their last sentences stay far below.
_SAME = 0.8
_OUTLINE_BITS = 512
# Paths of headings that sections are limited to at most.
_MOST_PATHS = 100_000
# The first places, in which no passage repeats another.
_DISTINCT = 10
# Candidates beyond the hits that are ranked for certain, to take the places of near-copies.
_SPARE = 10
# Candidates that a cross-encoder reads at most.
_RERANKED = 50


class PassageCache:
    """The passages that were read last, with their documents' titles: they never change. Thread-safe."""

    def __init__(self, store: Store, most: int = _MOST) -> None:
        self._store = store
        self._most = most
        self._kept: OrderedDict[int, tuple[Passage, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, keys: Sequence[int]) -> list[tuple[Passage, str]]:
        """Read passages in the order of ``keys``, all of which are in the store."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [key for key in keys if key not in found]
        if missing:
            found |= self._store.find_passages(missing)
        with self._lock:
            for key in keys:
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return [found[key] for key in keys]

    def each(self, keys: Sequence[int]) -> Iterator[tuple[Passage, str]]:
        """Do the same, and read only as far as the passages are taken."""
        for start in range(0, len(keys), _READ_AT_ONCE):
            yield from self.find(keys[start : start + _READ_AT_ONCE])


def distinct_first(passages: Iterable[Passage], places: int, wanted: int) -> list[int]:
    """Order ``passages``, which come best first, so that the first ``places`` are no near-copies of each other.

    A near-copy of an earlier one moves behind the others and keeps its order there. No more passages are taken than
    it takes to have ``wanted`` of them and to fill the places; of those, none is lost.
    """
    kept: list[int] = []
    copies: list[int] = []
    kept_outlines: list[_Outline] = []
    for at, passage in enumerate(passages):
        outline = _outline(passage.text) if len(kept) < places else _NO_OUTLINE
        if len(kept) < places and any(_is_like(outline, other) for other in kept_outlines):
            copies.append(at)
        else:
            kept.append(at)
            kept_outlines.append(outline)
        if len(kept) >= places and at + 1 >= wanted:
            break
    return kept + copies


class _Outline(NamedTuple):
    """A text by its words, in a fraction of the time and memory that these take: it tells most pairs of texts apart.

    ``size`` is how many different words it has, and ``bits`` has a bit set for each; several may share one.
    """

    text: str
    size: int
    bits: int


_NO_OUTLINE = _Outline("", 0, 0)


@lru_cache(maxsize=_MOST)
def _outline(text: str) -> _Outline:
    words, bits = _words(text), 0
    for word in words:
        bits |= 1 << (crc32(word.encode("utf-8", "surrogatepass")) % _OUTLINE_BITS)
    return _Outline(text, len(words), bits)


def _words(text: str) -> frozenset[str]:
    return frozenset(passage_terms(text, ""))


def _is_like(one: _Outline, other: _Outline) -> bool:
    """Tell whether two texts are near-copies by their sets of words."""
    fewer, more = (one, other) if one.size < other.size else (other, one)
    if fewer.size < _SAME * more.size:
        return False
    # A bit that only one has is at least one word that only that one has.
    if not _is_same(fewer.size - (fewer.bits & ~more.bits).bit_count(), one, other):
        return False
    return _is_same(len(_words(one.text) & _words(other.text)), one, other)


def _is_same(shared: int, one: _Outline, other: _Outline) -> bool:
    either = one.size + other.size - shared
    return not either or shared / either >= _SAME


_NOTHING_PASSES = "no passage passes the filter"


@dataclass(frozen=True, slots=True, eq=False)
class Limited:
    """What a search is limited to: the rows of either index that pass; ``None`` limits nothing."""

    dense: Filter | None
    lexical: Filter | None


@dataclass(frozen=True, slots=True)
class Found:
    """A reply without its answer, and what an answer is chosen by.

    ``hits`` are the reply's, and more where it shows fewer than ``depth``. ``vector (d,)`` is the question's, ``None``
    where no embeddings were compared. ``question`` is what was searched for: the question in a long text, with misspelt
    words corrected; ``terms`` are the forms of its words as they were typed. ``read_tokens`` is the query's.
    """

    reply: Reply
    hits: tuple[Hit, ...]
    vector: Vectors | None
    question: str
    terms: tuple[tuple[str, ...], ...]
    read_tokens: int | None = None


class Retriever:
    """Search of one open index, with the encoder that the index was made with. Thread-safe.

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
        self._ranker = Ranker(index, encoder.languages, partial(_is_word, encoder), encoder.spread)
        self._passages = PassageCache(index.store)

    @cached_property
    def fields(self) -> Fields:
        """What the documents can be filtered by. Raises SnapshotCorrupt."""
        index = self.index
        return Fields(index.manifest.id, index.folder, index.store, index.catalog, index.relations, index.vectors.ids())

    def check_filter(self, conditions: Sequence[Condition]) -> None:
        """Raise QueryError for the first fault of a filter in this snapshot; its ``faults`` has all of them."""
        if conditions and (found := filter_faults(conditions, self.fields.kinds)):
            found[0].faults = tuple(found)
            raise found[0]

    def documents_passing(self, globs: Sequence[str], filter: Sequence[Condition]) -> Ids:
        """Return the numbers of the documents that a glob matches and a filter lets pass, in the order of their ids.

        Args:
            globs: with none of them every document is matched.

        Raises:
            QueryError: too many names would have to be compared with the globs.
        """
        found: Ids = self.index.relations.by_id.astype(np.int64)
        for numbers in (
            self.index.catalog.find("documents", globs, "pattern") if globs else None,
            self.fields.documents(filter) if filter else None,
        ):
            if numbers is not None:
                passing = np.zeros(self.index.manifest.documents + 1, np.bool_)
                passing[numbers] = True
                found = found[passing[found]]
        return found

    def files_passing(self, files: Sequence[FileReport], query: Query) -> list[FileReport]:
        """Choose the files, none of them read whole, that could pass what limits a query.

        What was read of a file decides, and of the others their names: the folder and the type. Their sections, and
        what they say of themselves, are unknown, and pass nothing.
        """
        if query.sections:
            return []
        if query.documents:
            files = [files[at] for at in Names([file.id for file in files]).find(query.documents)]
        if not query.filter or not files:
            return list(files)
        passing = frozenset(self.index.store.ids_of(self.fields.documents(query.filter).tolist()))
        return [
            file for file in files if (file.id in passing if _is_indexed(file) else _passes_by_name(file, query.filter))
        ]

    def find(self, queries: Sequence[Query], depth: int = 0) -> list[Found | QueryError]:
        """Search for queries, encoded together; each succeeds or fails by itself, and results come in their order.

        ``depth`` is how many hits are found at least, shown or not. In a reply's timings ``encode`` is that of all the
        queries, ``search`` begins with what is done for all of them, and ``total`` with their arrival.
        """
        arrived = time.perf_counter()
        matching: dict[object, Limited] = {}
        filters = [self._checked(query, matching) for query in queries]
        sound = {at: filter for at, filter in enumerate(filters) if not isinstance(filter, QueryError)}
        to_encode = [at for at in sound if queries[at].mode != "lexical"]
        encoding = time.perf_counter()
        vectors = self._encoder.encode_questions([_searched(queries[at]) for at in to_encode])
        encoded = time.perf_counter()
        nearest = self._nearest(queries, sound, dict(zip(to_encode, vectors, strict=True)))
        near = time.perf_counter()
        before = {
            "encode": 1000 * (encoded - encoding),
            "search": 1000 * (near - encoded),
            "total": 1000 * (near - arrived),
        }
        return [
            filter if isinstance(filter, QueryError) else self._search(query, nearest.get(at), filter, before, depth)
            for at, (query, filter) in enumerate(zip(queries, filters, strict=True))
        ]

    def _nearest(
        self, queries: Sequence[Query], filters: Mapping[int, Limited], vectors: Mapping[int, Vectors]
    ) -> dict[int, Nearest]:
        """Search by meaning, by the place of a query; those of one depth and one filter are searched together."""
        together: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for at in vectors:
            together[search_depth(queries[at]), id(filters[at])].append(at)
        nearest: dict[int, Nearest] = {}
        for (depth, _), places in together.items():
            found = self._ranker.nearest(np.array([vectors[at] for at in places]), depth, filters[places[0]].dense)
            nearest |= zip(places, found, strict=True)
        return nearest

    def _checked(self, query: Query, matching: dict[object, Limited]) -> Limited | QueryError:
        """Return what limits the query, or what is wrong with it; ``matching`` keeps what was found for another."""
        try:
            check(query, self._limits)
            if query.rerank and self._reranker is None:
                raise QueryError("rerank", "there is no re-ranker; leave rerank out, or serve with QA_RERANKER")
            if query.mode != "lexical":
                (tokens,) = self._encoder.count_question_tokens([_searched(query)])
                if tokens > self._encoder.window:
                    raise QuestionTooLong(tokens, self._encoder.window)
            self.check_filter(query.filter)
            limits = (query.documents, query.sections, query.filter)
            if limits not in matching:
                rows, named = self._documents(query.documents)
                below_headings = self._sections(query.sections)
                dense, lexical = self.fields.limits(query.filter) if query.filter else (None, ())
                matching[limits] = Limited(
                    _all_of(dense, rows, below_headings), _all_of(*lexical, named, below_headings)
                )
        except QueryError as error:
            return error
        return matching[limits]

    def _documents(self, globs: tuple[str, ...]) -> tuple[Filter | None, Filter | None]:
        """Make the filters for documents, of the vectors and of the words. Raises QueryError where there is none."""
        if not globs:
            return None, None
        numbers = self.index.catalog.find("documents", globs, "documents")
        if not len(numbers):
            raise QueryError("documents", f"no indexed document matches {' or '.join(map(repr, globs))}")
        if len(numbers) == self.index.manifest.documents:
            return None, None
        return self.fields.limits_of_documents(numbers)

    def _sections(self, globs: tuple[str, ...]) -> Filter | None:
        if not globs:
            return None
        numbers = self.index.catalog.find("headings", globs, "sections")
        if not len(numbers):
            raise QueryError("sections", f"no heading matches {' or '.join(map(repr, globs))}")
        if len(numbers) > _MOST_PATHS:
            raise QueryError("sections", f"sections: {len(numbers):,} headings match; name the one that is meant")
        return below(self.index.catalog.paths(numbers.tolist()))

    def _search(
        self, query: Query, nearest: Nearest | None, filter: Limited, before: Mapping[str, float], depth: int
    ) -> Found:
        started = time.perf_counter()
        question = _searched(query)
        wanted = max(query.top_k, depth)
        asked = query if question == query.question else replace(query, question=question)
        first = None if query.rerank else wanted + _SPARE
        ranked = self._ranker.rank(asked, nearest, filter.lexical, first)
        if query.filter and not len(ranked.keys):
            legs = tuple(replace(leg, used=False, reason=_NOTHING_PASSES) for leg in ranked.legs)
            ranked = replace(ranked, dense=None, lexical=None, legs=legs)
        searched = time.perf_counter()
        if query.rerank and self._reranker is not None:
            ranked = self._reranked(self._reranker, question, ranked)
        reranking = 1000 * (time.perf_counter() - searched)
        order, read = self._distinct(ranked, wanted)
        if first is not None and not ranked.is_whole and len(read) >= first:
            # Of that many near-copies what is behind them is needed.
            ranked = self._ranker.rank(asked, nearest, filter.lexical)
            order, read = self._distinct(ranked, wanted)
        hits = tuple(Hit(rank, *read[at], ranked.scores_of(at)) for rank, at in enumerate(order, start=1))
        spent = 1000 * (time.perf_counter() - started)
        timings = {
            "encode": before["encode"],
            "search": before["search"] + spent - reranking,
            "total": before["total"] + spent,
        }
        if query.rerank:
            timings["rerank"] = reranking
        shown = hits[: query.top_k]
        instead = "" if question == query.question else question
        reply = Reply(query.question, shown, self.index.manifest.id, timings, legs=ranked.legs, searched=instead)
        vector = nearest.vector if nearest is not None and ranked.dense is not None else None
        return Found(reply, hits, vector, ranked.question, ranked.terms, query.read_tokens)

    def _distinct(self, ranked: Ranked, wanted: int) -> tuple[list[int], list[tuple[Passage, str]]]:
        """Return the places of the hits, in their order, and the passages of the first places, as many as were read."""
        read: list[tuple[Passage, str]] = []

        def passages() -> Iterator[Passage]:
            for passage, title in self._passages.each(ranked.keys.tolist()):
                read.append((passage, title))
                yield passage

        return distinct_first(passages(), min(_DISTINCT, wanted), wanted)[:wanted], read

    def _reranked(self, reranker: Reranker, question: str, ranked: Ranked) -> Ranked:
        """Order the first candidates by their logits, as many as the budget allows; the others after them."""
        texts = [passage.searched_text for passage, _ in self._passages.find(ranked.keys[:_RERANKED].tolist())]
        logits = score_within(reranker, question, texts, self._budget_ms) if texts else np.empty(0, np.float32)
        by_logit = np.argsort(-logits, kind="stable")
        order = np.concatenate([by_logit, np.arange(len(logits), len(ranked.keys))])
        return replace(
            ranked,
            keys=ranked.keys[order],
            dense=None if ranked.dense is None else ranked.dense[order],
            lexical=None if ranked.lexical is None else ranked.lexical[order],
            scores=ranked.scores[order],
            logits=logits[by_logit],
        )


def _all_of(*parts: Filter | None) -> Filter | None:
    """Return the filter for what passes all of these."""
    given = [part for part in parts if part is not None]
    rows = [part for part in given if isinstance(part, Rows)]
    if len(rows) > 1:
        both = Rows(rows[0].ids, np.bitwise_and.reduce([part.bits for part in rows]))
        given = [both, *(part for part in given if not isinstance(part, Rows))]
    return And(tuple(given)) if len(given) > 1 else given[0] if given else None


def _searched(query: Query) -> str:
    """Return what is searched for: the question in a long text, made to stand alone where it leans on one before."""
    return resolve(find_question(query.question), query.previous)


def _is_word(encoder: Encoder, word: str) -> bool:
    """Tell whether the encoder's vocabulary has a word whole, as it has no misspelt ones."""
    alone, empty = encoder.count_question_tokens([word, ""])
    return alone == empty + 1


def score_within(
    reranker: Reranker, question: str, passages: Sequence[str], budget_ms: float, batch: int = 4
) -> Vectors:
    """Compute the logits ``(m,)`` of the first ``m <= n`` passages: as many as the budget allows.

    A batch is begun only where the slowest so far would end in time; the first one is scored in any case.

    Args:
        passages: ``n`` of them in the order of their rank, the best first.
        budget_ms: milliseconds of wall clock.
    """
    started = time.perf_counter()
    scores = [np.empty(0, dtype=np.float32)]
    slowest = 0.0
    for at in range(0, len(passages), batch):
        begun = time.perf_counter()
        if at and 1000 * (begun - started + slowest) > budget_ms:
            break
        scores.append(reranker.score(question, passages[at : at + batch]))
        slowest = max(slowest, time.perf_counter() - begun)
    return np.concatenate(scores)


def _is_indexed(file: FileReport) -> bool:
    """Return whether a file that could not be read whole is in the index: a part of it, or its version before."""
    return file.status == "partial" or bool(file.kept_since)


def _passes_by_name(file: FileReport, conditions: Iterable[Condition]) -> bool:
    said = {(field, fold(value)) for field, value in describe_file(file.id, "", "", "", file.container)}
    return all(
        any((condition.column, fold(value)) in said for value in values_of(condition)) for condition in conditions
    )
