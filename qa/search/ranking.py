"""A question to candidates, best first: what embeddings and words each found, with every leg's score, fused.

The fused score is the cosine as it is, blended with that of the whole document, and BM25 as a share of the question's
best. Reciprocal ranks (Cormack et al., 2009) and min-max scaling each lost to the better leg somewhere; this lost
nowhere. The numbers were tuned on the tuning halves of the question sets (docs/decisions/0007, 0021).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.index.index import Index
from qa.protocols import Filter
from qa.search.query import apply_corrections, correct_words
from qa.text.words import is_foreign
from qa.types import Leg, Query, Scores

if TYPE_CHECKING:
    from qa.types import Ids, Mask, Vectors

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
# Windows whose vectors are read at once: 6 MB with the default model.
_READ_AT_ONCE = 4096


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

# More than scores differ by for having been rounded.
_ROUNDED = 1e-4

_NO_TERM = "no word of the question occurs in what was searched"
_FOREIGN = "the model was not trained on the language of the question"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates, best first: passages' keys and every leg's scores, ``None`` for a leg that took no part.

    ``question`` has misspelt words corrected; ``terms`` are the forms of its words as they were typed. ``logits (m,)``
    are of the first ``m`` candidates, which they have put in order. ``is_whole`` is false where some were left out
    that are behind the first few, as many as were asked for.
    """

    keys: Ids
    dense: Vectors | None
    lexical: Vectors | None
    scores: Vectors
    legs: tuple[Leg, ...]
    question: str
    terms: tuple[tuple[str, ...], ...]
    logits: Vectors | None = None
    is_whole: bool = True

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
        self._documents = _DocumentVectors(index)
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

    def rank(self, query: Query, nearest: Nearest | None, filter: Filter | None, first: int | None = None) -> Ranked:
        """Rank everything that either leg found, best first; equal scores by passage id.

        Args:
            nearest: of :meth:`nearest`, by the same filter; ``None`` where only words count.
            first: how many of the best are needed; others are left out where that spares scoring them. ``None`` is all.
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
        keys = np.union1d(by_vector, by_words) if sees else np.sort(by_words)
        dense = lexical = whole = None
        is_whole = True
        if nearest is not None and sees:
            dense, whole = self._cosines(nearest.vector, keys)
        if len(by_words):
            lexical, is_open = np.zeros(len(keys), np.float32), np.ones(len(keys), np.bool_)
            places = np.searchsorted(keys, by_words)
            lexical[places], is_open[places] = word_scores, False
            # All that hold a word were found where they are fewer than were looked for.
            open_ = np.flatnonzero(is_open) if len(by_words) >= search_depth(query) else places[:0]
            if len(open_) and first is not None and dense is not None and whole is not None:
                at_least = _one_score(dense, whole, lexical, self._spread)
                is_near = _within_reach(at_least, is_open, word_scores, first)
                # Of the best by words the scores of all others are a share.
                is_near[places[0]] = True
                kept = np.flatnonzero(is_near)
                is_whole = len(kept) == len(keys)
                keys, dense, whole, lexical = keys[kept], dense[kept], whole[kept], lexical[kept]
                open_ = np.flatnonzero(is_open[kept])
            wanted = keys[open_].tolist()
            found = self._index.lexical.scores(known, wanted)
            lexical[open_] = [found.get(key, 0.0) for key in wanted]
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
            is_whole=is_whole,
        )

    def _cosines(self, vector: Vectors, passages: Ids) -> tuple[Vectors, Vectors]:
        """Compute for each passage ``(n,)`` the cosines of its nearest window, and of its document."""
        windows, starts = self._index.relations.windows_of(passages)
        if not len(windows):
            return np.empty(0, np.float32), np.empty(0, np.float32)
        best: Vectors = np.maximum.reduceat(self._index.vectors.cosines(vector, windows), starts)
        documents, at = np.unique(self._index.relations.documents_of(windows[starts]), return_inverse=True)
        whole: Vectors = self._documents.rows(documents.tolist()) @ vector
        return best, whole[at]


def _in_groups(windows: Iterable[Ids]) -> Iterator[list[Ids]]:
    """Put the windows of consecutive documents together, as many as are read at once, or those of one document."""
    group: list[Ids] = []
    held = 0
    for each in windows:
        if group and held + len(each) > _READ_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(each)
        held += len(each)
    if group:
        yield group


class _DocumentVectors:
    """The vectors of the documents that were ranked, in one array, from which those of a question are taken at once.

    Thread-safe. It grows by doubling, and begins again where it is full.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._rows: Vectors = np.empty((0, 0), np.float32)
        self._places: dict[int, int] = {}

    def rows(self, documents: Sequence[int]) -> Vectors:
        """Return the vectors ``(n, d)`` of documents, given by their numbers."""
        with self._lock:
            places = self._places
            missing = [number for number in documents if number not in places]
            if not missing:
                found: Vectors = self._rows[[places[number] for number in documents]]
                return found
        vectors = dict(zip(missing, self._sum_up(missing), strict=True))
        with self._lock:
            if len(self._places) + len(vectors) > _KEPT:
                self._places, self._rows = {}, self._rows[:0]
            for number, vector in vectors.items():
                self._add(number, vector)
            known = {number: self._rows[at] for number in documents if (at := self._places.get(number)) is not None}
            # Those that another thread has dropped meanwhile, or that did not fit.
            return np.stack([known[n] if n in known else next(self._sum_up([n])) for n in documents])

    def _add(self, number: int, vector: Vectors) -> None:
        at = self._places.setdefault(number, len(self._places))
        if at >= len(self._rows):
            grown = np.empty((max(64, 2 * len(self._rows)), len(vector)), np.float32)
            if len(self._rows):
                grown[: len(self._rows)] = self._rows
            self._rows = grown
        self._rows[at] = vector

    def _sum_up(self, documents: Sequence[int]) -> Iterator[Vectors]:
        """Compute the direction ``(d,)`` of each document: of the mean of its windows, which stands for the whole.

        Windows of many documents are read at once: a read may be a message to a server and its answer.
        """
        for group in _in_groups(map(self._meant, documents)):
            vectors = self._index.vectors.rows(np.concatenate(group))
            for part in np.split(vectors, np.cumsum([len(windows) for windows in group[:-1]], dtype=np.int64)):
                mean: Vectors = part.mean(axis=0)
                length = float(np.linalg.norm(mean))
                yield mean / np.float32(length) if length > 0 else mean

    def _meant(self, document: int) -> Ids:
        """Return the windows of which a document's vector is the mean."""
        windows = self._index.relations.windows_in(document)
        if len(windows) > _MOST_MEANT:
            windows = windows[np.linspace(0, len(windows) - 1, _MOST_MEANT, dtype=np.int64)]
        return windows


def _within_reach(at_least: Vectors, is_open: Mask, word_scores: Vectors, first: int) -> Mask:
    """Tell of candidates ``(n,)`` which may be among the ``first``.

    To compute BM25 of given passages takes as long as the rest of a search, and most of them are far behind.

    Args:
        at_least: fused scores ``(n,)``, with a BM25 of 0 where it ``is_open (n,)``.
        word_scores: BM25 of the best by words, best first; that of no open one is above the last.
    """
    if len(at_least) <= first:
        return np.ones(len(at_least), np.bool_)
    most = LEXICAL_WEIGHT * float(word_scores[-1]) / float(word_scores[0]) + _ROUNDED
    least = np.partition(at_least, -first)[-first] - _ROUNDED
    is_near: Mask = at_least + np.where(is_open, most, 0.0) >= least
    return is_near


def _one_score(dense: Vectors | None, whole: Vectors | None, lexical: Vectors | None, spread: float) -> Vectors:
    if dense is not None and whole is not None and lexical is not None:
        cosines = np.float32(1 - DOCUMENT_WEIGHT) * dense + np.float32(DOCUMENT_WEIGHT) * whole
        return np.round(fuse(cosines, lexical, spread), 6)
    if dense is not None:
        return dense
    return lexical if lexical is not None else np.empty(0, np.float32)
