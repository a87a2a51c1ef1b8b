"""The places of a question file's quotes in the indexed documents. White space may differ, words may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Protocol

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
            start, end = _part_within(quote, text, start)
        overlapping = tuple(id for id, first, last in self._passages(document) if first < end and last > start)
        return Evidence(document, start, end, text[start:end], overlapping)

    def _place(self, quote: Quote) -> tuple[str, int, int]:
        """Return the one place of the quote. Raises _Unfound if there is none, or more than one."""
        if quote.document is not None:
            ids: Sequence[str] = [self._document(quote.document)]
        else:
            ids = self._holders(quote.text)
        places = [(id, start, end) for id in ids for start, end in occurrences(quote.text, self._text(id))]
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
        """Return the documents that hold the text; white space may differ."""
        wanted = squeeze(text)
        if (id := self._by_text.get(wanted)) is not None:
            return [id]
        return [id for known, id in self._by_text.items() if wanted in known]

    @cached_property
    def _by_text(self) -> dict[str, str]:
        return {squeeze(self._sources.text(id)): id for id in self._sources.ids}

    def _document(self, id: str) -> str:
        """Return the indexed document with this id, or the only one whose file has this name without its suffix."""
        if id in self._known:
            return id
        named = self._by_stem.get(id, [])
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
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        for id in self._sources.ids:
            path = PurePosixPath(id)
            for stem in {path.stem, str(path.with_suffix(""))}:
                by_stem.setdefault(stem, []).append(id)
        return by_stem


def occurrences(quote: str, text: str) -> list[tuple[int, int]]:
    """Return every half-open span of ``text`` that holds the words of ``quote``, with any white space between them.

    Occurrences that overlap count each: a quote must be at one place only.
    """
    return list(_occurrences(quote, text))


def _occurrences(quote: str, text: str) -> Iterator[tuple[int, int]]:
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


def _part_within(quote: Quote, text: str, start: int) -> tuple[int, int]:
    """Return the place of the part of the quote that counts, given the quote's; white space may differ."""
    assert quote.part is not None
    first, last = quote.part
    before, part = quote.text[:first], quote.text[first:last]
    pattern = r"\s+".join(map(re.escape, before.split()))
    # At the start of the quote or after white space, what separates the two is not a word's; elsewhere it is nothing.
    between = r"\s*" if not before.strip() or before[-1:].isspace() or part[:1].isspace() else ""
    inner = r"\s+".join(map(re.escape, part.split()))
    match = re.compile(f"{pattern}{between}({inner})").match(text, start)
    if match is None:
        raise _Unfound(f"the answer {_shorten(part)} does not stand where the file says")
    return match.span(1)


def squeeze(text: str) -> str:
    """Replace all white space by single spaces, and drop it at the ends."""
    return " ".join(text.split())


def _shorten(text: str) -> str:
    return f"“{safe_line(squeeze(text), _SHOWN)}”"
