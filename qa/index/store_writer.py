"""``documents.sqlite``, written: documents, passages and the ingestion report, each once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from types import TracebackType

from qa.errors import StorageError
from qa.index.schema import REPORT, SCHEMA, parse_titles, passage_key, text_sha256, window_key
from qa.types import Document, FileReport, Passage, with_context

# Of a line of the report, in the order of REPORT; dataclasses.astuple copies deeply, which a folder of files feels.
_columns_of = attrgetter(*(field.name for field in fields(FileReport)))


# How the rows of a document that is taken over are found and numbered; in the order of the file before, which reads
# each of its pages once.
_TAKE = {
    "documents": "SELECT {columns} FROM previous.documents CROSS JOIN taken ON taken.old = documents.number",
    **dict.fromkeys(
        ("sections", "pages", "excluded", "metadata", "passages"),
        "SELECT {columns} FROM previous.{table} AS {table} CROSS JOIN taken ON taken.old = {table}.document",
    ),
    "windows": (
        "SELECT {columns} FROM previous.windows CROSS JOIN previous.passages AS owner ON owner.id = windows.passage "
        "CROSS JOIN taken ON taken.old = owner.document"
    ),
}
_TAKEN_PASSAGES = (
    "SELECT passages.id, taken.id, taken.language, passages.path, passages.context, passages.text, passages.start, "
    "windows.id, windows.start, windows.end, windows.context FROM previous.passages CROSS JOIN taken "
    "ON taken.old = passages.document CROSS JOIN previous.windows ON windows.passage = passages.id "
    "ORDER BY passages.id"
)


@dataclass(frozen=True, slots=True)
class TakenPassage:
    """A passage that was copied, and what indexes need of it: of each window its key and what is encoded of it."""

    key: int
    document: str
    language: str
    path: tuple[str, ...]
    searched_text: str
    windows: tuple[tuple[int, str], ...]


def _unwritten(path: Path, error: BaseException | None) -> StorageError:
    return StorageError(f"cannot write {path} ({error}); check the folder's permissions and the disk's free space")


class StoreWriter:
    """Writer of a new file; no one else sees it before it is left, so it needs no journal.

    Args:
        previous: the file that documents can be taken over from.

    Raises:
        StorageError: on opening or leaving it, where the disk could not be written.
    """

    def __init__(self, path: Path, previous: Path | None = None) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, uri=True)
        except sqlite3.Error as error:
            raise _unwritten(path, error) from error
        try:
            self._begin(previous)
        except sqlite3.Error as error:
            self._connection.close()
            raise _unwritten(path, error) from error
        self._numbers = 0
        self.passages = 0
        self.windows = 0
        # Passages that were copied.
        self.taken = 0

    def _begin(self, previous: Path | None) -> None:
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        if previous is not None:
            self._connection.execute("ATTACH ? AS previous", [f"{previous.absolute().as_uri()}?immutable=1"])
        self._connection.executescript(
            "CREATE TEMP TABLE taken (old INTEGER PRIMARY KEY, new INTEGER NOT NULL, id TEXT, language TEXT); BEGIN;"
        )

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
            raise _unwritten(self._path, error) from error

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

    def take(self, number: int) -> None:
        """Take over the document that has this number in the file before; :meth:`copy_taken` does it."""
        self._numbers += 1
        self._connection.execute("INSERT INTO taken (old, new) VALUES (?, ?)", (number, self._numbers))

    def copy_taken(self) -> Iterator[TakenPassage]:
        """Copy all documents that are taken over, row by row as they are, and stream their passages."""
        execute = self._connection.execute
        if not execute("SELECT 1 FROM taken LIMIT 1").fetchone():
            return
        execute(
            "UPDATE taken SET (id, language) = "
            "(SELECT id, language FROM previous.documents WHERE documents.number = taken.old)"
        )
        for table, select in _TAKE.items():
            names = [row[1] for row in execute(f"PRAGMA main.table_info({table})")]
            own = {"documents": "number", "windows": ""}.get(table, "document")
            columns = ", ".join("taken.new" if name == own else f"{table}.{name}" for name in names)
            copied = execute(f"INSERT INTO main.{table} {select.format(table=table, columns=columns)}").rowcount
            self.taken += copied if table == "passages" else 0
            self.windows += copied if table == "windows" else 0
        self.passages += self.taken
        for _, group in groupby(execute(_TAKEN_PASSAGES), key=itemgetter(0)):
            rows = list(group)
            key, id, language, path, context, text, start = rows[0][:7]
            windows = tuple(
                (window, with_context(own, text[first - start : end - start])) for *_, window, first, end, own in rows
            )
            yield TakenPassage(key, id, language, parse_titles(path), with_context(context, text), windows)

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
