"""The nearest rows, to whole ties, out of results that the server bounds.

Milvus decides which rows of equal scores it gives, and how many rows a result may have. More rows are asked for until
the tie at the last place is whole, and until enough of them pass a mask; what no result can hold is read in ranges of
ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import VectorIndexError
from qa.index import bitmaps
from qa.index.vectors.exact import DECIMALS, TIE_MARGIN
from qa.index.vectors.milvus.collection import WINDOW
from qa.index.vectors.milvus.filters import LONGEST_LIST, both, expressions, ids_between, ids_in
from qa.protocols import And, Filter, Rows

if TYPE_CHECKING:
    from qa.types import Ids, Mask, Vectors

# Of the rows asked for, so many more than a mask lets pass on average.
_MARGIN = 1.5

Found = tuple["Ids", "Vectors"]
# Asks the server for at most so many nearest rows of vectors (q, d) that pass an expression.
Ask = Callable[["Vectors", int, str], Sequence[Found]]


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that pass a filter: each one exactly one of ``texts``, and ``mask (n,)`` over all ids, if any.

    An empty text lets every row pass.
    """

    texts: tuple[str, ...]
    mask: Mask | None

    @property
    def is_everything(self) -> bool:
        return self.mask is None and not any(self.texts)


def select(filter: Filter | None, columns: Sequence[str], ids: Ids, is_own: Callable[[Ids], bool]) -> Selection:
    """Part a filter into what the server can apply and what is applied to its results.

    Args:
        is_own: tells whether rows of a mask are in the order of this index.

    Raises:
        VectorIndexError: the filter names a column that is not declared, or was made for other rows.
    """
    masks, others = _parted(filter)
    for rows in masks:
        if not is_own(rows.ids) or len(rows.bits) != -(-len(ids) // 8):
            raise VectorIndexError("the filter was made for other rows than the index has")
    texts = tuple(expressions(And(tuple(others)), columns)) if others else ("",)
    bits = np.bitwise_and.reduce([rows.bits for rows in masks]) if masks else None
    return Selection(texts, None if bits is None else bitmaps.unpack(bits, len(ids)))


def _parted(filter: Filter | None) -> tuple[list[Rows], list[Filter]]:
    match filter:
        case None:
            return [], []
        case Rows():
            return [filter], []
        case And(filters):
            parts = [_parted(part) for part in filters]
            return [rows for some, _ in parts for rows in some], [other for _, some in parts for other in some]
        case _:
            return [], [filter]


def nearest(ask: Ask, vectors: Vectors, k: int, selection: Selection, ids: Ids) -> list[Found]:
    """Find the ``k`` nearest rows of each of ``vectors (q, d)``, best first, equal scores by id; all where fewer pass.

    Args:
        ids: those of all rows, ascending.
    """
    wanted = k + TIE_MARGIN
    texts, passing = selection.texts, None
    if selection.mask is not None:
        passing = ids[selection.mask]
        fetch = int(_MARGIN * wanted * len(ids) / max(1, len(passing)))
        if len(passing) <= LONGEST_LIST or fetch > WINDOW:
            lists = [ids_in(passing[at : at + LONGEST_LIST].tolist()) for at in range(0, len(passing), LONGEST_LIST)]
            texts, passing = tuple(both(text, some) for text in texts for some in lists), None
        else:
            wanted = fetch
    fetch = min(wanted, WINDOW)
    results: list[Found] = [(ids[:0], np.empty(0, np.float32))] * len(vectors)
    pending = np.arange(len(vectors))
    while len(pending):
        answers = [ask(vectors[pending], fetch, text) for text in texts]
        unfinished = []
        for at, query in enumerate(pending.tolist()):
            parts = [answer[at] for answer in answers]
            results[query] = found = _merge(parts, passing)
            last = found[1][k - 1] if len(found[0]) >= k else -np.inf
            if any(len(rows) >= fetch and np.round(scores[-1], DECIMALS) >= last for rows, scores in parts):
                unfinished.append(query)
        if fetch == WINDOW:
            for query in unfinished:
                results[query] = _scan(ask, vectors[query : query + 1], texts, ids, passing)
            break
        pending, fetch = np.array(unfinished, np.int64), min(WINDOW, 4 * fetch)
    return [(rows[:k], scores[:k]) for rows, scores in results]


def _scan(ask: Ask, vector: Vectors, texts: Sequence[str], ids: Ids, passing: Ids | None) -> Found:
    """Rank every row that passes, in ranges of ids that one result can hold."""
    parts = [
        ask(vector, WINDOW, both(text, ids_between(int(some[0]), int(some[-1]))))[0]
        for text in texts
        for some in (ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW))
    ]
    return _merge(parts, passing)


def _merge(parts: Sequence[Found], passing: Ids | None) -> Found:
    ids = np.concatenate([rows for rows, _ in parts])
    scores: Vectors = np.round(np.concatenate([each for _, each in parts]), DECIMALS)
    if passing is not None:
        passes = passing[np.minimum(np.searchsorted(passing, ids), len(passing) - 1)] == ids
        ids, scores = ids[passes], scores[passes]
    order = np.lexsort((ids, -scores))
    return ids[order], scores[order]
