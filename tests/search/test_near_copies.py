"""Near-copies: which texts count as one by their words, and that telling the others apart early loses none."""

from __future__ import annotations

import pytest

from qa.search.retriever import distinct_first
from qa.types import Passage


def _order(texts: list[str]) -> list[int]:
    passages = [Passage(f"{at:016x}", "a.txt", 0, len(text), text, "", (), None, ()) for at, text in enumerate(texts)]
    return distinct_first(passages, len(texts), len(texts))


def _words(first: int, last: int) -> str:
    return " ".join(f"word{at}" for at in range(first, last))


@pytest.mark.parametrize("count", [10, 90, 2000], ids="{} words".format)
def test_copies_share_four_words_in_five(count: int) -> None:
    # Of 2,000 words there are more than an outline has bits.
    other = _words(5 * count, 6 * count)
    near, far = _words(count // 10, count + count // 10), _words(count // 5, count + count // 5)
    assert _order([_words(0, count), near, other]) == [0, 2, 1]
    assert _order([_words(0, count), far, other]) == [0, 1, 2]


def test_texts_without_words_are_copies() -> None:
    assert _order(["!!!", "???", "apples"]) == [0, 2, 1]
