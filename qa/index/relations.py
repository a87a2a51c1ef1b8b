"""``relations/``: which windows, passages and documents belong together, as arrays that are mapped, never read whole.

They are derived from ``documents.sqlite`` when a snapshot is published, so that nothing is read row by row when it is
opened, and what a question needs is found by bisection: a few pages of each file come into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError
from qa.index.arrays import BLOCK, ArrayFile, blocks_of, find_places, sort_pairs
from qa.index.vectors.columns import map_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.index.store import Store
    from qa.types import Ids

RELATIONS_FOLDER = "relations"
_DTYPES: Mapping[str, type[np.signedinteger[Any]]] = {
    "passages": np.int64,
    "places": np.int32,
    "placed": np.int32,
    "first_places": np.int64,
    "first_windows": np.int64,
    "by_passage": np.int64,
    "windows": np.int64,
    "owners": np.int32,
    "by_id": np.int32,
}
# Keys are hashes of 63 bits.
_KEYS = 1 << 63


@dataclass(frozen=True, slots=True)
class Relations:
    """Windows, passages and documents of one snapshot; immutable.

    A passage's place is its number, from 0, in the order of documents, and of their beginnings within one.

    Args:
        passages: int64 ``(p,)``, the keys of all passages, ascending.
        places: int32 ``(p,)``, of each passage, in the order of the keys, its place.
        placed: int32 ``(p,)``, of each place the row of its passage in ``passages``.
        first_places: int64 ``(d + 1,)``, where the passages of each document begin, and the last one's end; documents
            are counted from 1 in the store, and from 0 here.
        first_windows: int64 ``(p + 1,)``, where each passage's windows begin in ``by_passage``, and the last one's end.
        by_passage: int64 ``(w,)``, the keys of all windows, in the order of their passages' keys.
        windows: int64 ``(w,)``, the keys of all windows, ascending.
        owners: int32 ``(w,)``, of each window, in the order of the keys, the row of its passage in ``passages``.
        by_id: int32 ``(d,)``, the numbers of all documents in the order of their ids.
    """

    passages: Ids
    places: NDArray[np.int32]
    placed: NDArray[np.int32]
    first_places: Ids
    first_windows: Ids
    by_passage: Ids
    windows: Ids
    owners: NDArray[np.int32]
    by_id: NDArray[np.int32]

    def passages_of(self, windows: Ids) -> Ids:
        """Return the key of the passage ``(n,)`` of each window ``(n,)``, given by its key."""
        of: Ids = self.passages[self.owners[np.searchsorted(self.windows, windows)]]
        return of

    def windows_of(self, passages: Ids) -> tuple[Ids, Ids]:
        """Return the windows of passages ``(p,)``, one passage's after the other's, and where each one's begin."""
        return self._windows_at(np.searchsorted(self.passages, passages))

    def _windows_at(self, rows: Ids) -> tuple[Ids, Ids]:
        first, last = self.first_windows[rows], self.first_windows[rows + 1]
        starts = np.concatenate([[0], np.cumsum(last - first)])
        at = np.arange(starts[-1]) + np.repeat(first - starts[:-1], last - first)
        return self.by_passage[at], starts[:-1]

    def documents_of(self, windows: Ids) -> Ids:
        """Return the number of the document of each window ``(n,)``, given by its key."""
        places = self.places[self.owners[np.searchsorted(self.windows, windows)]]
        return np.searchsorted(self.first_places, places.astype(np.int64), "right")

    def windows_in(self, document: int) -> Ids:
        """Return the keys of a document's windows, ascending, given by its number."""
        rows = self.placed[self.first_places[document - 1] : self.first_places[document]]
        return np.sort(self._windows_at(rows.astype(np.int64))[0])

    def are_of(self, store: Store) -> bool:
        """Tell whether these are the relations of a store's rows; a block of them is held in memory at a time."""
        if not _is_ascending(self.passages) or not _is_ascending(self.windows):
            return False
        return self._are_of_passages(store) and self._are_of_windows(store) and self._are_of_documents(store)

    def _are_of_passages(self, store: Store) -> bool:
        first = self.first_places
        if first[0] != 0 or first[-1] != len(self.passages) or not _is_ascending(first, strictly=False):
            return False
        seen = 0
        for keys, of in blocks_of(store.passages_in_order()):
            places = np.arange(seen, seen + len(keys))
            rows = self.placed[seen : seen + len(keys)].astype(np.int64)
            if len(rows) < len(keys) or not _are_within(rows, len(self.passages)):
                return False
            fits = np.array_equal(self.passages[rows], keys) and np.array_equal(self.places[rows], places)
            if not fits or not np.array_equal(np.searchsorted(first, places, "right"), of):
                return False
            seen += len(keys)
        return seen == len(self.passages)

    def _are_of_windows(self, store: Store) -> bool:
        seen, passages = 0, 0
        for rows, starts, windows in _owned(store, self.passages):
            at = find_places(windows, self.windows)
            fits = np.array_equal(self.by_passage[seen : seen + len(windows)], windows) and at is not None
            if not fits or not np.array_equal(self.owners[at], rows):
                return False
            if not np.array_equal(self.first_windows[passages : passages + len(starts)], starts):
                return False
            seen, passages = seen + len(windows), passages + len(starts)
        return (seen, passages, self.first_windows[-1]) == (len(self.windows), len(self.passages), seen)

    def _are_of_documents(self, store: Store) -> bool:
        seen = 0
        for (numbers,) in blocks_of((number,) for number, _ in store.numbered()):
            if not np.array_equal(self.by_id[seen : seen + len(numbers)], numbers):
                return False
            seen += len(numbers)
        return seen == len(self.by_id)


def write_relations(store: Store, folder: Path) -> Relations:
    """Derive the relations of a store's rows, write them into the new folder ``folder/relations``, and map them.

    Each is an ``.npy`` file. Memory is that of a block of rows: what is sorted is sorted in files.

    Raises:
        SnapshotCorrupt: a window or a passage belongs to nothing.
        StorageError: the disk is full, or cannot be written.
    """
    target = folder / RELATIONS_FOLDER
    try:
        target.mkdir()
        _write_passages(store, target)
        _write_windows(store, target, map_array(target / "passages.npy", np.int64, (None,)))
        with _array(target, "by_id") as by_id:
            for (numbers,) in blocks_of((number,) for number, _ in store.numbered()):
                by_id.append(numbers)
    except OSError as error:
        raise StorageError(
            f"cannot write {target} ({error}); check the folder's permissions and the disk's free space"
        ) from error
    return open_relations(folder)


def _array(folder: Path, name: str) -> ArrayFile:
    return ArrayFile(folder / f"{name}.npy", _DTYPES[name])


def _write_passages(store: Store, folder: Path) -> None:
    """Write the arrays of passages and their places. Raises SnapshotCorrupt, OSError."""
    documents, count = store.count("documents"), store.count("passages")
    with _array(folder, "first_places") as first_places:

        def in_places() -> Iterator[tuple[Ids, NDArray[np.int32]]]:
            following, seen = 1, 0  # the first document whose first place is not written yet
            for keys, of in blocks_of(store.passages_in_order()):
                if of[0] < 1 or of[-1] > documents:
                    raise SnapshotCorrupt("passages reach beyond their documents, or have none; build the index again")
                first_places.append(seen + np.searchsorted(of, np.arange(following, of[-1] + 1)))
                following = int(of[-1]) + 1
                yield keys, np.arange(seen, seen + len(keys), dtype=np.int32)
                seen += len(keys)
            first_places.append(np.full(documents + 2 - following, seen))

        def by_key() -> Iterator[tuple[Ids, NDArray[np.int32]]]:
            row = 0
            with _array(folder, "passages") as passages, _array(folder, "places") as places:
                for keys, at in sort_pairs(in_places(), count, _KEYS, folder):
                    passages.append(keys)
                    places.append(at)
                    yield at.astype(np.int64), np.arange(row, row + len(at), dtype=np.int32)
                    row += len(at)

        with _array(folder, "placed") as placed:
            for _, rows in sort_pairs(by_key(), count, max(1, count), folder):
                placed.append(rows)


def _write_windows(store: Store, folder: Path, passages: Ids) -> None:
    """Write the arrays of windows. Raises SnapshotCorrupt, OSError."""
    with _array(folder, "first_windows") as first_windows, _array(folder, "by_passage") as by_passage:

        def by_owner() -> Iterator[tuple[Ids, NDArray[np.int32]]]:
            seen, owning = 0, 0
            for rows, starts, keys in _owned(store, passages):
                first_windows.append(starts)
                by_passage.append(keys)
                yield keys, rows.astype(np.int32)
                seen, owning = seen + len(keys), owning + len(starts)
            if owning != len(passages):
                raise _astray()
            first_windows.append(np.array([seen]))

        with _array(folder, "windows") as windows, _array(folder, "owners") as owners:
            for keys, rows in sort_pairs(by_owner(), store.count("windows"), _KEYS, folder):
                windows.append(keys)
                owners.append(rows)


def _owned(store: Store, passages: Ids) -> Iterator[tuple[Ids, Ids, Ids]]:
    """Stream the windows by their passages' keys: rows of their passages ``(m,)``, and their own keys ``(m,)``.

    Between them there is ``(f,)``, where the windows begin of the passages whose first window is in the block.

    Raises:
        SnapshotCorrupt: a passage has no window, or a window no passage.
    """
    seen, row, last = 0, -1, -1
    for keys, windows in blocks_of(store.windows_in_order()):
        is_first = np.concatenate([[keys[0] != last or row < 0], keys[1:] != keys[:-1]])
        rows = row + np.cumsum(is_first)
        row, last = int(rows[-1]), int(keys[-1])
        if row >= len(passages) or not np.array_equal(passages[rows[is_first]], keys[is_first]):
            raise _astray()
        yield rows, seen + np.flatnonzero(is_first), windows
        seen += len(windows)


def _astray() -> SnapshotCorrupt:
    return SnapshotCorrupt("windows do not fit their passages; build the index again")


def _is_ascending(values: Ids, *, strictly: bool = True) -> bool:
    """Tell whether no value is below the one before it, or ``strictly`` that each is above it."""
    for start in range(0, len(values), BLOCK):
        steps = np.diff(values[start : start + BLOCK + 1])
        if len(steps) and steps.min() < strictly:
            return False
    return True


def _are_within(rows: Ids, count: int) -> bool:
    return not len(rows) or 0 <= int(rows.min()) <= int(rows.max()) < count


def open_relations(folder: Path) -> Relations:
    """Map what :func:`write_relations` wrote.

    Raises:
        SnapshotCorrupt: a file is something else, or they do not fit each other.
    """
    source = folder / RELATIONS_FOLDER
    arrays = {name: map_array(source / f"{name}.npy", dtype, (None,)) for name, dtype in _DTYPES.items()}
    relations = Relations(**arrays)
    passages, windows = len(relations.passages), len(relations.windows)
    lengths = (
        (relations.places, passages),
        (relations.placed, passages),
        (relations.first_windows, passages + 1),
        (relations.by_passage, windows),
        (relations.owners, windows),
        (relations.by_id, len(relations.first_places) - 1),
    )
    if any(len(array) != length for array, length in lengths) or not len(relations.first_places):
        raise SnapshotCorrupt(f"the arrays in {source} do not fit each other; build the index again")
    return relations
