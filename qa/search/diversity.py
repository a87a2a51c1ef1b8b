"""Passages that say the same again come after those that do not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from qa.text.terms import passage_terms
from qa.types import Passage

# Shared words over all words (Jaccard, 1901). Copies with another date or name stay above, passages that overlap by
# their last sentences stay far below.
_SAME = 0.8


def distinct_first(passages: Iterable[Passage], places: int, wanted: int) -> list[int]:
    """An order of ``passages``, which come best first: the first ``places`` are no near-copies of each other.

    A near-copy of an earlier one moves behind the others and keeps its order there. No more passages are taken than
    it takes to have ``wanted`` of them and to fill the places; of those, none is lost.
    """
    kept: list[int] = []
    copies: list[int] = []
    kept_words: list[frozenset[str]] = []
    for at, passage in enumerate(passages):
        found = _words(passage.text) if len(kept) < places else frozenset()
        if len(kept) < places and any(_likeness(found, other) >= _SAME for other in kept_words):
            copies.append(at)
        else:
            kept.append(at)
            kept_words.append(found)
        if len(kept) >= places and at + 1 >= wanted:
            break
    return kept + copies


@lru_cache(maxsize=2048)
def _words(text: str) -> frozenset[str]:
    return frozenset(passage_terms(text, ""))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0
