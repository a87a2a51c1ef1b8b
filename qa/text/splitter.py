"""A document to passages: whole sentences, packed to a budget of the encoder's own tokens.

The text goes through as a stream, segment by segment. A segment is a row of units (a heading, a sentence, or a piece of
one that is over the budget), drafts are made of them, and a draft becomes a passage once its encoded text has been
counted. The sum of its units' counts only plans; the count of the whole decides. Headings and lead-ins that a passage
does not hold are its context.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, groupby, islice, takewhile
from math import ceil
from typing import TypeVar

from semantic_text_splitter import TextSplitter

from qa.errors import SettingsError, WindowTooSmall
from qa.text.lead_ins import LeadIns, say
from qa.text.segments import Segment, segments, shorten, titles_outside
from qa.text.sentences import sentences
from qa.types import Document, Passage, Section, Span, Window

# White space wider than this ends a draft: no one reads it, and it would be part of a passage's text.
_WIDEST_GAP = 256


@dataclass(frozen=True, slots=True)
class Unit:
    """A span that is kept whole: a heading or a sentence, or with ``is_whole`` false a piece of one.

    ``cost`` is its tokens, the white space before it included. ``leads`` are what leads in to it, outermost first, and
    ``lead_cost`` is the tokens that they take where a draft begins with the unit.
    """

    span: Span
    cost: int = 0
    is_heading: bool = False
    is_whole: bool = True
    leads: tuple[Span, ...] = ()
    lead_cost: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """Units that are planned to be one passage; the first ``repeated`` of them end the draft before, too."""

    units: Sequence[Unit]
    repeated: int = 0


def pack_units(units: Iterable[Unit], first_room: int, later_room: int, overlap: int) -> Iterator[Draft]:
    """Pack units, in order, into drafts that cost no more than the room in the first and in those after it.

    A draft starts with the last whole sentences of the one before that take up to ``overlap``. Where little is left
    for the last draft it shares evenly with the one before. A unit that is over the room is a draft by itself.
    """
    room = first_room
    held: Draft | None = None  # until it is known what comes after it
    current: list[Unit] = []
    cost = 0  # of these, and of what leads in to the first
    repeated = 0
    for unit in units:
        is_apart = bool(current) and unit.span.start - current[-1].span.end > _WIDEST_GAP
        if is_apart or (current and cost + unit.cost > room):
            if held:
                yield held
            held, room = Draft(current, repeated), later_room
            current = _last_sentences(held.units, min(overlap, room - unit.cost - unit.lead_cost))
            repeated = len(current)
            cost = current[0].lead_cost + _total(current) if current else 0
        if is_apart and held:
            yield held
            held, current, repeated = None, [], 0
            cost = 0
        if not current:
            cost = unit.lead_cost
        current.append(unit)
        cost += unit.cost
    last = Draft(current, repeated)
    if held and _total(current[repeated:]) < later_room // 4:
        held, last = _balanced(held, current[repeated:])
    if held:
        yield held
    if current:
        yield last


def _total(units: Sequence[Unit]) -> int:
    return sum([unit.cost for unit in units])


def _last_sentences(units: Sequence[Unit], tokens: int) -> list[Unit]:
    """Return the whole sentences at the end of a draft that take at most ``tokens``."""
    kept = len(units)
    while kept and units[kept - 1].is_whole and not units[kept - 1].is_heading:
        tokens -= units[kept - 1].cost
        if tokens < 0:
            break
        kept -= 1
    return list(units[kept:])


def _balanced(draft: Draft, rest: Sequence[Unit]) -> tuple[Draft, Draft]:
    """Make two drafts of about the same cost, in place of a full one and a very small one."""
    units = [*draft.units, *rest]
    half = _total(units) / 2
    middle = len(draft.units)
    while middle > draft.repeated + 1 and not units[middle - 1].is_heading and _total(units[middle - 1 :]) <= half:
        middle -= 1
    return Draft(units[:middle], draft.repeated), Draft(units[middle:])


SPLITTER_VERSION = "6"

CountTokens = Callable[[Sequence[str]], list[int]]

_BATCH = 256
_LEAST_ROOM = 12
# A run of a thousand letters may be one unknown token; no passage is to be that long for its tokens.
_CHARACTERS_PER_TOKEN = 16
_COUNTED_GAP = 16
_LONGEST_PATH = 1_000
# Pieces of one sentence differ in how many tokens their characters take; this much of the room is planned.
_FILLED = 0.9

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SplitterParameters:
    """``size`` and ``overlap`` of passages, and the size of the ``window`` that is embedded, in the encoder's tokens.

    Raises:
        SettingsError: a value that makes no passages.
    """

    size: int = 192
    overlap: int = 32
    window: int = 64

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingsError(f"size is {self.size}; it must be a positive number of tokens")
        if not 0 <= self.overlap <= self.size // 2:
            raise SettingsError(f"overlap is {self.overlap}; it must be from 0 to half of the size, {self.size // 2}")
        if self.window < 1:
            raise SettingsError(f"window is {self.window}; it must be a positive number of tokens")


def split(
    document: Document, parameters: SplitterParameters, count_tokens: CountTokens, window: int
) -> Iterator[Passage]:
    """Split a document into passages, in order of their ends.

    Every character but white space and what the document excludes is in at least one of them, and nothing excluded
    is in any.

    Args:
        count_tokens: the encoder's; prompt and special tokens included.
        window: the encoder's, in tokens. Neither ``searched_text`` nor the ``encoded_text`` of a window ever takes
            more than this, nor more than the size.

    Raises:
        WindowTooSmall: at once, where prompt and special tokens leave no room for text.
    """
    limit = min(parameters.size, window)
    overhead = count_tokens([""])[0]
    if limit - overhead < _LEAST_ROOM:
        raise WindowTooSmall(
            f"passages of {limit} tokens leave no room for text; the size must be at least {overhead + _LEAST_ROOM}"
        )
    return _Splitter(document, parameters, count_tokens, limit, overhead).passages()


def passage_id(document_id: str, start: int, end: int, text: str) -> str:
    """Compute 16 hexadecimal digits of 63 bits, so that it is also a signed 64-bit integer: a hash of all four."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (document_id, str(start), str(end), text)]
    content = b"".join([piece for part in parts for piece in (len(part).to_bytes(8, "big"), part)])
    return f"{int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), 'big') >> 1:016x}"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A passage to be, if its count allows."""

    segment: Segment
    draft: Draft
    with_context: bool = True


class _Splitter:
    """One run over one document."""

    def __init__(
        self, document: Document, parameters: SplitterParameters, count_tokens: CountTokens, limit: int, overhead: int
    ) -> None:
        self._document = document
        self._overlap = parameters.overlap
        self._window = parameters.window
        self._count_tokens = count_tokens
        self._limit = limit
        self._overhead = overhead
        self._pages = [page.start for page in document.pages]
        # Of a batch: headings are asked for when its passages are planned, and again when they are made.
        self._context = lru_cache(maxsize=2 * _BATCH)(self._shortened)
        self._taken = lru_cache(maxsize=2 * _BATCH)(self._tokens_of)

    def passages(self) -> Iterator[Passage]:
        for plans in _batches(self._plans()):
            yield from self._fitted(plans)

    def _plans(self) -> Iterator[_Plan]:
        for _, units in groupby(self._measured(), key=lambda found: found[0].start):
            first = next(units)
            segment = first[0]
            first_room, later_room = self._room(segment, segment.start), self._room(segment, segment.body)
            pieces = self._pieces((unit for _, unit in chain([first], units)), first_room, later_room)
            for draft in pack_units(pieces, first_room, later_room, self._overlap):
                yield _Plan(segment, draft)

    def _measured(self) -> Iterator[tuple[Segment, Unit]]:
        """Yield all units of the document, with their cost."""
        for found in _batches(self._units()):
            costs = self._costs(unit.span for _, unit in found)
            for (segment, unit), cost in zip(found, costs, strict=True):
                lead_cost = self._lead_cost(segment, unit) if unit.leads else 0
                # Not by replace, which takes as long as counting does.
                yield segment, Unit(unit.span, cost, unit.is_heading, unit.is_whole, unit.leads, lead_cost)

    def _units(self) -> Iterator[tuple[Segment, Unit]]:
        text, language = self._document.text, self._document.language
        lead_ins = LeadIns(text)
        path: tuple[Section, ...] = ()
        for segment in segments(self._document):
            if segment.headings or segment.path != path:
                lead_ins.forget()
            path = segment.path
            for heading in segment.headings:
                for span in sentences(text, heading.start, heading.end, language):
                    yield segment, Unit(span, is_heading=True)
            for span in sentences(text, segment.body, segment.end, language):
                yield segment, Unit(span, leads=lead_ins.above(span))

    def _lead_cost(self, segment: Segment, unit: Unit) -> int:
        titles = tuple(section.title for section in segment.path)
        with_leads = titles + tuple(say(self._document.text, lead) for lead in unit.leads)
        return max(self._taken(self._context(with_leads)) - self._taken(self._context(titles)), 0)

    def _costs(self, spans: Iterable[Span]) -> list[int]:
        """Tokens of each span and of the white space between it and the one before."""
        texts, least = [], []
        previous: int | None = None
        for span in spans:
            gap = 0 if previous is None else min(span.start - previous, _COUNTED_GAP)
            texts.append(self._document.text[span.start - gap : span.end])
            least.append(ceil((span.end - span.start) / _CHARACTERS_PER_TOKEN))
            previous = span.end
        return [max(count - self._overhead, cost) for count, cost in zip(self._count_tokens(texts), least, strict=True)]

    def _room(self, segment: Segment, start: int) -> int:
        """Tokens left for the text of a passage that starts at ``start``, at the segment's headings or below them."""
        context = self._context(titles_outside(segment, self._document.text, start, segment.body))
        return self._limit - self._overhead - self._taken(context)

    def _pieces(self, units: Iterable[Unit], first_room: int, later_room: int) -> Iterator[Unit]:
        """Yield the units, and cut those over the budget. The first under a heading leaves room for it."""
        headings = 0
        for unit in units:
            space = later_room
            if unit.is_heading:
                headings += unit.cost
            elif first_room - headings >= later_room // 4:
                space = min(first_room - headings, later_room)
            if not unit.is_heading:
                headings = 0
            space = max(space - unit.lead_cost, 1)
            if unit.cost <= space:
                yield unit
            else:
                yield from self._cut(unit, space)

    def _cut(self, unit: Unit, capacity: int) -> list[Unit]:
        """Cut a unit into pieces of about one length and at most ``capacity`` tokens, at the best boundaries."""
        start, length = unit.span.start, unit.span.end - unit.span.start
        pieces = ceil(unit.cost / (capacity * _FILLED))
        # In characters, and then counted all at once: to count at every step of a search takes ten times as long.
        splitter = TextSplitter(max(ceil(length / pieces), 1), trim=False)
        chunks = splitter.chunk_indices(self._document.text[start : unit.span.end])
        # Not trimmed by the library: its idea of white space is not Python's.
        spans = [span for offset, chunk in chunks if (span := _stripped(chunk, start + offset))]
        cut = []
        for span, cost in zip(spans, self._costs(spans), strict=True):
            piece = replace(unit, span=span, cost=cost, is_whole=False)
            too_long = cost > capacity and span.end - span.start > 1
            cut += self._cut(piece, capacity) if too_long else [piece]
        return cut

    def _fitted(self, plans: Sequence[_Plan]) -> Iterator[Passage]:
        """Make passages of plans; one that turns out over the limit as several smaller ones."""
        passages = [self._passage(plan) for plan in plans]
        searched = [passage.searched_text for passage in passages]
        encoded = [[passage.encoded_text(window) for window in passage.windows] for passage in passages]
        # All at once, and each text once: most windows are a whole passage.
        texts = list(dict.fromkeys(chain(searched, chain.from_iterable(encoded))))
        counts = dict(zip(texts, self._count_tokens(texts), strict=True))
        for plan, passage, text, windows in zip(plans, passages, searched, encoded, strict=True):
            if counts[text] > self._limit:
                yield from self._fitted(self._smaller(plan))
            elif all(counts[window] <= self._limit for window in windows):
                yield passage
            else:
                yield _without_contexts(passage, [counts[window] <= self._limit for window in windows])

    def _grouped(self, plan: _Plan, context: str, path: tuple[str, ...]) -> tuple[Window, ...]:
        """Group a passage's sentences, each group with the headings above that it does not hold."""
        inner = self._context(path) if plan.with_context else ""
        room = max(self._window - self._overhead - self._taken(inner), 1)
        units = plan.draft.units
        if units[0].lead_cost + _total(units) <= room:
            return (Window(units[0].span.start, units[-1].span.end, context),)
        first, *others = (draft.units for draft in pack_units(units, room, room, 0))
        windows = [Window(first[0].span.start, first[-1].span.end, context)]
        for units in others:
            start, end = units[0].span.start, units[-1].span.end
            leads = self._leads_outside(units[0], start, end) if plan.with_context else ()
            windows.append(Window(start, end, self._context(path + leads) if leads else inner))
        return tuple(windows)

    def _smaller(self, plan: _Plan) -> list[_Plan]:
        units = plan.draft.units
        if plan.draft.repeated:
            return [replace(plan, draft=Draft(units[plan.draft.repeated :]))]
        if len(units) > 1:
            middle = len(units) // 2
            parts = [units[:middle], units[middle:]]
        elif units[0].span.end - units[0].span.start > 1:
            parts = [[piece] for piece in self._cut(units[0], max(units[0].cost // 2, 1))]
        elif plan.with_context:
            return [replace(plan, with_context=False)]
        else:
            raise WindowTooSmall(f"one character of {self._document.id} takes more than {self._limit} tokens")
        return [replace(plan, draft=Draft(part)) for part in parts]

    def _passage(self, plan: _Plan) -> Passage:
        units = plan.draft.units
        start, end = units[0].span.start, units[-1].span.end
        text = self._document.text[start:end]
        titles: tuple[str, ...] = ()
        if plan.with_context:
            titles = titles_outside(plan.segment, self._document.text, start, end)
            titles += self._leads_outside(units[0], start, end)
        page = bisect_right(self._pages, start)
        context = self._context(titles)
        path = _within_bounds(tuple([section.title for section in plan.segment.path]))
        return Passage(
            id=passage_id(self._document.id, start, end, text),
            document=self._document.id,
            start=start,
            end=end,
            text=text,
            context=context,
            path=path,
            page=self._document.pages[page - 1].number if page else None,
            windows=self._grouped(plan, context, path),
            language=self._document.language,
            recognised=self._least_recognised(page, end) if page else None,
        )

    def _leads_outside(self, first: Unit, start: int, end: int) -> tuple[str, ...]:
        leads = (lead for lead in first.leads if not start <= lead.start < end)
        return tuple(say(self._document.text, lead) for lead in leads)

    def _least_recognised(self, page: int, end: int) -> float | None:
        """Return the least confidence of OCR on the pages from the ``page``-th to the one before ``end``."""
        pages = takewhile(lambda page: page.start < end, self._document.pages[page - 1 : page + 9])
        return min((page.recognised for page in pages if page.recognised is not None), default=None)

    def _tokens_of(self, context: str) -> int:
        return self._count_tokens([f"{context}\n"])[0] - self._overhead if context else 0

    def _shortened(self, titles: tuple[str, ...]) -> str:
        def count(text: str) -> int:
            tokens = self._count_tokens([text])[0] - self._overhead
            return max(tokens, ceil(len(text) / _CHARACTERS_PER_TOKEN))

        return shorten(titles, (self._limit - self._overhead) // 4, count)


def _without_contexts(passage: Passage, fit: Sequence[bool]) -> Passage:
    """Take the context from the windows that do not fit with it.

    A heading that the passage holds itself is context to its windows, and was not counted with the passage.
    """
    windows = zip(passage.windows, fit, strict=True)
    return replace(passage, windows=tuple(w if fits else replace(w, context="") for w, fits in windows))


def _within_bounds(titles: tuple[str, ...]) -> tuple[str, ...]:
    """Cut titles that are longer together than ``_LONGEST_PATH``, each to its share: every passage repeats them."""
    if sum(map(len, titles)) <= _LONGEST_PATH:
        return titles
    most = _LONGEST_PATH // len(titles)
    return tuple(title if len(title) <= most else f"{title[: most - 1]}…" for title in titles)


def _stripped(chunk: str, start: int) -> Span | None:
    ink = chunk.lstrip()
    return Span(start + len(chunk) - len(ink), start + len(chunk.rstrip())) if ink else None


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
