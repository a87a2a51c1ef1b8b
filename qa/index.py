"""One snapshot, open: its documents and passages, and the vectors that find them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qa.errors import SnapshotCorrupt, VectorIndexError
from qa.manifest import Manifest, file_sums
from qa.store import DOCUMENTS_FILE, Store, text_sha256
from qa.types import VectorIndex
from qa.vectors import open_vectors

# The filter column that every passage's row carries: the id of its document.
DOCUMENT_COLUMN = "document"


@dataclass(frozen=True, slots=True)
class Index:
    """Immutable; any number of threads may read it."""

    manifest: Manifest
    store: Store
    vectors: VectorIndex

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
    store = Store(folder / DOCUMENTS_FILE)
    try:
        index = Index(manifest, store, open_vectors(folder))
        _check_counts(folder, index)
    except BaseException:
        store.close()
        raise
    return index


def verify_index(folder: Path) -> Manifest:
    """All that :func:`open_index` checks, and every text, span and vector besides; as slow as reading them all.

    Raises:
        SnapshotCorrupt: naming the first document or passage that is wrong.
    """
    index = open_index(folder)
    try:
        _check_texts(index.store)
        index.vectors.verify()
    except VectorIndexError as error:
        raise SnapshotCorrupt(f"snapshot {index.manifest.id}: {error}; build the index again") from error
    finally:
        index.close()
    return index.manifest


def _check_sums(folder: Path, manifest: Manifest) -> None:
    found = file_sums(folder, manifest.files)
    wrong = sorted(name for name, expected in manifest.files.items() if found.get(name) != expected)
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
    if not np.array_equal(np.sort(index.vectors.ids()), store.passage_keys()):
        raise SnapshotCorrupt(f"the ids of passages and of vectors in {folder} differ; build the index again")
    if astray := store.passages_out_of_range():
        raise SnapshotCorrupt(f"{astray} passages in {folder} reach beyond their documents; build the index again")


def _check_texts(store: Store) -> None:
    document = None
    for passage in store.all_passages():
        if document is None or document.id != passage.document:
            document = store.document(passage.document)
            if text_sha256(document.text) != store.text_sha256(document.id):
                raise SnapshotCorrupt(f"the text of {document.id} is not what was indexed; build the index again")
        if document.text[passage.start : passage.end] != passage.text:
            raise SnapshotCorrupt(f"passage {passage.id} is not {document.id}[{passage.start}:{passage.end}]")
