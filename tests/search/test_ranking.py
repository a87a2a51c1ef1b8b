"""Fusion checked by hand, what is read for a ranking, and when a model is held to be blind."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from qa.index.snapshots import Snapshots
from qa.search import ranking
from qa.search.ranking import Ranked, Ranker, fuse
from qa.search.retriever import distinct_first
from qa.settings import Settings
from qa.types import Passage, Query
from tests.conftest import Build
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.protocols import VectorIndex
    from qa.types import Ids, Vectors


def _scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_cosine_stays_as_it_is_and_bm25_counts_by_its_share_of_the_best() -> None:
    cosines, bm25 = _scores(0.5, 0.6, 0.1), _scores(8.0, 0.0, 4.0)
    assert fuse(cosines, bm25).tolist() == pytest.approx([0.8, 0.6, 0.25])


def test_cosines_count_as_much_more_as_they_lie_closer_together() -> None:
    bm25 = _scores(8.0, 0.0, 4.0)
    assert fuse(_scores(0.3, 0.4, 0.0), bm25, 0.189).tolist() == pytest.approx([0.6, 0.4, 0.15])
    assert fuse(_scores(0.03, 0.04, 0.0), bm25, 0.0189).tolist() == pytest.approx([0.6, 0.4, 0.15])
    assert fuse(_scores(0.5, 0.5), _scores(0.0, 0.0), 0.0).tolist() == pytest.approx([9.45, 9.45])


def test_without_a_word_in_common_the_cosine_alone_ranks() -> None:
    assert fuse(_scores(0.5, 0.6), _scores(0.0, 0.0)).tolist() == pytest.approx([0.5, 0.6])


@given(
    scores=st.integers(1, 20).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, n, elements=st.floats(-1, 1, width=32)),
            arrays(np.float32, n, elements=st.floats(0, 100, width=32)),
        )
    )
)
@example(scores=(_scores(0.0), _scores(1e-45)))
def test_what_is_better_in_both_legs_ranks_no_lower(scores: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    cosines, bm25 = scores
    both = fuse(cosines, bm25)
    for one in range(len(both)):
        for other in range(len(both)):
            if cosines[one] >= cosines[other] and bm25[one] >= bm25[other]:
                assert both[one] >= both[other] - 1e-5


def _passages(*texts: str) -> list[Passage]:
    return [Passage(f"{at:016x}", "a.txt", 0, len(text), text) for at, text in enumerate(texts)]


def test_copies_come_after_what_is_distinct() -> None:
    text = "The ferry leaves at noon from the old quay and carries forty people across the bay every single day"
    passages = _passages(text, f"{text}!", "A ticket costs three crowns.", text.upper(), "Children travel free.")
    assert distinct_first(passages, 5, 5) == [0, 2, 4, 1, 3]


def test_the_overlap_of_neighbours_is_no_copy() -> None:
    passages = _passages("one two three four five six", "five six seven eight nine ten")
    assert distinct_first(passages, 2, 2) == [0, 1]


def test_places_are_filled_from_as_far_down_as_it_takes_and_no_further() -> None:
    passages = _passages(*["the same words again"] * 30, "something else", "and a third thing", "never looked at")
    taken = iter(passages)
    assert distinct_first(taken, 3, 3)[:4] == [0, 30, 31, 1]
    assert next(taken).text == "never looked at"


@given(texts=st.lists(st.text(alphabet="ab ", max_size=6), max_size=12), places=st.integers(0, 12))
def test_no_passage_is_lost_or_doubled(texts: list[str], places: int) -> None:
    assert sorted(distinct_first(_passages(*texts), places, len(texts))) == list(range(len(texts)))


class CountingVectors:
    """Vectors of an index, with a count of how often rows are read: each time is a message where a server has them."""

    def __init__(self, vectors: VectorIndex) -> None:
        self._vectors = vectors
        self.reads = 0

    def rows(self, ids: Ids) -> Vectors:
        self.reads += 1
        return self._vectors.rows(ids)

    def __getattr__(self, name: str) -> object:
        return getattr(self._vectors, name)


def test_the_vectors_of_all_documents_that_are_ranked_are_read_together(
    build: Build, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"Apple {number} is red.\n\n" * (number + 1), encoding="utf-8")
    build(folder)
    query, encoder = Query("Which apple is red?"), HashingEncoder()

    def rank() -> tuple[Ranked, int]:
        with closing(Snapshots.of(settings).open()) as index:
            vectors = CountingVectors(index.vectors)
            ranker = Ranker(replace(index, vectors=cast("VectorIndex", vectors)), ("en",), lambda word: True, 0.189)
            asked = encoder.encode_questions([query.question])
            (nearest,) = ranker.nearest(asked, 100, None)
            return ranker.rank(query, nearest, None), vectors.reads

    together, reads = rank()
    assert len(together.keys) >= 40
    assert reads == 1
    # Of documents that are too long to be read together each is read by itself.
    monkeypatch.setattr(ranking, "_READ_AT_ONCE", 1)
    apart, reads = rank()
    assert reads == 40
    assert together.scores.tolist() == apart.scores.tolist()
