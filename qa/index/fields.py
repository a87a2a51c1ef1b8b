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
said and slots, none of them in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

from qa.index.index import DOCUMENT_COLUMN
from qa.index.relations import Relations
from qa.index.store import Store
from qa.protocols import Filter, Rows
from qa.readers.kinds import name_type
from qa.readers.metadata import DATES, NAMES
from qa.text.dates import parse_date
from qa.text.globs import fold
from qa.types import Condition, Eq, In, Range

if TYPE_CHECKING:
    from qa.types import Ids, Mask

FieldKind = Literal["folder", "value", "date"]
# What is said in a field: of a document, by its place; where a part of it starts and ends, or 0 and -1; and the value.
_Said = tuple[int, int, int, str]

DATE = "date"
# Of several dates of a document the first is its date. Not the first of all: that may be its template's.
_ITS_DATE = ("sent", "modified", "created")
KINDS: dict[str, FieldKind] = {
    **{"folder": "folder", "type": "value", "language": "value", "title": "value", DATE: "date"},
    **{name: "date" if name in DATES else "value" for name in NAMES},
}
# Filters whose rows are kept: a byte for each passage and each window of it.
_KEPT = 32
# Words are looked for in named documents as long as these are few, and their number times the share of passages that
# pass is less than this: with 100,000 passages a name costs two microseconds, and a hit that is thrown away a third.
_MOST_NAMED = 1000
_FEW = 28
# Values of a facet that are counted where nobody says how many.
MOST_FACET_VALUES = 20
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

    ``shown`` are the values by code, and ``first (v + 1,)`` says where each one's rows begin; of dates ``seconds (v,
    2)`` are the first and the last second. ``outer`` are the codes of folders that hold one folder and nothing else.
    """

    kind: FieldKind
    codes: Ids
    lows: Ids
    highs: Ids
    documents: Ids
    shown: tuple[str, ...]
    numbers: dict[str, int]
    first: Ids
    seconds: Ids
    outer: Ids

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
                code = self.numbers.get(fold(value))
                return slice(0, 0) if code is None else slice(self.first[code], self.first[code + 1])
            case In(_, values):
                passing = np.zeros(len(self.shown), np.bool_)
                passing[[self.numbers[each] for each in map(fold, values) if each in self.numbers]] = True
        return np.flatnonzero(passing[self.codes])

    def _within(self, low: str | None, high: str | None) -> Mask:
        first, last = (parse_date(each or "") for each in (low, high))
        least = -_MOST_SECONDS if first is None else first[0]
        most = _MOST_SECONDS if last is None else last[1]
        mask: Mask = (self.seconds[:, 0] >= least) & (self.seconds[:, 1] <= most)
        return mask


class Fields:
    """The fields of one snapshot, in memory: 20 bytes for each value of a document. Thread-safe.

    Args:
        vector_ids: the ids ``(n,)`` of the vector index's rows, in their order.
    """

    def __init__(self, snapshot: str, store: Store, vector_ids: Ids, relations: Relations) -> None:
        documents = store.filed()
        counts = np.diff(relations.first_places)
        # Slots: for each document one of its own, before those of its passages.
        self._bounds = relations.first_places + np.arange(len(relations.first_places))
        self._of_document = self._bounds[:-1]
        self._slots = int(self._bounds[-1])
        self._ids = [id for _, id, *_ in documents]
        self._keys = relations.passages
        in_order = np.arange(len(relations.placed)) + np.repeat(np.arange(1, len(counts) + 1), counts)
        self._of_key = in_order[relations.places]
        self._vector_ids = vector_ids
        rows = relations.owners[np.searchsorted(relations.windows, vector_ids)]
        self._of_row = self._of_key[rows].astype(np.int32)
        # One number sorts by document and start, so that an interval is found by one search.
        starts = np.fromiter(store.passage_starts(), np.int64, len(in_order))
        self._far = int(starts.max(initial=-1)) + 2
        self._sought = np.empty(self._slots, np.int64)
        self._sought[self._of_document] = np.arange(1, len(counts) + 1) * self._far
        self._sought[in_order] = np.repeat(np.arange(1, len(counts) + 1), counts) * self._far + starts + 1
        self._columns = self._read(store, documents)
        self._snapshot = snapshot
        self.limits = lru_cache(maxsize=_KEPT)(self._limits)
        self.facets = lru_cache(maxsize=_KEPT)(self._facets)

    def _read(self, store: Store, documents: Sequence[tuple[int, str, str, str, str, str]]) -> dict[str, _Column]:
        """Read what is said in every field; fields in which nothing is said are left out."""
        said: dict[str, list[_Said]] = {name: [] for name in KINDS}
        place = {number: at for at, (number, *_) in enumerate(documents)}
        for at, (_, *filed) in enumerate(documents):
            for name, value in describe_file(*filed):
                said[name].append((at, 0, -1, value))
        for number, start, end, characters, name, value in store.properties():
            is_whole = start == 0 and end == characters
            said.setdefault(name, []).append((place[number], start, -1 if is_whole else end, value))
        said[DATE] = list(_its_dates(said))
        columns = {name: self._column(KINDS.get(name, "value"), rows) for name, rows in said.items()}
        return {name: column for name, column in columns.items() if len(column.codes)}

    def _column(self, kind: FieldKind, rows: Iterable[_Said]) -> _Column:
        forms: dict[str, Counter[str]] = {}
        dates: dict[str, tuple[int, int]] = {}
        kept = []
        for row in rows:
            folded = fold(row[3])
            if kind == "date" and folded not in dates:
                if (seconds := parse_date(row[3])) is None:
                    continue
                dates[folded] = seconds
            forms.setdefault(folded, Counter())[row[3]] += 1
            kept.append((row, folded))
        names = {folded: code for code, folded in enumerate(sorted(forms))}
        table = np.array([(names[folded], *row[:3]) for row, folded in kept], np.int64).reshape(-1, 4)
        codes, at, starts, ends = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))].T
        lows, highs = self._bounds[at], self._bounds[at + 1]
        parts = np.flatnonzero(ends >= 0)
        # Behind the document's own slot.
        base = self._sought[lows[parts]] + 1
        lows[parts], highs[parts] = (
            np.searchsorted(self._sought, base + np.minimum(places[parts], self._far - 1)) for places in (starts, ends)
        )
        shown = tuple(max(sorted(forms[folded]), key=forms[folded].__getitem__) for folded in names)
        first = np.searchsorted(codes, np.arange(len(names) + 1))
        spans = np.array([dates[folded] for folded in names] if kind == "date" else [], np.int64).reshape(-1, 2)
        outer = _outer_folders(names, np.diff(first)) if kind == "folder" else np.zeros(0, np.int64)
        return _Column(kind, codes, lows, highs, at, shown, names, first, spans, outer)

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
            steps = np.bincount(column.lows[rows], minlength=self._slots + 1)
            steps -= np.bincount(column.highs[rows], minlength=self._slots + 1)
            mask &= np.cumsum(steps[:-1]) > 0
        return mask

    def _limits(self, conditions: tuple[Condition, ...]) -> tuple[Rows, tuple[Filter, ...]]:
        """Find what passes all conditions: rows of the vector index, and filters that all hold for the lexical index.

        Some are kept.
        """
        mask = self._mask(conditions)
        vectors, passages = Rows(self._vector_ids, mask[self._of_row]), Rows(self._keys, mask[self._of_key])
        found = np.flatnonzero(self._documents(mask))
        passing = int(np.count_nonzero(passages.mask))
        if len(found) > _MOST_NAMED or len(found) * passing > _FEW * len(self._keys):
            return vectors, (passages,)
        named = In(DOCUMENT_COLUMN, tuple(self._ids[at] for at in found.tolist()))
        held = int((self._bounds[found + 1] - self._bounds[found] - 1).sum())
        return vectors, (named,) if held == passing else (named, passages)

    def documents(self, conditions: Sequence[Condition]) -> list[str]:
        """Return the ids, ascending, of the documents that pass, or of which a part does."""
        found = self._documents(self._mask(conditions))
        return sorted(self._ids[at] for at in np.flatnonzero(found).tolist())

    def _documents(self, mask: Mask) -> Mask:
        found: Mask = np.logical_or.reduceat(mask, self._of_document) if len(mask) else mask
        return found

    def _facets(self, conditions: tuple[Condition, ...], most: int) -> Facets:
        """Count for each field the documents that have a value, ``most`` values at most; some are kept.

        A field is counted over what passes the conditions on the other fields, so that one sees what else could be
        chosen. The values that most documents have come first, dates as years, the latest first. A folder that holds
        nothing but one other is left out.
        """
        every = self._mask(conditions)
        facets = []
        for name, column in self._columns.items():
            others = [condition for condition in conditions if condition.column != name]
            mask = every if len(others) == len(conditions) else self._mask(others)
            facets.append(_count(name, column, mask, most))
        return Facets(self._snapshot, int(np.count_nonzero(self._documents(every))), tuple(facets))


def _count(name: str, column: _Column, mask: Mask, most: int) -> Facet:
    before = np.concatenate([[0], np.cumsum(mask)])
    passing = before[column.highs] > before[column.lows]
    codes, documents = column.codes[passing], column.documents[passing]
    having = len(np.unique(documents))
    if column.kind == "date":
        years = np.array([int(value[:4]) for value in column.shown], np.int64)
        codes = years[codes]
    size = max(len(mask), 1)
    # Each document once for each value; one number sorts by value and document.
    distinct = np.unique(codes * size + documents) // size
    values, counts = np.unique(distinct, return_counts=True)
    # To choose such a folder is to choose the one in it.
    is_offered = ~np.isin(values, column.outer)
    values, counts = values[is_offered], counts[is_offered]
    if column.kind == "date":
        order = np.argsort(-values)[:most]
        shown = [f"{value:04d}" for value in values[order].tolist()]
    else:
        order = np.lexsort((values, -counts))[:most]
        shown = [column.shown[value] for value in values[order].tolist()]
    found = tuple(FacetValue(value, int(count)) for value, count in zip(shown, counts[order].tolist(), strict=True))
    return Facet(name, column.kind, having, len(values), found)


def _outer_folders(numbers: Mapping[str, int], documents: Ids) -> Ids:
    """Return the codes of folders that hold one folder with all of their documents; ``documents (v,)`` counts them."""
    counts = dict(zip(numbers, documents.tolist(), strict=True))
    outer = {above for name in counts if counts.get(above := name.rpartition("/")[0]) == counts[name]}
    return np.array([numbers[name] for name in outer], np.int64)


def _its_dates(said: dict[str, list[_Said]]) -> Iterator[_Said]:
    """Choose the one date of every document and part that has any."""
    known: set[tuple[int, int, int]] = set()
    for name in _ITS_DATE:
        here = set()
        for row in said.get(name, ()):
            if row[:3] not in known and row[:3] not in here and parse_date(row[3]) is not None:
                here.add(row[:3])
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
