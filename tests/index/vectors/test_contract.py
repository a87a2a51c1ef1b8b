"""What every vector index must do. A new back end joins by one line in ``BACK_ENDS``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qa.errors import StorageError, VectorIndexError
from qa.index.vectors.engines import FaissVectors, open_vectors
from qa.protocols import And, Filter, MutableVectorIndex, VectorRows
from qa.types import Eq, In, Range

DIMENSION = 8
COLUMNS = ["document", "section"]

Make = Callable[[], MutableVectorIndex]
# How each makes an empty index, in whose folder it may keep what it needs until it is saved.
BACK_ENDS: dict[str, Callable[[Path], MutableVectorIndex]] = {
    "exact": lambda folder: FaissVectors(folder, DIMENSION, COLUMNS),
    "approximate": lambda folder: FaissVectors(folder, DIMENSION, COLUMNS, exact_up_to=0),
}
# How far a cosine may be off: where each dimension has a byte, a vector of few of them loses most.
TOLERANCES = {"approximate": 5e-3}


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(back_end: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    with ExitStack() as made:
        yield lambda: made.enter_context(closing(BACK_ENDS[back_end](tmp_path_factory.mktemp("building"))))


@pytest.fixture
def tolerance(back_end: str) -> float:
    return TOLERANCES.get(back_end, 1e-5)


def unit(seed: int, rows: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)
    normalised: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def rows_of(vectors: NDArray[np.float32], ids: list[int]) -> VectorRows:
    columns = {"document": [f"{id % 3}.txt" for id in ids], "section": ["one" if id < 5 else "two" for id in ids]}
    return VectorRows(np.array(ids, dtype=np.int64), vectors, columns)


def filled(make: Make, rows: int = 10) -> MutableVectorIndex:
    index = make()
    index.upsert(rows_of(unit(0, rows), list(range(rows))))
    index.commit()
    return index


@pytest.mark.parametrize("filter", [None, Eq("section", "one"), Eq("document", "0.txt")])
def test_questions_searched_together_find_what_each_finds_alone(make: Make, filter: Filter | None) -> None:
    index, questions = filled(make, 300), unit(7, 24)
    # Rows of equal vectors: which of a tie is kept must not depend on who else is asking.
    index.upsert(rows_of(np.repeat(questions[:1], 100, axis=0), list(range(300, 400))))
    index.commit()
    ids, cosines = index.search(questions, 30, filter)
    for at in range(len(questions)):
        alone = index.search(questions[at : at + 1], 30, filter)
        assert np.array_equal(ids[at], alone[0][0])
        assert np.array_equal(cosines[at], alone[1][0])


def test_questions_searched_in_several_threads_find_what_each_finds_alone(make: Make, tmp_path: Path) -> None:
    index, questions = filled(make, 300), unit(7, 40)
    index.save(tmp_path)
    alone = [index.search(question[None], 5)[0].tolist() for question in questions]
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda question: index.search(question[None], 5)[0].tolist(), questions)
        assert list(together) == alone


def test_gives_the_cosines_of_rows_that_are_named(make: Make) -> None:
    index = filled(make, 50)
    index.delete(np.array([3], dtype=np.int64))
    vector = unit(1, 1)
    ids, cosines = index.search(vector, 49)
    assert index.cosines(vector[0], ids[0]).tolist() == pytest.approx(cosines[0].tolist(), abs=2e-6)
    assert index.cosines(vector[0], ids[0][:0]).shape == (0,)
    assert index.rows(ids[0]) @ vector[0] == pytest.approx(index.cosines(vector[0], ids[0]), abs=2e-6)
    with pytest.raises(VectorIndexError, match="does not hold"):
        index.cosines(vector[0], np.array([1, 3], dtype=np.int64))


def test_finds_the_nearest_first_with_its_cosine(make: Make, tolerance: float) -> None:
    vectors = unit(0, 10)
    ids, cosines = filled(make).search(unit(1, 2), 10)
    for query, (found, scores) in enumerate(zip(ids, cosines, strict=True)):
        expected = vectors @ unit(1, 2)[query]
        assert found.tolist() == np.argsort(-expected).tolist()
        assert scores == pytest.approx(np.sort(expected)[::-1], abs=tolerance)


def test_shapes_and_padding_where_fewer_rows_than_k(make: Make) -> None:
    ids, cosines = filled(make, 3).search(unit(1, 2), 5)
    assert ids.shape == cosines.shape == (2, 5)
    assert ids.dtype == np.int64
    assert ids[:, 3:].tolist() == [[-1, -1]] * 2
    assert np.isneginf(cosines[:, 3:]).all()


def test_an_empty_index_finds_nothing(make: Make) -> None:
    ids, _ = make().search(unit(1, 1), 3)
    assert ids.tolist() == [[-1, -1, -1]]
    assert make().count() == 0


def test_upsert_returns_the_rows_given_and_is_idempotent(make: Make) -> None:
    index = make()
    rows = rows_of(unit(0, 4), [1, 2, 3, 4])
    assert index.upsert(rows) == 4
    index.commit()
    before = index.search(unit(1, 1), 4)
    assert index.upsert(rows) == 4
    index.commit()
    assert index.count() == 4
    assert [part.tolist() for part in index.search(unit(1, 1), 4)] == [part.tolist() for part in before]


def test_the_last_of_equal_ids_wins_within_a_batch_and_across(make: Make, tolerance: float) -> None:
    index = make()
    a, b, c = unit(0, 3)
    index.upsert(rows_of(np.stack([a, b]), [7, 7]))
    index.commit()
    assert index.search(b[None], 1)[1][0, 0] == pytest.approx(1.0, abs=tolerance)
    index.upsert(rows_of(c[None], [7]))
    index.commit()
    assert index.search(c[None], 1)[1][0, 0] == pytest.approx(1.0, abs=tolerance)
    assert index.count() == 1


def test_an_upsert_replaces_the_filter_columns_too(make: Make) -> None:
    index = make()
    for document in ("old.txt", "new.txt"):
        index.upsert(VectorRows(np.array([1]), unit(0, 1), {"document": [document], "section": ["one"]}))
        index.commit()
    assert (index.count(Eq("document", "old.txt")), index.count(Eq("document", "new.txt"))) == (0, 1)


def test_deleted_rows_are_gone_and_unknown_ids_no_error(make: Make) -> None:
    index = filled(make)
    index.delete(np.array([0, 3, 99], dtype=np.int64))
    index.commit()
    ids, _ = index.search(unit(1, 1), 10)
    assert sorted(ids[0].tolist()) == [-1, -1, 1, 2, 4, 5, 6, 7, 8, 9]
    assert index.count(Eq("document", "0.txt")) == 2


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Eq("document", "1.txt"), {1, 4, 7}),
        (Eq("document", "absent"), set()),
        (In("document", ("0.txt", "2.txt", "absent")), {0, 2, 3, 5, 6, 8, 9}),
        (In("document", ()), set()),
        (Range("section", low="p"), {5, 6, 7, 8, 9}),
        (Range("document", low="0.txt", high="1.txt"), {0, 1, 3, 4, 6, 7, 9}),
        (And((Eq("document", "1.txt"), Eq("section", "two"))), {7}),
        (And(()), set(range(10))),
    ],
    ids=repr,
)
def test_a_filter_is_exact(make: Make, filter: Filter, expected: set[int]) -> None:
    index = filled(make)
    ids, cosines = index.search(unit(1, 1), 10, filter)
    found = [id for id in ids[0].tolist() if id >= 0]
    assert set(found) == expected
    assert len(found) == index.count(filter)
    assert (np.diff(cosines[0, : len(found)]) <= 0).all()


def test_equal_cosines_are_ordered_by_id_even_where_k_cuts_them(make: Make) -> None:
    index = make()
    same = np.repeat(unit(0, 1), 200, axis=0)
    ids = np.random.default_rng(0).permutation(200)
    index.upsert(rows_of(same, ids.tolist()))
    index.commit()
    assert index.search(unit(1, 1), 5)[0].tolist() == [[0, 1, 2, 3, 4]]


def test_saved_and_reopened_it_answers_the_same(make: Make, tmp_path: Path) -> None:
    index = filled(make)
    index.save(tmp_path)
    again = open_vectors(tmp_path, json.loads(json.dumps(index.describe())))
    assert again.describe() == index.describe()
    for filter in (None, Eq("document", "1.txt"), Range("section", high="one")):
        assert index.count(filter) == again.count(filter)
        ids, cosines = index.search(unit(1, 3), 4, filter)
        same_ids, same_cosines = again.search(unit(1, 3), 4, filter)
        assert (ids.tolist(), cosines.tolist()) == (same_ids.tolist(), same_cosines.tolist())


@pytest.mark.parametrize(
    "rows",
    [
        VectorRows(np.array([1]), unit(0, 2), {"document": ["a"], "section": ["b"]}),
        VectorRows(np.array([1]), unit(0, 1)[:, :5], {"document": ["a"], "section": ["b"]}),
        VectorRows(np.array([-1]), unit(0, 1), {"document": ["a"], "section": ["b"]}),
        VectorRows(np.array([1]), unit(0, 1), {"document": ["a"]}),
        VectorRows(np.array([1]), unit(0, 1), {"document": ["a", "b"], "section": ["b"]}),
    ],
    ids=["too many vectors", "wrong dimension", "negative id", "missing column", "long column"],
)
def test_rows_that_do_not_fit_are_refused_and_change_nothing(make: Make, rows: VectorRows) -> None:
    index = filled(make)
    with pytest.raises(VectorIndexError):
        index.upsert(rows)
    index.commit()
    assert index.count() == 10


def test_all_ids_are_given_and_all_vectors_looked_at(make: Make) -> None:
    index = filled(make)
    assert sorted(index.ids().tolist()) == list(range(10))
    assert index.ids() is index.ids()
    index.verify()


def test_a_vector_that_is_not_of_unit_length_is_refused_by_its_id(make: Make) -> None:
    with pytest.raises(VectorIndexError, match="the vector of id 3 is not of unit length"):
        filled(make).upsert(rows_of(np.concatenate([unit(0, 1), 2 * unit(0, 1)]), [2, 3]))


def test_a_folder_that_cannot_be_written_is_said(make: Make, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*absent"):
        filled(make).save(tmp_path / "absent")


def test_a_wrong_query_or_filter_is_refused(make: Make) -> None:
    index = filled(make)
    with pytest.raises(VectorIndexError, match="shape"):
        index.search(unit(0, 1)[:, :3], 1)
    with pytest.raises(VectorIndexError, match="k is 0"):
        index.search(unit(0, 1), 0)
    with pytest.raises(VectorIndexError, match="no filter column 'author'"):
        index.search(unit(0, 1), 1, Eq("author", "x"))


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["upsert", "delete"]), st.lists(st.integers(0, 12), min_size=1, max_size=6)),
        max_size=8,
    )
)
@pytest.mark.parametrize("name", BACK_ENDS)
def test_any_sequence_of_changes_leaves_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, name: str, steps: list[tuple[str, list[int]]]
) -> None:
    model = dict[int, NDArray[np.float32]]()
    with closing(BACK_ENDS[name](tmp_path_factory.mktemp("building"))) as index:
        for at, (change, ids) in enumerate(steps):
            if change == "upsert":
                vectors = unit(at, len(ids))
                index.upsert(rows_of(vectors, ids))
                model.update(zip(ids, vectors, strict=True))
            else:
                index.delete(np.array(ids, dtype=np.int64))
                model = {id: vector for id, vector in model.items() if id not in ids}
        index.commit()
        assert index.count() == len(model)
        for id, vector in model.items():
            found, cosines = index.search(vector[None], 1)
            assert cosines[0, 0] == pytest.approx(1.0, abs=TOLERANCES.get(name, 1e-5))
            assert found[0, 0] == id
