"""Which engine an index gets, and that it is opened by what the manifest says of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from qa.errors import SnapshotIncompatible, StorageError, VectorIndexError
from qa.index.vectors.engines import FaissVectors, new_vectors, open_vectors
from qa.protocols import VectorRows


def rows_of(count: int) -> VectorRows:
    vectors = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return VectorRows(np.arange(count), vectors, {"document": ["a.txt"] * count})


@pytest.mark.parametrize("description", [{}, {"engine": "of-later"}, {"engine": ["exact"]}], ids=repr)
def test_an_engine_that_this_program_has_not_is_refused_by_name(tmp_path: Path, description: dict[str, object]) -> None:
    with pytest.raises(SnapshotIncompatible, match=r"of the engine .*this program has exact, approximate"):
        open_vectors(tmp_path, description)


@pytest.mark.parametrize(("rows", "engine"), [(0, "exact"), (50, "exact"), (51, "approximate")])
def test_the_number_of_rows_chooses_the_engine(tmp_path: Path, rows: int, engine: str) -> None:
    with closing(FaissVectors(tmp_path, 8, ["document"], exact_up_to=50)) as index:
        index.upsert(rows_of(rows))
        assert index.describe()["engine"] == engine


def test_an_index_is_exact_where_too_little_would_be_found(tmp_path: Path) -> None:
    rows = rows_of(60)
    # More than all of them cannot be found.
    with closing(FaissVectors(tmp_path, 8, ["document"], exact_up_to=50, least_recall=1.01)) as index:
        index.upsert(rows)
        index.save(tmp_path)
        assert index.describe() == {"engine": "exact"}
        assert index.search(rows.vectors, 1)[0].ravel().tolist() == rows.ids.tolist()
    assert {path.name for path in (tmp_path / "vectors").iterdir()}.isdisjoint({"codes"})


def test_a_new_index_of_a_few_rows_is_exact(tmp_path: Path) -> None:
    with closing(new_vectors(tmp_path, 8, ["document"])) as index:
        index.upsert(rows_of(100))
        assert index.describe() == {"engine": "exact"}


@pytest.mark.parametrize("exact_up_to", [0, 100])
def test_saved_where_it_was_built_it_leaves_nothing_behind_and_changes_no_more(
    tmp_path: Path, exact_up_to: int
) -> None:
    with closing(FaissVectors(tmp_path, 8, ["document"], exact_up_to=exact_up_to)) as index:
        index.upsert(rows_of(10))
        index.save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"vectors", "vectors.faiss"}
        assert index.count() == 10
        for change in (
            lambda: index.upsert(rows_of(1)),
            lambda: index.delete(np.array([1])),
            lambda: index.save(tmp_path),
        ):
            with pytest.raises(VectorIndexError, match="was saved"):
                change()


def test_what_was_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(FaissVectors(tmp_path, 8, ["document"])) as index:
        index.upsert(rows_of(10))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*absent"):
        FaissVectors(tmp_path / "absent", 8, [])
