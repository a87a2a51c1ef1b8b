"""Files in, a snapshot's folder out: read, split, encode what is new, write. Memory is bounded by batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qa.build.embeddings import Embedding, EmbeddingCache
from qa.build.reuse import Content, Previous, modified_ns, trusted
from qa.errors import NothingToIndex
from qa.index.index import COLUMNS, filter_columns
from qa.index.lexical import LEXICAL_FINGERPRINT, LexicalRow, LexicalWriter
from qa.index.schema import DOCUMENTS_FILE, passage_key, window_key
from qa.index.store_writer import StoreWriter
from qa.index.vectors.engines import new_vectors
from qa.protocols import Encoder, VectorIndex, VectorRows
from qa.readers.isolation import ReadSource
from qa.readers.registry import ReadingOptions, reader_versions
from qa.text.splitter import SPLITTER_VERSION, SplitterParameters, split
from qa.text.words import detect_language, prepare_detection
from qa.types import Document, FileReport, Passage, Source

if TYPE_CHECKING:
    from qa.types import Vectors

# Windows that are looked up, encoded and written together: enough for batches of like length, few to lose in a crash.
_BATCH = 512
# Rows that wait in memory before FAISS takes them, which copies its arrays.
_COMMIT_EVERY = 8192
# Documents that may be attached to one file and to what is attached to it. What a file itself has, its reader bounds.
_MOST_ATTACHED = 10_000


@dataclass(frozen=True, slots=True)
class PendingPassage:
    """A passage that is not written yet, and the number of bytes of its source that it stands for."""

    document: int
    language: str
    passage: Passage
    size: float


class PassageWriter:
    """Writer of passages: collects them over files, and writes full batches into the store and both indexes."""

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
        self._pending: list[PendingPassage] = []
        self._windows = 0
        self._uncommitted = 0
        self._begun: tuple[list[PendingPassage], Callable[[], Vectors]] | None = None

    def add(self, pending: PendingPassage) -> None:
        self._pending.append(pending)
        self._windows += len(pending.passage.windows)
        if self._windows >= _BATCH:
            self._begin()

    def finish(self) -> None:
        """Write what is left."""
        self._begin()
        self._write()

    def _begin(self) -> None:
        """Begin to encode the batch, and write the one before meanwhile."""
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
        values = [filter_columns(passage) for passage, _ in windows]
        columns = {name: [row[name] for row in values] for name in COLUMNS}
        self._uncommitted += self._vectors.upsert(VectorRows(ids, vectors, columns))
        if self._uncommitted >= _COMMIT_EVERY:
            self._vectors.commit()
            self._uncommitted = 0
        self.store.add_passages((pending.document, pending.passage) for pending in batch)
        self._lexical.add(
            LexicalRow(passage_key(p.passage.id), p.passage.searched_text, p.language, filter_columns(p.passage))
            for p in batch
        )
        self._advanced(sum(pending.size for pending in batch))


class BuildListener(Protocol):
    """Whoever shows how far a build is."""

    def started(self, total_bytes: int, files: int) -> None: ...

    def advanced(self, size: float) -> None:
        """Note that ``size`` more bytes of sources are done: their passages are encoded, or they hold none."""

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
class _Content:
    """A document to be written, and the line of the report that it makes but for the number of its passages."""

    document: Document
    passages: Iterable[Passage]
    report: FileReport


def _attached_to(source: Source, document: Document | None) -> list[Source]:
    ids = document.attachments if document is not None else ()
    container = source.container or source.id
    return [
        Source(id, source.path, source.size, container, (*source.parts, at), source.root) for at, id in enumerate(ids)
    ]


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds snapshots' folders with one encoder; ``cache`` gives and keeps the embeddings.

    ``read`` never raises for one file, and reads what ``options`` say. ``load`` is called before the first text is
    encoded, and not where none is.
    ``previous`` is the snapshot that was made before: what it holds of files that have not changed is taken over if it
    is followed, and of files that cannot be read in any case.
    """

    encoder: Encoder
    parameters: SplitterParameters
    cache: EmbeddingCache
    listener: BuildListener
    read: ReadSource
    load: Callable[[], None]
    previous: Previous | None = None
    options: ReadingOptions = field(default_factory=ReadingOptions)

    def build(self, folder: Path, found: Sequence[Source | FileReport]) -> BuildCounts:
        """Write ``documents.sqlite``, the vectors and the lexical index into the empty ``folder``.

        Args:
            found: what discovery found, in order.

        Raises:
            NothingToIndex: no file gave a passage; the message says what became of them.
            WindowTooSmall: the parameters leave no room in the encoder's window.
        """
        self.listener.started(sum(item.size for item in found if isinstance(item, Source)), len(found))
        vectors = new_vectors(folder, self.encoder.dimension, COLUMNS)
        reports: list[FileReport] = []
        differs = False
        with (
            StoreWriter(folder / DOCUMENTS_FILE) as store,
            LexicalWriter(folder, COLUMNS) as lexical,
            closing(Embedding(self.encoder, self.cache, self.load)) as embedding,
        ):
            rows = PassageWriter(self.listener.advanced, embedding, store, vectors, lexical)
            for item in found:
                for report, is_new in self._lines(item, rows):
                    reports.append(report)
                    differs |= is_new
                    store.add_report(report)
                    self.listener.finished_file(report)
            rows.finish()
            if not store.passages:
                raise NothingToIndex(_nothing([report for report in reports if report.status != "read"]))
            lexical.finish()
            vectors.save(folder)
            followed = self.previous if self.previous is not None and self.previous.is_followed else None
            changed = differs or followed is None or not followed.is_same(reports)
            return BuildCounts(store.documents, store.passages, embedding.encoded, vectors.describe(), changed)

    def _lines(self, item: Source | FileReport, rows: PassageWriter) -> Iterator[tuple[FileReport, bool]]:
        """Yield the report's lines of a file, with what is attached to it, or of a folder that cannot be listed.

        Beside each it is said whether its document is new.
        """
        started = time.perf_counter()
        if isinstance(item, Source):
            size = item.size  # the bytes of what is attached to it are among them
            for content in self._contents(item):
                if isinstance(content, FileReport):
                    self.listener.advanced(size)
                    yield content, False
                else:
                    yield self._index(content, size, started, rows)
                started, size = time.perf_counter(), 0
        elif item.status != "failed" or self.previous is None:
            yield item, False
        elif kept := list(self.previous.kept(item)):
            for each in kept:
                yield self._index(self._kept(*each), 0, started, rows)
        else:
            yield item, False
            for each in self.previous.kept_below(item):
                yield self._index(self._kept(*each), 0, started, rows)

    def _index(self, content: _Content, size: int, started: float, rows: PassageWriter) -> tuple[FileReport, bool]:
        """Write a document; ``size`` bytes of sources are done with it."""
        document = content.document
        number = rows.store.add_document(document)
        count, done = 0, 0
        for passage in content.passages:
            # A file's bytes are spread over its passages by their ends: the bar moves within a large file too.
            advance = max(0, passage.end - done)
            rows.add(PendingPassage(number, document.language, passage, size * advance / len(document.text)))
            done += advance
            count += 1
        self.listener.advanced(size * (len(document.text) - done) / len(document.text))
        is_new = self.previous is None or self.previous.source_sha256(document.id) != document.source_sha256
        return replace(content.report, passages=count, seconds=time.perf_counter() - started), is_new

    def _contents(self, source: Source) -> Iterator[_Content | FileReport]:
        """Take a file's documents from the previous snapshot if it is as it was or cannot be read; else read them."""
        if self.previous is not None and (known := self.previous.report_of(source)) is not None:
            for line in (known, *self.previous.attached(source.id)):
                content = self.previous.content(line.id)
                yield line if content is None else _Content(content.document, content.passages, line)
            return
        modified = trusted(modified_ns(source))
        prepare_detection()
        document, report = self.read(source)
        # A failure is never relied on: a limit, a disk or a lock may be the cause, and not the file.
        kept = list(self.previous.kept(report)) if self.previous is not None and report.status == "failed" else []
        if kept:
            yield from (self._kept(*each) for each in kept)
            return
        yield self._read_content(
            document, report if report.status == "failed" else replace(report, modified_ns=modified)
        )
        yield from self._attached_contents(source, document)

    def _attached_contents(self, source: Source, document: Document | None) -> Iterator[_Content | FileReport]:
        """Read what is attached to a file, and what is attached to that, in order."""
        pending = _attached_to(source, document)[::-1]
        for _ in range(max(_MOST_ATTACHED, len(pending))):
            if not pending:
                return
            attached = pending.pop()
            document, report = self.read(attached)
            kept = self.previous.kept(report) if self.previous is not None and report.status == "failed" else ()
            last_good = next(iter(kept), None)
            yield self._read_content(document, report) if last_good is None else self._kept(*last_good)
            pending += _attached_to(attached, document)[::-1]
        if pending:
            reason = f"{source.id} has more attachments than are read; this one and those after it are left out"
            yield FileReport(pending[-1].id, "skipped", reason, container=source.id)

    def _read_content(self, document: Document | None, report: FileReport) -> _Content | FileReport:
        if document is None or report.status == "skipped":
            return report
        document = replace(document, language=detect_language(document.text) or document.language)
        return _Content(document, self._split(document), report)

    def _kept(self, content: Content, report: FileReport) -> _Content:
        """Keep a document, split as this build splits: a snapshot that is not followed may have other passages."""
        followed = self.previous is not None and self.previous.is_followed
        passages = content.passages if followed else self._split(content.document)
        return _Content(content.document, passages, report)

    def _split(self, document: Document) -> Iterator[Passage]:
        return split(document, self.parameters, self.encoder.count_tokens, self.encoder.window)

    def fingerprint(self) -> dict[str, object]:
        """Describe all that decides a snapshot's content beside its sources."""
        return {
            "encoder": dict(self.encoder.fingerprint),
            "splitter": {"version": SPLITTER_VERSION, **asdict(self.parameters)},
            "readers": dict(reader_versions()),
            "reading": asdict(self.options),
            "lexical": dict(LEXICAL_FINGERPRINT),
        }


def require_sources(found: Sequence[Source | FileReport]) -> None:
    """Raise NothingToIndex where discovery found no file that could be read, before a model is loaded for them."""
    if not any(isinstance(item, Source) for item in found):
        raise NothingToIndex(_nothing([item for item in found if isinstance(item, FileReport)]))


def _nothing(reports: Sequence[FileReport]) -> str:
    if not reports:
        return "there is no file to index; give a folder that holds documents"
    shown = "; ".join(f"{report.id}: {report.status}, {report.reason}" for report in reports[:5])
    more = f"; and {len(reports) - 5} more" if len(reports) > 5 else ""
    return f"nothing could be read: {shown}{more}"
