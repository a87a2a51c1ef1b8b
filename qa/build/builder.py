"""Files in, a snapshot's folder out: encode what is new, and write it all. Memory is bounded by batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qa.build.contents import Contents
from qa.build.embeddings import Embedding, EmbeddingCache
from qa.build.found import FoundFiles, UnreadFiles
from qa.build.reuse import Content, Taken
from qa.errors import NothingToIndex
from qa.index.index import COLUMNS, filter_columns
from qa.index.lexical import LEXICAL_FINGERPRINT, LexicalRow, LexicalWriter
from qa.index.schema import DOCUMENTS_FILE, passage_key, window_key
from qa.index.store_writer import StoreWriter, TakenPassage
from qa.index.vectors.engines import is_exact, new_vectors
from qa.machine import release_free_memory
from qa.protocols import MutableVectorIndex, VectorIndex, VectorRows
from qa.types import FileReport, MilvusAddress, Passage, Source

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

# Windows that are looked up, encoded and written together: enough for batches of like length, few to lose in a crash.
_BATCH = 512


@dataclass(frozen=True, slots=True)
class PendingPassage:
    """A passage that no index holds yet.

    Of each window there is its key and what is encoded of it. ``size`` is the number of bytes of its source that it
    stands for. ``stored`` is its document's number and itself, where the store does not hold it either.
    """

    row: LexicalRow
    windows: Sequence[tuple[int, str]]
    size: float
    stored: tuple[int, Passage] | None = None

    @classmethod
    def of(cls, document: int, language: str, passage: Passage, size: float) -> PendingPassage:
        columns = filter_columns(passage.document, passage.path)
        row = LexicalRow(passage_key(passage.id), passage.searched_text, language, columns)
        windows = [(window_key(passage, window), passage.encoded_text(window)) for window in passage.windows]
        return cls(row, windows, size, (document, passage))

    @classmethod
    def taken(cls, passage: TakenPassage, size: float) -> PendingPassage:
        columns = filter_columns(passage.document, passage.path)
        return cls(LexicalRow(passage.key, passage.searched_text, passage.language, columns), passage.windows, size)


class PassageWriter:
    """Writer of passages: collects them over files, and writes full batches into the store and both indexes.

    Args:
        before: the vectors of what is taken over, if they are as the encoder gave them; else the cache is asked.
    """

    def __init__(
        self,
        advanced: Callable[[float, float], None],
        embedding: Embedding,
        store: StoreWriter,
        vectors: MutableVectorIndex,
        lexical: LexicalWriter,
        before: VectorIndex | None = None,
    ) -> None:
        self._advanced = advanced
        self._embedding = embedding
        self.store = store
        self._vectors = vectors
        self._lexical = lexical
        self._before = before
        self._is_taking = False
        self._pending: list[PendingPassage] = []
        self._windows = 0
        self._taken = 0.0
        self._begun: tuple[list[PendingPassage], Callable[[], Vectors]] | None = None

    def add(self, pending: PendingPassage) -> None:
        self._pending.append(pending)
        self._windows += len(pending.windows)
        if self._windows >= _BATCH:
            self._begin()

    def take(self, taken: Taken, size: float) -> None:
        """Take over a document, which ``size`` bytes of sources stand for; :meth:`copy_taken` does it."""
        self.store.take(taken.number)
        self._taken += size

    def copy_taken(self) -> None:
        """Copy what is taken over, and write its passages into the indexes. Nothing is added afterwards."""
        self._begin()
        self._is_taking = True
        for passage in self.store.copy_taken():
            self.add(PendingPassage.taken(passage, self._taken / self.store.taken))

    def finish(self) -> None:
        """Write what is left."""
        self._begin()
        self._write()

    def _begin(self) -> None:
        """Begin to encode the batch, and write the one before meanwhile."""
        batch, self._pending, self._windows = self._pending, [], 0
        if not batch:
            return
        rows = self._rows_of(batch)
        self._write()
        self._begun = batch, rows

    def _rows_of(self, batch: Sequence[PendingPassage]) -> Callable[[], Vectors]:
        """Begin to look up or encode the vectors of a batch."""
        if self._is_taking and self._before is not None:
            return partial(self._before.rows, _keys_of(batch))
        return self._embedding.begin([text for pending in batch for _, text in pending.windows])

    def _write(self) -> None:
        if self._begun is None:
            return
        (batch, rows), self._begun = self._begun, None
        before = self._embedding.encoded
        vectors = rows()
        new = (self._embedding.encoded - before) / len(vectors)
        ids = _keys_of(batch)
        columns = {name: [p.row.columns[name] for p in batch for _ in p.windows] for name in COLUMNS}
        self._vectors.upsert(VectorRows(ids, vectors, columns))
        self.store.add_passages(pending.stored for pending in batch if pending.stored is not None)
        self._lexical.add(pending.row for pending in batch)
        size = sum(pending.size for pending in batch)
        self._advanced(size, size * new)


def _keys_of(batch: Sequence[PendingPassage]) -> Ids:
    return np.array([key for pending in batch for key, _ in pending.windows], dtype=np.int64)


class BuildListener(Protocol):
    """Whoever shows how far a build is."""

    def stage(self, message: str) -> None:
        """Note that a step begins that may take seconds, or minutes where there are many millions of passages."""

    def started(self, total_bytes: int, files: int) -> None: ...

    def advanced(self, size: float, encoded: float | None = None) -> None:
        """Note that ``size`` more bytes of sources are done: their passages are encoded, or they hold none.

        Where a batch of passages is done, ``encoded`` of these bytes were encoded now; the vectors of the others were
        known, which takes next to no time.
        """

    def recognising(self, id: str, page: int, pages: int) -> None:
        """Note that OCR begins to read page ``page`` of the ``pages`` of a file, which takes seconds."""

    def finished_file(self, report: FileReport) -> None: ...


@dataclass(frozen=True, slots=True)
class BuildCounts:
    """What a build did: ``encoded`` passages went through the encoder, the others' embeddings were known.

    ``changed`` is false where everything came out as it is in the previous snapshot. ``vectors`` describes the vector
    index, see :meth:`qa.protocols.VectorIndex.describe`.
    """

    documents: int
    passages: int
    encoded: int
    vectors: Mapping[str, object]
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds snapshots' folders of what files hold; ``cache`` gives and keeps the embeddings.

    ``load`` is called before the first text is encoded, and not where none is. ``before`` are the vectors of the
    snapshot before, if the same encoder made them. ``milvus`` is the server that is to hold those of the new one.
    """

    contents: Contents
    cache: EmbeddingCache
    listener: BuildListener
    load: Callable[[], None]
    before: VectorIndex | None = None
    milvus: MilvusAddress | None = None

    def build(self, folder: Path, found: FoundFiles) -> BuildCounts:
        """Write ``documents.sqlite``, the vectors and the lexical index into the empty ``folder``.

        Raises:
            NothingToIndex: no file gave a passage; the message says what became of them.
            WindowTooSmall: the parameters leave no room in the encoder's window.
            VectorsUnavailable: the server that is to hold the vectors is away, or could not take them.
        """
        self.listener.started(found.size, len(found))
        encoder, previous = self.contents.encoder, self.contents.previous
        followed = previous if previous is not None and previous.is_followed else None
        comparison = None if followed is None else followed.comparison()
        unread, differs = UnreadFiles(), False
        with (
            closing(
                new_vectors(folder, encoder.dimension, COLUMNS, self.before, self.milvus, self.listener.stage)
            ) as vectors,
            StoreWriter(folder / DOCUMENTS_FILE, None if previous is None else previous.path) as store,
            LexicalWriter(folder, COLUMNS) as lexical,
            closing(Embedding(encoder, self.cache, self.load)) as embedding,
        ):
            rows = PassageWriter(self.listener.advanced, embedding, store, vectors, lexical, self._taken_vectors())
            for item in found:
                for report, is_new in self._lines(item, rows):
                    unread.add(report)
                    if comparison is not None:
                        comparison.add(report)
                    differs |= is_new
                    store.add_report(report)
                    self.listener.finished_file(report)
            rows.copy_taken()
            rows.finish()
            if not store.passages:
                raise NothingToIndex(str(unread))
            lexical.finish()
            release_free_memory()
            vectors.save(folder)
            release_free_memory()
            changed = differs or comparison is None or not comparison.is_same
            return BuildCounts(store.documents, store.passages, embedding.encoded, vectors.describe(), changed)

    def _taken_vectors(self) -> VectorIndex | None:
        """Return what has the vectors of what is taken over as the encoder gave them; ``None`` where the cache has."""
        # A build that was killed after it had published left its embeddings as if no snapshot needed them: the cache
        # forgets what is not asked for.
        if self.before is None or self.cache.has_unfinished or not is_exact(self.before.describe()):
            return None
        return self.before

    def _lines(self, item: Source | FileReport, rows: PassageWriter) -> Iterator[tuple[FileReport, bool]]:
        """Yield the report's lines of a file, with what is attached to it, or of a folder that cannot be listed.

        Beside each it is said whether its document is new.
        """
        started = time.perf_counter()
        if isinstance(item, Source):
            left = float(item.size)
            for content, size in self.contents.of(item):
                left -= size
                if isinstance(content, Content):
                    yield self._index(content, size, started, rows)
                elif isinstance(content, Taken):
                    rows.take(content, size)
                    yield content.report, False
                else:
                    self.listener.advanced(size)
                    yield content, False
                started = time.perf_counter()
            if left > 0:
                self.listener.advanced(left)
        elif item.status != "failed":
            yield item, False
        else:
            kept = self.contents.kept(item)
            if (first := next(kept, None)) is None:
                yield item, False
                kept = self.contents.kept_below(item)
            else:
                yield self._index(first, 0, started, rows)
            for each in kept:
                yield self._index(each, 0, started, rows)

    def _index(self, content: Content, size: float, started: float, rows: PassageWriter) -> tuple[FileReport, bool]:
        """Write a document; ``size`` bytes of sources are done with it."""
        document = content.document
        number = rows.store.add_document(document)
        count, left = 0, size
        for passage, share in content.sized(size):
            rows.add(PendingPassage.of(number, document.language, passage, share))
            left -= share
            count += 1
        self.listener.advanced(left)
        previous = self.contents.previous
        is_new = previous is None or previous.source_sha256(document.id) != document.source_sha256
        return replace(content.report, passages=count, seconds=time.perf_counter() - started), is_new

    def fingerprint(self) -> dict[str, object]:
        """Describe all that decides a snapshot's content beside its sources."""
        return {**self.contents.fingerprint(), "lexical": dict(LEXICAL_FINGERPRINT)}
