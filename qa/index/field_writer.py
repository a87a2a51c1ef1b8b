"""What is said in each field, derived from the documents of a snapshot and written into its folder ``fields/``.

The values are sorted by the database, which keeps what does not fit into memory in a file.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate, groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qa.errors import SnapshotCorrupt, StorageError
from qa.index.arrays import BLOCK, ArrayFile, array_header, blocks_of, find_places
from qa.index.relations import Relations
from qa.index.store import Store
from qa.index.vectors.columns import map_array
from qa.readers.kinds import name_type
from qa.readers.metadata import DATES, NAMES
from qa.text.dates import parse_date
from qa.text.globs import fold

if TYPE_CHECKING:
    from qa.types import Ids

FieldKind = Literal["folder", "value", "date"]
# Of one document what is said in a field: where a part of it starts and ends, or 0 and -1; and the value.
_Said = tuple[int, int, str]

FIELDS_FOLDER = "fields"
FIELDS_FILE = "fields.json"
FACETS_FILE = "facets.json"
DATE = "date"
# The arrays of a field's rows, in their order in the file.
_ROWS = ("codes", "lows", "highs", "documents")
# No text is so long: one number sorts by document and start, so that an interval is found by one search.
_FAR = 1 << 32
# Of several dates of a document the first is its date. Not the first of all: that may be its template's.
_ITS_DATE = ("sent", "modified", "created")
KINDS: dict[str, FieldKind] = {
    **{"folder": "folder", "type": "value", "language": "value", "title": "value", DATE: "date"},
    **{name: "date" if name in DATES else "value" for name in NAMES},
}
_SAID = (
    "CREATE TEMP TABLE said (field INTEGER NOT NULL, folded TEXT NOT NULL, document INTEGER NOT NULL, "
    "start INTEGER NOT NULL, end INTEGER NOT NULL, value TEXT NOT NULL)"
)


class Slots:
    """The places that what is said is counted in: for each document one of its own, before those of its passages.

    Args:
        folder: where the starts of passages are written, if they are needed.
    """

    def __init__(self, store: Store, relations: Relations, folder: Path) -> None:
        self._store = store
        self._first_places = relations.first_places
        self._path = folder / "starts"
        self._starts: Ids | None = None

    def of_documents(self, documents: Ids) -> Ids:
        """Return where the slots of documents ``(n,)`` begin, counted from 0; of one after the last, where they end."""
        slots: Ids = self._first_places[documents] + documents
        return slots

    def of_places(self, places: Ids) -> Ids:
        """Return the slots ``(n,)`` of passages, by their places."""
        slots: Ids = places + np.searchsorted(self._first_places, places, "right")
        return slots

    def find(self, documents: Ids, starts: Ids) -> Ids:
        """Find the first slots ``(n,)`` of a passage of a document, counted from 0, that starts there or later.

        Raises:
            OSError: the starts cannot be written.
        """
        if self._starts is None:
            self._starts = self._write_starts()
        at = np.searchsorted(self._starts, documents * _FAR + np.minimum(starts, _FAR - 1))
        after = self._first_places[documents + 1]
        return np.where(at < after, at + documents + 1, self.of_documents(documents + 1))

    def _write_starts(self) -> Ids:
        """Write one number for each passage, which sorts by document and start, and map them."""
        seen = 0
        with ArrayFile(self._path, np.int64) as file:
            for (starts,) in blocks_of((start,) for start in self._store.passage_starts()):
                places = np.arange(seen, seen + len(starts))
                file.append((np.searchsorted(self._first_places, places, "right") - 1) * _FAR + starts)
                seen += len(starts)
        return map_array(self._path, np.int64, (seen,))


def write_fields(connection: sqlite3.Connection, store: Store, relations: Relations, rows: Ids, folder: Path) -> None:
    """Write ``folder/fields``, and the values into the catalog. Memory is that of a block of rows.

    Args:
        connection: of the catalog, which has no values yet.
        rows: the ids ``(n,)`` of the vector index's rows, in their order.

    Raises:
        SnapshotCorrupt: a row is of no window.
        StorageError: the disk is full, or cannot be written.
    """
    target = folder / FIELDS_FOLDER
    connection.execute(_SAID)
    names = {name: number for number, name in enumerate(KINDS)}
    connection.executemany("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?)", _all_said(store, names))
    try:
        target.mkdir()
        with tempfile.TemporaryDirectory(prefix=".fields-", dir=target) as temporary:
            slots = Slots(store, relations, Path(temporary))
            _write_slots(target, slots, relations, rows)
            columns = []
            said = connection.execute(
                "SELECT field, folded, document, start, end, value FROM said "
                "ORDER BY field, folded, document, start, rowid"
            )
            of_number = {number: name for name, number in names.items()}
            for number, own in groupby(said, key=lambda row: row[0]):
                name = of_number[number]
                kind = KINDS.get(name, "value")
                with _ColumnWriter(target, number, kind, slots, Path(temporary)) as column:
                    column.write(connection, own)
                columns.append({"name": name, "number": number, "kind": kind})
        (target / FIELDS_FILE).write_text(json.dumps({"columns": columns}, indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write {target} ({error}); check the folder's permissions and the disk's free space"
        ) from error
    connection.execute("DROP TABLE said")


def _write_slots(folder: Path, slots: Slots, relations: Relations, rows: Ids) -> None:
    """Write where the slots of documents begin, those of passages, and the passages of rows, by their keys."""
    with ArrayFile(folder / "document_slots.npy", np.int64) as file:
        for part in _parts(len(relations.first_places)):
            file.append(slots.of_documents(np.arange(part.start, part.stop)))
    with ArrayFile(folder / "passage_slots.npy", np.int32) as file:
        for part in _parts(len(relations.places)):
            file.append(slots.of_places(relations.places[part].astype(np.int64)))
    with ArrayFile(folder / "row_passages.npy", np.int32) as file:
        for part in _parts(len(rows)):
            at = find_places(rows[part], relations.windows)
            if at is None:
                raise SnapshotCorrupt(f"the ids of windows and of vectors in {folder.parent} differ")
            file.append(relations.owners[at])


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def _all_said(store: Store, names: dict[str, int]) -> Iterator[tuple[int, str, int, int, int, str]]:
    """Yield all that is said, by document; ``names`` gets a number for each field that it does not have yet."""
    properties = groupby(store.properties(), key=lambda row: row[0])
    number, own = next(properties, (0, iter(())))
    for document, *filed in store.filed():
        said: defaultdict[str, list[_Said]] = defaultdict(list)
        for name, value in describe_file(*filed):
            said[name].append((0, -1, value))
        if document == number:
            for _, start, end, characters, name, value in own:
                is_whole = start == 0 and end == characters
                said[name].append((start, -1 if is_whole else end, value))
            number, own = next(properties, (0, iter(())))
        said[DATE] = list(_its_dates(said))
        for name, rows in said.items():
            field = names.setdefault(name, len(names))
            for start, end, value in rows:
                if KINDS.get(name) != "date" or parse_date(value) is not None:
                    yield field, fold(value), document - 1, start, end, value


class _ColumnWriter:
    """Writer of the files of one field.

    Args:
        temporary: a folder for what is put together at the end.
    """

    def __init__(self, folder: Path, number: int, kind: FieldKind, slots: Slots, temporary: Path) -> None:
        self._folder, self._number, self._kind, self._slots = folder, number, kind, slots
        self._opened = ExitStack()
        self._arrays = [self._opened.enter_context((temporary / name).open("w+b")) for name in _ROWS]
        self._first = self._opened.enter_context(ArrayFile(folder / f"{number}.first.npy", np.int64))
        self._dates = self._opened.enter_context(ArrayFile(folder / f"{number}.dates.npy", np.int64, (3,)))
        self._outer = _OuterFolders()
        self._rows = 0
        # Of the rows that are not written yet: code, document, start and end; and of each value where its rows end.
        self._pending: list[tuple[int, int, int, int]] = []
        self._ends = [0]
        self._spans: list[tuple[int, int, int]] = []

    def __enter__(self) -> _ColumnWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.__exit__(kind, error, at)

    def write(self, connection: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Write the rows, which come by value: their codes, first and last slots, and documents; and their values."""
        for code, (folded, own) in enumerate(groupby(rows, key=lambda row: str(row[1]))):
            forms: Counter[str] = Counter()
            for _, _, document, start, end, value in own:
                self._pending.append((code, document, start, end))
                forms[value] += 1
                if len(self._pending) == BLOCK:
                    self._flush()
            shown = max(sorted(forms), key=forms.__getitem__)
            connection.execute("INSERT INTO field_values VALUES (?, ?, ?, ?)", (self._number, code, folded, shown))
            self._ends.append(self._rows + len(self._pending))
            if self._kind == "date":
                self._spans.append((*(parse_date(shown) or (0, 0)), int(shown.strip()[:4])))
            elif self._kind == "folder":
                self._outer.add(folded, code, forms.total())
        self._flush()
        with (self._folder / f"{self._number}.rows.npy").open("wb") as file:
            file.write(array_header(np.int32, (len(_ROWS), self._rows)))
            for written in self._arrays:
                written.seek(0)
                shutil.copyfileobj(written, file)
        outer = np.unique(np.array(self._outer.codes, np.int64))
        np.save(self._folder / f"{self._number}.outer.npy", outer, allow_pickle=False)

    def _flush(self) -> None:
        codes, documents, starts, ends = np.array(self._pending, np.int64).reshape(-1, 4).T
        lows, highs = self._slots.of_documents(documents), self._slots.of_documents(documents + 1)
        if len(parts := np.flatnonzero(ends >= 0)):
            lows[parts], highs[parts] = (self._slots.find(documents[parts], at[parts]) for at in (starts, ends))
        for file, values in zip(self._arrays, (codes, lows, highs, documents), strict=True):
            file.write(values.astype(np.int32).data)
        self._rows += len(self._pending)
        self._first.append(np.array(self._ends, np.int64))
        self._dates.append(np.array(self._spans, np.int64).reshape(-1, 3))
        self._pending, self._ends, self._spans = [], [], []


class _OuterFolders:
    """The folders that hold one folder with all of their documents; folders come in the order of their names.

    So those that one lies in are among the few before it whose names it begins with.
    """

    def __init__(self) -> None:
        self.codes = array("q")
        self._above: list[tuple[str, int, int]] = []

    def add(self, name: str, code: int, documents: int) -> None:
        while self._above and not name.startswith(self._above[-1][0]):
            self._above.pop()
        folder = name.rpartition("/")[0]
        self.codes.extend(outer for above, outer, held in self._above if above == folder and held == documents)
        self._above.append((name, code, documents))


def _its_dates(said: Mapping[str, list[_Said]]) -> Iterator[_Said]:
    """Choose the one date of a document, and of every part of it, that has any."""
    known: set[tuple[int, int]] = set()
    for name in _ITS_DATE:
        here = set()
        for row in said.get(name, ()):
            if row[:2] not in known and row[:2] not in here and parse_date(row[2]) is not None:
                here.add(row[:2])
                yield row
        known |= here


def describe_file(id: str, title: str, reader: str, language: str, container: str) -> Iterator[tuple[str, str]]:
    """Yield the fields and values of a document that are no metadata; it has every folder that it is below.

    Of a file that could not be read ``title``, ``reader`` and ``language`` are empty: folders and type remain.
    """
    folders = (container or id).split("/")[:-1]
    yield from (("folder", path) for path in accumulate(folders, "{}/{}".format))
    yield "type", name_type(id, reader.partition("/")[0])
    yield "title", title
    if language:
        yield "language", language
