"""Bits of rows say what a mask says, whatever the number of rows and of blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import VectorIndexError
from qa.index import bitmaps
from qa.index.vectors.columns import CodedColumn, Columns
from qa.index.vectors.values import ColumnValues
from qa.protocols import And, Filter
from qa.types import Eq, In, Range


@given(st.lists(st.booleans(), max_size=70))
def test_bits_hold_what_a_mask_does(booleans: list[bool]) -> None:
    mask = np.array(booleans, np.bool_)
    bits = bitmaps.pack(mask)
    assert bitmaps.unpack(bits, len(mask)).tolist() == booleans
    assert bitmaps.count(bits) == sum(booleans)
    assert bitmaps.numbers_in(bits).tolist() == np.flatnonzero(mask).tolist()
    numbers = np.arange(len(mask))[::-1]
    assert bitmaps.hold(bits, numbers).tolist() == booleans[::-1]


@pytest.mark.parametrize("rows", [0, 1, 8, 15, 16, 17, 100])
def test_bits_of_blocks_are_those_of_all_rows(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitmaps, "_BLOCK", 16)
    generator = np.random.default_rng(rows)
    mask, numbers = generator.random(9) < 0.5, generator.integers(0, 9, rows).astype(np.int32)
    assert np.array_equal(bitmaps.pack_of(mask, numbers), bitmaps.pack(mask[numbers]))


VALUES = ["", "a", "a/b", "b", "c", "é", "z"]
conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, st.just("document"), st.sampled_from([*VALUES, "no value"])),
    st.builds(In, st.just("document"), st.lists(st.sampled_from([*VALUES, "x"]), max_size=5).map(tuple)),
    st.builds(
        Range, st.just("document"), st.none() | st.sampled_from([*VALUES, "x"]), st.none() | st.sampled_from(VALUES)
    ),
)


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Columns, list[str]]:
    folder = tmp_path_factory.mktemp("columns")
    given = np.random.default_rng(0).choice(VALUES, 1003).tolist()
    values = ColumnValues(folder / "values")
    numbers = values.number(given)
    CodedColumn(numbers, values).write(folder, "document")
    values.close()
    return Columns(folder, len(given)), given


def passes(filter: Filter, value: str) -> bool:
    match filter:
        case And(filters):
            return all(passes(part, value) for part in filters)
        case Eq(_, wanted):
            return value == wanted
        case In(_, values):
            return value in values
        case Range(_, low, high):
            return (low is None or value >= low) and (high is None or value <= high)
    raise AssertionError(filter)


@given(st.lists(conditions, max_size=3))
def test_a_filter_s_bits_are_of_the_rows_that_pass_it_first_and_again(
    columns: tuple[Columns, list[str]], filters: list[Filter]
) -> None:
    opened, values = columns
    ids = np.arange(len(values))
    for filter in (*filters, And(tuple(filters)), And((And(tuple(filters)), And(())))):
        expected = [passes(filter, value) for value in values]
        for _ in range(2):
            assert bitmaps.unpack(opened.bits(filter, ids), len(ids)).tolist() == expected


def test_bits_of_other_rows_are_refused(columns: tuple[Columns, list[str]]) -> None:
    opened, values = columns
    ids = np.arange(len(values))
    everything = bitmaps.filter_for(ids, np.ones(len(ids), np.bool_))
    assert bitmaps.count(opened.bits(everything, ids)) == len(ids)
    with pytest.raises(VectorIndexError, match="other rows"):
        opened.bits(everything, ids.copy())
