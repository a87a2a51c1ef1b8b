"""Vector indexes behind :class:`qa.types.VectorIndex`; one contract suite holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qa.index.faiss_flat import FaissFlat
from qa.protocols import VectorIndex


def new_vectors(dimension: int, columns: Sequence[str]) -> VectorIndex:
    """An empty index in memory; exact search is the only back end so far."""
    return FaissFlat(dimension, columns)


def open_vectors(folder: Path) -> VectorIndex:
    """What :meth:`VectorIndex.save` wrote. Raises SnapshotCorrupt."""
    return FaissFlat.open(folder)
