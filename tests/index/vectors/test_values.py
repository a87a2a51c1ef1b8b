"""The values of a column while an index is built: what is held, what lies in runs, and both merged."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from qa.index.bitmaps import unpack
from qa.index.vectors import values as values_module
from qa.index.vectors.columns import CodedColumn, Columns
from qa.index.vectors.values import ColumnValues
from qa.types import Eq, Range


@pytest.mark.parametrize("held", [1, 3, 1000])
@pytest.mark.parametrize("read", [8, 1 << 14])
def test_a_column_is_the_same_in_any_number_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, read: int
) -> None:
    monkeypatch.setattr(values_module, "_HELD", held)
    monkeypatch.setattr(values_module, "_READ", read)
    given = ["b", "", "a", "ä/ß", "a", "b" * 40, "\udcff", "a/b", "", "zz"] * 5
    random.Random(1).shuffle(given)
    values = ColumnValues(tmp_path / "values")
    numbers = np.concatenate([values.number(given[at : at + 4]) for at in range(0, len(given), 4)])
    CodedColumn(numbers, values).write(tmp_path, "document")
    values.close()
    columns, ids = Columns(tmp_path, len(given)), np.arange(len(given))
    columns.verify()
    for value in {*given}:
        assert unpack(columns.bits(Eq("document", value), ids), len(ids)).tolist() == [each == value for each in given]
    assert unpack(columns.bits(Range("document", "a", "b"), ids), len(ids)).tolist() == [
        "a" <= each <= "b" for each in given
    ]


def test_many_characters_are_written_out_as_many_values_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values_module, "_HELD_CHARACTERS", 100)
    values = ColumnValues(tmp_path / "values")
    for number in range(3):
        values.number([f"{number}" * 200])
    assert (tmp_path / "values").stat().st_size > 400
    assert [value[:1] for value, _ in values.in_order()] == [b"0", b"1", b"2"]
    values.close()
