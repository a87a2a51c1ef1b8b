"""Passages to rows: gathered over files, encoded in full batches, and written into the store and both indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.build.embedding import Embedding
from qa.index.index import COLUMNS, columns_of
from qa.index.lexical_writer import LexicalRow, LexicalWriter
from qa.index.store_schema import passage_key, window_key
from qa.index.store_writer import StoreWriter
from qa.protocols import VectorIndex, VectorRows
from qa.types import Passage

if TYPE_CHECKING:
    from qa.types import Vectors

# Windows that are looked up, encoded and written together: enough for batches of like length, few to lose in a crash.
_BATCH = 512
# Rows that wait in memory before FAISS takes them, which copies its arrays.
_COMMIT_EVERY = 8192


@dataclass(frozen=True, slots=True)
class Pending:
    """A passage on its way, and the number of bytes of its source that it stands for."""

    document: int
    language: str
    passage: Passage
    size: float


class Rows:
    """Collects passages over files, and turns full batches into rows of the store and of both indexes."""

    def __init__(
        self,
        advanced: Callable[[float], None],
        embedding: Embedding,
        store: StoreWriter,
        vectors: VectorIndex,
        lexical: LexicalWriter,
    ) -> None:
        self._advanced = advanced
        self._embedding = embedding
        self.store = store
        self._vectors = vectors
        self._lexical = lexical
        self._pending: list[Pending] = []
        self._windows = 0
        self._uncommitted = 0
        self._begun: tuple[list[Pending], Callable[[], Vectors]] | None = None

    def add(self, pending: Pending) -> None:
        self._pending.append(pending)
        self._windows += len(pending.passage.windows)
        if self._windows >= _BATCH:
            self._begin()

    def finish(self) -> None:
        """Write what is left."""
        self._begin()
        self._write()

    def _begin(self) -> None:
        """Have the batch encoded, and write the one before meanwhile."""
        batch, self._pending, self._windows = self._pending, [], 0
        if not batch:
            return
        texts = [p.passage.encoded_text(window) for p in batch for window in p.passage.windows]
        rows = self._embedding.begin(texts)
        self._write()
        self._begun = batch, rows

    def _write(self) -> None:
        if self._begun is None:
            return
        (batch, rows), self._begun = self._begun, None
        passages = [pending.passage for pending in batch]
        windows = [(passage, window) for passage in passages for window in passage.windows]
        vectors = rows()
        ids = np.array([window_key(passage, window) for passage, window in windows], dtype=np.int64)
        values = [columns_of(passage) for passage, _ in windows]
        columns = {name: [row[name] for row in values] for name in COLUMNS}
        self._uncommitted += self._vectors.upsert(VectorRows(ids, vectors, columns))
        if self._uncommitted >= _COMMIT_EVERY:
            self._vectors.commit()
            self._uncommitted = 0
        self.store.add_passages((pending.document, pending.passage) for pending in batch)
        self._lexical.add(
            LexicalRow(passage_key(p.passage.id), p.passage.searched_text, p.language, columns_of(p.passage))
            for p in batch
        )
        self._advanced(sum(pending.size for pending in batch))
