"""The values of a filter column while an index is built: numbered as they come, and sorted in runs that lie in a file.

A column may have a value for each row: what was numbered last is held in memory, and what came before is written out,
sorted. A value that comes again later gets another number, and the runs are merged at the end.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from qa.index.vectors.columns import unwritten

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Values, and characters of values, that are held in memory before they are written out.
_HELD = 1 << 14
_HELD_CHARACTERS = 1 << 21
# Bytes of a run that are read at once; of ten million values there are 610 runs.
_READ = 1 << 14
_LENGTH = struct.Struct("<II")


def encode(value: str) -> bytes:
    """Return the bytes of a value, which sort as its characters do."""
    return value.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class _Run:
    """Values in order, each with its number, in the bytes ``[start, end)`` of the file."""

    start: int
    end: int


class ColumnValues:
    """The values of one column, to which new ones can be added.

    Args:
        path: of the file that runs are written to, which is made when there is one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._runs: list[_Run] = []
        self._held: dict[str, int] = {}
        self._characters = 0
        self._first = 0  # the number of the first value that is held

    def __len__(self) -> int:
        """Return how many numbers were given."""
        return self._first + len(self._held)

    def number(self, values: Sequence[str]) -> NDArray[np.int32]:
        """Return a number ``(n,)`` for each of the values; equal ones that come close together have the same.

        Raises:
            StorageError: a run cannot be written.
        """
        if len(self._held) >= _HELD or self._characters >= _HELD_CHARACTERS:
            self._spill()
        held, first, before = self._held, self._first, len(self._held)
        numbers = np.fromiter((held.setdefault(value, first + len(held)) for value in values), np.int32, len(values))
        if len(held) > before:
            self._characters += sum(map(len, dict.fromkeys(values)))
        return numbers

    def _spill(self) -> None:
        """Write out what is held."""
        parts: list[bytes] = []
        for value, number in _sorted(self._held):
            parts += (_LENGTH.pack(len(value), number), value)
        run = b"".join(parts)
        try:
            if self._file is None:
                self._file = self._path.open("w+b", buffering=0)
            start = self._runs[-1].end if self._runs else 0
            while run:
                run = run[self._file.write(run) :]
        except OSError as error:
            raise unwritten(self._path) from error
        self._runs.append(_Run(start, self._file.tell()))
        self._first += len(self._held)
        self._held, self._characters = {}, 0

    def in_order(self) -> Iterator[tuple[bytes, int]]:
        """Yield all values as bytes in ascending order, with their numbers; a value once for each of its numbers."""
        if self._file is None:
            yield from _sorted(self._held)
        else:
            runs = (self._read(self._file.fileno(), run) for run in self._runs)
            yield from heapq.merge(*runs, _sorted(self._held))

    def _read(self, file: int, run: _Run) -> Iterator[tuple[bytes, int]]:
        at, held, offset = run.start, b"", 0
        while True:
            if len(held) - offset < _LENGTH.size and at < run.end:
                held, offset, at = self._more(file, held[offset:], at, run, _READ)
            if offset == len(held):
                return
            length, number = _LENGTH.unpack_from(held, offset)
            end = offset + _LENGTH.size + length
            if end > len(held):
                held, offset, at = self._more(file, held[offset:], at, run, max(_READ, length))
                end = _LENGTH.size + length
            yield held[offset + _LENGTH.size : end], number
            offset = end

    def _more(self, file: int, left: bytes, at: int, run: _Run, size: int) -> tuple[bytes, int, int]:
        read = os.pread(file, min(size, run.end - at), at)
        return left + read, 0, at + len(read)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _sorted(values: dict[str, int]) -> Iterator[tuple[bytes, int]]:
    return iter(sorted((encode(value), number) for value, number in values.items()))
