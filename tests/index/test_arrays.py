"""Arrays in files: their bytes are numpy's, and sorting gives the same in any number of parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import DTypeLike

from qa.index import arrays
from qa.index.arrays import ArrayFile, find_places, sort_pairs, sort_records


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 4], [70_000, 70_000]])
def test_a_file_has_the_bytes_that_numpy_writes(tmp_path: Path, dtype: DTypeLike, sizes: list[int]) -> None:
    parts = [np.arange(size) % 100 for size in sizes]
    with ArrayFile(tmp_path / "a.npy", dtype) as file:
        for part in parts:
            file.append(part)
    np.save(tmp_path / "b.npy", np.concatenate([np.empty(0), *parts]).astype(dtype), allow_pickle=False)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("part", [1, 7, 1000])
@pytest.mark.parametrize("most", [3, 256])
def test_pairs_are_sorted_in_any_number_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, most: int
) -> None:
    monkeypatch.setattr(arrays, "_PART", part)
    monkeypatch.setattr(arrays, "_MOST_PARTS", most)
    keys = np.random.default_rng(1).integers(-5, 1 << 63, 200)
    given = [(keys[at : at + 30], np.arange(at, min(at + 30, 200), dtype=np.int32)) for at in range(0, 200, 30)]
    found = [*sort_pairs(given, 200, 1 << 63, tmp_path)]
    assert np.concatenate([each for each, _ in found]).tolist() == sorted(keys.tolist())
    assert np.concatenate([rows for _, rows in found]).tolist() == np.argsort(keys).tolist()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("part", [1, 7, 1000])
def test_records_of_one_key_stay_in_their_order_and_in_one_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(arrays, "_PART", part)
    given = np.zeros(200, [("key", np.int32), ("at", np.int64)])
    given["key"], given["at"] = np.random.default_rng(1).integers(0, 9, 200), np.arange(200)
    found = [*sort_records((given[:120], given[120:]), given.dtype, 200, 9, tmp_path)]
    assert np.concatenate(found).tolist() == np.sort(given, order=["key", "at"]).tolist()
    assert sum(len(np.unique(block["key"])) for block in found) == 9


def test_nothing_is_sorted_to_nothing(tmp_path: Path) -> None:
    assert sum(len(keys) for keys, _ in sort_pairs([], 0, 1 << 63, tmp_path)) == 0


def test_places_are_those_of_all_values_or_none() -> None:
    ascending = np.array([2, 3, 5, 7])
    found = find_places(np.array([7, 2, 7]), ascending)
    assert found is not None
    assert found.tolist() == [3, 0, 3]
    assert find_places(np.array([2, 4]), ascending) is None
    assert find_places(np.array([8]), ascending) is None
    assert find_places(np.array([], np.int64), ascending) is not None
