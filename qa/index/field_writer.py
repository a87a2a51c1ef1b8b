"""What is said in each field, derived from the documents of a snapshot and written into its folder ``fields/``.

The values are sorted by the database, which keeps what does not fit into memory in a file.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from qa.errors import StorageError
from qa.index.relations import Relations
from qa.index.store import Store
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

    ``bounds (d + 1,)`` says where each document's begin, and the last one's end.
    """

    def __init__(self, store: Store, relations: Relations) -> None:
        documents = len(relations.first_places) - 1
        self.bounds: Ids = relations.first_places + np.arange(documents + 1)
        counts = np.diff(relations.first_places)
        #: The slot ``(p,)`` of each passage, by its place.
        self.of_places: Ids = np.arange(len(relations.placed)) + np.repeat(np.arange(1, documents + 1), counts)
        starts = np.fromiter(store.passage_starts(), np.int64, len(self.of_places))
        # One number sorts by document and start, so that an interval is found by one search.
        self._far = int(starts.max(initial=-1)) + 2
        self._sought = np.empty(int(self.bounds[-1]), np.int64)
        self._sought[self.bounds[:-1]] = np.arange(documents) * self._far
        self._sought[self.of_places] = np.repeat(np.arange(documents), counts) * self._far + starts + 1

    def find(self, documents: Ids, starts: Ids) -> Ids:
        """Find the first slot ``(n,)`` of a passage of a document, counted from 0, that starts there or later."""
        at: Ids = np.searchsorted(self._sought, documents * self._far + 1 + np.minimum(starts, self._far - 1))
        return at


def write_fields(connection: sqlite3.Connection, store: Store, relations: Relations, rows: Ids, folder: Path) -> None:
    """Write ``folder/fields``, and the values into the catalog.

    Args:
        connection: of the catalog, which has no values yet.
        rows: the ids ``(n,)`` of the vector index's rows, in their order.

    Raises:
        StorageError: the disk is full, or cannot be written.
    """
    target = folder / FIELDS_FOLDER
    slots = Slots(store, relations)
    connection.execute(_SAID)
    names = {name: number for number, name in enumerate(KINDS)}
    connection.executemany("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?)", _all_said(store, names))
    try:
        target.mkdir()
        _save(target, "document_slots", slots.bounds)
        _save(target, "passage_slots", slots.of_places[relations.places].astype(np.int32))
        _save(target, "row_passages", relations.owners[np.searchsorted(relations.windows, rows)])
        columns = []
        said = connection.execute(
            "SELECT field, folded, document, start, end, value FROM said ORDER BY field, folded, document, start, rowid"
        )
        of_number = {number: name for name, number in names.items()}
        for number, own in groupby(said, key=lambda row: row[0]):
            name = of_number[number]
            kind = KINDS.get(name, "value")
            _write_column(connection, target, number, kind, own, slots)
            columns.append({"name": name, "number": number, "kind": kind})
        (target / FIELDS_FILE).write_text(json.dumps({"columns": columns}, indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write {target} ({error}); check the folder's permissions and the disk's free space"
        ) from error
    connection.execute("DROP TABLE said")


def _save(folder: Path, name: str, values: np.ndarray) -> None:
    np.save(folder / f"{name}.npy", values, allow_pickle=False)


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


def _write_column(
    connection: sqlite3.Connection,
    folder: Path,
    number: int,
    kind: FieldKind,
    rows: Iterable[Sequence[str | int]],
    slots: Slots,
) -> None:
    """Write a field's rows, which come by value: their codes, first and last slots, and documents; and its values."""
    codes, documents, starts, ends = array("i"), array("q"), array("q"), array("q")
    first, spans = array("q", [0]), []
    counts: dict[str, tuple[int, int]] = {}
    for code, (folded, own) in enumerate(groupby(rows, key=lambda row: str(row[1]))):
        forms: Counter[str] = Counter()
        for _, _, document, start, end, value in own:
            codes.append(code)
            documents.append(int(document))
            starts.append(int(start))
            ends.append(int(end))
            forms[str(value)] += 1
        shown = max(sorted(forms), key=forms.__getitem__)
        connection.execute("INSERT INTO field_values VALUES (?, ?, ?, ?)", (number, code, folded, shown))
        first.append(len(codes))
        if kind == "date":
            spans.append((*(parse_date(shown) or (0, 0)), int(shown.strip()[:4])))
        elif kind == "folder":
            counts[folded] = (code, forms.total())
    of = np.array(documents, np.int64)
    lows, highs = slots.bounds[of], slots.bounds[of + 1]
    if len(parts := np.flatnonzero(np.array(ends) >= 0)):
        lows[parts], highs[parts] = (slots.find(of[parts], np.array(at, np.int64)[parts]) for at in (starts, ends))
    _save(folder, f"{number}.rows", np.array([codes, lows, highs, of], np.int32))
    _save(folder, f"{number}.first", np.array(first, np.int64))
    _save(folder, f"{number}.dates", np.array(spans, np.int64).reshape(-1, 3))
    _save(folder, f"{number}.outer", _outer_folders(counts))


def _outer_folders(counts: Mapping[str, tuple[int, int]]) -> Ids:
    """Return the codes of folders that hold one folder with all of their documents, given codes and documents."""
    outer = set()
    for name, (_, documents) in counts.items():
        above = counts.get(name.rpartition("/")[0])
        if above is not None and above[1] == documents:
            outer.add(above[0])
    return np.array(sorted(outer), np.int64)


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
