"""How much of an approximate index a query searches: the least with which it finds what exact search finds.

Recall@10 is measured on rows of the index to which noise is added, so that what they find is about as near to them as
passages are to a question, and as hard to find: rows themselves are found more easily than questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qa.errors import VectorIndexError
from qa.index.vectors.clusters import SEED, Clusters
from qa.index.vectors.codes import CodedRows
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

QUERIES = 200
# The least recall that a person is served with: vectors without any structure are searched exactly instead.
LEAST_RECALL = 0.9
# How far what `verify` measures, with fewer queries, may be below what the manifest says.
VERIFIED_QUERIES, _VERIFIED_FALL = 50, 0.05
# The length of what is added to a row to make a query; `docs/decisions/0035` compares lengths with questions.
_NOISE = 1.0
RANK = 10
# Questions find about 0.013 less: with 0.985 of what is made of rows, 0.972 at a million.
_TARGET = 0.985
# The share of what the greatest effort finds, where that is less: what codes of a byte cannot tell apart, such as a
# hundred copies of a passage, no number of lists finds.
_SHARE = 0.993
_AT_ONCE = 8192
# How far apart two computations of one cosine may be.
_ROUNDING = 1e-5
# Numbers of lists, and of candidates, that are tried, the cheapest first.
_NPROBES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CANDIDATES = (100, 200, 400)
# A search for more rows than recall is measured of takes so many times the lists: it is one for passages, which are
# ranked, and the nearest of them that is missed costs an answer (benchmarks/README.md, "A set among a million others").
_DEEPER = 4
# Candidates for each row that is wanted, and rows that pass a filter among which the nearest ten are found.
_CANDIDATES_EACH = 2
_PASSING = 1_000

_Parameters = TypeVar("_Parameters")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a query searches, ``nprobe`` lists and so many ``candidates`` of their rows, and the recall@10 of it."""

    nprobe: int
    candidates: int
    recall: float

    def describe(self) -> Mapping[str, object]:
        """Return it as JSON values."""
        return {
            "nprobe": self.nprobe,
            "candidates": self.candidates,
            "recall_at_10": round(self.recall, 4),
            "recall_queries": QUERIES,
        }

    @classmethod
    def read(cls, description: Mapping[str, object]) -> Effort:
        """Read what :meth:`describe` returned. Raises KeyError, TypeError, ValueError."""
        match description["nprobe"], description["candidates"], description["recall_at_10"]:
            case int(nprobe), int(candidates), int() | float() as recall if min(nprobe, candidates) > 0:
                return cls(nprobe, candidates, float(recall))
        raise ValueError("nprobe, candidates or recall_at_10 is of a wrong type")

    def among(self, rows: int, lists: int, k: int) -> Effort:
        """Return the effort for the ``k`` nearest of the ``rows`` that pass a filter, which lie in all ``lists``.

        The fewer they are, the farther apart: so many lists are searched that they hold enough of them.
        """
        nprobe = max(lists_for(k, self.nprobe, lists), math.ceil(lists * max(_PASSING, _CANDIDATES_EACH * k) / rows))
        return Effort(min(nprobe, lists), max(self.candidates, _CANDIDATES_EACH * k), self.recall)


def lists_for(k: int, nprobe: int, lists: int) -> int:
    """Return how many of ``lists`` are searched for ``k`` rows, given with how many recall@10 was measured."""
    return min(lists, nprobe if k <= RANK else _DEEPER * nprobe)


def tune(clusters: Clusters, codes: CodedRows, rows: SpooledRows) -> Effort:
    """Find the least effort with which recall reaches its goal, or else the one with the highest recall.

    Args:
        rows: those that were added to ``clusters`` and coded in ``codes``: their vectors say what is nearest.
    """
    queries = make_queries(rows.vectors, len(rows), QUERIES)
    least = least_cosines(queries, (rows.vectors(slice(at, at + _AT_ONCE)) for at in range(0, len(rows), _AT_ONCE)))

    def search_lists(nprobe: int) -> list[Ids]:
        return [clusters.search(query, _CANDIDATES[-1], nprobe)[1] for query in queries]

    def measure(found: Iterable[Ids], candidates: int) -> float:
        cosines = (
            rows.vectors(_best_ten(codes, query, of[:candidates])) @ query
            for query, of in zip(queries, found, strict=True)
        )
        return recall_at_10(cosines, least, len(rows))

    def tried() -> Iterator[tuple[tuple[int, int], float]]:
        for nprobe in numbers:
            found = search_lists(nprobe)
            for candidates in _CANDIDATES:
                yield (nprobe, candidates), measure(found, candidates)

    numbers = numbers_of_lists(clusters.lists)
    most = measure(search_lists(numbers[-1]), _CANDIDATES[-1])
    (nprobe, candidates), recall = least_that_suffices(tried(), _SHARE * most)
    return Effort(nprobe, candidates, recall)


def recall_of(effort: Effort, clusters: Clusters, codes: CodedRows, count: int) -> float:
    """Measure recall@10 again, with ``count`` queries and against exact search of the codes."""
    queries = make_queries(codes.take, len(codes), count)
    found = (clusters.search(query, effort.candidates, effort.nprobe)[1] for query in queries)
    cosines = (codes.take(_best_ten(codes, query, of)) @ query for query, of in zip(queries, found, strict=True))
    return recall_at_10(cosines, least_cosines(queries, codes.blocks()), len(codes))


def _best_ten(codes: CodedRows, query: Vectors, candidates: Ids) -> Ids:
    return candidates[np.argsort(-codes.cosines(query, candidates), kind="stable")[:RANK]]


def make_queries(read: Callable[[Ids], Vectors], rows: int, count: int) -> Vectors:
    """Make queries ``(q, d)`` of rows and noise, the same ones for the same rows.

    Args:
        read: gives the vectors of rows by their numbers, which are in ascending order.
        rows: how many there are.
    """
    generator = np.random.default_rng(SEED)
    vectors = read(np.sort(generator.choice(rows, min(rows, count), replace=False)))
    noise = generator.standard_normal(vectors.shape).astype(np.float32)
    vectors += noise * (np.float32(_NOISE) / np.linalg.norm(noise, axis=1, keepdims=True))
    queries: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return queries


def numbers_of_lists(lists: int) -> list[int]:
    """Return how many of an index's lists are tried, the fewest first."""
    return sorted({min(nprobe, lists) for nprobe in _NPROBES})


def least_that_suffices(tried: Iterable[tuple[_Parameters, float]], most: float = 1.0) -> tuple[_Parameters, float]:
    """Return the first parameters whose recall reaches its goal, or else those with the highest, and the recall.

    Args:
        tried: parameters and their recall, at least one, the cheapest first; no more are tried than are needed.
        most: is enough, too, where the goal is above it.
    """
    best: tuple[_Parameters, float] | None = None
    for parameters, recall in tried:
        if best is None or recall > best[1]:
            best = parameters, recall
        if recall >= min(_TARGET, most):
            break
    if best is None:
        raise ValueError("no parameters were tried")
    return best


def least_cosines(queries: Vectors, blocks: Iterable[Vectors]) -> Vectors:
    """Compute the least cosine ``(q,)`` of the ten rows nearest to each query, among all of these blocks of rows."""
    best = np.full((len(queries), RANK), -np.inf, dtype=np.float32)
    for vectors in blocks:
        cosines = np.concatenate([best, queries @ vectors.T], axis=1)
        best = -np.partition(-cosines, RANK - 1, axis=1)[:, :RANK]
    least: Vectors = best.min(axis=1, where=np.isfinite(best), initial=np.inf)
    return least


def recall_at_10(found: Iterable[Vectors], least: Vectors, rows: int) -> float:
    """Compute recall@10: the share of the nearest ten, of all ``rows``, that were found.

    A row counts if it is as near as the tenth: of rows that are equal, it does not matter which are found.

    Args:
        found: the cosines of the rows found for each query, at most ten.
        least: the least cosine ``(q,)`` of the ten nearest to each.
    """
    hits = [int(np.count_nonzero(cosines >= bound - _ROUNDING)) for cosines, bound in zip(found, least, strict=True)]
    return float(np.mean(hits)) / min(RANK, rows)


def require_recall(measured: float, promised: float) -> None:
    """Raise VectorIndexError where :data:`VERIFIED_QUERIES` find much less than the manifest says."""
    if measured < promised - _VERIFIED_FALL:
        raise VectorIndexError(
            f"search finds {measured:.3f} of the ten nearest vectors, and the manifest says {promised:.3f}"
        )
