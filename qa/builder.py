"""Files in, a snapshot's folder out: read, split, encode what is new, write. Memory is bounded by batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qa.embedding import Embedding
from qa.embedding_cache import EmbeddingCache
from qa.errors import NothingToIndex
from qa.index import COLUMNS, columns_of
from qa.languages import detect_language
from qa.lexical import LEXICAL_FINGERPRINT, LexicalRow, LexicalWriter
from qa.previous import Previous, modified_ns, trusted
from qa.readers.isolation import ReadSource
from qa.readers.registry import reader_versions
from qa.splitter import SPLITTER_VERSION, SplitterParameters, split
from qa.store_schema import DOCUMENTS_FILE, passage_key, window_key
from qa.store_writer import StoreWriter
from qa.types import Document, Encoder, FileReport, Passage, Source, VectorIndex, VectorRows
from qa.vectors import new_vectors

if TYPE_CHECKING:
    from qa.types import Vectors

# Windows that are looked up, encoded and written together: enough for batches of like length, few to lose in a crash.
_BATCH = 512
# Rows that wait in memory before FAISS takes them, which copies its arrays.
_COMMIT_EVERY = 8192


class BuildListener(Protocol):
    """Hears how far a build is."""

    def started(self, total_bytes: int, files: int) -> None: ...

    def advanced(self, size: float) -> None:
        """``size`` bytes of sources are done: their passages are encoded, or there is nothing to encode in them."""

    def finished_file(self, report: FileReport) -> None: ...


@dataclass(frozen=True, slots=True)
class BuildCounts:
    """``encoded`` passages went through the encoder; the others' embeddings were known.

    ``changed`` is false where everything came out as it is in the previous snapshot.
    """

    documents: int
    passages: int
    encoded: int
    changed: bool = True


@dataclass(frozen=True, slots=True)
class _Pending:
    """A passage on its way, and the number of bytes of its source that it stands for."""

    document: int
    language: str
    passage: Passage
    size: float


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds snapshots' folders with one encoder; ``cache`` gives and keeps the embeddings.

    ``read`` never raises for one file. ``previous`` is the snapshot to follow, whose content is taken over where files
    have not changed.
    """

    encoder: Encoder
    parameters: SplitterParameters
    cache: EmbeddingCache
    listener: BuildListener
    read: ReadSource
    previous: Previous | None = None

    def must_read(self, found: Sequence[Source | FileReport]) -> bool:
        """Whether there is a file that the previous snapshot cannot stand in for."""
        sources = (item for item in found if isinstance(item, Source))
        return self.previous is None or any(self.previous.report_of(source) is None for source in sources)

    def build(self, folder: Path, found: Sequence[Source | FileReport]) -> BuildCounts:
        """Write ``documents.sqlite``, the vectors and the lexical index into the empty ``folder``.

        Args:
            found: what discovery found, in order.

        Raises:
            NothingToIndex: no file gave a passage; the message says what became of them.
            WindowTooSmall: the parameters leave no room in the encoder's window.
        """
        self.listener.started(sum(item.size for item in found if isinstance(item, Source)), len(found))
        vectors = new_vectors(self.encoder.dimension, COLUMNS)
        lexical = LexicalWriter(folder, COLUMNS)
        reports: list[FileReport] = []
        differs = False
        with (
            StoreWriter(folder / DOCUMENTS_FILE) as store,
            closing(Embedding(self.encoder, self.cache)) as embedding,
        ):
            rows = _Rows(self.listener, embedding, store, vectors, lexical)
            for item in found:
                if isinstance(item, FileReport):
                    reports.append(item)
                else:
                    report, is_new = self._index_source(item, store, rows)
                    reports.append(report)
                    differs |= is_new
                store.add_report(reports[-1])
                self.listener.finished_file(reports[-1])
            rows.finish()
            if not store.passages:
                raise NothingToIndex(_nothing([report for report in reports if report.status != "read"]))
            lexical.finish()
            vectors.save(folder)
            changed = differs or self.previous is None or not self.previous.is_same(reports)
            return BuildCounts(store.documents, store.passages, embedding.encoded, changed)

    def _index_source(self, source: Source, store: StoreWriter, rows: _Rows) -> tuple[FileReport, bool]:
        """The file's report, and whether its document is another one than before."""
        started = time.perf_counter()
        document, passages, report = self._content(source)
        if document is None:
            self.listener.advanced(source.size)
            return report, False
        number = store.add_document(document)
        count, done = 0, 0
        for passage in passages:
            # A file's bytes are spread over its passages by their ends: the bar moves within a large file too.
            advance = max(0, passage.end - done)
            rows.add(_Pending(number, document.language, passage, source.size * advance / len(document.text)))
            done += advance
            count += 1
        self.listener.advanced(source.size * (len(document.text) - done) / len(document.text))
        is_new = self.previous is None or self.previous.source_sha256(source.id) != document.source_sha256
        return replace(report, passages=count, seconds=time.perf_counter() - started), is_new

    def _content(self, source: Source) -> tuple[Document | None, Iterable[Passage], FileReport]:
        """From the previous snapshot where the file is as it was, or cannot be read now; else from the file."""
        if self.previous is not None and (known := self.previous.report_of(source)) is not None:
            content = self.previous.content(source.id)
            return (None, (), known) if content is None else (content.document, content.passages, known)
        modified = trusted(modified_ns(source))
        document, report = self.read(source)
        if document is not None:
            document = replace(document, language=detect_language(document.text))
            passages = split(document, self.parameters, self.encoder.count_tokens, self.encoder.window)
            return document, passages, replace(report, modified_ns=modified)
        if report.status == "failed" and self.previous is not None and (kept := self.previous.kept(report)) is not None:
            return kept[0].document, kept[0].passages, kept[1]
        # A failure is never relied on: a limit, a disk or a lock may be the cause, and not the file.
        return None, (), report if report.status == "failed" else replace(report, modified_ns=modified)

    def fingerprint(self) -> dict[str, object]:
        """What decides a snapshot's content, given its sources."""
        return {
            "encoder": dict(self.encoder.fingerprint),
            "splitter": {"version": SPLITTER_VERSION, **asdict(self.parameters)},
            "readers": dict(reader_versions()),
            "lexical": dict(LEXICAL_FINGERPRINT),
        }


class _Rows:
    """Collects passages over files, and turns full batches into rows of the store and of both indexes."""

    def __init__(
        self,
        listener: BuildListener,
        embedding: Embedding,
        store: StoreWriter,
        vectors: VectorIndex,
        lexical: LexicalWriter,
    ) -> None:
        self._listener = listener
        self._embedding = embedding
        self._store = store
        self._vectors = vectors
        self._lexical = lexical
        self._pending: list[_Pending] = []
        self._windows = 0
        self._uncommitted = 0
        self._begun: tuple[list[_Pending], Callable[[], Vectors]] | None = None

    def add(self, pending: _Pending) -> None:
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
        self._store.add_passages((pending.document, pending.passage) for pending in batch)
        self._lexical.add(
            LexicalRow(passage_key(p.passage.id), p.passage.searched_text, p.language, columns_of(p.passage))
            for p in batch
        )
        self._listener.advanced(sum(pending.size for pending in batch))


def require_sources(found: Sequence[Source | FileReport]) -> None:
    """Raises NothingToIndex where discovery found no file that could be read, before a model is loaded for them."""
    if not any(isinstance(item, Source) for item in found):
        raise NothingToIndex(_nothing([item for item in found if isinstance(item, FileReport)]))


def _nothing(reports: Sequence[FileReport]) -> str:
    if not reports:
        return "there is no file to index; give a folder that holds documents"
    shown = "; ".join(f"{report.id}: {report.status}, {report.reason}" for report in reports[:5])
    more = f"; and {len(reports) - 5} more" if len(reports) > 5 else ""
    return f"nothing could be read: {shown}{more}"
