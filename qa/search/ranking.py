"""A question to candidates, best first: what embeddings and words each found, with every leg's score, fused.

The fused score is the cosine as it is, blended with that of the whole document, and BM25 as a share of the question's
best. Reciprocal ranks (Cormack et al., 2009) and min-max scaling each lost to the better leg somewhere; this lost
nowhere. The numbers were tuned on the tuning halves of the question sets (docs/decisions/0007, 0021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qa.index.index import Index
from qa.protocols import Filter
from qa.search.query import apply_corrections, correct_words
from qa.text.words import is_foreign
from qa.types import Leg, Query, Scores

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

LEXICAL_WEIGHT = 0.3
# How far the cosines of the model lie apart that the weights were tuned with.
_TUNED_SPREAD = 0.189
_LEAST_SPREAD = 0.01
# How much of the cosine that is fused is that of the document.
DOCUMENT_WEIGHT = 0.25
# Documents whose vectors are kept: 1.5 kB each with the default model.
_KEPT = 16384
# Windows of which a document's vector is the mean; of a longer one so many are taken, evenly.
_MOST_MEANT = 4096


def fuse(cosines: Vectors, bm25: Vectors, spread: float = _TUNED_SPREAD) -> Vectors:
    """Fuse ``(n,)`` cosines and ``(n,)`` BM25 scores, 0 where no term occurs, of all candidates of one question.

    ``spread`` is the encoder's (:class:`qa.protocols.Encoder`): cosines that lie closer together count for more.
    """
    cosines = cosines * np.float32(_TUNED_SPREAD / max(spread, _LEAST_SPREAD))
    best = float(bm25.max(initial=0.0))
    # The share first: its weight over a score near 0 is more than a number of 32 bits holds.
    scores: Vectors = cosines + np.float32(LEXICAL_WEIGHT) * (bm25 / np.float32(best)) if best > 0 else cosines
    return scores


# Candidates that each leg gives at least, and windows that are fetched for each passage.
_DEPTH = 100
_WINDOWS_PER_PASSAGE = 3

_NO_TERM = "no word of the question occurs in what was searched"
_FOREIGN = "the model was not trained on the language of the question"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates, best first: passages' keys and every leg's scores, ``None`` for a leg that took no part.

    ``question`` has misspelt words corrected; ``terms`` are the forms of its words as they were typed. ``logits (m,)``
    are of the first ``m`` candidates, which they have put in order.
    """

    keys: Ids
    dense: Vectors | None
    lexical: Vectors | None
    scores: Vectors
    legs: tuple[Leg, ...]
    question: str
    terms: tuple[tuple[str, ...], ...]
    logits: Vectors | None = None

    def scores_of(self, at: int) -> Scores:
        """Return every score of the candidate in a place, counted from 0."""
        both = self.dense is not None and self.lexical is not None
        return Scores(
            dense=None if self.dense is None else float(self.dense[at]),
            lexical=None if self.lexical is None else float(self.lexical[at]),
            fused=float(self.scores[at]) if both else None,
            rerank=float(self.logits[at]) if self.logits is not None and at < len(self.logits) else None,
        )


@dataclass(frozen=True, slots=True)
class Nearest:
    """What embeddings find for a question: its ``vector (d,)``, the ``passages (n,)`` with the nearest windows, nearest
    first, and the cosine of the nearest one, ``-inf`` where there is none."""

    vector: Vectors
    passages: Ids
    best: float


def search_depth(query: Query) -> int:
    """Return how many passages each leg looks for."""
    return max(_DEPTH, 2 * query.top_k)


class Ranker:
    """Ranking of the passages of one open index. Thread-safe.

    Args:
        languages: those that the encoder was trained on, see :class:`qa.protocols.Encoder`.
        is_word: see :func:`qa.search.query.correct_words`.
        spread: of the encoder's cosines, see :class:`qa.protocols.Encoder`.
    """

    def __init__(self, index: Index, languages: Sequence[str], is_word: Callable[[str], bool], spread: float) -> None:
        self._index = index
        self._spread = spread
        self._document_vector = lru_cache(maxsize=_KEPT)(self._sum_up)
        self._is_word = is_word
        self._languages = languages
        # A vocabulary that many languages share is a dictionary of none of them.
        self._spelt = languages if len(languages) == 1 else ()

    def nearest(self, vectors: Vectors, depth: int, filter: Filter | None) -> list[Nearest]:
        """Search for questions ``(q, d)`` at once, which reads the index once for all of them."""
        wanted = _WINDOWS_PER_PASSAGE * depth
        ids, cosines = self._index.vectors.search(vectors, wanted, filter)
        return [
            self._distinct(vector, windows, float(best), depth, filter)
            for vector, windows, best in zip(vectors, ids, cosines[:, 0], strict=True)
        ]

    def _distinct(self, vector: Vectors, windows: Ids, best: float, depth: int, filter: Filter | None) -> Nearest:
        """Find the passages of the windows found; where they are too few, those of more windows."""
        while True:
            found = windows[windows >= 0]
            passages, first = np.unique(self._index.relations.passages_of(found), return_index=True)
            if len(found) < len(windows) or len(passages) >= depth:
                return Nearest(vector, passages[np.argsort(first)[:depth]], best)
            windows = self._index.vectors.search(vector[None, :], 4 * len(windows), filter)[0][0]

    def rank(self, query: Query, nearest: Nearest | None, filter: Filter | None) -> Ranked:
        """Rank everything that either leg found, best first; equal scores by passage id.

        Args:
            nearest: of :meth:`nearest`, by the same filter; ``None`` where only words count.
        """
        terms = self._index.lexical.question_terms(query.question)
        # An answer is still compared with the question's own words: one that is in no passage speaks against it.
        corrections = (
            correct_words(self._index, query.question, self._spelt, self._is_word) if query.mode != "dense" else {}
        )
        known = [corrections[forms].forms if forms in corrections else forms for forms in terms]
        searched = known if query.mode != "dense" else []
        by_words, word_scores = self._index.lexical.search(searched, search_depth(query), filter)
        legs, by_vector, sees = [], by_words[:0], False
        if nearest is not None:
            by_vector = nearest.passages
            # To a model, texts of a script that it was not trained on are all alike. It is still better than nothing.
            sees = not len(by_words) or not is_foreign(query.question, self._languages)
            legs.append(Leg("dense", sees, "" if sees else _FOREIGN))
        if query.mode != "dense":
            instead = ", ".join(f'"{each.meant}" instead of "{each.written}"' for each in corrections.values())
            reason = (f"searched for {instead}" if instead else "") if len(by_words) else _NO_TERM
            legs.append(Leg("lexical", bool(len(by_words)), reason))
        keys = np.union1d(by_vector, by_words) if sees else by_words
        dense = lexical = whole = None
        if nearest is not None and sees:
            dense, whole = self._cosines(nearest.vector, keys)
        if len(by_words):
            lexical = self._bm25(known, keys, by_words, word_scores)
        scores = _one_score(dense, whole, lexical, self._spread)
        order = np.lexsort((keys, -scores))
        return Ranked(
            keys[order],
            None if dense is None else dense[order],
            None if lexical is None else lexical[order],
            scores[order],
            tuple(legs),
            apply_corrections(query.question, corrections.values()),
            tuple(terms),
        )

    def _cosines(self, vector: Vectors, passages: Ids) -> tuple[Vectors, Vectors]:
        """Compute for each passage ``(n,)`` the cosines of its nearest window, and of its document."""
        windows, starts = self._index.relations.windows_of(passages)
        if not len(windows):
            return np.empty(0, np.float32), np.empty(0, np.float32)
        best: Vectors = np.maximum.reduceat(self._index.vectors.cosines(vector, windows), starts)
        documents, at = np.unique(self._index.relations.documents_of(windows[starts]), return_inverse=True)
        whole: Vectors = np.stack([self._document_vector(number) for number in documents.tolist()]) @ vector
        return best, whole[at]

    def _sum_up(self, document: int) -> Vectors:
        """Compute the direction ``(d,)`` of a document: of the mean of its windows, which stands for the whole."""
        windows = self._index.relations.windows_in(document)
        if len(windows) > _MOST_MEANT:
            windows = windows[np.linspace(0, len(windows) - 1, _MOST_MEANT, dtype=np.int64)]
        mean: Vectors = self._index.vectors.rows(windows).mean(axis=0)
        length = float(np.linalg.norm(mean))
        return mean / np.float32(length) if length > 0 else mean

    def _bm25(self, terms: Sequence[tuple[str, ...]], passages: Ids, known: Ids, scores: Vectors) -> Vectors:
        """Compute each passage's BM25 score ``(n,)``, 0 where no term is in it; those of ``known`` are ``scores``."""
        found = dict(zip(known.tolist(), scores.tolist(), strict=True))
        found |= self._index.lexical.scores(terms, [key for key in passages.tolist() if key not in found])
        return np.array([found.get(key, 0.0) for key in passages.tolist()], dtype=np.float32)


def _one_score(dense: Vectors | None, whole: Vectors | None, lexical: Vectors | None, spread: float) -> Vectors:
    if dense is not None and whole is not None and lexical is not None:
        cosines = np.float32(1 - DOCUMENT_WEIGHT) * dense + np.float32(DOCUMENT_WEIGHT) * whole
        return np.round(fuse(cosines, lexical, spread), 6)
    if dense is not None:
        return dense
    return lexical if lexical is not None else np.empty(0, np.float32)
