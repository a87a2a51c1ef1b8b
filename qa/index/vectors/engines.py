"""The choice of a vector index's engine: for a new snapshot, and for one that is opened by its manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qa.errors import SnapshotIncompatible, VectorIndexError
from qa.index.vectors import approximate, exact
from qa.index.vectors.columns import unwritten
from qa.index.vectors.milvus import engine as milvus_engine
from qa.index.vectors.spool import Spool
from qa.index.vectors.tuning import LEAST_RECALL
from qa.protocols import Filter, MutableVectorIndex, VectorIndex, VectorRows

if TYPE_CHECKING:
    from qa.types import Ids, MilvusAddress, Vectors

# How each engine opens what it saved in a snapshot's folder, given the manifest's part ``vectors``.
_OPEN: Mapping[str, Callable[[Path, Mapping[str, object]], VectorIndex]] = {
    exact.ENGINE: lambda folder, _: exact.FaissFlat(folder),
    approximate.ENGINE: approximate.FaissIvf,
}


class FaissVectors:
    """An index in files of one machine, which is built; see :class:`qa.protocols.MutableVectorIndex`.

    Rows wait in files below ``folder``. The engine is chosen when they are searched or saved, by their number.

    Args:
        before: the index of the snapshot before, if the same encoder made it: what it was trained is used again.
        exact_up_to: the number of rows up to which search is exact.
        least_recall: what approximate search has to find, or search is exact with any number of rows.
        stage: is called with what begins that may take minutes.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(  # noqa: PLR0913 - the last four are what an index may do without
        self,
        folder: Path,
        dimension: int,
        columns: Sequence[str],
        before: VectorIndex | None = None,
        *,
        exact_up_to: int = exact.EXACT_UP_TO,
        least_recall: float = LEAST_RECALL,
        stage: Callable[[str], None] = approximate.ignore_stage,
    ) -> None:
        self._spool = Spool(folder, dimension, columns)
        self._before = before if isinstance(before, approximate.FaissIvf) else None
        self._exact_up_to = exact_up_to
        self._least_recall = least_recall
        self._stage = stage
        self._engine: VectorIndex | None = None
        self._commits = 0
        self._is_saved = False

    def upsert(self, rows: VectorRows) -> int:
        self._require_unsaved()
        self._spool.append(rows)
        self._engine = None
        return len(rows.ids)

    def delete(self, ids: Ids) -> None:
        self._require_unsaved()
        self._spool.delete(ids)
        self._engine = None

    def _require_unsaved(self) -> None:
        if self._is_saved:
            raise VectorIndexError("the index was saved and does not change any more")

    def commit(self) -> None:
        if self._engine is None:
            # A folder for each: the files of the one before may still be read.
            self._commits += 1
            folder = self._spool.folder / f"committed-{self._commits}"
            try:
                folder.mkdir()
            except OSError as error:
                raise unwritten(folder) from error
            self._engine = self._write(folder)

    def _write(self, folder: Path) -> VectorIndex:
        rows = self._spool.rows()
        description = None
        if len(rows) > self._exact_up_to:
            description = approximate.write_approximate(rows, folder, self._before, self._least_recall, self._stage)
        return open_vectors(folder, description or exact.write_exact(rows, folder))

    def save(self, folder: Path) -> None:
        self._require_unsaved()
        self._engine = self._write(folder)
        self._spool.remove()
        self._is_saved = True

    def _opened(self) -> VectorIndex:
        self.commit()
        assert self._engine is not None
        return self._engine

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        return self._opened().search(vectors, k, filter)

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        return self._opened().cosines(vector, ids)

    def rows(self, ids: Ids) -> Vectors:
        return self._opened().rows(ids)

    def count(self, filter: Filter | None = None) -> int:
        return self._opened().count(filter)

    def ids(self) -> Ids:
        return self._opened().ids()

    def verify(self) -> None:
        self._opened().verify()

    def describe(self) -> Mapping[str, object]:
        return self._opened().describe()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._spool.remove()


def new_vectors(
    folder: Path,
    dimension: int,
    columns: Sequence[str],
    before: VectorIndex | None = None,
    milvus: MilvusAddress | None = None,
    stage: Callable[[str], None] = approximate.ignore_stage,
) -> MutableVectorIndex:
    """Make an empty index for a snapshot that is built in ``folder``, where it keeps rows until it is saved.

    Args:
        before, stage: see :class:`FaissVectors`.
        milvus: the server that is to hold the vectors; without one they lie in the folder.

    Raises:
        StorageError: the folder cannot be written.
        VectorsUnavailable: the server cannot be reached.
    """
    if milvus is not None:
        return milvus_engine.MilvusVectors.create(folder, milvus, dimension, columns, exact.EXACT_UP_TO)
    return FaissVectors(folder, dimension, columns, before, exact_up_to=exact.EXACT_UP_TO, stage=stage)


def open_vectors(folder: Path, description: Mapping[str, object], milvus: MilvusAddress | None = None) -> VectorIndex:
    """Open what :meth:`qa.protocols.MutableVectorIndex.save` wrote.

    Args:
        description: what :meth:`qa.protocols.VectorIndex.describe` gave then, as the manifest keeps it.
        milvus: where the vectors are, if a server has them.

    Raises:
        SnapshotCorrupt: the files are damaged or of something else.
        SnapshotIncompatible: this program has no engine of the name, or no address of Milvus was given.
        VectorsUnavailable: the server cannot be reached, or does not have all of the vectors.
    """
    engine = description.get("engine")
    if is_in_milvus(description):
        if milvus is None:
            raise SnapshotIncompatible(
                f"the vectors of {folder} are in Milvus; set QA_MILVUS to its address, or build the index again"
            )
        return milvus_engine.MilvusVectors.open(folder, description, milvus)
    if not isinstance(engine, str) or engine not in _OPEN:
        raise SnapshotIncompatible(
            f"the vectors in {folder} are of the engine {engine!r}, and this program has {', '.join(_OPEN)}; "
            "build the index again"
        )
    return _OPEN[engine](folder, description)


def is_in_milvus(description: Mapping[str, object]) -> bool:
    """Tell whether a server has the vectors of a snapshot, by the manifest's part ``vectors``."""
    return description.get("engine") == milvus_engine.ENGINE


def is_exact(description: Mapping[str, object]) -> bool:
    """Tell whether a snapshot has its vectors in files as the encoder gave them, by the manifest's part ``vectors``."""
    return description.get("engine") == exact.ENGINE
