"""What is derived from a snapshot's documents when it is published, so that opening it reads nothing row by row."""

from __future__ import annotations

import filecmp
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from qa.errors import SnapshotCorrupt, StorageError
from qa.index.catalog import CATALOG_FILE, SCHEMA, Catalog, write_names
from qa.index.field_writer import write_fields
from qa.index.fields import Fields, count_facets
from qa.index.relations import write_relations
from qa.index.schema import DOCUMENTS_FILE
from qa.index.store import Store
from qa.index.vectors.engines import open_vectors

if TYPE_CHECKING:
    from qa.types import MilvusAddress


def derive_files(
    folder: Path, vectors: Mapping[str, object], milvus: MilvusAddress | None = None, target: Path | None = None
) -> None:
    """Write the relations, the catalog and the fields of a snapshot that is in ``folder``, and not published yet.

    Args:
        vectors: the description of its vector index.
        milvus: the server that has the vectors, if it says so.
        target: the folder that they are written into, which has none; by default the snapshot's own.

    Raises:
        SnapshotCorrupt: its documents do not hold together.
        StorageError: the disk is full, or cannot be written.
    """
    target = target or folder
    with closing(Store(folder / DOCUMENTS_FILE)) as store, closing(open_vectors(folder, vectors, milvus)) as rows:
        relations = write_relations(store, target)
        path = target / CATALOG_FILE
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.executescript(
                    f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; {SCHEMA} BEGIN;"
                )
                write_names(connection, store)
                write_fields(connection, store, relations, rows.ids(), target)
                connection.execute("COMMIT")
            with closing(Catalog(path)) as catalog:
                count_facets(Fields("", target, store, catalog, relations, rows.ids()), target)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"cannot write {path} ({error}); check the folder's permissions and the disk's free space"
            ) from error


def verify_derived(folder: Path, vectors: Mapping[str, object], milvus: MilvusAddress | None = None) -> None:
    """Derive the files of a snapshot again, into a temporary folder, and compare them with those that it has.

    Raises:
        SnapshotCorrupt: one differs; the message names it.
        StorageError: the temporary folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="qa-verify-") as temporary:
        fresh = Path(temporary)
        derive_files(folder, vectors, milvus, fresh)
        for expected in sorted(path for path in fresh.rglob("*") if path.is_file()):
            name = expected.relative_to(fresh).as_posix()
            is_same = _hold_same_rows if name == CATALOG_FILE else _hold_same_bytes
            if not is_same(expected, folder / name):
                raise SnapshotCorrupt(f"{folder / name} is not what its documents say; build the index again")


def _hold_same_bytes(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _hold_same_rows(one: Path, other: Path) -> bool:
    """Compare two databases by their rows: their bytes depend on the version of SQLite that wrote them."""
    with closing(sqlite3.connect(one)) as first, closing(sqlite3.connect(other)) as second:
        tables = [name for (name,) in first.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return all(
            mine == yours
            for name in tables
            for mine, yours in zip_longest(*(each.execute(f"SELECT * FROM {name}") for each in (first, second)))
        )
