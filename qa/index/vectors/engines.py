"""The choice of a vector index's engine: for a new snapshot, and for one that is opened by its manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qa.errors import SnapshotIncompatible
from qa.index.vectors import exact
from qa.protocols import VectorIndex

# How each engine opens what it saved in a snapshot's folder, given the manifest's part ``vectors``.
_OPEN: Mapping[str, Callable[[Path, Mapping[str, object]], VectorIndex]] = {
    exact.ENGINE: lambda folder, _: exact.FaissFlat.open(folder),
}


def new_vectors(folder: Path, dimension: int, columns: Sequence[str]) -> VectorIndex:
    """Make an empty index for a snapshot that is built in ``folder``, where it may keep rows until it is saved."""
    return exact.FaissFlat(dimension, columns)


def open_vectors(folder: Path, description: Mapping[str, object]) -> VectorIndex:
    """Open what :meth:`qa.protocols.VectorIndex.save` wrote.

    Args:
        description: what :meth:`qa.protocols.VectorIndex.describe` gave then, as the manifest keeps it.

    Raises:
        SnapshotCorrupt: the files are damaged or of something else.
        SnapshotIncompatible: this program has no engine of the name.
    """
    engine = description.get("engine")
    if not isinstance(engine, str) or engine not in _OPEN:
        raise SnapshotIncompatible(
            f"the vectors in {folder} are of the engine {engine!r}, and this program has {', '.join(_OPEN)}; "
            "build the index again"
        )
    return _OPEN[engine](folder, description)
