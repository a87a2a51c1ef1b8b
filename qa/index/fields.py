"""What the documents of a snapshot can be filtered by: where they lie, what they are, and what they say of themselves.

========== ======== ================================================================================================
field      kind     what it is
========== ======== ================================================================================================
folder     folder   the folder that the file is in; a folder passes with all that lies below it
type       value    the format, by the usual ending of its files, such as ``pdf``
language   value    the ISO 639-1 code of the language that its text is in, where that was recognised
title      value    the document's title
date       date     when a mail was sent, or else a document was changed last, or else written
author …   value    what :mod:`qa.readers.metadata` has under this name; those of its dates are of the kind ``date``
========== ======== ================================================================================================

A passage passes by what is said of its document, and of the part of the document that it begins in: a mail of a
mailbox, a sheet of a workbook. Values are compared in any case and Unicode form. A date that names no second, such as
``2024-05``, is the whole of that month, and passes a range that holds all of it. What has no value in a field does not
pass a condition on it.

Passages are counted in slots, in the order of their place in the documents, each document's behind a slot of its own.
What is said is then an interval of slots, and a set of values a union of intervals: as many steps as there are values
said and slots, none of them in Python. The intervals are arrays that are mapped (:mod:`qa.index.field_writer`), and the
values lie in the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import SnapshotCorrupt
from qa.index import bitmaps
from qa.index.arrays import sort_pairs
from qa.index.catalog import Catalog
from qa.index.field_writer import FACETS_FILE, FIELDS_FILE, FIELDS_FOLDER, KINDS, FieldKind
from qa.index.index import DOCUMENT_COLUMN
from qa.index.kept import keep_results
from qa.index.relations import Relations
from qa.index.store import Store
from qa.index.vectors.columns import map_array
from qa.protocols import Filter, Rows
from qa.text.dates import parse_date
from qa.types import Condition, Eq, In, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Mask

# Filters whose rows are kept: a bit for each passage and each window of it.
_KEPT = 32
_KEPT_BYTES = 64_000_000
# Words are looked for in named documents as long as these are few, and their number times the share of passages that
# pass is less than this: with 100,000 passages a name costs two microseconds, and a hit that is thrown away a third.
_MOST_NAMED = 1000
_FEW = 28
# Values of a facet that are counted where nobody says how many.
MOST_FACET_VALUES = 20
# Values of each facet that are counted when a snapshot is published.
COUNTED_VALUES = 200
# Years are below this; and rows that are counted at once.
_YEARS = 10_000
_AT_ONCE = 1 << 16
_MOST_SECONDS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value, or a year, and how many documents have it."""

    value: str
    documents: int


@dataclass(frozen=True, slots=True)
class Facet:
    """A field: how many documents have a value in it, how many values there are, and those that most documents have."""

    field: str
    kind: FieldKind
    documents: int
    distinct: int
    values: tuple[FacetValue, ...]


@dataclass(frozen=True, slots=True)
class Facets:
    """What a filter lets pass, ``documents`` in number, and every field."""

    snapshot: str
    documents: int
    fields: tuple[Facet, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """What is said in one field: ``codes (r,)`` of values, ascending, each of the slots ``[low, high)`` of a document.

    ``first (v + 1,)`` says where each value's rows begin; of dates ``dates (v, 3)`` are the first and the last second,
    and the year. ``outer`` are the codes of folders that hold one folder and nothing else. ``number`` is the field's in
    the catalog.
    """

    number: int
    kind: FieldKind
    codes: NDArray[np.int32]
    lows: NDArray[np.int32]
    highs: NDArray[np.int32]
    documents: NDArray[np.int32]
    first: Ids
    dates: Ids
    outer: Ids
    catalog: Catalog

    @classmethod
    def open(cls, folder: Path, number: int, kind: FieldKind, catalog: Catalog) -> _Column:
        """Map a column. Raises SnapshotCorrupt, ValueError."""
        rows = map_array(folder / f"{number}.rows.npy", np.int32, (None, None))
        first = map_array(folder / f"{number}.first.npy", np.int64, (None,))
        dates = map_array(folder / f"{number}.dates.npy", np.int64, (None, None))
        outer = map_array(folder / f"{number}.outer.npy", np.int64, (None,))
        if len(rows) != 4 or not len(first) or first[-1] != rows.shape[1]:
            raise ValueError(f"the arrays of field {number} do not fit each other")
        codes, lows, highs, documents = rows
        return cls(number, kind, codes, lows, highs, documents, first, dates, outer, catalog)

    def rows(self, condition: Condition) -> Ids | slice:
        """Find the rows whose value passes a condition."""
        match condition:
            case Range(_, low, high):
                passing = self._within(low, high)
            case Eq(_, value) if self.kind == "date":
                passing = self._within(value, value)
            case In(_, values) if self.kind == "date":
                passing = np.any([self._within(value, value) for value in values], axis=0)
            case Eq(_, value):
                codes = self.catalog.codes_of(self.number, [value])
                return slice(self.first[codes[0]], self.first[codes[0] + 1]) if codes else slice(0, 0)
            case In(_, values):
                codes = self.catalog.codes_of(self.number, values)
                ranges = [np.arange(self.first[code], self.first[code + 1]) for code in sorted(set(codes))]
                return np.concatenate(ranges) if ranges else slice(0, 0)
        return np.flatnonzero(passing[self.codes])

    def _within(self, low: str | None, high: str | None) -> Mask:
        first, last = (parse_date(each or "") for each in (low, high))
        least = -_MOST_SECONDS if first is None else first[0]
        most = _MOST_SECONDS if last is None else last[1]
        mask: Mask = (self.dates[:, 0] >= least) & (self.dates[:, 1] <= most)
        return mask


class Fields:
    """The fields of one open snapshot; their files are mapped. Thread-safe.

    Raises:
        SnapshotCorrupt: on opening, where they do not fit the snapshot.
    """

    def __init__(
        self, snapshot: str, folder: Path, store: Store, catalog: Catalog, relations: Relations, vector_ids: Ids
    ) -> None:
        source = folder / FIELDS_FOLDER
        self._snapshot = snapshot
        self._store = store
        self._keys = relations.passages
        self._vector_ids = vector_ids
        try:
            # Where each document begins, and the last one ends.
            self._bounds = map_array(source / "document_slots.npy", np.int64, (None,))
            self._of_key = map_array(source / "passage_slots.npy", np.int32, (None,))
            self._of_row = map_array(source / "row_passages.npy", np.int32, (None,))
            listed = json.loads((source / FIELDS_FILE).read_bytes())["columns"]
            self._columns: dict[str, _Column] = {
                each["name"]: _Column.open(source, each["number"], each["kind"], catalog) for each in listed
            }
            self._counted = _read_facets(source / FACETS_FILE)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotCorrupt(f"{source} cannot be read ({error}); build the index again") from error
        lengths = len(self._bounds), len(self._of_key), len(self._of_row)
        if lengths != (len(relations.first_places), len(relations.passages), len(vector_ids)):
            raise SnapshotCorrupt(f"{source} does not fit the documents; build the index again")
        self._slots = int(self._bounds[-1])
        kept = max(2, min(_KEPT, _KEPT_BYTES // ((len(self._of_key) + len(self._of_row)) // 8 + 1)))
        self.limits = keep_results(kept, self._limits)
        self.facets = keep_results(_KEPT, self._facets)

    @property
    def kinds(self) -> dict[str, FieldKind]:
        """The kind of every field that a filter may name, also of those in which nothing is said here."""
        return KINDS | {name: column.kind for name, column in self._columns.items()}

    def _mask(self, conditions: Iterable[Condition]) -> Mask:
        """Find the slots ``(s,)`` that pass all conditions."""
        mask = np.ones(self._slots, np.bool_)
        for condition in conditions:
            column = self._columns.get(condition.column)
            if column is None:
                return np.zeros(self._slots, np.bool_)
            rows = column.rows(condition)
            mask &= _cover(column.lows[rows], column.highs[rows], self._slots)
        return mask

    def _limits(self, conditions: tuple[Condition, ...]) -> tuple[Rows, tuple[Filter, ...]]:
        """Find what passes all conditions: rows of the vector index, and filters that all hold for the lexical index.

        Some are kept.
        """
        mask = self._mask(conditions)
        vectors, passages = self._rows(mask)
        found = np.flatnonzero(self._documents(mask))
        passing = bitmaps.count(passages.bits)
        if len(found) > _MOST_NAMED or len(found) * passing > _FEW * len(self._of_key):
            return vectors, (passages,)
        named = In(DOCUMENT_COLUMN, tuple(self._store.ids_of((found + 1).tolist())))
        held = int((self._bounds[found + 1] - self._bounds[found] - 1).sum())
        return vectors, (named,) if held == passing else (named, passages)

    def _rows(self, mask: Mask) -> tuple[Rows, Rows]:
        """Turn slots ``(s,)`` into rows of the vector index and of the lexical index."""
        passages = mask.take(self._of_key)
        vectors = Rows(self._vector_ids, bitmaps.pack_of(passages, self._of_row))
        return vectors, bitmaps.filter_for(self._keys, passages)

    def limits_of_documents(self, numbers: Ids) -> tuple[Filter, Filter]:
        """Make the filters for documents ``(n,)``, given by their numbers, of the vectors and of the words."""
        if len(numbers) <= _MOST_NAMED:
            named = In(DOCUMENT_COLUMN, tuple(self._store.ids_of(numbers.tolist())))
            return named, named
        documents = np.zeros(len(self._bounds) - 1, np.bool_)
        documents[numbers - 1] = True
        return self._rows(np.repeat(documents, np.diff(self._bounds)))

    def documents(self, conditions: Sequence[Condition]) -> Ids:
        """Return the numbers, ascending, of the documents that pass, or of which a part does."""
        return np.flatnonzero(self._documents(self._mask(conditions))) + 1

    def _documents(self, mask: Mask) -> Mask:
        found: Mask = np.logical_or.reduceat(mask, self._bounds[:-1]) if len(mask) else mask
        return found

    def _facets(self, conditions: tuple[Condition, ...], most: int) -> Facets:
        """Count for each field the documents that have a value, ``most`` values at most; some are kept.

        A field is counted over what passes the conditions on the other fields, so that one sees what else could be
        chosen. The values that most documents have come first, dates as years, the latest first. A folder that holds
        nothing but one other is left out.
        """
        if not conditions and self._counted is not None and most <= COUNTED_VALUES:
            documents, counted = self._counted
            cut = (replace(facet, values=facet.values[:most]) for facet in counted)
            return Facets(self._snapshot, documents, tuple(cut))
        every = self._mask(conditions)
        facets = []
        for name, column in self._columns.items():
            others = [condition for condition in conditions if condition.column != name]
            mask = every if len(others) == len(conditions) else self._mask(others)
            facets.append(_count(name, column, mask, most))
        return Facets(self._snapshot, int(np.count_nonzero(self._documents(every))), tuple(facets))

    def count_all(self, most: int, temporary: Path) -> Facets:
        """Count what every document says, ``most`` values at most of each field; a block of rows at a time.

        Args:
            temporary: a folder for files that are gone when it returns.

        Raises:
            OSError: they cannot be written.
        """
        documents = len(self._bounds) - 1
        facets = (_count_all(name, column, documents, most, temporary) for name, column in self._columns.items())
        return Facets(self._snapshot, documents, tuple(facets))


def _cover(lows: NDArray[np.int32], highs: NDArray[np.int32], slots: int) -> Mask:
    """Find which of the slots ``(s,)`` are in any of the intervals ``[low, high)``."""
    if len(lows) <= _MOST_NAMED:
        mask = np.zeros(slots, np.bool_)
        for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
            mask[low:high] = True
        return mask
    steps = np.bincount(lows, minlength=slots + 1)
    steps -= np.bincount(highs, minlength=slots + 1)
    covered: Mask = np.cumsum(steps[:-1], out=steps[:-1]) > 0
    return covered


def count_facets(fields: Fields, folder: Path) -> None:
    """Write what every document says, counted, so that it need not be counted when a snapshot is opened.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    target = folder / FIELDS_FOLDER
    counted = fields.count_all(COUNTED_VALUES, target)
    (target / FACETS_FILE).write_text(
        json.dumps({"documents": counted.documents, "fields": [asdict(facet) for facet in counted.fields]}),
        encoding="utf-8",
    )


def _read_facets(path: Path) -> tuple[int, tuple[Facet, ...]] | None:
    """Read what was counted; ``None`` where it has not been yet. Raises OSError, ValueError, KeyError, TypeError."""
    if not path.exists():
        return None
    content = json.loads(path.read_bytes())
    facets = (
        Facet(**{**each, "values": tuple(FacetValue(**value) for value in each["values"])})
        for each in content["fields"]
    )
    return int(content["documents"]), tuple(facets)


def _count(name: str, column: _Column, mask: Mask, most: int) -> Facet:
    before = np.concatenate([[0], np.cumsum(mask)])
    passing = before[column.highs] > before[column.lows]
    # Of 64 bits, for what they are multiplied by.
    codes, documents = column.codes[passing].astype(np.int64), column.documents[passing]
    having = len(np.unique(documents))
    if column.kind == "date":
        codes = column.dates[codes, 2]
    size = max(len(mask), 1)
    # Each document once for each value; one number sorts by value and document.
    distinct = np.unique(codes * size + documents) // size
    values, counts = np.unique(distinct, return_counts=True)
    # To choose such a folder is to choose the one in it.
    is_offered = ~np.isin(values, column.outer)
    values, counts = values[is_offered], counts[is_offered]
    best = _best(column, values, counts)[:most]
    return _facet(name, column, having, len(values), values[best], counts[best])


def _count_all(name: str, column: _Column, documents: int, most: int, temporary: Path) -> Facet:
    """Count a field over all documents as :func:`_count` does, in 4 bytes for each value and one for each document.

    Raises:
        OSError: a temporary file cannot be written.
    """
    having = np.zeros(documents, np.bool_)
    counts = np.zeros(_YEARS if column.kind == "date" else len(column.first) - 1, np.int32)
    last = -1, -1
    for values, of in _said(column, documents, temporary):
        is_new = (np.diff(values, prepend=last[0]) != 0) | (np.diff(of, prepend=last[1]) != 0)
        last = int(values[-1]), int(of[-1])
        having[of] = True
        found, times = np.unique(values[is_new], return_counts=True)
        counts[found] += times.astype(np.int32)
    distinct, shown = 0, np.empty(0, np.int64)
    for start in range(0, len(counts), _AT_ONCE):
        found = start + np.flatnonzero(counts[start : start + _AT_ONCE])
        found = found[~np.isin(found, column.outer)]
        distinct += len(found)
        shown = np.concatenate([shown, found])
        shown = shown[_best(column, shown, counts[shown])[:most]]
    return _facet(name, column, int(np.count_nonzero(having)), distinct, shown, counts[shown])


def _said(column: _Column, documents: int, temporary: Path) -> Iterator[tuple[Ids, Ids]]:
    """Yield codes ``(m,)`` of values, or years, with the documents that have them, equal pairs side by side."""

    def rows() -> Iterator[tuple[Ids, Ids]]:
        for start in range(0, len(column.codes), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            passing = column.highs[part] > column.lows[part]
            if passing.any():
                yield column.codes[part][passing].astype(np.int64), column.documents[part][passing].astype(np.int64)

    if column.kind != "date":
        yield from rows()
        return
    # A document's dates of one year need not lie side by side.
    dated = ((of * _YEARS + column.dates[codes, 2], np.zeros(len(codes), np.int32)) for codes, of in rows())
    for keys, _ in sort_pairs(dated, len(column.codes), documents * _YEARS + 1, temporary):
        if len(keys):
            yield keys % _YEARS, keys // _YEARS


def _best(column: _Column, values: Ids, counts: NDArray[Any]) -> Ids:
    """Return the order ``(v,)`` in which values are shown: years the latest first, others by how many have them."""
    best: Ids = np.argsort(-values) if column.kind == "date" else np.lexsort((values, -counts))
    return best


def _facet(name: str, column: _Column, having: int, distinct: int, values: Ids, counts: NDArray[Any]) -> Facet:
    """Make a facet of the values that are shown, and how many documents have each."""
    if column.kind == "date":
        shown = [f"{value:04d}" for value in values.tolist()]
    else:
        shown = column.catalog.values_of(column.number, values.tolist())
    found = tuple(FacetValue(value, int(count)) for value, count in zip(shown, counts.tolist(), strict=True))
    return Facet(name, column.kind, having, distinct, found)
