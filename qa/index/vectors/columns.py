"""The filter columns of a vector index: strings coded as integers, a code for each row, in files that are mapped.

The distinct values of a column are sorted and lie one after the other as UTF-8, which sorts as their code points do; a
value is found by bisection, so that opening reads none of them and nothing is held in memory for a row or a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError, VectorIndexError
from qa.index import bitmaps
from qa.index.arrays import ArrayFile
from qa.index.kept import keep_results
from qa.protocols import And, Filter, Rows
from qa.types import Eq, In, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.index.vectors.values import ColumnValues
    from qa.types import Bits, Ids

# Looking a value up costs about as much as reading so many values one after the other.
_BISECTION = 16
# Conditions on columns whose rows are kept, and the bytes that they may take together.
_KEPT, _KEPT_BYTES = 32, 16_000_000
# Values, and codes of rows, that are written at once.
_AT_ONCE = 1 << 14
# The folder of arrays beside the file of FAISS.
ARRAYS_FOLDER = "vectors"


def unwritten(path: Path) -> StorageError:
    """Make the error for a file of vectors that cannot be written."""
    return StorageError(f"cannot write {path}; check the folder's permissions and the disk's free space")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as ``.npy``. Raises StorageError."""
    with writing(path) as file:
        np.save(file, array, allow_pickle=False)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written, in a folder that is made if need be. Raises StorageError."""
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise unwritten(path) from error


@contextmanager
def writing_array(path: Path, dtype: type[np.generic]) -> Iterator[ArrayFile]:
    """Open an ``.npy`` file that is written as its values come, in a folder that is made if need be.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        with ArrayFile(path, dtype) as file:
            yield file
    except OSError as error:
        raise unwritten(path) from error


def map_array(path: Path, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Map an ``.npy`` file; ``None`` in ``shape`` is any length.

    Raises:
        SnapshotCorrupt: the file is missing, or holds an array of another kind.
    """
    try:
        # A file whose array is empty cannot be mapped.
        array = np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size else None
        if array is not None and array.size == 0:
            array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error
    fits = array is not None and array.dtype == dtype and len(array.shape) == len(shape)
    if array is None or not fits or any(b not in (None, a) for a, b in zip(array.shape, shape, strict=True)):
        raise SnapshotCorrupt(f"{path} does not fit what it belongs to; build the index again")
    # A plain view: each slice of a ``memmap`` would cost microseconds.
    plain: NDArray[Any] = array.view(np.ndarray)
    return plain


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column to be written: ``numbers (n,)`` of the rows' values, int32, and the ``values`` by their numbers."""

    numbers: NDArray[np.int32]
    values: ColumnValues

    def write(self, folder: Path, name: str) -> None:
        """Write the files of the column. Raises StorageError."""
        # Four bytes for each value are all that is held in memory.
        places = np.empty(len(self.values), np.int32)
        place, last, end = -1, None, 0
        with (
            writing_array(_path(folder, name, "values"), np.uint8) as text,
            writing_array(_path(folder, name, "starts"), np.int64) as starts,
        ):
            starts.append(np.zeros(1, np.int64))
            in_order = self.values.in_order()
            while values := list(islice(in_order, _AT_ONCE)):
                new, ends = [], []
                for value, number in values:
                    if value != last:
                        place, last, end = place + 1, value, end + len(value)
                        new.append(value)
                        ends.append(end)
                    places[number] = place
                text.append(np.frombuffer(b"".join(new), np.uint8))
                starts.append(np.array(ends, np.int64))
        with writing_array(_path(folder, name, "places"), np.int32) as codes:
            for start in range(0, len(self.numbers), _AT_ONCE):
                codes.append(places[self.numbers[start : start + _AT_ONCE]])


class _Column:
    """One column, open: ``codes (n,)``, and the sorted values that they are the places of."""

    def __init__(self, folder: Path, name: str, rows: int) -> None:
        self._path = _path(folder, name, "places")
        self.codes: NDArray[np.int32] = map_array(self._path, np.int32, (rows,))
        self._starts: Ids = map_array(_path(folder, name, "starts"), np.int64, (None,))
        length = int(self._starts[-1]) if len(self._starts) else -1
        self._text: NDArray[np.uint8] = map_array(_path(folder, name, "values"), np.uint8, (length,))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def _value(self, at: int) -> bytes:
        return self._text[self._starts[at] : self._starts[at + 1]].tobytes()

    def _place(self, value: bytes) -> int:
        """Return the place of the first value that is not below this one."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._value(middle) < value:
                low = middle + 1
            else:
                high = middle
        return low

    def matching(self, values: Iterable[str]) -> Bits:
        """Find the rows with one of the values."""
        wanted = {value.encode("utf-8", "surrogatepass") for value in values}
        if len(wanted) * _BISECTION < len(self):
            places = [(self._place(value), value) for value in wanted]
            found = [at for at, value in places if at < len(self) and self._value(at) == value]
        else:
            text, starts = self._text.tobytes(), self._starts.tolist()
            found = [at for at in range(len(self)) if text[starts[at] : starts[at + 1]] in wanted]
        if not found or max(found) - min(found) == len(found) - 1:
            return self._between(min(found, default=0), max(found, default=-1) + 1)
        passing = np.zeros(len(self), dtype=np.bool_)
        passing[found] = True
        return bitmaps.pack_of(passing, self.codes)

    def _between(self, first: int, after: int) -> Bits:
        """Find the rows whose values are those of the places ``[first, after)``."""
        # To compare takes a third of the time of looking each code up.
        if first + 1 == after:
            return bitmaps.pack_where(lambda codes: codes == np.int32(first), self.codes)
        return bitmaps.pack_where(lambda codes: (codes >= np.int32(first)) & (codes < np.int32(after)), self.codes)

    def within(self, low: str | None, high: str | None) -> Bits:
        """Find the rows whose values lie in a range, its ends included."""
        first = self._place(low.encode("utf-8", "surrogatepass")) if low is not None else 0
        after = len(self)
        if high is not None:
            bound = high.encode("utf-8", "surrogatepass")
            after = self._place(bound)
            after += after < len(self) and self._value(after) == bound
        return self._between(first, after)

    def verify(self) -> None:
        """Raise VectorIndexError unless the values are sorted and each code is the place of one."""
        values = (self._value(at) for at in range(len(self)))
        if any(a >= b for a, b in pairwise(values)) or (
            len(self.codes) and not 0 <= int(self.codes.min()) <= int(self.codes.max()) < len(self)
        ):
            raise VectorIndexError(f"the column in {self._path} does not fit its values")


class Columns:
    """Declared columns of ``rows`` rows, open.

    Raises:
        SnapshotCorrupt: the files of a column do not fit.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        pattern = _path(folder, "*", "places")
        names = sorted(path.name.removesuffix(".places.npy") for path in pattern.parent.glob(pattern.name))
        self._columns = {name: _Column(folder, name, rows) for name in names}
        kept = max(1, min(_KEPT, 8 * _KEPT_BYTES // max(1, rows)))
        self._passing = keep_results(kept, self._look_up)

    def bits(self, filter: Filter, ids: Ids) -> Bits:
        """Find which of the rows of ``ids (n,)`` pass ``filter``, a bit for each; those of the last columns are kept.

        Raises:
            VectorIndexError: the filter names a column that is not declared, or was made for other rows.
        """
        match filter:
            case And(filters):
                if not filters:
                    return bitmaps.pack(np.ones(len(ids), np.bool_))
                every: Bits = np.bitwise_and.reduce([self.bits(part, ids) for part in filters])
                return every
            case Rows(of, bits):
                if of is not ids or len(bits) != -(-len(ids) // 8):
                    raise VectorIndexError("the filter was made for other rows than the index has")
                return bits
            case Eq() | In() | Range():
                return self._passing(filter)

    def _look_up(self, filter: Eq | In | Range) -> Bits:
        match filter:
            case Eq(column, value):
                return self._column(column).matching([value])
            case In(column, values):
                return self._column(column).matching(values)
            case Range(column, low, high):
                return self._column(column).within(low, high)

    def _column(self, name: str) -> _Column:
        if name not in self._columns:
            raise VectorIndexError(f"no filter column {name!r}; declared are {sorted(self._columns)}")
        return self._columns[name]

    def verify(self) -> None:
        """Look at every value. Raises VectorIndexError."""
        for column in self._columns.values():
            column.verify()


def check_columns(columns: Mapping[str, Sequence[str]], declared: Sequence[str], rows: int) -> None:
    """Raise VectorIndexError unless the columns are the declared ones and ``rows`` long."""
    if set(columns) != set(declared):
        raise VectorIndexError(f"columns {sorted(columns)} were given, {sorted(declared)} are declared")
    for name, values in columns.items():
        if len(values) != rows:
            raise VectorIndexError(f"column {name!r} has {len(values)} values for {rows} rows")


def _path(folder: Path, name: str, part: str) -> Path:
    return folder / ARRAYS_FOLDER / f"{name}.{part}.npy"
