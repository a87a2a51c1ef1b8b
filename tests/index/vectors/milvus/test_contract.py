"""The contract of vector indexes, held by Milvus Lite and by a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qa.errors import SnapshotCorrupt, StorageError, VectorIndexError, VectorsUnavailable
from qa.index.bitmaps import filter_for
from qa.index.vectors.milvus.engine import MilvusVectors
from qa.index.vectors.milvus.record import drop_collection
from qa.protocols import And, MutableVectorIndex, VectorIndex, VectorRows
from qa.types import Eq, In, MilvusAddress, Range
from tests.index.vectors.test_contract import (  # noqa: F401 - the tests of every vector index
    DIMENSION,
    Make,
    filled,
    rows_of,
    test_a_filter_is_exact,
    test_a_vector_that_is_not_of_unit_length_is_refused_by_its_id,
    test_a_wrong_query_or_filter_is_refused,
    test_all_ids_are_given_and_all_vectors_looked_at,
    test_an_empty_index_finds_nothing,
    test_an_upsert_replaces_the_filter_columns_too,
    test_deleted_rows_are_gone_and_unknown_ids_no_error,
    test_equal_cosines_are_ordered_by_id_even_where_k_cuts_them,
    test_finds_the_nearest_first_with_its_cosine,
    test_gives_the_cosines_of_rows_that_are_named,
    test_questions_searched_together_find_what_each_finds_alone,
    test_rows_that_do_not_fit_are_refused_and_change_nothing,
    test_shapes_and_padding_where_fewer_rows_than_k,
    test_the_last_of_equal_ids_wins_within_a_batch_and_across,
    test_upsert_returns_the_rows_given_and_is_idempotent,
    unit,
)
from tests.support.milvus_server import MilvusServer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(params=["lite", "server"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> MilvusAddress:
    """Return where a Milvus is: Lite, in this process, or the real server."""
    if request.param == "lite":
        return MilvusAddress(str(tmp_path / "lite.db"), seconds=60)
    return MilvusAddress(request.getfixturevalue("server").uri, seconds=60)


@pytest.fixture
def tolerance() -> float:
    return 1e-5


@pytest.fixture
def make(address: MilvusAddress, tmp_path: Path) -> Iterator[Make]:
    folder = tmp_path / "the index" / "snapshots" / ".aside-1"
    folder.mkdir(parents=True)
    with ExitStack() as stack:

        def make_one() -> MutableVectorIndex:
            index = MilvusVectors.create(folder, address, DIMENSION, ["document", "section"])
            return stack.enter_context(closing(index))

        yield make_one


def test_any_sequence_of_changes_leaves_what_a_dictionary_would(make: Make) -> None:
    index, model = make(), dict[int, NDArray[np.float32]]()
    random = np.random.default_rng(3)
    for step in range(12):
        ids = random.integers(0, 12, random.integers(1, 6)).tolist()
        if random.random() < 0.6:
            vectors = unit(step, len(ids))
            index.upsert(rows_of(vectors, ids))
            model.update(zip(ids, vectors, strict=True))
        else:
            index.delete(np.array(ids, dtype=np.int64))
            model = {id: vector for id, vector in model.items() if id not in ids}
        index.commit()
        assert sorted(index.ids().tolist()) == sorted(model)
        assert index.count(In("section", ("one", "two"))) == len(model)
        if model:
            ids = list(model)
            assert np.array_equal(index.rows(np.array(ids)), np.array([model[id] for id in ids]))


def opened(index: MutableVectorIndex, folder: Path, address: MilvusAddress) -> VectorIndex:
    index.save(folder)
    return MilvusVectors.open(folder, json.loads(json.dumps(index.describe())), address)


def test_saved_and_reopened_it_answers_the_same(make: Make, address: MilvusAddress, tmp_path: Path) -> None:
    index = filled(make, 40)
    index.delete(np.array([7], dtype=np.int64))
    with closing(opened(index, tmp_path, address)) as again:
        assert again.describe() == index.describe()
        assert np.array_equal(again.ids(), index.ids())
        again.verify()
        for filter in (None, Eq("document", "1.txt"), Range("section", high="one")):
            assert index.count(filter) == again.count(filter)
            ids, cosines = index.search(unit(1, 3), 50, filter)
            same_ids, same_cosines = again.search(unit(1, 3), 50, filter)
            assert (ids.tolist(), cosines.tolist()) == (same_ids.tolist(), same_cosines.tolist())


def test_the_recall_of_clusters_is_measured_when_they_are_saved_and_again(server: MilvusServer, tmp_path: Path) -> None:
    address = MilvusAddress(server.uri, seconds=60)
    vectors = np.repeat(unit(0, 60), 50, axis=0) + 0.3 * unit(1, 3000)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = ["document", "section"]
    with closing(MilvusVectors.create(tmp_path, address, DIMENSION, columns, exact_up_to=2999)) as index:
        index.upsert(rows_of(vectors, list(range(3000))))
        index.save(tmp_path)
        description = json.loads(json.dumps(index.describe()))
    assert description["index"]["type"] == "IVF_FLAT"
    assert description["recall_at_10"] >= 0.985
    with closing(MilvusVectors.open(tmp_path, description, address)) as again:
        again.verify()
        assert again.describe() == description
        ids, _ = again.search(vectors[:20], 10)
        nearest = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :10]
        assert np.mean([np.isin(of, found).mean() for of, found in zip(nearest, ids, strict=True)]) >= 0.9
    fewer = {**description, "index": {**description["index"], "nprobe": 1}, "recall_at_10": 1.0}
    less = pytest.raises(
        VectorIndexError, match=r"finds 0\.\d+ of the ten nearest vectors, and the manifest says 1\.000"
    )
    with closing(MilvusVectors.open(tmp_path, fewer, address)) as again, less:
        again.verify()
    # Snapshots of earlier versions say nothing of recall.
    earlier = {name: value for name, value in description.items() if "recall" not in name}
    with closing(MilvusVectors.open(tmp_path, earlier, address)) as again:
        again.verify()
    with pytest.raises(SnapshotCorrupt, match="cannot be read"):
        MilvusVectors.open(tmp_path, {**description, "recall_at_10": "all"}, address)


def test_masks_of_rows_are_searched_whole_be_they_few_or_many(
    make: Make, address: MilvusAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds are made small, so that every way is taken with a few hundred rows."""
    monkeypatch.setattr("qa.index.vectors.milvus.nearest.WINDOW", 64)
    monkeypatch.setattr("qa.index.vectors.milvus.nearest.LONGEST_LIST", 16)
    monkeypatch.setattr("qa.index.vectors.milvus.filters.LONGEST_LIST", 1)
    index, vectors = make(), unit(0, 300)
    vectors[100:180] = vectors[100]
    index.upsert(rows_of(vectors, list(range(300))))
    index.commit()
    questions = np.concatenate([unit(5, 3), vectors[100:101]])
    products = np.round(questions @ vectors.T, 6)
    # Each answer of the server takes it a while.
    for share in (0.2, 0.6) if address.uri.startswith("http") else (0.0, 0.01, 0.2, 0.6, 1.0):
        mask = np.random.default_rng(1).random(300) < share
        for other, passes in (
            (None, np.ones(300, bool)),
            (In("document", ("0.txt", "2.txt")), np.arange(300) % 3 != 1),
        ):
            filter = filter_for(index.ids(), mask) if other is None else And((other, filter_for(index.ids(), mask)))
            assert index.count(filter) == np.count_nonzero(mask & passes)
            for k in (1, 20, 300):
                ids, _ = index.search(questions, k, filter)
                rows = np.flatnonzero(mask & passes)
                for at, found in enumerate(ids):
                    expected = rows[np.lexsort((rows, -products[at][rows]))][:k]
                    assert found[: len(expected)].tolist() == expected.tolist()
                    assert (found[len(expected) :] == -1).all()


def test_a_mask_of_other_rows_is_refused(make: Make) -> None:
    index = filled(make)
    with pytest.raises(VectorIndexError, match="made for other rows"):
        index.search(unit(1, 1), 1, filter_for(index.ids().copy(), np.ones(10, np.bool_)))


def test_a_folder_that_cannot_be_written_is_said(make: Make, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*absent"):
        filled(make).save(tmp_path / "absent")


def test_rows_that_the_server_lost_are_an_error_and_no_shorter_answer(
    make: Make, address: MilvusAddress, tmp_path: Path
) -> None:
    index = filled(make, 40)
    with closing(opened(index, tmp_path, address)) as again:
        index._collection.delete("id in [3, 4]")  # type: ignore[attr-defined]
        wait_for(lambda: again._collection.count() == 38)  # type: ignore[attr-defined]
        with pytest.raises(VectorsUnavailable, match="another number of rows than the 40"):
            again.search(unit(1, 1), 40)
        with pytest.raises(VectorsUnavailable, match="another number of rows"):
            again.rows(np.array([3]))
        with pytest.raises(VectorsUnavailable, match="another number of rows"):
            again.verify()
        description = index.describe()
    with pytest.raises(VectorsUnavailable, match="another number of rows"):
        MilvusVectors.open(tmp_path, description, address)


def test_a_collection_that_is_gone_is_said(make: Make, address: MilvusAddress, tmp_path: Path) -> None:
    index = filled(make)
    folder = tmp_path / "the index" / "snapshots" / ".aside-1"
    index.save(folder)
    drop_collection(folder, address)
    drop_collection(folder, address)
    with pytest.raises(SnapshotCorrupt, match="Milvus has no collection qa_the_index_"):
        MilvusVectors.open(folder, index.describe(), address)


VALUES = [
    '"',
    "\\",
    "'",
    "\n",
    "\r\n",
    "\0",
    "\x1f",
    "",
    " ",
    '" || id >= 0 || "',
    "é",
    "漢",
    "😀",
    "\u2028",
    "\ud800",
    "\\u0041",
]
LONG = ["x" * 70_000, "x" * 70_001, "é" * 40_000, "\ud800" * 2]


@pytest.fixture
def hostile(make: Make) -> tuple[VectorIndex, list[str]]:
    """Return an index that has one row for each of many strings that could end a quote, by their place."""
    random = np.random.default_rng(0)
    mixed = ["".join(random.choice(VALUES, random.integers(1, 9))) for _ in range(300)]
    values = list(dict.fromkeys([*VALUES, *LONG, *mixed]))
    index = make()
    ids = np.arange(len(values))
    index.upsert(VectorRows(ids, unit(0, len(values)), {"document": values, "section": ["one"] * len(values)}))
    index.commit()
    return index, values


def test_no_value_of_a_filter_is_read_as_anything_else(hostile: tuple[VectorIndex, list[str]]) -> None:
    index, values = hostile
    for at in range(0, len(values), 4):
        ids, _ = index.search(unit(1, 1), 2, Eq("document", values[at]))
        assert ids[0].tolist() == [at, -1], repr(values[at])[:80]
    assert index.count(In("document", tuple(values[::2]))) == len(values[::2])
    assert index.count(In("document", ('x" || id >= 0 || document == "x',))) == 0
    short = [value for value in values if value not in LONG and "\ud800" not in value]
    low, high = "'", "\\u0041"
    assert index.count(And((Range("document", low, high), In("document", tuple(short))))) == sum(
        low <= value <= high for value in short
    )
