"""``documents.sqlite``, written: documents, passages and the ingestion report, each once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from types import TracebackType

from qa.errors import StorageError
from qa.index.schema import REPORT, SCHEMA, passage_key, text_sha256, window_key
from qa.types import Document, FileReport, Passage

# Of a line of the report, in the order of REPORT; dataclasses.astuple copies deeply, which a folder of files feels.
_columns_of = attrgetter(*(field.name for field in fields(FileReport)))


class StoreWriter:
    """Writer of a new file; no one else sees it before it is left, so it needs no journal.

    Raises:
        StorageError: on leaving it, where the disk could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA + "BEGIN;")
        self._numbers = 0
        self.passages = 0
        self.windows = 0

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
        """Write a document; returns the number by which :meth:`add_passages` names it."""
        self._numbers += 1
        number = self._numbers
        self._connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                document.id,
                document.title,
                document.media_type,
                document.reader,
                document.language,
                document.container,
                document.source_sha256,
                text_sha256(document.text),
                json.dumps(document.problems),
                len(document.text),
                document.text,
            ),
        )
        rows: dict[str, list[tuple[object, ...]]] = {
            "INSERT INTO sections VALUES (?, ?, ?, ?, ?, ?, ?)": [
                (number, i, s.title, s.level, s.start, s.body, s.end) for i, s in enumerate(document.sections)
            ],
            "INSERT INTO pages VALUES (?, ?, ?, ?, ?)": [
                (number, p.number, p.start, p.end, p.recognised) for p in document.pages
            ],
            "INSERT INTO excluded VALUES (?, ?, ?)": [(number, span.start, span.end) for span in document.excluded],
            "INSERT INTO metadata VALUES (?, ?, ?, ?, ?, ?)": [
                (number, p.start, i, p.end, p.name, p.value) for i, p in enumerate(document.metadata)
            ],
        }
        # Most files have few of these, and there may be a hundred thousand files.
        for statement, values in rows.items():
            if values:
                self._connection.executemany(statement, values)
        return number

    def add_passages(self, rows: Iterable[tuple[int, Passage]]) -> None:
        """Write passages; ``rows`` pair a document's number with its passage."""
        rows = list(rows)
        self._connection.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (passage_key(p.id), number, p.start, p.end, p.text, p.context, json.dumps(p.path), p.page)
                for number, p in rows
            ],
        )
        windows = [
            (window_key(p, window), passage_key(p.id), window.start, window.end, window.context)
            for _, p in rows
            for window in p.windows
        ]
        self._connection.executemany("INSERT INTO windows VALUES (?, ?, ?, ?, ?)", windows)
        self.passages += len(rows)
        self.windows += len(windows)

    def add_report(self, report: FileReport) -> None:
        *columns, recognised = _columns_of(report)
        self._connection.execute(
            f"INSERT INTO files ({REPORT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*columns, json.dumps(recognised)),
        )
