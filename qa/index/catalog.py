"""``catalog.sqlite``: the names that globs and filters choose by, sorted: of documents, headings and values.

It is derived from ``documents.sqlite`` when a snapshot is published. What a question names is looked up in it, so that
no name is held in memory, and what is compared with patterns is bounded (:mod:`qa.text.globs`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import finalize

import numpy as np

from qa.errors import QueryError, SnapshotCorrupt
from qa.text.globs import BLOCK, MOST_STEPS, Automaton, beginning_range, choose, fold

if TYPE_CHECKING:
    from qa.index.store import Store
    from qa.types import Ids

CATALOG_FILE = "catalog.sqlite"
# ``documents`` and ``headings`` have the names as they are folded, with the numbers of their documents and paths.
SCHEMA = """
CREATE TABLE documents (folded TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (folded, number)) WITHOUT ROWID;
CREATE TABLE headings (folded TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (folded, number)) WITHOUT ROWID;
CREATE TABLE paths (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE field_values (
    field INTEGER NOT NULL, code INTEGER NOT NULL, folded TEXT NOT NULL, shown TEXT NOT NULL,
    PRIMARY KEY (field, code)) WITHOUT ROWID;
CREATE UNIQUE INDEX field_values_by_name ON field_values (field, folded);
"""
_AT_ONCE = 500

Named = Literal["documents", "headings"]


class Catalog:
    """A published file, open. Thread-safe: SQLite serialises the calls, and the file never changes.

    Raises:
        SnapshotCorrupt: on opening, where the file is no catalog.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False
            )
            # A connection refers to itself, and by itself stays open until garbage is looked for.
            finalize(self, self._connection.close).atexit = False
            for table in ("documents", "headings", "paths", "field_values"):
                self._connection.execute(f"SELECT 1 FROM {table}").fetchone()
        except sqlite3.Error as error:
            raise SnapshotCorrupt(f"{path} cannot be read ({error}); build the index again") from error

    def close(self) -> None:
        self._connection.close()

    def find(self, named: Named, globs: Sequence[str], field: str) -> Ids:
        """Find what has a name that any glob matches: the numbers ``(n,)`` of documents or of paths, ascending.

        Raises:
            QueryError: too many names would have to be compared; it names the ``field``.
        """
        choice = choose(globs, lambda name: any(True for _ in self._numbers(named, "folded = ?", name)))
        if choice.every:
            return _distinct(self._numbers(named, "1"))
        ranges = [_within(low, high) for low, high in choice.compared]
        if excess := choice.find_excess(sum(self._count(named, *each) for each in ranges)):
            raise QueryError(field, f"{field}: {excess}")
        found = [self._numbers(named, "folded = ?", name) for name in choice.names]
        found += [self._numbers(named, *_within(*beginning_range(beginning))) for beginning in choice.beginnings]
        if choice.patterns:
            found.append(self._matching(named, ranges, Automaton(choice.patterns)))
        return _distinct(chain.from_iterable(found))

    def _numbers(self, named: Named, where: str, *parameters: str) -> Iterator[int]:
        rows = self._connection.execute(f"SELECT number FROM {named} WHERE {where}", parameters)
        return (number for (number,) in rows)

    def _count(self, named: Named, where: str, *parameters: str) -> int:
        """Count the names in a range; those beyond what may be compared are not looked at."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {named} WHERE {where} LIMIT {MOST_STEPS})"
        return int(self._connection.execute(sql, parameters).fetchone()[0])

    def _matching(self, named: Named, ranges: Iterable[tuple[str, ...]], automaton: Automaton) -> Iterator[int]:
        for where, *parameters in ranges:
            rows = self._connection.execute(f"SELECT folded, number FROM {named} WHERE {where}", parameters)
            while block := rows.fetchmany(BLOCK):
                yield from (block[at][1] for at in automaton.matching([name for name, _ in block]))

    def paths(self, numbers: Sequence[int]) -> list[tuple[str, ...]]:
        """Return paths of headings by their numbers, in the order of the numbers."""
        found: list[tuple[str, ...]] = []
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"SELECT path FROM paths WHERE number IN ({marks}) ORDER BY number", part)
            found += [tuple(json.loads(path)) for (path,) in rows]
        return found

    def first_paths(self, most: int) -> list[tuple[str, ...]]:
        """Return the first of the different paths of headings above passages, in their order."""
        rows = self._connection.execute("SELECT path FROM paths ORDER BY path LIMIT ?", (most,))
        return [tuple(json.loads(path)) for (path,) in rows]

    def codes_of(self, field: int, values: Iterable[str]) -> list[int]:
        """Return the codes of a field's values, in any case and Unicode form; those that it lacks are left out."""
        sql = "SELECT code FROM field_values WHERE field = ? AND folded = ?"
        rows = (self._connection.execute(sql, (field, fold(value))).fetchone() for value in values)
        return [row[0] for row in rows if row is not None]

    def values_of(self, field: int, codes: Iterable[int]) -> list[str]:
        """Return the values of a field as they are shown, in the order of their codes."""
        sql = "SELECT shown FROM field_values WHERE field = ? AND code = ?"
        return [self._connection.execute(sql, (field, code)).fetchone()[0] for code in codes]


def _distinct(numbers: Iterable[int]) -> Ids:
    found: Ids = np.unique(np.fromiter(numbers, np.int64))
    return found


def _within(low: str, high: str | None) -> tuple[str, ...]:
    """Return the condition on names in a range, and its parameters."""
    return ("folded >= ?", low) if high is None else ("folded >= ? AND folded < ?", low, high)


def write_names(connection: sqlite3.Connection, store: Store) -> None:
    """Write the names of documents and headings of a store into an empty catalog."""
    documents = ((fold(id), number) for number, id in store.numbered())
    connection.executemany("INSERT INTO documents VALUES (?, ?)", documents)
    connection.executemany("INSERT OR IGNORE INTO paths (path) VALUES (?)", store.path_rows())
    # A connection of its own would not see what is not committed; a second cursor does.
    headings = (
        (fold(title), number)
        for number, path in connection.execute("SELECT number, path FROM paths ORDER BY number")
        for title in json.loads(path)
    )
    connection.executemany("INSERT OR IGNORE INTO headings VALUES (?, ?)", headings)
