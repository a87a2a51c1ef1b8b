"""The filter columns of a vector index: strings coded as integers, a row for each vector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError, VectorIndexError
from qa.protocols import And, Filter, Rows
from qa.types import Eq, In, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Mask

COLUMNS_FILE = "vectors.columns.npz"


class Columns:
    """Declared columns, one string a row in each, coded as integers. Rows are in the order of their appending."""

    def __init__(self, names: Sequence[str]) -> None:
        self._values: dict[str, dict[str, int]] = {name: {} for name in names}
        self._codes: dict[str, NDArray[np.int32]] = {name: np.empty(0, np.int32) for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    def check(self, columns: Mapping[str, Sequence[str]], rows: int) -> None:
        """Raise VectorIndexError unless the columns are the declared ones and ``rows`` long."""
        if set(columns) != set(self._values):
            raise VectorIndexError(f"columns {sorted(columns)} were given, {sorted(self._values)} are declared")
        for name, values in columns.items():
            if len(values) != rows:
                raise VectorIndexError(f"column {name!r} has {len(values)} values for {rows} rows")

    def append(self, columns: Mapping[str, Sequence[str]]) -> None:
        for name, values in columns.items():
            known = self._values[name]
            codes = np.fromiter((known.setdefault(value, len(known)) for value in values), np.int32, len(values))
            self._codes[name] = np.concatenate([self._codes[name], codes])

    def keep(self, mask: Mask) -> None:
        """Drop the rows where ``mask`` is false."""
        self._codes = {name: codes[mask] for name, codes in self._codes.items()}

    def mask(self, filter: Filter, ids: Ids) -> Mask:
        """Find which of the rows of ``ids (n,)`` pass ``filter``, as booleans.

        Raises:
            VectorIndexError: the filter names a column that is not declared, or was made for other rows.
        """
        match filter:
            case And(filters):
                mask = np.ones(len(ids), dtype=np.bool_)
                for part in filters:
                    mask &= self.mask(part, ids)
                return mask
            case Rows(of, mask):
                if of is not ids or len(mask) != len(ids):
                    raise VectorIndexError("the filter was made for other rows than the index has")
                return mask
            case Eq(column, value):
                return self._matching(column, {value})
            case In(column, values):
                return self._matching(column, set(values))
            case Range(column, low, high):
                known = self._known(column)
                inside = {v for v in known if (low is None or v >= low) and (high is None or v <= high)}
                return self._matching(column, inside)

    def _known(self, column: str) -> dict[str, int]:
        if column not in self._values:
            raise VectorIndexError(f"no filter column {column!r}; declared are {sorted(self._values)}")
        return self._values[column]

    def _matching(self, column: str, values: set[str]) -> Mask:
        known = self._known(column)
        passing = np.zeros(len(known), dtype=np.bool_)
        passing[[known[value] for value in values if value in known]] = True
        mask: Mask = passing[self._codes[column]]
        return mask

    def save(self, path: Path) -> None:
        """Write an ``.npz``: for each column its codes, and its values as UTF-8 JSON. Nothing is pickled.

        Raises:
            StorageError: the disk is full, or cannot be written.
        """
        arrays: dict[str, NDArray[np.int32] | NDArray[np.uint8]] = {}
        for name, values in self._values.items():
            arrays[f"{name}.codes"] = self._codes[name]
            arrays[f"{name}.values"] = np.frombuffer(json.dumps(list(values)).encode(), dtype=np.uint8)
        try:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise unwritten(path) from error

    @classmethod
    def open(cls, path: Path, rows: int) -> Columns:
        """Read what :meth:`save` wrote. Raises SnapshotCorrupt unless it holds ``rows`` values in each column."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = [key.removesuffix(".codes") for key in arrays.files if key.endswith(".codes")]
                columns = cls(names)
                for name in names:
                    values = json.loads(arrays[f"{name}.values"].tobytes())
                    columns._values[name] = {value: code for code, value in enumerate(values)}
                    columns._codes[name] = arrays[f"{name}.codes"]
        except (OSError, ValueError, KeyError) as error:
            raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error
        for name, codes in columns._codes.items():
            if len(codes) != rows or (
                rows and not 0 <= int(codes.min()) <= int(codes.max()) < len(columns._values[name])
            ):
                raise SnapshotCorrupt(f"column {name!r} in {path} does not fit its {rows} rows; build the index again")
        return columns


def unwritten(path: Path) -> StorageError:
    """Make the error for a file of vectors that cannot be written."""
    return StorageError(f"cannot write {path}; check the folder's permissions and the disk's free space")
