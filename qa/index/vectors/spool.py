"""The rows of an index that is being built, in files until their number is known: memory does not grow with them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from qa.errors import VectorIndexError
from qa.index.vectors.columns import CodedColumn, check_columns, unwritten
from qa.protocols import VectorRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Vectors

# How far from 1 the length of a vector may be: products of rows that are longer are no cosines.
_LENGTH_TOLERANCE = 1e-3


def lengths_are_one(vectors: Vectors) -> NDArray[np.bool_]:
    """Tell of each row ``(n, d)`` whether it is of unit length."""
    close: NDArray[np.bool_] = np.isclose(np.linalg.norm(vectors, axis=1), 1.0, atol=_LENGTH_TOLERANCE)
    return close


def check_rows(rows: VectorRows, dimension: int, columns: Sequence[str]) -> None:
    """Raise VectorIndexError unless rows are of this dimension, of unit length, and have these columns."""
    ids, vectors = np.asarray(rows.ids), np.asarray(rows.vectors)
    if vectors.shape != (len(ids), dimension) or vectors.dtype != np.float32 or ids.dtype != np.int64:
        raise VectorIndexError(
            f"ids {ids.shape} {ids.dtype} and vectors {vectors.shape} {vectors.dtype} do not fit an index of "
            f"int64 ids and float32 vectors of {dimension} dimensions"
        )
    if len(ids) and int(ids.min()) < 0:
        raise VectorIndexError(f"id {int(ids.min())} is negative")
    if len(wrong := np.flatnonzero(~lengths_are_one(vectors))):
        raise VectorIndexError(f"the vector of id {ids[wrong[0]]} is not of unit length")
    check_columns(rows.columns, columns, len(ids))


class SpooledRows:
    """The rows that an index is made of, in the order in which they were given; vectors are read as they are needed.

    Args:
        at: ``(n,)``, the rows of the file ``vectors (m, d)`` that are left.
    """

    def __init__(self, ids: Ids, at: Ids, vectors: Vectors, columns: Mapping[str, CodedColumn]) -> None:
        self.ids = ids
        self.columns = columns
        self.dimension = vectors.shape[1]
        self._at = at
        self._vectors = vectors
        self._is_whole = len(at) == len(vectors)

    def __len__(self) -> int:
        return len(self.ids)

    def vectors(self, rows: Ids | slice) -> Vectors:
        """Read the vectors of rows, by their numbers in this order."""
        chosen = rows if self._is_whole else self._at[rows]
        return np.array(self._vectors[chosen])


class Spool:
    """A folder below ``folder`` that takes rows; the last of equal ids counts.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, dimension: int, columns: Sequence[str]) -> None:
        self.folder = folder / "spool"
        self._dimension = dimension
        self._values: dict[str, dict[str, int]] = {name: {} for name in columns}
        self._files: dict[str, BinaryIO] = {}
        self._opened = ExitStack()
        self._rows = 0
        # Ids that were deleted, each with the number of rows that had been given by then.
        self._deleted: list[tuple[int, Ids]] = []
        try:
            self.folder.mkdir(exist_ok=True)
            for name in ("ids", "vectors", *(f"column-{column}" for column in columns)):
                self._files[name] = self._opened.enter_context((self.folder / name).open("wb"))
        except OSError as error:
            self._opened.close()
            raise unwritten(self.folder) from error

    def append(self, rows: VectorRows) -> None:
        """Take rows. Raises VectorIndexError, StorageError."""
        check_rows(rows, self._dimension, [*self._values])
        self._write("ids", rows.ids)
        self._write("vectors", rows.vectors)
        for name, values in rows.columns.items():
            known = self._values[name]
            codes = np.fromiter((known.setdefault(value, len(known)) for value in values), np.int32, len(values))
            self._write(f"column-{name}", codes)
        self._rows += len(rows.ids)

    def _write(self, name: str, array: NDArray[Any]) -> None:
        try:
            self._files[name].write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise unwritten(self.folder / name) from error

    def delete(self, ids: Ids) -> None:
        """Take out what was given so far of these ids."""
        self._deleted.append((self._rows, np.array(ids, dtype=np.int64)))

    def rows(self) -> SpooledRows:
        """Return the rows that are left. Raises StorageError."""
        for name, file in self._files.items():
            try:
                file.flush()
            except OSError as error:
                raise unwritten(self.folder / name) from error
        ids = np.fromfile(self.folder / "ids", dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        is_last = np.append(ids[order][1:] != ids[order][:-1], np.ones(min(1, len(ids)), np.bool_))
        kept = np.zeros(len(ids), dtype=np.bool_)
        kept[order[is_last]] = True
        for given, gone in self._deleted:
            kept[:given] &= ~np.isin(ids[:given], gone)
        at = np.flatnonzero(kept)
        columns = {
            name: CodedColumn(np.fromfile(self.folder / f"column-{name}", dtype=np.int32)[at], [*values])
            for name, values in self._values.items()
        }
        shape = (len(ids), self._dimension)
        path = self.folder / "vectors"
        vectors = np.memmap(path, np.float32, "r", shape=shape) if len(ids) else np.empty(shape, np.float32)
        return SpooledRows(ids[at], at, vectors.view(np.ndarray), columns)

    def remove(self) -> None:
        """Remove the folder; nothing more is taken."""
        self._opened.close()
        shutil.rmtree(self.folder, ignore_errors=True)
