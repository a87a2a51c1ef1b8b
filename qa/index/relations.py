"""``relations/``: which windows, passages and documents belong together, as arrays that are mapped, never read whole.

They are derived from ``documents.sqlite`` when a snapshot is published, so that nothing is read row by row when it is
opened, and what a question needs is found by bisection: a few pages of each file come into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError
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
# Rows that are taken from the store at once.
_BLOCK = 1 << 16


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

    def is_same(self, other: Relations) -> bool:
        """Tell whether all arrays are equal."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _DTYPES)


def derive_relations(store: Store) -> Relations:
    """Derive the relations of a store's rows, in memory: about 60 bytes for each window and passage.

    Raises:
        SnapshotCorrupt: a window or a passage belongs to nothing.
    """
    documents = store.count("documents")
    keys, of = _columns(store.passages_in_order(), store.count("passages"))
    owner_keys, by_passage = _columns(store.windows_in_order(), store.count("windows"))
    if len(of) and not 1 <= of[0] <= of[-1] <= documents:
        raise SnapshotCorrupt("passages reach beyond their documents, or have none; build the index again")
    places = np.argsort(keys)
    passages = keys[places]
    placed = np.empty(len(places), np.int32)
    placed[places] = np.arange(len(places), dtype=np.int32)
    # Both are in the order of the passages' keys.
    first_windows = np.append(np.searchsorted(owner_keys, passages), len(owner_keys))
    counts = np.diff(first_windows)
    if not counts.all() or not np.array_equal(np.repeat(passages, counts), owner_keys):
        raise SnapshotCorrupt("windows do not fit their passages; build the index again")
    order = np.argsort(by_passage)
    return Relations(
        passages=passages,
        places=places.astype(np.int32),
        placed=placed,
        first_places=np.searchsorted(of, np.arange(1, documents + 2)),
        first_windows=first_windows,
        by_passage=by_passage,
        windows=by_passage[order],
        owners=np.repeat(np.arange(len(passages), dtype=np.int32), counts)[order],
        by_id=np.fromiter((number for number, _ in store.numbered()), np.int32, documents),
    )


def save_relations(relations: Relations, folder: Path) -> None:
    """Write the relations into the new folder ``folder/relations``, an ``.npy`` file for each array.

    Raises:
        StorageError: the disk is full, or cannot be written.
    """
    target = folder / RELATIONS_FOLDER
    try:
        target.mkdir()
        for name in _DTYPES:
            np.save(target / f"{name}.npy", getattr(relations, name), allow_pickle=False)
    except OSError as error:
        raise StorageError(
            f"cannot write {target} ({error}); check the folder's permissions and the disk's free space"
        ) from error


def open_relations(folder: Path) -> Relations:
    """Map what :func:`save_relations` wrote.

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


def _columns(rows: Iterable[tuple[int, int]], count: int) -> tuple[Ids, Ids]:
    """Turn ``count`` pairs into two arrays ``(count,)``, a block of rows at a time."""
    first, second = np.empty(count, np.int64), np.empty(count, np.int64)
    at, source = 0, iter(rows)
    while block := list(islice(source, _BLOCK)):
        first[at : at + len(block)], second[at : at + len(block)] = np.array(block, np.int64).T
        at += len(block)
    return first, second
