"""Batches: every text once, in few shapes, of like length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qa.models.openvino import STEP, batches

LENGTHS = st.lists(st.integers(min_value=1, max_value=250), max_size=400)


@given(LENGTHS, st.integers(min_value=1, max_value=4096))
def test_every_text_is_in_one_batch_that_it_fits_in(lengths: list[int], tokens: int) -> None:
    made = batches(lengths, 250, tokens)
    assert sorted(row for batch in made for row in batch.rows) == list(range(len(lengths)))
    for batch in made:
        assert max(lengths[row] for row in batch.rows) <= batch.length <= 250
        assert batch.length % STEP == 0 or batch.length == 250
        assert len(batch.rows) == 1 or len(batch.rows) * batch.length <= tokens


@given(st.lists(LENGTHS, max_size=8))
def test_the_shapes_are_few_whatever_the_texts(many: list[list[int]]) -> None:
    shapes = {(len(batch.rows), batch.length) for lengths in many for batch in batches(lengths, 256, 2048)}
    for length in {length for _, length in shapes}:
        counts = {count for count, of in shapes if of == length}
        assert {count for count in counts if count & (count - 1)} <= {2048 // length}


def test_the_longest_come_first() -> None:
    assert [batch.length for batch in batches([3, 200, 40, 90], 256, 200)] == [208, 96, 16]


def test_a_short_text_is_not_padded_to_a_long_one() -> None:
    assert [(len(batch.rows), batch.length) for batch in batches([200, 20, 20, 20, 20], 256)] == [(1, 208), (4, 32)]
