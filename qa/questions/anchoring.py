"""The places of a question file's quotes in the indexed documents.

White space and the Unicode form (NFC, NFD) may differ, words may not. Spans always count in the text as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from qa.errors import Fault
from qa.markup import safe_line
from qa.questions.questions import Evidence, JudgedQuestion, Question, QuestionSet, Quote

# Places of a quote that occurs more than once that are named, and faults whose nearest match is searched for: that
# takes a fraction of a second in a long document, and a file that is wrong throughout has one cause.
_NAMED_PLACES = 3
_NEAREST_FOR = 20
_SHOWN = 160
_TEXTS_KEPT = 64


class Sources(Protocol):
    """The documents of one snapshot."""

    @property
    def ids(self) -> Sequence[str]:
        """The documents' ids, in ascending order."""

    def text(self, id: str) -> str:
        """Return the canonical text of a document."""

    def passages(self, id: str) -> Sequence[tuple[str, int, int]]:
        """Return id and span of each passage of a document."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """Questions with their judgments, in the order of the file, and what is wrong with the others."""

    questions: tuple[JudgedQuestion, ...]
    faults: tuple[Fault, ...]


def anchor(questions: QuestionSet, sources: Sources) -> Anchored:
    """Find every quote and document of the questions in the snapshot. A question with a fault is left out."""
    anchoring = _Anchoring(questions.name, sources)
    judged = [anchoring.judge(question) for question in questions.questions]
    return Anchored(tuple(question for question in judged if question is not None), tuple(anchoring.faults))


class _Unfound(Exception):
    pass


class _Anchoring:
    def __init__(self, file: str, sources: Sources) -> None:
        self._file = file
        self._sources = sources
        self._text = lru_cache(_TEXTS_KEPT)(sources.text)
        self._decomposed = lru_cache(_TEXTS_KEPT)(lambda id: _Decomposed(self._text(id)))
        self._passages = lru_cache(_TEXTS_KEPT)(sources.passages)
        self.faults: list[Fault] = []

    def judge(self, question: Question) -> JudgedQuestion | None:
        before = len(self.faults)
        evidence = []
        for number, quote in enumerate(question.evidence):
            if not quote.relevant:
                continue
            try:
                evidence.append(self._evidence(quote))
            except _Unfound as unfound:
                self._fault(question, f"evidence[{number}]", str(unfound))
        documents = {}
        for id, grade in question.documents.items():
            try:
                documents[self._document(id)] = grade
            except _Unfound as unfound:
                # What was judged not relevant may be missing: that changes no measure.
                if grade:
                    self._fault(question, "documents", str(unfound))
        if len(self.faults) > before:
            return None
        for found in evidence:
            documents[found.document] = max(1, documents.get(found.document, 0))
        return JudgedQuestion(
            id=question.id,
            text=question.text,
            evidence=tuple(dict.fromkeys(evidence)),
            documents=documents,
            answers=question.answers,
            answerable=question.answerable,
            tags=question.tags,
        )

    def _fault(self, question: Question, field: str, message: str) -> None:
        named = message if question.line is not None else f"question {question.id}: {message}"
        self.faults.append(Fault(self._file, question.line, field, named))

    def _evidence(self, quote: Quote) -> Evidence:
        document, start, end = self._place(quote)
        text = self._text(document)
        if quote.part is not None:
            start, end = self._decomposed(document).part_within(quote, start)
        overlapping = tuple(id for id, first, last in self._passages(document) if first < end and last > start)
        return Evidence(document, start, end, text[start:end], overlapping)

    def _place(self, quote: Quote) -> tuple[str, int, int]:
        """Return the one place of the quote. Raises _Unfound if there is none, or more than one."""
        if quote.document is not None:
            ids: Sequence[str] = [self._document(quote.document)]
        else:
            ids = self._holders(quote.text)
        places = [(id, start, end) for id in ids for start, end in self._decomposed(id).occurrences(quote.text)]
        if len(places) == 1:
            return places[0]
        shown = _shorten(quote.text)
        if not places:
            raise _Unfound(self._missing(quote, ids, shown))
        named = ", ".join(f"{id} at {start} to {end}" for id, start, end in places[:_NAMED_PLACES])
        more = ", …" if len(places) > _NAMED_PLACES else ""
        raise _Unfound(
            f"the quote {shown} occurs {len(places)} times ({named}{more}); quote more of the text around it"
        )

    def _missing(self, quote: Quote, ids: Sequence[str], shown: str) -> str:
        if quote.document is None:
            return f"no indexed document holds the text {shown}"
        near = ""
        if len(self.faults) < _NEAREST_FOR and (match := find_nearest(quote.text, self._text(ids[0]))):
            start, end = match
            near = f"; the nearest is, at {start} to {end}: {_shorten(self._text(ids[0])[start:end])}"
        return f"the quote {shown} is not in {ids[0]}{near}"

    def _holders(self, text: str) -> list[str]:
        """Return the documents that hold the text; white space and Unicode form may differ."""
        wanted = squeeze(decompose(text))
        if (id := self._by_text.get(wanted)) is not None:
            return [id]
        return [id for known, id in self._by_text.items() if wanted in known]

    @cached_property
    def _by_text(self) -> dict[str, str]:
        return {squeeze(decompose(self._sources.text(id))): id for id in self._sources.ids}

    def _document(self, id: str) -> str:
        """Return the indexed document with this id, or the only one whose file has this name without its suffix.

        A name may be in another Unicode form: those of files from a Mac are often in NFD.
        """
        if id in self._known:
            return id
        name = decompose(id)
        named = self._by_name.get(name) or self._by_stem.get(name, [])
        if len(named) == 1:
            return named[0]
        if named:
            raise _Unfound(f"{_shorten(id)} may be {' or '.join(named[:_NAMED_PLACES])}; write the document's whole id")
        near = find_nearest_id(id, self._sources.ids)
        hint = f"; the nearest id is {near}" if near else ""
        raise _Unfound(f"no indexed document is called {_shorten(id)}{hint}")

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._sources.ids)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for id in self._sources.ids:
            by_name.setdefault(decompose(id), []).append(id)
        return by_name

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        for id in self._sources.ids:
            path = PurePosixPath(decompose(id))
            for stem in {path.stem, str(path.with_suffix(""))}:
                by_stem.setdefault(stem, []).append(id)
        return by_stem


def occurrences(quote: str, text: str) -> list[tuple[int, int]]:
    """Return every half-open span of ``text`` that holds the words of ``quote``, with any white space between them.

    The two may be in different Unicode forms; what begins or ends between a letter and its mark is found only where no
    whole letters are, and in the form that it has. Occurrences that overlap count each: a quote must be at one place
    only.
    """
    return _Decomposed(text).occurrences(quote)


class _Decomposed:
    """A text in NFD, in which a quote of any form is searched for, and the way back to the text as it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._form = decompose(text)

    def occurrences(self, quote: str) -> list[tuple[int, int]]:
        """Do what :func:`occurrences` does."""
        if self._text.isascii():
            return list(_search(decompose(quote), self._text))
        found = [self._whole(*span) for span in _search(decompose(quote), self._form)]
        return [span for span in found if span is not None] or list(_search(quote, self._text))

    def part_within(self, quote: Quote, start: int) -> tuple[int, int]:
        """Return the place of the part of the quote that counts, given where the quote starts.

        White space and Unicode form may differ. Raises _Unfound.
        """
        assert quote.part is not None
        first, last = quote.part
        before, part = quote.text[:first], quote.text[first:last]
        if match := _match_part(decompose(before), decompose(part), self._form, self._to_form(start)):
            low, high = (self._to_text(at) for at in match.span(1))
            if low is not None and high is not None:
                return low, high
        if match := _match_part(before, part, self._text, start):
            return match.span(1)
        raise _Unfound(f"the answer {_shorten(part)} does not stand where the file says")

    def _whole(self, start: int, end: int) -> tuple[int, int] | None:
        """Return a span of the form as one of the text; ``None`` where it cuts a letter, or a mark from it."""
        if any(at < len(self._form) and unicodedata.combining(self._form[at]) for at in (start, end)):
            return None
        first, last = self._to_text(start), self._to_text(end)
        return None if first is None or last is None else (first, last)

    def _to_text(self, at: int) -> int | None:
        """Return the place in the text of one in the form; ``None`` where it is within a character of the text."""
        long, ends = self._long
        before = int(np.searchsorted(ends, at, side="right"))
        place = at - (int(ends[before - 1] - long[before - 1]) - 1 if before else 0)
        return None if before < len(long) and place > long[before] else place

    def _to_form(self, at: int) -> int:
        long, ends = self._long
        before = int(np.searchsorted(long, at))
        return at + (int(ends[before - 1] - long[before - 1]) - 1 if before else 0)

    @cached_property
    def _long(self) -> tuple[np.ndarray, np.ndarray]:
        """The characters of the text that are several in the form: their places, and where they end in the form.

        A character's length in NFD does not depend on those around it: marks are put in order, and none is dropped.
        """
        codes = np.frombuffer(self._text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
        lengths = np.ones(int(codes.max(initial=0)) + 1, np.int64)
        present = np.flatnonzero(np.bincount(codes, minlength=1))
        lengths[present] = [len(decompose(chr(code))) for code in present]
        extra = lengths[codes] - 1
        long = np.flatnonzero(extra)
        return long, long + 1 + np.cumsum(extra[long])


def decompose(text: str) -> str:
    """Return the text in Unicode NFD."""
    return unicodedata.normalize("NFD", text)


def _search(quote: str, text: str) -> Iterator[tuple[int, int]]:
    words = quote.split()
    if not words:
        return
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    at = 0
    while match := pattern.search(text, at):
        yield match.span()
        at = match.start() + 1


def find_nearest(quote: str, text: str) -> tuple[int, int] | None:
    """Return the span of whole words that is most like ``quote``; ``None`` if nothing is like it."""
    from rapidfuzz import fuzz

    match = fuzz.partial_ratio_alignment(quote, text, score_cutoff=50)
    if match is None:
        return None
    # Where the quote is longer than the text, the whole text is what it is compared with.
    start, end = (match.dest_start, match.dest_end) if len(quote) <= len(text) else (0, len(text))
    # The match is as long as the quote, to the character, wherever words begin and end.
    while 0 < start < len(text) and not text[start - 1].isspace():
        start -= 1
    while 0 < end < len(text) and not text[end].isspace():
        end += 1
    return start, end


def find_nearest_id(id: str, ids: Sequence[str]) -> str | None:
    """Return the id that is most like ``id``; ``None`` if none is like it."""
    from rapidfuzz import process

    match = process.extractOne(id, ids, score_cutoff=60)
    return None if match is None else str(match[0])


def _match_part(before: str, part: str, text: str, start: int) -> re.Match[str] | None:
    """Match the part of a quote behind what is before it; white space may differ."""
    pattern = r"\s+".join(map(re.escape, before.split()))
    # At the start of the quote or after white space, what separates the two is not a word's; elsewhere it is nothing.
    between = r"\s*" if not before.strip() or before[-1:].isspace() or part[:1].isspace() else ""
    inner = r"\s+".join(map(re.escape, part.split()))
    return re.compile(f"{pattern}{between}({inner})").match(text, start)


def squeeze(text: str) -> str:
    """Replace all white space by single spaces, and drop it at the ends."""
    return " ".join(text.split())


def _shorten(text: str) -> str:
    return f"“{safe_line(squeeze(text), _SHOWN)}”"
