"""BM25 over the passages of a snapshot, in tantivy: written once, into the snapshot's folder, and then only read.

Okapi BM25 as Lucene counts it (Robertson & Zaragoza, 2009, "The Probabilistic Relevance Framework"), k1 1.2, b 0.75.
The terms are ours (``qa.text.words``); tantivy is given them parted by blanks.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import LexicalIndexError, SnapshotCorrupt, StorageError
from qa.index import bitmaps
from qa.index.kept import keep_results
from qa.protocols import And, Filter, Rows
from qa.text.words import TERMS_VERSION, distinct, passage_terms, words
from qa.types import Eq, In, Range

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

LEXICAL_FOLDER = "lexical"
LEXICAL_FINGERPRINT = {"terms": TERMS_VERSION, "k1": 1.2, "b": 0.75}
META = "terms.json"
FORMAT = "1"

# Scores are sums of 32-bit numbers; what differs after this many decimals does not differ.
_DECIMALS = 5
_TIE_MARGIN = 32
# Terms of which is kept how many passages have them.
_MOST_KEPT = 1 << 15
_REMOVALS = 5
_KEYS_AT_ONCE = 1 << 16
# What tantivy holds in memory before it writes a segment; it needs half as much again to write it. With less it merges
# more often: 24 MB cost it a tenth more of the processor than 64 MB do, and 15 MB two fifths.
_HEAP_BYTES = 24_000_000


def schema(columns: Iterable[str]) -> Any:
    """Make the schema of a passage: its key, its terms, and the values that filters look at."""
    builder = tantivy().SchemaBuilder()
    builder.add_integer_field("key", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    for name in columns:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def sound(value: str) -> str:
    """Replace halves of surrogate pairs, which file names and damaged texts hold and tantivy cannot write."""
    return value.encode("utf-8", "replace").decode()


def tantivy() -> Any:
    """Import the library, late."""
    import tantivy as library

    return library


class LexicalIndex:
    """What :class:`LexicalWriter` wrote, open. Thread-safe.

    tantivy makes lock files where it opens an index, and a snapshot never changes and may lie on a disk that cannot be
    written: it is opened through links in a folder of its own, which is gone once the files are mapped.

    Raises:
        SnapshotCorrupt: on opening, where the files are not a lexical index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = source = folder / LEXICAL_FOLDER
        try:
            meta = json.loads((source / META).read_bytes())
            if meta["format"] != FORMAT:
                raise ValueError(f"format {meta['format']}")
            self._columns = frozenset(meta["columns"])
            #: ISO 639-1 codes of the passages' languages, the commonest first; empty for those without stemmer.
            self.languages = tuple(sorted(meta["languages"], key=lambda code: (-meta["languages"][code], code)))
            with _links(source) as view:
                self._index = tantivy().Index.open(str(view))
                # By default a thread looks for commits, and makes a lock file whenever it does.
                self._index.config_reader(reload_policy="manual")
                self._searcher = self._index.searcher()
            # A question's words are looked up three times, and most of them are those of other questions.
            self._frequency = keep_results(_MOST_KEPT, self._count)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotCorrupt(f"{source} is no lexical index ({error}); build the index again") from error

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def key_blocks(self) -> Iterator[Ids]:
        """Yield the keys of all passages, in the order of the files, ``(n,)`` of at most 65,536 at a time.

        Raises:
            SnapshotCorrupt: the files do not say how many passages each part holds.
        """
        try:
            segments = json.loads((self._folder / "meta.json").read_bytes())["segments"]
            counts = [int(segment["max_doc"]) for segment in segments]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotCorrupt(f"{self._folder} is no lexical index ({error}); build the index again") from error
        # tantivy ends the process' thread where it is asked for a passage that a segment does not have.
        if sum(counts) != len(self) or len(counts) != self._searcher.num_segments:
            raise SnapshotCorrupt(f"{self._folder} holds other passages than it says; build the index again")
        # Not by a query for everything: its hits are objects, 300 bytes for each passage.
        address = tantivy().DocAddress
        for segment, count in enumerate(counts):
            for start in range(0, count, _KEYS_AT_ONCE):
                addresses = [address(segment, at) for at in range(start, min(start + _KEYS_AT_ONCE, count))]
                yield np.array(self._searcher.fast_field_values("key", addresses), dtype=np.int64)

    def question_terms(self, question: str) -> list[tuple[str, ...]]:
        """Return for each different word of a question the forms under which passages may hold it: one a language."""
        return distinct(words(question, self.languages))

    def _count(self, form: str) -> int:
        """Return how many passages have a term."""
        return int(self._searcher.doc_freq("text", form))

    @property
    def rarest(self) -> float:
        """The inverse document frequency of a word that one passage has."""
        return math.log(1 + (len(self) - 0.5) / 1.5)

    def idf(self, forms: tuple[str, ...]) -> float:
        """Compute a word's inverse document frequency, ``ln(1 + (n - df + 0.5) / (df + 0.5))``; 0 if it is nowhere."""
        frequency = max(map(self._frequency, forms))
        return math.log(1 + (len(self) - frequency + 0.5) / (frequency + 0.5)) if frequency else 0.0

    def find_similar(self, form: str, k: int) -> Ids:
        """Find up to ``k`` passages with a term that is one edit from ``form``: their keys ``(n,)``, in no order."""
        query = tantivy().Query.fuzzy_term_query(self._index.schema, "text", form, 1)
        return self._keys(self._searcher.search(query, limit=k, count=False).hits)

    def search(self, terms: Sequence[tuple[str, ...]], k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        """Find the best ``k`` passages at most that hold any of the terms.

        Returns:
            keys ``(n,)`` and BM25 scores ``(n,)``, best first, equal scores by key.
        """
        if (query := self._scoring(terms)) is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, others = _parted(filter)
        fetch = k + _TIE_MARGIN
        if others is not None:
            query = self._within(query, self._filtering(others))
        elif rows is not None:
            # To look up the keys of many rows takes longer than to throw away the hits that do not pass.
            fetch = math.ceil(1.2 * fetch * len(rows.ids) / max(bitmaps.count(rows.bits), 1))
        while True:
            hits = self._searcher.search(query, limit=fetch, count=False).hits
            scores = _rounded(hits)
            keys = self._keys(hits)
            passes = (
                np.ones(len(keys), np.bool_)
                if rows is None
                else bitmaps.hold(rows.bits, np.searchsorted(rows.ids, keys))
            )
            # tantivy leaves open which of equal scores it keeps: fetch until the tie at rank k is whole.
            best = scores[passes]
            if len(hits) < fetch or (len(best) >= k and scores[-1] < best[k - 1]):
                keys = keys[passes]
                order = np.lexsort((keys, -best))[:k]
                return keys[order], best[order]
            fetch *= 4

    def scores(self, terms: Sequence[tuple[str, ...]], keys: Sequence[int]) -> dict[int, float]:
        """Compute the BM25 scores of given passages; those that hold none of the terms are left out."""
        if not keys or (query := self._scoring(terms)) is None:
            return {}
        library, schema = tantivy(), self._index.schema
        # One query a key: a set of them walks through the dictionary of all keys, and takes two to three times as long.
        each = [(library.Occur.Should, library.Query.term_query(schema, "key", key, "basic")) for key in keys]
        given = library.Query.boolean_query(each)
        hits = self._searcher.search(self._within(query, given), limit=len(keys), count=False).hits
        scores = _rounded(hits)
        return dict(zip(self._keys(hits).tolist(), scores.tolist(), strict=True))

    def _keys(self, hits: Sequence[tuple[float, Any]]) -> Ids:
        values = self._searcher.fast_field_values("key", [address for _, address in hits])
        return np.array(values, dtype=np.int64)

    def _scoring(self, terms: Sequence[tuple[str, ...]]) -> Any:
        """Make the query of terms; ``None`` where no passage holds any of them."""
        library = tantivy()
        forms = sorted({form for forms in terms for form in forms if self._frequency(form)})
        if not forms:
            return None
        queries = (library.Query.term_query(self._index.schema, "text", form, "freq") for form in forms)
        return library.Query.boolean_query([(library.Occur.Should, query) for query in queries])

    def _within(self, query: Any, limits: Any) -> Any:
        library = tantivy()
        silent = library.Query.const_score_query(limits, 0.0)
        return library.Query.boolean_query([(library.Occur.Must, query), (library.Occur.Must, silent)])

    def _filtering(self, filter: Filter) -> Any:
        library = tantivy()
        match filter:
            case And(filters):
                parts = [(library.Occur.Must, self._filtering(part)) for part in filters]
                return library.Query.boolean_query(parts) if parts else library.Query.all_query()
            case Rows(ids, bits):
                keys = ids[bitmaps.numbers_in(bits)].tolist()
                return (
                    library.Query.term_set_query(self._index.schema, "key", keys)
                    if keys
                    else library.Query.empty_query()
                )
            case Eq(column, value):
                return self._one_of(column, [value])
            case In(column, values):
                return self._one_of(column, list(values))
            case Range():
                raise LexicalIndexError("ranges are not searched by words; filter by values")

    def _one_of(self, column: str, values: list[str]) -> Any:
        if column not in self._columns:
            raise LexicalIndexError(f"no filter column {column!r}; declared are {sorted(self._columns)}")
        library = tantivy()
        if not values:
            return library.Query.empty_query()
        return library.Query.term_set_query(self._index.schema, column, [sound(value) for value in values])


def _parted(filter: Filter | None) -> tuple[Rows | None, Filter | None]:
    """Take the rows out of a filter that has them, alone or beside others; return them and the rest."""
    match filter:
        case Rows():
            return filter, None
        case And(filters) if rows := next((part for part in filters if isinstance(part, Rows)), None):
            others = tuple(part for part in filters if part is not rows)
            return rows, And(others) if others else None
    return None, filter


def _rounded(hits: Sequence[tuple[float, Any]]) -> Vectors:
    return np.round(np.array([score for score, _ in hits], dtype=np.float64), _DECIMALS).astype(np.float32)


@contextmanager
def _links(source: Path) -> Iterator[Path]:
    """Make a folder of links to what tantivy maps into memory, and copies of the two files that it may rewrite."""
    try:
        view = Path(tempfile.mkdtemp(prefix="qa-lexical-"))
    except OSError as error:
        raise StorageError(
            f"no temporary folder can be made ({error.strerror}: {error.filename}); free space there, or set TMPDIR"
        ) from error
    try:
        for path in source.iterdir():
            if path.name in ("meta.json", ".managed.json"):
                shutil.copyfile(path, view / path.name)
            else:
                (view / path.name).symlink_to(path.absolute())
        yield view
    finally:
        # Again where a thread of tantivy's made its last lock file between the listing and the removal.
        for _ in range(_REMOVALS):
            shutil.rmtree(view, ignore_errors=True)
            if not view.exists():
                break


@dataclass(frozen=True, slots=True)
class LexicalRow:
    """A passage for the index: ``columns`` are what filters look at, as in :class:`qa.protocols.VectorRows`."""

    key: int
    text: str
    language: str
    columns: dict[str, str]


class LexicalWriter:
    """Writer of ``folder/lexical``. Left without :meth:`finish` it writes nothing more: the folder can be removed.

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
