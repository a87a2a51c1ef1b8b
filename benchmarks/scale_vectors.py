"""Made-up passages' vectors in any number, with the structure of real ones, and questions whose nearest are known.

Row ``n`` is vector ``n`` of a pool, again and again, moved: ``c * row + sqrt(1 - c**2) * noise`` with ``c``, its cosine
to the vector it is made of, drawn from 0.8 to 0.9. The noise is at right angles to the row. It is a sum of differences
to four of the row's 16 nearest neighbours and between two other pairs of neighbours, each of a normal weight, and of
noise that is alike in all directions, of 0.35 of their length. Noise of the last kind alone would be unlike text: its
rows have no neighbours but their copies, and it makes the codes of approximate indexes look worse than they are.

The pool is what embedding caches of indexes hold. Questions are real ones, of the tuning halves of the sets.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from benchmarks.question_sets import load_questions
from qa.index.vectors.exact import load_faiss
from qa.models.loading import make_encoder
from qa.settings import Settings

if TYPE_CHECKING:
    from qa.types import Ids, Mask, Vectors

DIMENSION = 384
BLOCK = 65_536
RANK = 10
QUESTION_SETS = ("covid_faq", "longdoc_faq", "mtrag_govt", "nq_open_oracle", "pubmedqa", "xquad-en")
# The shares of the rows that have each value of the column; the rest has another value.
GROUPS: Mapping[str, float] = {"half": 0.5, "tenth": 0.1, "fiftieth": 0.02, "thousandth": 0.001}
COLUMN = "group"
_LEAST = 20_000
_NEIGHBOURS = 16
_OWN, _OTHERS, _EVEN = 4, 2, 0.35
_LOW, _HIGH = 0.8, 0.9
_SEED = 7


@dataclass(frozen=True, slots=True)
class Pool:
    """Real vectors ``(n, 384)``, the numbers of their nearest neighbours ``(n, 16)``, and questions ``(q, 384)``."""

    vectors: Vectors
    neighbours: Ids
    questions: Vectors

    @classmethod
    def make(cls, caches: Sequence[Path], questions: int) -> Self:
        """Read the caches, and encode questions. Raises SystemExit where the caches hold too few vectors."""
        vectors = _read(caches)
        if len(vectors) < _LEAST:
            raise SystemExit(f"{len(vectors)} vectors in {len(caches)} caches; `make bench-answers` makes such indexes")
        faiss = load_faiss()
        _, neighbours = faiss.knn(vectors, vectors, _NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)
        texts = [question.text for name in QUESTION_SETS for question in load_questions(name, "tune")[:250]]
        chosen = np.random.default_rng(_SEED).permutation(len(texts))[:questions]
        encoded = make_encoder(Settings(), threads=1).encode_questions([texts[at] for at in chosen])
        return cls(vectors, neighbours[:, 1:], encoded)

    def save(self, path: Path) -> None:
        """Write the pool, for the processes that measure."""
        with path.open("wb") as file:
            np.savez(file, vectors=self.vectors, neighbours=self.neighbours, questions=self.questions)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["vectors"], arrays["neighbours"], arrays["questions"])

    def block(self, number: int, rows: int, seed: int = _SEED) -> Vectors:
        """Make the rows ``(rows, 384)`` of a block: the same ones each time."""
        chance = np.random.default_rng([seed, number])
        count = len(self.vectors)
        # A prime, so that the vectors of a document, which stand side by side, come far apart.
        at = np.arange(number * BLOCK, number * BLOCK + rows) * 7919 % count
        base = self.vectors[at]
        noise = np.zeros_like(base)
        for begin in (*[at] * _OWN, *(chance.integers(0, count, rows) for _ in range(_OTHERS))):
            end = self.neighbours[begin, chance.integers(0, _NEIGHBOURS, rows)]
            weights = chance.standard_normal(rows, dtype=np.float32)[:, None]
            noise += weights * (self.vectors[end] - self.vectors[begin])
        _unit(noise)
        even = chance.random(base.shape, dtype=np.float32) - np.float32(0.5)
        noise += _EVEN * _unit(even)
        noise -= np.einsum("ij,ij->i", noise, base)[:, None] * base
        cosines = chance.uniform(_LOW, _HIGH, rows).astype(np.float32)[:, None]
        made: Vectors = (cosines * base + np.sqrt(1 - cosines**2) * _unit(noise)).astype(np.float32)
        return _unit(made)


def _unit(vectors: Vectors) -> Vectors:
    """Scale rows to unit length, in place."""
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors


def _read(caches: Sequence[Path]) -> Vectors:
    """Read the vectors of caches, each once, in an order that does not depend on that of the caches."""
    found: dict[bytes, bytes] = {}
    for path in caches:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT key, vector FROM embeddings WHERE length(vector) = ?", [4 * DIMENSION])
            found |= {bytes(key): vector for key, vector in rows}
    vectors = np.frombuffer(b"".join(found[key] for key in sorted(found)), np.float32).reshape(-1, DIMENSION)
    # Texts that differ by a blank have almost the same vector, and would be each other's neighbours.
    _, first = np.unique(vectors.round(4), axis=0, return_index=True)
    return np.ascontiguousarray(vectors[np.sort(first)])


def blocks(pool: Pool, rows: int) -> Iterator[tuple[int, Vectors]]:
    """Yield the number of the first row, and the vectors, of each block."""
    for number in range(-(-rows // BLOCK)):
        yield number * BLOCK, pool.block(number, min(BLOCK, rows - number * BLOCK))


def ids_of(rows: Ids) -> Ids:
    """Return the ids of rows by their numbers, spread over all of them as hashes are, which ids of windows are."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    return (rows.astype(np.uint64) * odd & np.uint64((1 << 63) - 1)).astype(np.int64)


def groups(first: int, rows: int) -> list[str]:
    """Return the values of the filter column of rows ``first`` to ``first + rows``."""
    names = [*GROUPS, "rest"]
    bounds = np.cumsum([*GROUPS.values()])
    drawn = np.random.default_rng([_SEED, 1, first]).random(rows)
    return [names[at] for at in np.searchsorted(bounds, drawn, side="right")]


class Nearest:
    """The exact nearest rows of questions ``(q, 384)``, found block by block."""

    def __init__(self, questions: Vectors) -> None:
        self._questions = questions
        self.cosines = np.full((len(questions), RANK), -np.inf, dtype=np.float32)
        self.ids = np.full((len(questions), RANK), -1, dtype=np.int64)

    def add(self, first: int, vectors: Vectors, mask: Mask | None = None) -> None:
        """Look at the rows of a block, or at those of them that pass ``mask``."""
        faiss = load_faiss()
        rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
        if not len(rows):
            return
        vectors = vectors if mask is None else vectors[rows]
        cosines, at = faiss.knn(self._questions, vectors, min(RANK, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
        cosines = np.concatenate([self.cosines, cosines], axis=1)
        ids = np.concatenate([self.ids, rows[at] + first], axis=1)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :RANK]
        self.cosines, self.ids = np.take_along_axis(cosines, best, axis=1), np.take_along_axis(ids, best, axis=1)

    def recall(self, found: Ids) -> float:
        """Compute recall@10 of ids ``(m, 10)`` found for the first ``m`` questions."""
        shares = [np.isin(truth, ids).mean() for truth, ids in zip(self.ids[: len(found)], found, strict=True)]
        return float(np.mean(shares))
