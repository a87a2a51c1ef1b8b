"""One snapshot, open: its documents and passages, and the two indexes that find them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError
from qa.index.lexical import LexicalIndex
from qa.index.manifest import Manifest, file_sums
from qa.index.schema import DOCUMENTS_FILE, text_sha256
from qa.index.store import Store
from qa.index.vectors.engines import open_vectors
from qa.protocols import Filter, VectorIndex
from qa.types import In, Passage

if TYPE_CHECKING:
    from qa.types import Ids

# The filter columns that every row of both indexes carries: the id of its document, and the headings above it.
DOCUMENT_COLUMN, PATH_COLUMN = COLUMNS = ("document", "path")
_BETWEEN_TITLES = "\x1f"
_NO_MORE: tuple[str, Iterator[Passage]] = ("", iter(()))


def filter_columns(passage: Passage) -> dict[str, str]:
    """Return the values of a passage's row in :data:`COLUMNS`."""
    return {DOCUMENT_COLUMN: passage.document, PATH_COLUMN: _BETWEEN_TITLES.join(passage.path)}


def below(paths: Iterable[tuple[str, ...]]) -> Filter:
    """Make the filter for passages below any of these paths of headings."""
    return In(PATH_COLUMN, tuple(_BETWEEN_TITLES.join(path) for path in paths))


@dataclass(frozen=True, slots=True)
class Index:
    """An open snapshot, immutable; any number of threads may read it.

    ``vectors`` has a row for each window of a passage; ``windows (n,)`` are their keys in ascending order,
    ``passages (n,)`` those of the passages that they are windows of, and ``by_passage (n,)`` sorts them by passage.
    ``documents (n,)`` are the numbers of their documents, and ``by_document (n,)`` sorts them by document.
    """

    manifest: Manifest
    store: Store
    vectors: VectorIndex
    lexical: LexicalIndex
    windows: Ids
    passages: Ids
    by_passage: Ids
    documents: Ids
    by_document: Ids

    def windows_of(self, passages: Ids) -> tuple[Ids, Ids]:
        """Return the windows of passages ``(p,)``, one passage's after the other's, and where each one's begin."""
        first = np.searchsorted(self.passages, passages, "left", sorter=self.by_passage)
        last = np.searchsorted(self.passages, passages, "right", sorter=self.by_passage)
        starts = np.concatenate([[0], np.cumsum(last - first)])
        rows = np.arange(starts[-1]) + np.repeat(first - starts[:-1], last - first)
        return self.windows[self.by_passage[rows]], starts[:-1]

    def passages_of(self, windows: Ids) -> Ids:
        """Return the passage ``(n,)`` of each window ``(n,)``, all by their keys."""
        of: Ids = self.passages[np.searchsorted(self.windows, windows)]
        return of

    def documents_of(self, windows: Ids) -> Ids:
        """Return the number of the document of each window ``(n,)``, given by its key."""
        of: Ids = self.documents[np.searchsorted(self.windows, windows)]
        return of

    def windows_in(self, document: int) -> Ids:
        """Return the keys of a document's windows, given by its number."""
        first = np.searchsorted(self.documents, document, "left", sorter=self.by_document)
        last = np.searchsorted(self.documents, document, "right", sorter=self.by_document)
        return self.windows[self.by_document[first:last]]

    def close(self) -> None:
        self.store.close()
        self.vectors.close()


def open_index(folder: Path) -> Index:
    """Open a snapshot, trusting nothing before sums, counts, ids and ranges were checked.

    Raises:
        SnapshotCorrupt: a check failed; the message names the file.
        SnapshotIncompatible: the snapshot is of another format.
    """
    manifest = Manifest.read(folder)
    _check_sums(folder, manifest)
    with ExitStack() as opened:
        store = Store(folder / DOCUMENTS_FILE)
        opened.callback(store.close)
        windows, passages, documents = store.windows_of_passages()
        index = Index(
            manifest,
            store,
            open_vectors(folder, manifest.vectors),
            LexicalIndex(folder),
            windows,
            passages,
            by_passage=np.argsort(passages, kind="stable"),
            documents=documents,
            by_document=np.argsort(documents, kind="stable"),
        )
        _check_counts(folder, index)
        opened.pop_all()
    return index


def open_store(folder: Path) -> tuple[Manifest, Store]:
    """Open the documents of a snapshot alone, checked by their sum.

    Raises:
        SnapshotCorrupt, SnapshotIncompatible: as :func:`open_index`.
    """
    manifest = Manifest.read(folder)
    _check_sums(folder, manifest, [DOCUMENTS_FILE])
    return manifest, Store(folder / DOCUMENTS_FILE)


def verify_index(folder: Path) -> Manifest:
    """Check all that :func:`open_index` does, and every text, span and vector: as slow as reading them all.

    Raises:
        SnapshotCorrupt: naming the first document or passage that is wrong.
    """
    index = open_index(folder)
    try:
        _check_texts(index.store)
        if not np.array_equal(index.lexical.keys(), index.store.passage_keys()):
            raise SnapshotCorrupt(f"the passages and the lexical index in {folder} differ; build the index again")
        index.vectors.verify()
    except VectorIndexError as error:
        raise SnapshotCorrupt(f"snapshot {index.manifest.id}: {error}; build the index again") from error
    finally:
        index.close()
    return index.manifest


def _check_sums(folder: Path, manifest: Manifest, names: Collection[str] | None = None) -> None:
    """Compare the sums of all files, or of those of these ``names``, with the manifest's."""
    expected = {name: manifest.files.get(name) for name in (manifest.files if names is None else names)}
    found = file_sums(folder, expected)
    wrong = sorted(name for name, sum in expected.items() if sum is None or found.get(name) != sum)
    if wrong:
        raise SnapshotCorrupt(
            f"snapshot {manifest.id}: {', '.join(wrong)} changed since it was published, or is missing; "
            "activate another snapshot or build the index again"
        )


def _check_counts(folder: Path, index: Index) -> None:
    manifest, store = index.manifest, index.store
    if (store.documents, store.passages) != (manifest.documents, manifest.passages):
        raise SnapshotCorrupt(
            f"{folder} holds {store.documents} documents and {store.passages} passages, its manifest says "
            f"{manifest.documents} and {manifest.passages}; build the index again"
        )
    if not np.array_equal(np.sort(index.vectors.ids()), index.windows):
        raise SnapshotCorrupt(f"the ids of windows and of vectors in {folder} differ; build the index again")
    if len(index.lexical) != store.passages:
        raise SnapshotCorrupt(f"the passages and the lexical index in {folder} differ; build the index again")
    if astray := store.passages_out_of_range():
        raise SnapshotCorrupt(f"{astray} passages in {folder} reach beyond their documents; build the index again")
    if astray := store.windows_out_of_range():
        raise SnapshotCorrupt(f"{astray} windows in {folder} do not fit their passages; build the index again")


def _check_texts(store: Store) -> None:
    of_documents = groupby(store.all_passages(), key=lambda passage: passage.document)
    document, passages = next(of_documents, _NO_MORE)
    for id, text, expected in store.texts():
        if text_sha256(text) != expected:
            raise SnapshotCorrupt(f"the text of {id} is not what was indexed; build the index again")
        if id != document:
            continue
        for passage in passages:
            if text[passage.start : passage.end] != passage.text:
                raise SnapshotCorrupt(f"passage {passage.id} is not {id}[{passage.start}:{passage.end}]")
        document, passages = next(of_documents, _NO_MORE)
