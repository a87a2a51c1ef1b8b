"""What is derived from a snapshot's documents when it is published, so that opening it reads nothing row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from qa.errors import StorageError
from qa.index.catalog import CATALOG_FILE, SCHEMA, Catalog, write_names
from qa.index.field_writer import write_fields
from qa.index.fields import Fields, count_facets
from qa.index.relations import derive_relations, save_relations
from qa.index.schema import DOCUMENTS_FILE
from qa.index.store import Store
from qa.index.vectors.engines import open_vectors


def derive_files(folder: Path, vectors: Mapping[str, object]) -> None:
    """Write the relations, the catalog and the fields of a snapshot that is in ``folder``, and not published yet.

    Args:
        vectors: the description of its vector index.

    Raises:
        SnapshotCorrupt: its documents do not hold together.
        StorageError: the disk is full, or cannot be written.
    """
    with closing(Store(folder / DOCUMENTS_FILE)) as store, closing(open_vectors(folder, vectors)) as rows:
        relations = derive_relations(store)
        save_relations(relations, folder)
        path = folder / CATALOG_FILE
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.executescript(
                    f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; {SCHEMA} BEGIN;"
                )
                write_names(connection, store)
                write_fields(connection, store, relations, rows.ids(), folder)
                connection.execute("COMMIT")
            with closing(Catalog(path)) as catalog:
                count_facets(Fields("", folder, store, catalog, relations, rows.ids()), folder)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"cannot write {path} ({error}); check the folder's permissions and the disk's free space"
            ) from error
