"""BM25 over passages, in tantivy: written once, into a snapshot's folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qa.errors import StorageError
from qa.index.lexical_format import FORMAT, LEXICAL_FOLDER, META, schema, sound, tantivy
from qa.text.terms import passage_terms

# What tantivy holds in memory before it writes a segment: a build's memory does not grow with the collection.
_HEAP_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class LexicalRow:
    """A passage for the index: ``columns`` are what filters look at, as in :class:`qa.types.VectorRows`."""

    key: int
    text: str
    language: str
    columns: dict[str, str]


class LexicalWriter:
    """Writes ``folder/lexical``. Left without :meth:`finish` it writes nothing more: the folder can be removed.

    Raises:
        StorageError: from every method, where the disk is full or cannot be written.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder = folder / LEXICAL_FOLDER
        self._languages: Counter[str] = Counter()
        self._columns = tuple(columns)
        self._is_finished = False
        try:
            self._folder.mkdir()
            self._index = tantivy().Index(schema(self._columns), str(self._folder))
            self._index.config_reader(reload_policy="manual")
            # One thread: the same passages in the same order make the same segments.
            self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> LexicalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_finished:
            # Its threads would go on writing into a folder that is being removed.
            # RuntimeError: they ended already, in a commit that failed.
            with suppress(OSError, ValueError, RuntimeError):
                self._writer.rollback()
            with suppress(OSError, ValueError, RuntimeError):
                self._writer.wait_merging_threads()

    def add(self, rows: Iterable[LexicalRow]) -> None:
        library = tantivy()
        try:
            for row in rows:
                self._languages[row.language] += 1
                document = library.Document()
                document.add_integer("key", row.key)
                document.add_text("text", " ".join(passage_terms(row.text, row.language)))
                for name in self._columns:
                    document.add_text(name, sound(row.columns[name]))
                self._writer.add_document(document)
        except ValueError as error:
            raise self._unwritten(error) from error

    def finish(self) -> None:
        meta = {"format": FORMAT, "columns": self._columns, "languages": dict(sorted(self._languages.items()))}
        try:
            self._writer.commit()
            self._writer.wait_merging_threads()
            self._is_finished = True
            (self._folder / META).write_text(json.dumps(meta), encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error
        # Locks of the writer, which is done: a reader makes its own, elsewhere.
        for lock in self._folder.glob(".tantivy-*.lock"):
            lock.unlink()

    def _unwritten(self, error: Exception) -> StorageError:
        return StorageError(
            f"cannot write {self._folder} ({error}); check the folder's permissions and the disk's free space"
        )
