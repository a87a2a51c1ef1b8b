"""One snapshot, open: its documents and passages, and the vectors that find them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qa.errors import SnapshotCorrupt
from qa.manifest import Manifest, file_sums
from qa.store import DOCUMENTS_FILE, Store, text_sha256
from qa.vectors.faiss_flat import FaissFlat

# The filter column that every passage's row carries: the id of its document.
DOCUMENT_COLUMN = "document"


@dataclass(frozen=True, slots=True)
class Index:
    """Immutable; any number of threads may read it."""

    manifest: Manifest
    store: Store
    vectors: FaissFlat

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
    index = Index(manifest, Store(folder / DOCUMENTS_FILE), FaissFlat.open(folder))
    try:
        _check_counts(folder, index)
    except SnapshotCorrupt:
        index.close()
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
        norms = index.vectors.norms()
        if not np.allclose(norms, 1.0, atol=1e-3):
            raise SnapshotCorrupt(f"{int((abs(norms - 1.0) > 1e-3).sum())} vectors in {folder} are not of unit length")
    finally:
        index.close()
    return index.manifest


def _check_sums(folder: Path, manifest: Manifest) -> None:
    found = file_sums(folder)
    wrong = sorted(name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name))
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
    if not np.array_equal(np.sort(index.vectors.ids()), np.array(store.passage_keys(), dtype=np.int64)):
        raise SnapshotCorrupt(f"the ids of passages and of vectors in {folder} differ; build the index again")
    if astray := store.passages_out_of_range():
        raise SnapshotCorrupt(f"{astray} passages in {folder} reach beyond their documents; build the index again")


def _check_texts(store: Store) -> None:
    document = None
    sums = store.text_sums()
    for passage in store.all_passages():
        if document is None or document.id != passage.document:
            document = store.document(passage.document)
            if text_sha256(document.text) != sums[document.id]:
                raise SnapshotCorrupt(f"the text of {document.id} is not what was indexed; build the index again")
        if document.text[passage.start : passage.end] != passage.text:
            raise SnapshotCorrupt(f"passage {passage.id} is not {document.id}[{passage.start}:{passage.end}]")
