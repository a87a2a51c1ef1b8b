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
from qa.index.arrays import find_places
from qa.index.catalog import CATALOG_FILE, Catalog
from qa.index.lexical import LexicalIndex
from qa.index.manifest import Manifest
from qa.index.relations import Relations, open_relations
from qa.index.schema import DOCUMENTS_FILE, text_sha256
from qa.index.store import Store
from qa.index.sums import SnapshotSums
from qa.index.vectors.engines import open_vectors
from qa.protocols import Filter, VectorIndex
from qa.types import In

if TYPE_CHECKING:
    from qa.types import Ids, MilvusAddress

# The filter columns that every row of both indexes carries: the id of its document, and the headings above it.
DOCUMENT_COLUMN, PATH_COLUMN = COLUMNS = ("document", "path")
_BETWEEN_TITLES = "\x1f"
# Ids that are compared at once.
_AT_ONCE = 1 << 16
_NO_MORE: tuple[str, Iterator[tuple[str, int, int, int, str]]] = ("", iter(()))


def filter_columns(document: str, path: Iterable[str]) -> dict[str, str]:
    """Return the values of a passage's row in :data:`COLUMNS`, by its document's id and the headings above it."""
    return {DOCUMENT_COLUMN: document, PATH_COLUMN: _BETWEEN_TITLES.join(path)}


def below(paths: Iterable[tuple[str, ...]]) -> Filter:
    """Make the filter for passages below any of these paths of headings."""
    return In(PATH_COLUMN, tuple(_BETWEEN_TITLES.join(path) for path in paths))


@dataclass(frozen=True, slots=True)
class Index:
    """An open snapshot, immutable; any number of threads may read it.

    ``vectors`` has a row for each window of a passage, and ``relations`` says which belong together. Nothing in it
    grows with the number of passages: the files are mapped, or read where a question needs them.
    """

    manifest: Manifest
    store: Store
    vectors: VectorIndex
    lexical: LexicalIndex
    relations: Relations
    catalog: Catalog
    folder: Path

    def close(self) -> None:
        self.store.close()
        self.catalog.close()
        self.vectors.close()


def open_index(folder: Path, sums: SnapshotSums | None = None, milvus: MilvusAddress | None = None) -> Index:
    """Open a snapshot, trusting nothing before its files' sums were compared with the manifest's, and their counts.

    What the files hold was compared when the snapshot was published (:func:`verify_index`), and the sums say that they
    are the same files.

    Args:
        sums: those that are remembered; without them every file is read.
        milvus: the server that has the vectors, if the manifest says so.

    Raises:
        SnapshotCorrupt: a check failed; the message names the file.
        SnapshotIncompatible: the snapshot is of another format.
        VectorsUnavailable: the server that has its vectors cannot be reached, or does not have all of them.
    """
    manifest = Manifest.read(folder)
    _check_sums(folder, manifest, sums)
    return _open(folder, manifest, milvus)


def _open(folder: Path, manifest: Manifest, milvus: MilvusAddress | None) -> Index:
    """Open a snapshot whose files were summed."""
    with ExitStack() as opened:
        store = Store(folder / DOCUMENTS_FILE)
        opened.callback(store.close)
        catalog = Catalog(folder / CATALOG_FILE)
        opened.callback(catalog.close)
        vectors, lexical = open_vectors(folder, manifest.vectors, milvus), LexicalIndex(folder)
        index = Index(manifest, store, vectors, lexical, open_relations(folder), catalog, folder)
        _check_counts(folder, index)
        opened.pop_all()
    return index


def open_store(folder: Path, sums: SnapshotSums | None = None) -> tuple[Manifest, Store]:
    """Open the documents of a snapshot alone, checked by their sum.

    Raises:
        SnapshotCorrupt, SnapshotIncompatible: as :func:`open_index`.
    """
    manifest = Manifest.read(folder)
    _check_sums(folder, manifest, sums, [DOCUMENTS_FILE])
    return manifest, Store(folder / DOCUMENTS_FILE)


def verify_index(folder: Path, sums: SnapshotSums | None = None, milvus: MilvusAddress | None = None) -> Manifest:
    """Check every byte, text, span, id and vector of a snapshot: as slow as reading them all.

    Raises:
        SnapshotCorrupt: naming the first document or passage that is wrong.
    """
    manifest = Manifest.read(folder)
    _check_sums(folder, manifest, sums, read_all=True)
    verify_content(folder, manifest, milvus)
    return manifest


def verify_content(folder: Path, manifest: Manifest, milvus: MilvusAddress | None = None) -> None:
    """Check every text, span, id and vector of a snapshot whose files were summed.

    Raises:
        SnapshotCorrupt: naming the first document or passage that is wrong.
    """
    index = _open(folder, manifest, milvus)
    try:
        _check_rows(folder, index)
        _check_texts(index.store)
        index.vectors.verify()
    except VectorIndexError as error:
        raise SnapshotCorrupt(f"snapshot {manifest.id}: {error}; build the index again") from error
    finally:
        index.close()


def _check_sums(
    folder: Path,
    manifest: Manifest,
    sums: SnapshotSums | None,
    names: Collection[str] | None = None,
    *,
    read_all: bool = False,
) -> None:
    """Compare the sums of all files, or of those of these ``names``, with the manifest's."""
    expected = {name: manifest.files.get(name) for name in (manifest.files if names is None else names)}
    found = (sums or SnapshotSums()).of(folder, expected, read_all=read_all)
    wrong = sorted(name for name, sum in expected.items() if sum is None or found.get(name) != sum)
    if wrong:
        raise SnapshotCorrupt(
            f"snapshot {manifest.id}: {', '.join(wrong)} changed since it was published, or is missing; "
            "activate another snapshot or build the index again"
        )


def _check_counts(folder: Path, index: Index) -> None:
    """Compare what each file says that it holds, which takes no longer with more of it."""
    manifest, relations = index.manifest, index.relations
    documents, passages, windows = len(relations.first_places) - 1, len(relations.passages), len(relations.windows)
    if (documents, passages) != (manifest.documents, manifest.passages):
        raise SnapshotCorrupt(
            f"{folder} holds {documents} documents and {passages} passages, its manifest says "
            f"{manifest.documents} and {manifest.passages}; build the index again"
        )
    if index.vectors.count() != windows:
        raise SnapshotCorrupt(f"the windows and the vectors in {folder} differ; build the index again")
    if len(index.lexical) != passages:
        raise SnapshotCorrupt(f"the passages and the lexical index in {folder} differ; build the index again")


def _check_rows(folder: Path, index: Index) -> None:
    """Compare every id of the documents with the other files, and every span with what it is a part of."""
    store, relations = index.store, index.relations
    if astray := store.passages_out_of_range():
        raise SnapshotCorrupt(f"{astray} passages in {folder} reach beyond their documents; build the index again")
    if astray := store.windows_out_of_range():
        raise SnapshotCorrupt(f"{astray} windows in {folder} do not fit their passages; build the index again")
    if not relations.are_of(store):
        raise SnapshotCorrupt(f"the documents and the relations in {folder} differ; build the index again")
    if not _are_same(_parts(index.vectors.ids()), relations.windows):
        raise SnapshotCorrupt(f"the ids of windows and of vectors in {folder} differ; build the index again")
    if not _are_same(index.lexical.key_blocks(), relations.passages):
        raise SnapshotCorrupt(f"the passages and the lexical index in {folder} differ; build the index again")


def _parts(ids: Ids) -> Iterator[Ids]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _are_same(blocks: Iterable[Ids], ascending: Ids) -> bool:
    """Tell whether blocks of ids hold each of ``ascending (n,)`` once, and nothing else."""
    seen = np.zeros(len(ascending), np.bool_)
    count = 0
    for ids in blocks:
        at = find_places(ids, ascending)
        if at is None:
            return False
        seen[at] = True
        count += len(ids)
    return count == len(ascending) and bool(seen.all())


def _check_texts(store: Store) -> None:
    of_documents = groupby(store.passage_texts(), key=lambda row: row[0])
    document, passages = next(of_documents, _NO_MORE)
    for id, text, expected in store.texts():
        if text_sha256(text) != expected:
            raise SnapshotCorrupt(f"the text of {id} is not what was indexed; build the index again")
        if id != document:
            continue
        for _, key, start, end, passage in passages:
            if text[start:end] != passage:
                raise SnapshotCorrupt(f"passage {key:016x} is not {id}[{start}:{end}]")
        document, passages = next(of_documents, _NO_MORE)
