"""The rows of an index that is being built, in files until their number is known: memory does not grow with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from qa.errors import VectorIndexError
from qa.index.arrays import sort_pairs
from qa.index.vectors.columns import CodedColumn, check_columns, unwritten
from qa.index.vectors.values import ColumnValues
from qa.protocols import VectorRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Mask, Vectors

_ORDER = "order"
_AT_ONCE = 1 << 16
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
    """The rows that an index is made of, in the order in which they were given; what lies in files stays there.

    Args:
        ids: ``(n,)``, mapped.
        order: int32 ``(n,)``, mapped: the numbers of the rows in the order of their ids.
        at: ``(n,)``, the rows of the file ``vectors (m, d)`` that are left; ``None`` where all are.
    """

    def __init__(
        self,
        ids: Ids,
        order: NDArray[np.int32],
        at: Ids | None,
        vectors: Vectors,
        columns: Mapping[str, CodedColumn],
        folder: Path,
    ) -> None:
        self.ids = ids
        self.order = order
        self.columns = columns
        self.dimension = vectors.shape[1]
        #: A folder for files that are needed while an index is written.
        self.folder = folder
        self._at = at
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self.ids)

    def vectors(self, rows: Ids | slice) -> Vectors:
        """Read the vectors of rows, by their numbers in this order."""
        chosen = rows if self._at is None else self._at[rows]
        return np.array(self._vectors[chosen])


class Spool:
    """A folder below ``folder`` that takes rows; the last of equal ids counts.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, dimension: int, columns: Sequence[str]) -> None:
        self.folder = folder / "spool"
        self._dimension = dimension
        self._values = {name: ColumnValues(self.folder / f"values-{name}") for name in columns}
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
            self._write(f"column-{name}", self._values[name].number(values))
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
        ids, count = self._map("ids", np.int64, ()), self._rows
        numbers = {name: self._map(f"column-{name}", np.int32, ()) for name in self._values}
        try:
            at = self._sort(ids)
        except OSError as error:
            raise unwritten(self.folder) from error
        order = self._map(_ORDER, np.int32, (), count if at is None else len(at))
        if at is not None:
            ids, numbers = ids[at], {name: each[at] for name, each in numbers.items()}
        columns = {name: CodedColumn(numbers[name], values) for name, values in self._values.items()}
        return SpooledRows(ids, order, at, self._map("vectors", np.float32, (self._dimension,)), columns, self.folder)

    def _map(self, name: str, dtype: type[np.generic], of: tuple[int, ...], rows: int | None = None) -> NDArray[Any]:
        """Map a file of ``rows`` rows of this shape, by default of all that were given."""
        shape = (self._rows if rows is None else rows, *of)
        # What is empty cannot be mapped.
        array = np.memmap(self.folder / name, dtype, "r", shape=shape) if shape[0] else np.empty(shape, dtype)
        return array.view(np.ndarray)

    def _sort(self, ids: Ids) -> Ids | None:
        """Write the numbers of the rows that are left in the order of their ids; return which they are.

        Returns:
            ``None`` where all are: what takes memory otherwise is needed by no build.

        Raises:
            OSError: the file cannot be written.
        """
        is_left = np.ones(len(ids), np.bool_)
        for given, gone in self._deleted:
            is_left[:given] &= ~np.isin(ids[:given], gone)
        with (self.folder / _ORDER).open("wb") as file:
            for _, rows in _sorted(ids, is_left, self.folder):
                file.write(rows.data)
        if is_left.all():
            return None
        number = np.cumsum(is_left, dtype=np.int32) - 1
        order = np.fromfile(self.folder / _ORDER, np.int32)
        number[order].tofile(self.folder / _ORDER)
        return np.flatnonzero(is_left)

    def remove(self) -> None:
        """Remove the folder; nothing more is taken."""
        # What a full disk did not take is written once more when a file is closed, and is not needed any more.
        with suppress(OSError):
            self._opened.close()
        for values in self._values.values():
            values.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _sorted(ids: Ids, is_left: Mask, folder: Path) -> Iterator[tuple[Ids, NDArray[np.int32]]]:
    """Yield the ids that are left in order with the numbers of their rows; the earlier ones of equal ids are not left.

    Raises:
        OSError: a temporary file cannot be written.
    """
    pairs = (
        (ids[start : start + _AT_ONCE][left], (start + np.flatnonzero(left)).astype(np.int32))
        for start in range(0, len(ids), _AT_ONCE)
        for left in [is_left[start : start + _AT_ONCE]]
    )
    for keys, rows in sort_pairs(pairs, len(ids), 1 << 63, folder):
        is_last = np.ones(len(keys), np.bool_)
        is_last[:-1] = keys[1:] != keys[:-1]
        if is_last.all():
            yield keys, rows
        else:
            is_left[rows[~is_last]] = False
            yield keys[is_last], rows[is_last]
