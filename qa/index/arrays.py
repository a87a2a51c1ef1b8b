"""Arrays that are larger than memory should be: written to ``.npy`` files as their values come, and sorted in parts.

Files are written and not mapped: where the disk is full, a mapping ends the process instead of raising an error.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from qa.types import Ids

# Rows that are taken from a database at once.
BLOCK = 1 << 14
# Records of a part that is sorted in memory, 12 to 100 bytes each, and the most files that parts are written to.
_PART = 1 << 17
_MOST_PARTS = 64
_PAIR = np.dtype([("key", np.int64), ("value", np.int32)])


class ArrayFile:
    """An ``.npy`` file ``(n, *shape)`` that is written as its rows come; its bytes are those that ``np.save`` writes.

    Raises:
        OSError: from every method, where the file cannot be written.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._dtype = np.dtype(dtype)
        self._shape = shape
        self._file = path.open("wb")
        self._file.write(self._header(0))
        self._rows = 0

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                # numpy leaves room in the header for any number of rows.
                self._file.seek(0)
                self._file.write(self._header(self._rows))

    def append(self, values: NDArray[Any]) -> None:
        """Write the next rows ``(m, *shape)``."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._rows += len(values)

    def _header(self, rows: int) -> bytes:
        return array_header(self._dtype, (rows, *self._shape))


def array_header(dtype: DTypeLike, shape: tuple[int, ...]) -> bytes:
    """Return what an ``.npy`` file of an array begins with."""
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    return header.getvalue()


def blocks_of(rows: Iterable[Sequence[int]]) -> Iterator[Ids]:
    """Turn rows of ``c`` numbers into arrays ``(c, m)``, a block of rows at a time."""
    source = iter(rows)
    while block := list(islice(source, BLOCK)):
        yield np.array(block, np.int64).T


def find_places(values: Ids, ascending: Ids) -> Ids | None:
    """Return where each of the values ``(m,)`` lies in an ascending array ``(n,)``; ``None`` where one does not."""
    # In order, so that each page of a mapped array is read once.
    order = np.argsort(values)
    ordered = values[order]
    at = np.searchsorted(ascending, ordered)
    if len(at) and (at[-1] == len(ascending) or not np.array_equal(ascending[at], ordered)):
        return None
    places = np.empty(len(at), np.int64)
    places[order] = at
    return places


def sort_pairs(
    pairs: Iterable[tuple[Ids, NDArray[np.int32]]], count: int, below: int, folder: Path
) -> Iterator[tuple[Ids, NDArray[np.int32]]]:
    """Sort pairs of a key and a value by the key, and yield them in blocks ``(m,), (m,)``; see :func:`sort_records`."""

    def records() -> Iterator[NDArray[Any]]:
        for keys, values in pairs:
            block = np.empty(len(keys), _PAIR)
            block["key"], block["value"] = keys, values
            yield block

    for block in sort_records(records(), _PAIR, count, below, folder):
        yield block["key"].copy(), block["value"].copy()


def sort_records(
    blocks: Iterable[NDArray[Any]], dtype: np.dtype[Any], count: int, below: int, folder: Path
) -> Iterator[NDArray[Any]]:
    """Sort ``count`` records of a type by their field ``key``, and yield them in blocks ``(m,)``.

    Those with one key stay in their order, and in one block. Memory is that of a part: the records are dealt to files
    by their keys, and each file is sorted alone. Parts are of like size where keys are spread evenly from 0 to
    ``below``, as hashes are; of others they are larger.

    Args:
        folder: where the files are made; they are gone when the last block was taken.

    Raises:
        OSError: they cannot be written.
    """
    parts = min(_MOST_PARTS, max(1, -(-count // _PART)))
    width = -(-below // parts)
    with tempfile.TemporaryDirectory(prefix=".sorting-", dir=folder) as place, ExitStack() as opened:
        files = [opened.enter_context((Path(place) / str(part)).open("w+b")) for part in range(parts)]
        for block in blocks:
            if parts == 1:
                files[0].write(block.data)
                continue
            part_of = np.clip(block["key"] // width, 0, parts - 1)
            order = np.argsort(part_of, kind="stable")
            dealt = block[order]
            bounds = np.searchsorted(part_of[order], np.arange(parts + 1)).tolist()
            for part in np.unique(part_of).tolist():
                files[part].write(dealt[bounds[part] : bounds[part + 1]].data)
        for file in files:
            file.seek(0)
            records = np.fromfile(file, dtype)
            file.truncate(0)
            yield records[np.argsort(records["key"], kind="stable")]
