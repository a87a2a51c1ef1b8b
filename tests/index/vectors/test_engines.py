"""A vector index is opened by what the manifest says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.errors import SnapshotIncompatible
from qa.index.vectors.engines import new_vectors, open_vectors


@pytest.mark.parametrize("description", [{}, {"engine": "of-later"}, {"engine": ["exact"]}], ids=repr)
def test_an_engine_that_this_program_has_not_is_refused_by_name(tmp_path: Path, description: dict[str, object]) -> None:
    with pytest.raises(SnapshotIncompatible, match=r"of the engine .*this program has exact"):
        open_vectors(tmp_path, description)


def test_a_small_index_is_exact(tmp_path: Path) -> None:
    assert new_vectors(tmp_path, 8, ["document"]).describe() == {"engine": "exact"}
