"""The ids and filter columns of the rows of an index, in files that are mapped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import VectorIndexError
from qa.index import bitmaps
from qa.index.vectors.columns import ARRAYS_FOLDER, Columns, map_array, write_array, writing_array
from qa.index.vectors.spool import SpooledRows

if TYPE_CHECKING:
    from qa.protocols import Filter
    from qa.types import Bits, Ids

_IDS_FILE = f"{ARRAYS_FOLDER}/ids.npy"
_ORDER_FILE = f"{ARRAYS_FOLDER}/order.npy"
# Rows that are written, and looked at, at once.
_AT_ONCE = 1 << 16


class RowTable:
    """The rows of an index, by their numbers: ``ids (n,)``, and their values in columns.

    Args:
        rows: how many there are.

    Raises:
        SnapshotCorrupt: a file does not fit.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.ids: Ids = map_array(folder / _IDS_FILE, np.int64, (rows,))
        self._order: Ids = map_array(folder / _ORDER_FILE, np.int64, (rows,))
        self._columns = Columns(folder, rows)

    @staticmethod
    def write(rows: SpooledRows, folder: Path) -> None:
        """Write the ids, their order and the columns. Raises StorageError."""
        write_array(folder / _IDS_FILE, rows.ids)
        with writing_array(folder / _ORDER_FILE, np.int64) as order:
            for start in range(0, len(rows), _AT_ONCE):
                order.append(rows.order[start : start + _AT_ONCE])
        for name, column in rows.columns.items():
            column.write(folder, name)

    def find(self, ids: Ids) -> Ids:
        """Return the numbers of the rows of ``ids (n,)``. Raises VectorIndexError where there is none of an id."""
        rows = self.look_up(ids)
        if (rows < 0).any():
            raise VectorIndexError("a row was asked for that the index does not hold")
        return rows

    def look_up(self, ids: Ids) -> Ids:
        """Return the numbers of the rows of ``ids (n,)``, -1 where there is none of an id."""
        if not len(ids) or not len(self.ids):
            return np.full(len(ids), -1, dtype=np.int64)
        at = np.searchsorted(self.ids, ids, sorter=self._order)
        rows = self._order[np.minimum(at, len(self.ids) - 1)]
        found: Ids = np.where(self.ids[rows] == ids, rows, -1)
        return found

    def bits(self, filter: Filter) -> Bits:
        """Find which rows pass a filter, a bit for each. Raises VectorIndexError for a filter that does not fit."""
        return self._columns.bits(filter, self.ids)

    def count(self, filter: Filter | None) -> int:
        """Count the rows that pass a filter."""
        return len(self.ids) if filter is None else bitmaps.count(self.bits(filter))

    def verify(self) -> None:
        """Look at every id and every value of a column. Raises VectorIndexError."""
        for start in range(0, len(self.ids), _AT_ONCE):
            order = self._order[start : start + _AT_ONCE + 1]
            is_row = (order >= 0) & (order < len(self.ids))
            if not is_row.all() or not (np.diff(self.ids[order]) > 0).all():
                raise VectorIndexError("the order of the ids of vectors is wrong")
        self._columns.verify()
