"""``documents.sqlite``, open: texts with their sections, pages and excluded spans, passages, ingestion report."""

from __future__ import annotations

import codecs
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal
from weakref import finalize

from qa.errors import DocumentNotFound, SnapshotCorrupt
from qa.index.schema import REPORT, parse_titles
from qa.types import (
    Document,
    DocumentSummary,
    FileOrder,
    FileReport,
    FileStatus,
    FileTotals,
    Page,
    Passage,
    Property,
    Section,
    Span,
    StreamedDocument,
    Window,
)

_TABLES = ("documents", "passages", "windows", "files")
_UNREAD = "status IN ('failed', 'partial')"
# What files are sorted by.
_ORDERS: Mapping[FileOrder, str] = {
    "file": "id",
    "status": "CASE status WHEN 'failed' THEN 0 WHEN 'skipped' THEN 1 WHEN 'partial' THEN 2 ELSE 3 END",
    "characters": "characters",
    "pages": "pages",
    "passages": "passages",
}
# Bytes of a text that are read at once where it is read in parts.
_BLOCK = 1 << 18
_SUMMARIES = (
    "SELECT id, title, media_type, source_sha256, characters, "
    "(SELECT count(*) FROM pages WHERE pages.document = number), "
    "(SELECT count(*) FROM passages WHERE passages.document = number), language, container, "
    "(SELECT json_group_array(json_array(name, value)) FROM (SELECT name, value FROM metadata "
    "WHERE document = number AND start = 0 AND end = characters ORDER BY ordinal)) FROM documents"
)
# The columns of a passage, before those of its windows. It may be on several pages, but not on many.
PASSAGE = (
    "passages.id, documents.id, passages.start, passages.end, passages.text, passages.context, passages.path, "
    "passages.page, documents.language, (SELECT min(recognised) FROM pages WHERE pages.document = passages.document "
    "AND number BETWEEN passages.page AND passages.page + 9 AND pages.start < passages.end)"
)


def _summary(row: Sequence[Any]) -> DocumentSummary:
    """Make the summary of a row of ``_SUMMARIES``."""
    metadata = tuple((name, value) for name, value in json.loads(row[-1]))
    return replace(DocumentSummary(*row[:-1]), metadata=metadata)


def _passage(row: Sequence[Any], windows: Sequence[Window]) -> Passage:
    """Make the passage of a row that begins with the columns of ``PASSAGE``."""
    key, document, start, end, text, context, path, page, language, recognised = row[:10]
    id, titles = f"{key:016x}", parse_titles(path)
    return Passage(id, document, start, end, text, context, titles, page, tuple(windows), language, recognised)


def _pages_of(recognised: str) -> tuple[tuple[int, float], ...]:
    """Parse a file's recognised pages, ``[[number, confidence], …]``; most files have none."""
    return () if recognised == "[]" else tuple((number, confidence) for number, confidence in json.loads(recognised))


def _report(row: Sequence[Any]) -> FileReport:
    """Make the line of the report of a row of ``REPORT``."""
    return FileReport(*(*row[:-1], _pages_of(row[-1])))


def _within(numbers: Sequence[int]) -> tuple[str, tuple[str, ...]]:
    """Return the condition that a file is of one of these documents, and its parameter."""
    of = "SELECT id FROM documents WHERE number IN (SELECT value FROM json_each(?))"
    return f"id IN ({of})", (json.dumps(list(numbers)),)


class Store:
    """A published file, open. Thread-safe: SQLite serialises the calls, and the file never changes.

    Raises:
        SnapshotCorrupt: on opening, where the file is not a store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False
            )
            # A connection refers to itself, and by itself stays open until garbage is looked for.
            finalize(self, self._connection.close).atexit = False
            for table in _TABLES:
                self._one(f"SELECT 1 FROM {table}")
        except sqlite3.Error as error:
            raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error

    def close(self) -> None:
        self._connection.close()

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._connection.execute(sql, parameters).fetchone()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Stream rows. The store is held until they end, and may be closed before that by whoever needs no more."""
        # `yield from` would close the cursor at its own end, which is an error where the store was closed before.
        for row in self._connection.execute(sql, parameters):  # noqa: UP028
            yield row

    def count(self, table: Literal["documents", "passages", "windows"]) -> int:
        """Count the rows of a table, in time linear in them."""
        return int(self._one(f"SELECT count(*) FROM {table}")[0])

    def passages_in_order(self) -> Iterator[tuple[int, int]]:
        """Stream the key and the document's number of every passage, by document and start."""
        # The index has all of it, so that no text is read.
        yield from self._rows("SELECT id, document FROM passages ORDER BY document, start, id")

    def windows_in_order(self) -> Iterator[tuple[int, int]]:
        """Stream the passage's key and the key of every window, by passage and start."""
        yield from self._rows("SELECT passage, id FROM windows ORDER BY passage, start, id")

    def windows_out_of_range(self) -> int:
        """Count windows that are empty, reach beyond their passage or have none, and passages without a window."""
        (astray,) = self._one(
            "SELECT count(*) FROM windows LEFT JOIN passages ON passages.id = windows.passage "
            "WHERE passages.id IS NULL OR windows.end <= windows.start OR windows.start < passages.start "
            "OR windows.end > passages.end"
        )
        (bare,) = self._one("SELECT count(*) FROM passages WHERE id NOT IN (SELECT passage FROM windows)")
        return int(astray) + int(bare)

    def passages_out_of_range(self) -> int:
        """Count the passages that are empty, reach beyond their document, or have none."""
        (count,) = self._one(
            "SELECT count(*) FROM passages LEFT JOIN documents ON documents.number = passages.document "
            "WHERE documents.number IS NULL OR start < 0 OR end <= start OR end > characters"
        )
        return int(count)

    def find_passages(self, keys: Sequence[int]) -> dict[int, tuple[Passage, str]]:
        """Read passages and their documents' titles, by key; keys that are not there are left out."""
        marks = ",".join("?" * len(keys))
        rows = self._all(
            f"SELECT {PASSAGE}, title FROM passages JOIN documents ON documents.number = passages.document "
            f"WHERE passages.id IN ({marks})",
            keys,
        )
        windows: defaultdict[int, list[Window]] = defaultdict(list)
        for key, *window in self._all(
            f"SELECT passage, start, end, context FROM windows WHERE passage IN ({marks}) ORDER BY passage, start", keys
        ):
            windows[key].append(Window(*window))
        return {row[0]: (_passage(row, windows[row[0]]), row[-1]) for row in rows}

    def all_passages(self) -> Iterator[Passage]:
        """Stream all passages, by document and start."""
        return self._passages("")

    def passage_texts(self) -> Iterator[tuple[str, int, int, int, str]]:
        """Stream the document's id, key, start, end and text of every passage, by document and start."""
        yield from self._rows(
            "SELECT documents.id, passages.id, start, end, passages.text FROM passages "
            "JOIN documents ON documents.number = passages.document "
            "ORDER BY passages.document, passages.start, passages.id"
        )

    def passages_of(self, id: str) -> Iterator[Passage]:
        """Stream the passages of one document, by start."""
        return self._passages("WHERE documents.id = ?", id)

    def _passages(self, where: str, *parameters: str) -> Iterator[Passage]:
        rows = self._connection.execute(
            f"SELECT {PASSAGE}, windows.start, windows.end, windows.context FROM passages "
            "JOIN documents ON documents.number = passages.document JOIN windows ON windows.passage = passages.id "
            f"{where} ORDER BY passages.document, passages.start, passages.id, windows.start",
            parameters,
        )
        for _, group in groupby(rows, key=lambda row: row[0]):
            first, *others = group
            yield _passage(first, [Window(*row[-3:]) for row in (first, *others)])

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Stream number and id of every document, by id."""
        yield from self._rows("SELECT number, id FROM documents ORDER BY id")

    def path_rows(self) -> Iterator[tuple[str]]:
        """Stream the different paths of headings above passages, in order, as JSON."""
        yield from self._rows("SELECT DISTINCT path FROM passages ORDER BY path")

    @cached_property
    def document_ids(self) -> list[str]:
        """The ids of all documents, in ascending order."""
        return [id for (id,) in self._all("SELECT id FROM documents ORDER BY id")]

    def ids_below(self, folder: str) -> Iterator[str]:
        """Stream the ids of the documents in a folder and in those below it, in ascending order."""
        # The character after the slash ends them.
        between = (f"{folder}/", f"{folder}0")
        rows = self._connection.execute("SELECT id FROM documents WHERE id >= ? AND id < ? ORDER BY id", between)
        yield from (id for (id,) in rows)

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of documents by their numbers, in the order given; all of them are there."""
        return [self._one("SELECT id FROM documents WHERE number = ?", (number,))[0] for number in numbers]

    def summaries(self, offset: int = 0, limit: int = -1) -> list[DocumentSummary]:
        """Describe the documents by id: ``limit`` of them from ``offset`` on, or all from there."""
        rows = self._all(f"{_SUMMARIES} ORDER BY id LIMIT ? OFFSET ?", (limit, offset))
        return [_summary(row) for row in rows]

    def metadata_at(self, id: str, at: int) -> tuple[tuple[str, str], ...]:
        """Return what is said of a document, and of its part that holds the character ``at``, as names and values."""
        rows = self._all(
            "SELECT name, value FROM metadata JOIN documents ON documents.number = metadata.document "
            # Parts do not overlap: the last that starts before it is the only one that may hold it.
            "WHERE id = ?1 AND start IN (0, (SELECT max(start) FROM metadata AS parts "
            "WHERE parts.document = documents.number AND parts.start <= ?2)) AND end > ?2 "
            "ORDER BY start, ordinal",
            (id, at),
        )
        return tuple((name, value) for name, value in rows)

    def summaries_at(self, numbers: Sequence[int]) -> list[DocumentSummary]:
        """Describe documents by their numbers, in the order given; all of them are there."""
        return [_summary(self._one(f"{_SUMMARIES} WHERE number = ?", (number,))) for number in numbers]

    def filed(self) -> Iterator[tuple[int, str, str, str, str, str]]:
        """Stream number, id, title, reader, language and container of all documents, by number."""
        yield from self._rows("SELECT number, id, title, reader, language, container FROM documents ORDER BY number")

    def properties(self) -> Iterator[tuple[int, int, int, int, str, str]]:
        """Stream all metadata by document: its number, span, the characters of the document, name and value."""
        yield from self._rows(
            "SELECT document, start, end, characters, name, value FROM metadata "
            "JOIN documents ON documents.number = metadata.document ORDER BY document, start, ordinal"
        )

    def passage_starts(self) -> Iterator[int]:
        """Stream where every passage begins, by document and start."""
        rows = self._connection.execute("SELECT start FROM passages ORDER BY document, start, id")
        yield from (start for (start,) in rows)

    @cached_property
    def files(self) -> int:
        """How many files the ingestion report is on."""
        # They are numbered from 1, and counting them would read them all.
        return int(self._one("SELECT coalesce(max(ordinal), 0) FROM files")[0])

    def report(self, offset: int = 0, limit: int = -1) -> list[FileReport]:
        """Read the ingestion report, or a part of it, in the order in which the files were found."""
        rows = self._all(f"SELECT {REPORT} FROM files WHERE ordinal > ? ORDER BY ordinal LIMIT ?", (offset, limit))
        return [_report(row) for row in rows]

    def reports_of(self, ids: Iterable[str]) -> dict[str, FileReport]:
        """Read the lines of the report on some files, by id; ids that are not there are left out."""
        sql = f"SELECT {REPORT} FROM files WHERE id = ? ORDER BY ordinal"
        return {row[0]: _report(row) for id in ids for row in self._all(sql, (id,))}

    @cached_property
    def unread(self) -> int:
        """How many files could not be read, or not whole."""
        return int(self._one(f"SELECT count(*) FROM files WHERE {_UNREAD}")[0])

    def unread_files(self) -> list[FileReport]:
        """Read the lines of the report on files that could not be read, or not whole."""
        return [_report(row) for row in self._all(f"SELECT {REPORT} FROM files WHERE {_UNREAD} ORDER BY ordinal")]

    def file_totals(self, within: Sequence[int] | None = None) -> dict[FileStatus, FileTotals]:
        """Add up the files of each status: all, or those of the documents ``within``, given by their numbers."""
        if within is None:
            return self._all_totals
        where, parameters = _within(within)
        return self._totals(where, parameters)

    @cached_property
    def _all_totals(self) -> dict[FileStatus, FileTotals]:
        return self._totals("1", ())

    def _totals(self, where: str, parameters: tuple[str, ...]) -> dict[FileStatus, FileTotals]:
        rows = self._all(
            "SELECT status, count(*), sum(characters), sum(pages), sum(passages) FROM files "
            f"WHERE {where} GROUP BY status",
            parameters,
        )
        return {status: FileTotals(*values) for status, *values in rows}

    def list_files(
        self,
        status: FileStatus | None,
        order: FileOrder,
        descending: bool,
        offset: int,
        limit: int,
        within: Sequence[int] | None = None,
    ) -> list[tuple[FileReport, DocumentSummary | None]]:
        """List files of a status, or of any, each with its document where a version of it is indexed.

        Equal ones are in the order of their names; of the statuses the worst is the first.

        Args:
            within: the numbers of documents whose files are listed; without them all files are.
        """
        where, parameters = ("1", ()) if within is None else _within(within)
        if status is not None:
            where, parameters = f"{where} AND status = ?", (*parameters, status)
        way = "DESC" if descending else "ASC"
        # Only the lines that are shown are read whole.
        rows = self._all(
            f"SELECT {REPORT}, (SELECT number FROM documents WHERE documents.id = files.id) FROM files "
            f"WHERE ordinal IN (SELECT ordinal FROM files WHERE {where} "
            f"ORDER BY {_ORDERS[order]} {way}, id, ordinal LIMIT ? OFFSET ?) "
            f"ORDER BY {_ORDERS[order]} {way}, id, ordinal",
            (*parameters, limit, offset),
        )
        return [(_report(row[:-1]), None if row[-1] is None else self.summaries_at([row[-1]])[0]) for row in rows]

    def lines(self) -> Iterator[FileReport]:
        """Stream the ingestion report, in the order in which the files were found."""
        yield from map(_report, self._connection.execute(f"SELECT {REPORT} FROM files ORDER BY ordinal"))

    def line(self, id: str) -> FileReport | None:
        """Find a file's line of the report; ``None`` where there is none.

        Two lines have one id where a name that cannot be read is shown like one that can: it is that of the latter.
        """
        row = self._one(
            f"SELECT {REPORT} FROM files WHERE id = ? ORDER BY status != 'skipped' DESC, ordinal DESC LIMIT 1", (id,)
        )
        return None if row is None else _report(row)

    def lines_of_attached(self, id: str) -> Iterator[FileReport]:
        """Stream the lines of the report on what is attached to a file, in order; that may be a million."""
        of = f"SELECT {REPORT} FROM files WHERE container != '' AND container = ? ORDER BY ordinal"
        yield from map(_report, self._connection.execute(of, (id,)))

    def has_failed_attached(self, id: str) -> bool:
        """Tell whether anything could not be read that is attached to a file."""
        of = "SELECT 1 FROM files WHERE container != '' AND container = ? AND status = 'failed' LIMIT 1"
        return self._one(of, (id,)) is not None

    @cached_property
    def has_attached(self) -> bool:
        """Whether anything is attached to any file."""
        return self._one("SELECT 1 FROM files WHERE container != '' LIMIT 1") is not None

    def document(self, id: str) -> Document:
        """Read a document. Raises DocumentNotFound."""
        number, head = self._head(id)
        (text,) = self._one("SELECT text FROM documents WHERE number = ?", (number,))
        excluded = self._all("SELECT start, end FROM excluded WHERE document = ? ORDER BY start", (number,))
        return replace(
            head,
            text=text,
            sections=tuple(self._sections(number)),
            pages=tuple(self._pages(number)),
            excluded=tuple(Span(*span) for span in excluded),
        )

    def stream(self, id: str, snapshot: str) -> StreamedDocument:
        """Read a document of ``snapshot`` in parts. Raises DocumentNotFound."""
        number, head = self._head(id)
        (characters,) = self._one("SELECT characters FROM documents WHERE number = ?", (number,))
        parts = self._text_pieces(number), self._sections(number), self._pages(number)
        return StreamedDocument(snapshot, head, characters, *parts)

    def _head(self, id: str) -> tuple[int, Document]:
        """Read a document's number, and all of it but its text and what lies in that. Raises DocumentNotFound."""
        row = self._one(
            "SELECT number, id, title, source_sha256, media_type, reader, problems, language, container "
            "FROM documents WHERE id = ?",
            (id,),
        )
        if row is None:
            raise _not_found(id)
        number, container = row[0], row[8]
        metadata = self._all(
            "SELECT name, value, start, end FROM metadata WHERE document = ? ORDER BY start, ordinal", (number,)
        )
        attached = self._all(
            # Of a mail within a mail the ids begin with its own.
            "SELECT id FROM files WHERE container != '' AND container = ? AND substr(id, 1, ?) = ? ORDER BY ordinal",
            (container or id, len(id) + 1, f"{id}/"),
        )
        return number, Document(
            id=row[1],
            title=row[2],
            text="",
            source_sha256=row[3],
            media_type=row[4],
            reader=row[5],
            problems=tuple(json.loads(row[6])),
            language=row[7],
            metadata=tuple(Property(*each) for each in metadata),
            container=container,
            attachments=tuple(other for (other,) in attached),
        )

    def _sections(self, number: int) -> Iterator[Section]:
        rows = self._connection.execute(
            "SELECT title, level, start, body, end FROM sections WHERE document = ? ORDER BY ordinal", (number,)
        )
        return (Section(*row) for row in rows)

    def _pages(self, number: int) -> Iterator[Page]:
        rows = self._connection.execute(
            "SELECT number, start, end, recognised FROM pages WHERE document = ? ORDER BY number", (number,)
        )
        return (Page(*row) for row in rows)

    def _text_pieces(self, number: int) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        # The database's own bytes, from which a piece is read without the rest of the text.
        with self._connection.blobopen("documents", "text", number, readonly=True) as blob:
            while block := blob.read(_BLOCK):
                yield decoder.decode(block)
        yield decoder.decode(b"", final=True)

    def sums(self, id: str) -> tuple[str, str, int]:
        """Return of a document the SHA-256 of its source's bytes and of its text, and how many characters it has.

        Raises:
            DocumentNotFound: there is none.
        """
        row = self._one("SELECT source_sha256, text_sha256, characters FROM documents WHERE id = ?", (id,))
        if row is None:
            raise _not_found(id)
        return str(row[0]), str(row[1]), int(row[2])

    def source(self, id: str) -> str:
        """Return the id of the file that a document was read from: its own, unless it was attached to another.

        Raises:
            DocumentNotFound: there is none.
        """
        row = self._one("SELECT container FROM documents WHERE id = ?", (id,))
        if row is None:
            raise _not_found(id)
        return str(row[0]) or id

    def text(self, id: str, start: int, end: int) -> str:
        """Read ``text[start:end]`` of a document, without the rest of it. Raises DocumentNotFound."""
        row = self._one("SELECT substr(text, ? + 1, ?) FROM documents WHERE id = ?", (start, end - start, id))
        if row is None:
            raise _not_found(id)
        # SQLite counts no further than a NUL character.
        return str(row[0]) if len(row[0]) == end - start else self.document(id).text[start:end]

    def place(self, id: str, at: int) -> tuple[int | None, str | None, float | None]:
        """Find the page that a character of a document is on, the nearest heading above it, and OCR's confidence."""
        of = "FROM {} JOIN documents ON documents.number = {}.document WHERE id = ? AND start <= ?"
        page = self._one(
            f"SELECT pages.number, recognised {of.format('pages', 'pages')} ORDER BY start DESC LIMIT 1", (id, at)
        )
        section = self._one(
            f"SELECT sections.title {of.format('sections', 'sections')} AND end > ? ORDER BY ordinal DESC LIMIT 1",
            (id, at, at),
        )
        number, recognised = page or (None, None)
        return number, (None if section is None else str(section[0])), recognised

    def number_and_sum(self, id: str) -> tuple[int, str] | None:
        """Return a document's number and the SHA-256 of the bytes that it was read from; ``None`` if there is none."""
        row = self._one("SELECT number, source_sha256 FROM documents WHERE id = ?", (id,))
        return None if row is None else (int(row[0]), str(row[1]))

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Stream id, canonical text and the SHA-256 that was written with it, in the order of :meth:`passage_texts`."""
        yield from self._rows("SELECT id, text, text_sha256 FROM documents ORDER BY number")


def _not_found(id: str) -> DocumentNotFound:
    return DocumentNotFound(f"no indexed document has the id {id if len(id) < 200 else id[:200] + '…'!r}")
