"""How much of an approximate index a query searches: the least with which it finds what exact search finds.

Recall@10 is measured on rows of the index to which noise is added, so that what they find is about as near to them as
passages are to a question, and as hard to find: rows themselves are found more easily than questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.index.vectors.clusters import SEED, Clusters
from qa.index.vectors.codes import CodedRows
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

QUERIES = 200
# The length of what is added to a row to make a query; `docs/decisions/0035` compares lengths with questions.
_NOISE = 0.75
_RANK = 10
# Questions find about 0.01 less: with 0.985 of what is made of rows, 0.975 at a million.
_TARGET = 0.985
_AT_ONCE = 8192
# Numbers of lists, and of candidates, that are tried, the cheapest first.
_NPROBES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CANDIDATES = (100, 200, 400)
# Candidates for each row that is wanted, and rows that pass a filter among which the nearest ten are found.
_CANDIDATES_EACH = 2
_PASSING = 1_000


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
        nprobe = max(self.nprobe, math.ceil(lists * max(_PASSING, _CANDIDATES_EACH * k) / rows))
        return Effort(min(nprobe, lists), max(self.candidates, _CANDIDATES_EACH * k), self.recall)


def tune(clusters: Clusters, codes: CodedRows, rows: SpooledRows) -> Effort:
    """Find the least effort with which recall reaches its goal, or else the greatest that is tried.

    Args:
        rows: those that were added to ``clusters`` and coded in ``codes``: their vectors say what is nearest.
    """
    queries = _queries(rows.vectors, len(rows), QUERIES)
    blocks = (rows.vectors(slice(start, start + _AT_ONCE)) for start in range(0, len(rows), _AT_ONCE))
    nearest = _nearest(queries, blocks)
    best = Effort(1, _CANDIDATES[-1], 0.0)
    for nprobe in sorted({min(nprobe, clusters.lists) for nprobe in _NPROBES}):
        found = [clusters.search(query, _CANDIDATES[-1], nprobe)[1] for query in queries]
        for candidates in _CANDIDATES:
            recall = _recall(codes, queries, nearest, [each[:candidates] for each in found])
            if recall > best.recall:
                best = Effort(nprobe, candidates, recall)
            if recall >= _TARGET:
                return best
    return best


def recall_of(effort: Effort, clusters: Clusters, codes: CodedRows, count: int) -> float:
    """Measure recall@10 anew, with ``count`` queries and against exact search of the codes."""
    queries = _queries(codes.take, len(codes), count)
    nearest = _nearest(queries, codes.blocks())
    found = [clusters.search(query, effort.candidates, effort.nprobe)[1] for query in queries]
    return _recall(codes, queries, nearest, found)


def _queries(read: Callable[[Ids], Vectors], rows: int, count: int) -> Vectors:
    """Make queries ``(q, d)`` of rows and noise, the same ones for the same rows."""
    generator = np.random.default_rng(SEED)
    vectors = read(np.sort(generator.choice(rows, min(rows, count), replace=False)))
    noise = generator.standard_normal(vectors.shape).astype(np.float32)
    vectors += noise * (np.float32(_NOISE) / np.linalg.norm(noise, axis=1, keepdims=True))
    queries: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return queries


def _nearest(queries: Vectors, blocks: Iterable[Vectors]) -> Ids:
    """Find the rows ``(q, 10)`` nearest to each query among all, whose vectors come in order."""
    best = np.full((len(queries), _RANK), -np.inf, dtype=np.float32)
    rows = np.full((len(queries), _RANK), -1, dtype=np.int64)
    first = 0
    for vectors in blocks:
        cosines = np.concatenate([best, queries @ vectors.T], axis=1)
        numbers = np.concatenate(
            [rows, np.broadcast_to(np.arange(first, first + len(vectors)), (len(queries), len(vectors)))], axis=1
        )
        at = np.argpartition(-cosines, _RANK - 1, axis=1)[:, :_RANK]
        best, rows = np.take_along_axis(cosines, at, axis=1), np.take_along_axis(numbers, at, axis=1)
        first += len(vectors)
    return rows


def _recall(codes: CodedRows, queries: Vectors, nearest: Ids, found: Sequence[Ids]) -> float:
    """Compute the mean share of the nearest rows ``(q, 10)`` that are the best ten of the candidates."""
    shares = []
    for query, truth, candidates in zip(queries, nearest, found, strict=True):
        best = candidates[np.argsort(-codes.cosines(query, candidates), kind="stable")[:_RANK]]
        there = truth[truth >= 0]
        shares.append(np.isin(there, best).mean())
    return float(np.mean(shares))
