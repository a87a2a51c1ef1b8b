"""``documents.sqlite``: texts with their sections, pages and excluded spans, passages and the ingestion report."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import DocumentNotFound, SnapshotCorrupt, StorageError
from qa.types import Document, DocumentSummary, FileReport, Page, Passage, Section, Span

if TYPE_CHECKING:
    from qa.types import Ids

DOCUMENTS_FILE = "documents.sqlite"

_SCHEMA = """
CREATE TABLE documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, media_type TEXT NOT NULL,
    reader TEXT NOT NULL, source_sha256 TEXT NOT NULL, text_sha256 TEXT NOT NULL, problems TEXT NOT NULL,
    characters INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE sections (
    document INTEGER NOT NULL REFERENCES documents, ordinal INTEGER NOT NULL, title TEXT NOT NULL,
    level INTEGER NOT NULL, start INTEGER NOT NULL, body INTEGER NOT NULL, end INTEGER NOT NULL,
    PRIMARY KEY (document, ordinal)) WITHOUT ROWID;
CREATE TABLE pages (
    document INTEGER NOT NULL REFERENCES documents, number INTEGER NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, PRIMARY KEY (document, number)) WITHOUT ROWID;
CREATE TABLE excluded (
    document INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL, end INTEGER NOT NULL,
    PRIMARY KEY (document, start)) WITHOUT ROWID;
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL,
    end INTEGER NOT NULL, text TEXT NOT NULL, context TEXT NOT NULL, section TEXT, page INTEGER);
CREATE INDEX passages_by_document ON passages (document, start);
CREATE TABLE files (
    ordinal INTEGER PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL,
    characters INTEGER NOT NULL, pages INTEGER NOT NULL, empty_pages INTEGER NOT NULL, passages INTEGER NOT NULL,
    seconds REAL NOT NULL, modified_ns INTEGER NOT NULL, kept_since TEXT NOT NULL);
"""


_REPORT = ", ".join(field.name for field in fields(FileReport))


def passage_key(id: str) -> int:
    """The passage's id as the vector index holds it: its 16 hexadecimal digits are a 63-bit number."""
    return int(id, 16)


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class StoreWriter:
    """Writes a new file; nobody else sees it before it is left, so it needs no journal.

    Raises:
        StorageError: on leaving it, where the disk could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA + "BEGIN;")
        self._numbers = 0
        self.passages = 0

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        except sqlite3.Error as unwritten:
            kind, error = sqlite3.Error, unwritten
        finally:
            self._connection.close()
        if kind is not None and issubclass(kind, sqlite3.Error):
            raise StorageError(
                f"cannot write {self._path} ({error}); check the folder's permissions and the disk's free space"
            ) from error

    @property
    def documents(self) -> int:
        return self._numbers

    def add_document(self, document: Document) -> int:
        """Returns the number by which :meth:`add_passages` names the document."""
        self._numbers += 1
        number = self._numbers
        self._connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                document.id,
                document.title,
                document.media_type,
                document.reader,
                document.source_sha256,
                text_sha256(document.text),
                json.dumps(document.problems),
                len(document.text),
                document.text,
            ),
        )
        self._connection.executemany(
            "INSERT INTO sections VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(number, i, s.title, s.level, s.start, s.body, s.end) for i, s in enumerate(document.sections)],
        )
        self._connection.executemany(
            "INSERT INTO pages VALUES (?, ?, ?, ?)", [(number, p.number, p.start, p.end) for p in document.pages]
        )
        self._connection.executemany(
            "INSERT INTO excluded VALUES (?, ?, ?)", [(number, span.start, span.end) for span in document.excluded]
        )
        return number

    def add_passages(self, rows: Iterable[tuple[int, Passage]]) -> None:
        """``rows`` pair a document's number with its passage."""
        values = [
            (passage_key(p.id), number, p.start, p.end, p.text, p.context, p.section, p.page) for number, p in rows
        ]
        self._connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self.passages += len(values)

    def add_report(self, report: FileReport) -> None:
        self._connection.execute(
            f"INSERT INTO files ({_REPORT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(report)
        )


class Store:
    """Reads a published file. Thread-safe: SQLite serialises the calls, and the file never changes.

    Raises:
        SnapshotCorrupt: on opening, where the file is not a store.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False
            )
            self.documents, self.passages = self._one(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages)"
            )
        except sqlite3.Error as error:
            raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error

    def close(self) -> None:
        self._connection.close()

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._connection.execute(sql, parameters).fetchone()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

    def passage_keys(self) -> Ids:
        """``(n,)``, in ascending order."""
        rows = self._connection.execute("SELECT id FROM passages ORDER BY id")
        return np.fromiter((key for (key,) in rows), np.int64, self.passages)

    def passages_out_of_range(self) -> int:
        """How many passages are empty or reach beyond their document, or have none."""
        (count,) = self._one(
            "SELECT count(*) FROM passages LEFT JOIN documents ON documents.number = passages.document "
            "WHERE documents.number IS NULL OR start < 0 OR end <= start OR end > characters"
        )
        return int(count)

    def find_passages(self, keys: Sequence[int]) -> dict[int, tuple[Passage, str]]:
        """Passages and their documents' titles, by key; keys that are not there are left out."""
        marks = ",".join("?" * len(keys))
        rows = self._all(
            "SELECT passages.id, documents.id, start, end, passages.text, context, section, page, title FROM passages "
            f"JOIN documents ON documents.number = passages.document WHERE passages.id IN ({marks})",
            keys,
        )
        return {row[0]: (Passage(f"{row[0]:016x}", *row[1:8]), row[8]) for row in rows}

    def all_passages(self) -> Iterator[Passage]:
        """Streamed, by document and start."""
        return self._passages("")

    def passages_of(self, id: str) -> Iterator[Passage]:
        """The passages of one document, by start."""
        return self._passages("WHERE documents.id = ?", id)

    def _passages(self, where: str, *parameters: str) -> Iterator[Passage]:
        for row in self._connection.execute(
            "SELECT passages.id, documents.id, start, end, passages.text, context, section, page FROM passages "
            f"JOIN documents ON documents.number = passages.document {where} ORDER BY passages.document, start",
            parameters,
        ):
            yield Passage(f"{row[0]:016x}", *row[1:])

    @cached_property
    def document_ids(self) -> list[str]:
        """In ascending order."""
        return [id for (id,) in self._all("SELECT id FROM documents ORDER BY id")]

    def summaries(self) -> list[DocumentSummary]:
        """By id."""
        rows = self._all(
            "SELECT id, title, media_type, source_sha256, characters, "
            "(SELECT count(*) FROM pages WHERE pages.document = number), "
            "(SELECT count(*) FROM passages WHERE passages.document = number) FROM documents ORDER BY id"
        )
        return [DocumentSummary(*row) for row in rows]

    def report(self) -> list[FileReport]:
        """In the order in which the files were found."""
        rows = self._all(f"SELECT {_REPORT} FROM files ORDER BY ordinal")
        return [FileReport(*row) for row in rows]

    def document(self, id: str) -> Document:
        """Raises DocumentNotFound."""
        row = self._one(
            "SELECT id, title, text, source_sha256, media_type, reader, problems, number FROM documents WHERE id = ?",
            (id,),
        )
        if row is None:
            raise DocumentNotFound(f"no indexed document has the id {id if len(id) < 200 else id[:200] + '…'!r}")
        number = row[7]
        sections = self._all(
            "SELECT title, level, start, body, end FROM sections WHERE document = ? ORDER BY ordinal", (number,)
        )
        pages = self._all("SELECT number, start, end FROM pages WHERE document = ? ORDER BY number", (number,))
        excluded = self._all("SELECT start, end FROM excluded WHERE document = ? ORDER BY start", (number,))
        return Document(
            id=row[0],
            title=row[1],
            text=row[2],
            source_sha256=row[3],
            media_type=row[4],
            reader=row[5],
            sections=tuple(Section(*section) for section in sections),
            pages=tuple(Page(*page) for page in pages),
            problems=tuple(json.loads(row[6])),
            excluded=tuple(Span(*span) for span in excluded),
        )

    def source_sha256(self, id: str) -> str | None:
        """Of the bytes that a document was read from; ``None`` where there is no such document."""
        row = self._one("SELECT source_sha256 FROM documents WHERE id = ?", (id,))
        return None if row is None else str(row[0])

    def text_sha256(self, id: str) -> str:
        """Of a document's canonical text, as it was written."""
        (digest,) = self._one("SELECT text_sha256 FROM documents WHERE id = ?", (id,))
        return str(digest)
