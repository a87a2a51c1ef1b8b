"""The encoder of unit tests is deterministic, gives unit vectors, and keeps to its window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import QuestionTooLong
from tests.support.hashing import HashingEncoder


@given(st.lists(st.text(), max_size=5))
def test_rows_are_of_unit_length_and_depend_on_their_text_alone(texts: list[str]) -> None:
    encoder = HashingEncoder()
    rows = encoder.encode_passages(texts)
    assert rows.shape == (len(texts), encoder.dimension)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for text, row in zip(texts, rows, strict=True):
        assert encoder.encode_passages([text])[0].tolist() == row.tolist()


def test_a_question_over_the_window_is_refused() -> None:
    encoder = HashingEncoder(window=10)
    assert encoder.encode_questions(["one two three four five six seven eight"]).shape == (1, 256)
    with pytest.raises(QuestionTooLong, match="has 11 tokens and the model reads 10"):
        encoder.encode_questions(["one two three four five six seven eight nine"])
