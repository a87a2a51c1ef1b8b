"""Vectors at a byte a dimension, in a file that is mapped.

The code of a row is the row itself, scaled so that its largest value is 127, and rounded. Its length is not kept, since
vectors are of unit length. Of 96 to 1,024 dimensions a cosine is off by about 0.0004. A row's code depends on nothing
but the row, so that it has the same cosine in every snapshot.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import VectorIndexError
from qa.index.vectors.columns import ARRAYS_FOLDER, map_array, writing
from qa.index.vectors.exact import DECIMALS
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from qa.types import Ids, Vectors

CODES_FILE = f"{ARRAYS_FOLDER}/codes.npy"
_LARGEST = 127
# Rows that are decoded at once: 12 MB with 384 dimensions; and that are compared at once, within a core's cache.
_AT_ONCE = 8192
_COMPARED_AT_ONCE = 512


def write_codes(rows: SpooledRows, path: Path) -> None:
    """Write the codes of rows as int8 ``(n, d)`` in ``.npy``. Raises StorageError."""
    header = {"descr": "|i1", "fortran_order": False, "shape": (len(rows), rows.dimension)}
    # Not through a mapping: where the disk is full, that ends the process instead of raising an error.
    with writing(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), _AT_ONCE):
            file.write(_encode(rows.vectors(slice(start, start + _AT_ONCE))).data)


def _encode(vectors: Vectors) -> NDArray[np.int8]:
    peaks = np.abs(vectors).max(axis=1, keepdims=True)
    codes: NDArray[np.int8] = np.rint(vectors * (np.float32(_LARGEST) / peaks)).astype(np.int8)
    return codes


def _lengths(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths


class CodedRows:
    """The rows ``(n, d)`` of an index, open.

    Raises:
        SnapshotCorrupt: the file is something else.
    """

    def __init__(self, path: Path, rows: int, dimension: int) -> None:
        self._path = path
        self._codes: NDArray[np.int8] = map_array(path, np.int8, (rows, dimension))

    def __len__(self) -> int:
        return len(self._codes)

    def are_same(self, rows: Ids, others: CodedRows, of: Ids) -> NDArray[np.bool_]:
        """Tell of each of ``rows (m,)`` whether it has the code of that row ``of (m,)`` of other rows."""
        same: NDArray[np.bool_] = (self._codes.take(rows, axis=0) == others._codes.take(of, axis=0)).all(axis=1)
        return same

    def take(self, rows: Ids | slice) -> Vectors:
        """Return rows as float32 of unit length."""
        vectors = self._read(rows)
        vectors /= _lengths(vectors)[:, None]
        return vectors

    def _read(self, rows: Ids | slice) -> Vectors:
        codes = self._codes[rows] if isinstance(rows, slice) else self._codes.take(rows, axis=0)
        return codes.astype(np.float32)

    def cosines(self, vector: Vectors, rows: Ids | None = None) -> Vectors:
        """Compute the cosines ``(m,)`` of a query ``(d,)`` and rows ``(m,)``, or all ``(n,)``."""
        count = len(self) if rows is None else len(rows)
        cosines = np.empty(count, dtype=np.float32)
        for start in range(0, count, _COMPARED_AT_ONCE):
            part = slice(start, start + _COMPARED_AT_ONCE)
            codes = self._read(part if rows is None else rows[part])
            # Not by BLAS, which starts threads for some hundred rows, and whose last bits depend on the rows around.
            cosines[part] = np.einsum("ij,j->i", codes, vector) / _lengths(codes)
        rounded: Vectors = np.round(cosines, DECIMALS)
        return rounded

    def blocks(self) -> Iterator[Vectors]:
        """Yield all rows in order, some at a time."""
        for start in range(0, len(self), _AT_ONCE):
            yield self.take(slice(start, start + _AT_ONCE))

    def verify(self) -> None:
        """Look at every code. Raises VectorIndexError for one that no row has."""
        for start in range(0, len(self), _AT_ONCE):
            codes = self._codes[start : start + _AT_ONCE].astype(np.int16)
            if len(wrong := np.flatnonzero(np.abs(codes).max(axis=1) != _LARGEST)):
                raise VectorIndexError(f"the vector in row {start + wrong[0]} of {self._path} is damaged")
