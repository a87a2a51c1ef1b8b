"""The span that answers, compared over all excerpts of one question, and the form that fits the question.

A form is a span, the sentences that explain, a whole list, or a row of a table. What kind of answer is wanted is read
from the question's first words, in English; what is there decides as well: a list is given only where the text has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import regex
from numpy.lib.stride_tricks import sliding_window_view

from qa.answers.excerpts import Excerpt
from qa.answers.sentences import ITEM, Candidate
from qa.answers.values import holds_number, whole
from qa.answers.weekdays import asked_day, is_opening_hours, is_timetable_line
from qa.protocols import Reading
from qa.text.sentences import sentences
from qa.types import AnswerForm, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Tokens of the longest span, as the reader was trained.
_LONGEST = 30
# Logits that a span is ahead for a cosine of 1 of its passage. On the tuning halves of six sets guesses were right for
# .007 more of the questions with it; of 5, 10, 15 and 20 this left confidence as good (docs/decisions/0019).
_COSINE_WEIGHT = 10.0
_BLANK_LINE = regex.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True, slots=True)
class Choice:
    """The best span of those that begin in one sentence.

    ``span`` is of the document, ``text`` what it holds. ``score`` is the sum of the logits of its start and end less
    that of "no answer here" (Devlin et al. 2019, section 4.3): above 0 the reader takes it for an answer. ``relevance``
    is the logit of its excerpt's holding the answer.
    """

    excerpt: Excerpt
    sentence: Candidate
    span: Span
    text: str
    score: float
    relevance: float


def spans_of(excerpt: Excerpt, reading: Reading) -> list[Choice]:
    """Find the best span of each sentence of an excerpt."""
    found = []
    for logits, start, end in _candidates(excerpt, reading):
        place = excerpt.place(start, end)
        if place is None:
            continue
        sentence = next((c for c in excerpt.candidates if place.start < c.span.end), excerpt.candidates[-1])
        text = excerpt.text[start:end]
        found.append(Choice(excerpt, sentence, place, text, logits - reading.null, float(reading.relevance)))
    return found


def in_order(choices: Sequence[Choice]) -> list[Choice]:
    """Put choices in order, the best first: by their score, and by how near their passage is to the question.

    Of equals the earlier comes first.
    """
    return sorted(choices, key=lambda choice: -choice.score - _COSINE_WEIGHT * (choice.excerpt.hit.scores.dense or 0.0))


def _candidates(excerpt: Excerpt, reading: Reading) -> Iterator[tuple[float, int, int]]:
    """Find, for each sentence, the pair of start and end with the highest sum: the sum, and the span of the text."""
    count = len(reading.starts)
    if not count:
        return
    parts = _parts(excerpt, reading.offsets)
    # A row for each start, a column for each length: what is longer than the longest span is not looked at.
    width = min(_LONGEST, count)
    ends = np.full(count + width - 1, -np.inf)
    ends[:count] = reading.ends
    beyond = np.full(count + width - 1, -1, dtype=np.int64)
    beyond[:count] = parts
    allowed = (sliding_window_view(beyond, width) == parts[:, None]) & (parts >= 0)[:, None]
    sums = np.where(allowed, reading.starts[:, None].astype(np.float64) + sliding_window_view(ends, width), -np.inf)
    lengths = sums.argmax(axis=1)
    best = sums[np.arange(count), lengths]
    sentences = _sentences(excerpt, reading.offsets)
    for number in np.unique(sentences):
        rows = np.flatnonzero(sentences == number)
        first = int(rows[best[rows].argmax()])
        if np.isfinite(best[first]):
            last = first + int(lengths[first])
            yield float(best[first]), int(reading.offsets[first, 0]), int(reading.offsets[last, 1])


def _sentences(excerpt: Excerpt, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the sentence that each token begins in; a row is one."""
    if len(excerpt.pieces) != 1:
        return np.zeros(len(offsets), dtype=np.int64)
    piece = excerpt.pieces[0]
    edges = [candidate.span.start - piece.at + piece.start for candidate in excerpt.candidates]
    return np.searchsorted(np.array(edges, dtype=np.int64), offsets[:, 0], side="right")


def _parts(excerpt: Excerpt, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the part of the excerpt that each token is in; no span crosses into another.

    A part is a cell, an item of a list or the sentences of a paragraph; -1 is what is in no document.
    """
    parts = np.full(len(offsets), -1, dtype=np.int64)
    for number, piece in enumerate(excerpt.pieces):
        parts[(offsets[:, 0] >= piece.start) & (offsets[:, 1] <= piece.end)] = 1000 * number
    if len(excerpt.pieces) == 1:
        piece = excerpt.pieces[0]
        gaps = np.array([match.end() for match in _BLANK_LINE.finditer(excerpt.text)], dtype=np.int64)
        paragraphs = 1000 + np.searchsorted(gaps, offsets[:, 0], side="right")
        parts = np.where(parts >= 0, paragraphs, parts)
        for number, candidate in enumerate(excerpt.candidates, start=1):
            if candidate.kind != "sentence":
                start, end = (edge - piece.at + piece.start for edge in (candidate.span.start, candidate.span.end))
                parts[(offsets[:, 0] >= start) & (offsets[:, 1] <= end)] = number
    return parts


# The text of a document between two places, which may lie beyond its ends.
TextOf = Callable[[str, int, int], str]

_YES_NO = regex.compile(
    r"\W*(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b(?!\W*$)",
    regex.IGNORECASE,
)
_EXPLAINED = regex.compile(
    r"\W*(?:why\b|how\s+(?:come|do|does|did|is|are|was|were|can|could|should|would|will|to)\b|explain\b|describe\b"
    r"|what\s+(?:happens|happened|should\s+\w+\s+do|if)\b|what\s+(?:is|are|was|were)\s+the\s+(?:difference|reason)s?\b)",
    regex.IGNORECASE,
)
# Answered by a measure; where the span holds none, its sentence says more: "the oldest of the canal".
_MEASURED = regex.compile(r"\W*how\s+(?:old|far|tall|high|deep|wide|heavy|fast|large|big)\b", regex.IGNORECASE)
# "What does it say", "what is the fee", "which news agency", "what virus", but "what are the steps", "which documents",
# "list the members".
_LISTED = regex.compile(
    r"\W*(?:(?:please\s+)?(?:list|name|give\s+me)\b|what\s+(?:are|were)\b"
    r"|(?:what|which)\s+(?:\w+\s+)?(?!(?:is|was|does|has|news|gas|atlas|canvas|series|species|means)\b)"
    r"\p{L}{3,}(?<![sui])s\b)",
    regex.IGNORECASE,
)
# Answered by all steps of a list, where one says how.
_ASKS_STEPS = regex.compile(
    r"\W*how\s+(?:to\b|(?:do|can|could|should|would|must|may)\s+(?:i|we|you|one|people|\w+s)\b)", regex.IGNORECASE
)
_NUMBERED = regex.compile(r"[^\S\n]*\(?(?:\d{1,3}|[a-z])[.)]\s")
# A clause of a contract, which begins with its title: "6. Subletting. The Tenant may not sublet".
_CLAUSE = regex.compile(r"[^\S\n]*\(?\d[\d.]*[.)]?[^\S\n]+(?:[^\s.]+\s){0,3}[^\s.]+\.\s+\p{Lu}")
# What a list of steps without numbers stands under.
_LEADS_TO_STEPS = regex.compile(r"[#*\s]*(?:how\s+to|to|steps|instructions|\p{L}+ing)\b|.*:\s*$", regex.IGNORECASE)
_NUMBER_BEFORE = regex.compile(
    r"(?:^|\n)[^\S\n]*[*_#]*[^\S\n]*(?:(?:§|section|article|clause)[^\S\n]?)?\(?\d{1,3}(?:\.\d{1,3})*[.)]?\s*$",
    regex.IGNORECASE,
)
_TITLE = regex.compile(r"(?:\(?(?:\d+|[a-z])[.)]\s+)?(?:[^\s.:?!]+\s){0,5}[^\s.:?!]+[.:]?[*_]*")
_GREETING = regex.compile(
    r"(?:dear|hello|hi|hey|good\s(?:morning|afternoon|evening|day))(?![-\w])[^\n]{0,60}(?:[,!:][^\S\n]*\n|\n\s*\n)\s*(?=\S)",
    regex.IGNORECASE,
)
_ENDED = regex.compile(r"\S+\s+\S+\s.*[^\s.]{2,}[.!?]['\"”’)\]]*", regex.DOTALL)
_DENIED = regex.compile(r"\bnot\s+(?:(?:about|around|at|for|in|on|the|from|until|by)\s+)?$", regex.IGNORECASE)
_INSTEAD = regex.compile(
    r"\bbut\s+(?:rather\s+|only\s+|now\s+)?(\p{Sc}?\d(?:[^\s,;:.!?]|[.,:](?=\d)|\s(?=\S))*)", regex.IGNORECASE
)
# Characters of the sentences that are given instead of the title that they stand under.
_LONGEST_BODY = 400
# Characters around a choice in which its list is looked for, and those of the longest list that is given.
_AROUND = 4000
_LONGEST_LIST = 2000
_LONGEST_LEAD = 300


@dataclass(frozen=True, slots=True)
class Fitted:
    """``span`` and ``sentence`` are of the document."""

    span: Span
    sentence: Span
    form: AnswerForm


def fit(question: str, choice: Choice, text_of: TextOf) -> Fitted:
    """Give a choice the form that its question asks for, with its values whole."""
    document = choice.excerpt.hit.passage.document
    around = _holding(choice)
    sentence = Span(around[0].span.start, around[-1].span.end)
    is_how = bool(_ASKS_STEPS.match(question))
    # Who asks for no day is given all opening hours, and who asks for one only its line.
    is_hours, has_day = is_opening_hours(around[0].text), asked_day(question) is not None
    if is_how or is_hours or _LISTED.match(question):
        found = None if is_hours and has_day else _list_around(document, sentence, text_of)
        if found is not None and (is_hours or not is_how or _is_steps(document, found, text_of)):
            return Fitted(found, found, "list")
    is_unmeasured = bool(_MEASURED.match(question)) and not holds_number(choice.text)
    if _YES_NO.match(question) or _EXPLAINED.match(question) or is_unmeasured:
        sentence = _body(document, sentence, text_of) or _without_greeting(document, sentence, text_of)
        return Fitted(sentence, sentence, "row" if around[0].kind == "row" else "sentence")
    chosen = choice.span
    if len(around) > 1 and _ENDED.fullmatch(around[0].text) and chosen.start < around[0].span.end:
        # A phrase that runs over the end of a sentence is cut there.
        sentence = around[0].span
        chosen = Span(chosen.start, min(chosen.end, sentence.end))
    greeted = _without_greeting(document, sentence, text_of)
    sentence = greeted if greeted.start <= chosen.start else sentence
    text = text_of(document, sentence.start, sentence.end)
    inside = _corrected(text, Span(chosen.start - sentence.start, chosen.end - sentence.start))
    span = whole(text, inside, question)
    return Fitted(Span(sentence.start + span.start, sentence.start + span.end), sentence, "span")


def _corrected(text: str, span: Span) -> Span:
    """Go from a value that is denied to the one given in its place: "not 3 metres wide but 2.4 metres"."""
    if not _DENIED.search(text, 0, span.start) or not holds_number(text[span.start : span.end]):
        return span
    instead = _INSTEAD.search(text, span.end)
    return Span(instead.start(1), instead.end(1)) if instead is not None else span


def fit_sentence(candidate: Candidate) -> Fitted:
    """Give a sentence as it is, where nothing was read."""
    return Fitted(candidate.span, candidate.span, "row" if candidate.kind == "row" else "sentence")


def _holding(choice: Choice) -> Sequence[Candidate]:
    """Find the sentences of an excerpt that a choice lies in: one, or those that it runs through."""
    span = choice.span
    found = [each for each in choice.excerpt.candidates if each.span.start < span.end and span.start < each.span.end]
    return found or choice.excerpt.candidates


def _without_greeting(document: str, sentence: Span, text_of: TextOf) -> Span:
    """Leave out the line of greeting that a letter's first sentence begins with."""
    greeting = _GREETING.match(text_of(document, sentence.start, sentence.end))
    return Span(sentence.start + greeting.end(), sentence.end) if greeting else sentence


def _body(document: str, title: Span, text_of: TextOf) -> Span | None:
    """Find the sentences under a numbered clause's title; ``None`` where the span is no such title."""
    said = text_of(document, title.start, title.end)
    before = text_of(document, max(title.start - 20, 0), title.start)
    is_numbered = bool(_NUMBERED.match(said) or _NUMBER_BEFORE.search(before))
    if not is_numbered or not _TITLE.fullmatch(said):
        return None
    after = text_of(document, title.end, title.end + 2 * _LONGEST_BODY)
    # What ends in a full stop is a title only where its line goes on.
    gap = regex.match(r"[^\S\n]*" if said.endswith(".") else r"\s*", after)
    begins = gap.end() if gap else 0
    end = min((match.start() for match in _BLANK_LINE.finditer(after, begins)), default=len(after))
    end = min((match.start() for match in regex.finditer(r"\n[^\S\n]*\(?\d", after[:end])), default=end)
    found = [span for span in sentences(after, begins, end) if span.end - begins <= _LONGEST_BODY]
    if not found or after[begins].isdigit() or after[found[-1].end - 1 :][:1] not in set('.!?:;"”'):
        return None
    return Span(title.end + found[0].start, title.end + found[-1].end)


def _is_steps(document: str, found: Span, text_of: TextOf) -> bool:
    """Tell whether a list says how something is done, step by step, and is no contract's clauses."""
    lines = text_of(document, found.start, found.end).splitlines()
    items = [line for line in lines if ITEM.match(line)]
    if all(map(_CLAUSE.match, items)):
        return False
    if all(map(_NUMBERED.match, items)):
        return True
    above = lines[0] if lines[0] not in items else text_of(document, max(found.start - 200, 0), found.start).rstrip()
    return bool(_LEADS_TO_STEPS.match(above.rsplit("\n", 1)[-1]))


def _list_around(document: str, sentence: Span, text_of: TextOf) -> Span | None:
    """Find the list that a sentence is an item of, or leads in to, with what leads in to it; ``None`` where it is none.

    A list of one item is none, and one that is too long is not given whole.
    """
    before = max(sentence.start - _AROUND, 0)
    text = text_of(document, before, sentence.end + _AROUND)
    lines = [(match.start(), match.end()) for match in regex.finditer(r"[^\n]*\S[^\n]*", text)]
    at = next((n for n, (start, end) in enumerate(lines) if start <= sentence.start - before < end), None)
    if at is None:
        return None
    is_item = [bool(ITEM.match(text, start)) or is_timetable_line(text[start:end]) for start, end in lines]
    if not is_item[at]:
        if at + 1 >= len(lines) or not is_item[at + 1] or not text[: lines[at][1]].endswith(":"):
            return None
        at += 1
    first = last = at
    while first > 0 and is_item[first - 1]:
        first -= 1
    while last + 1 < len(lines) and is_item[last + 1]:
        last += 1
    start, end = lines[first][0], lines[last][1]
    if first > 0 and text[: lines[first - 1][1]].rstrip().endswith(":"):
        lead = list(sentences(text, *lines[first - 1]))[-1]
        start = lead.start if lead.end - lead.start <= _LONGEST_LEAD else start
    if first == last or end - start > _LONGEST_LIST:
        return None
    while text[start].isspace():
        start += 1
    return Span(before + start, before + len(text[:end].rstrip()))
