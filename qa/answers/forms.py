"""The form that fits a question: a span, the sentences that explain, a whole list, or a row of a table.

What kind of answer is wanted is read from the question's first words, in English; what is there decides as well: a list
is given only where the text has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from qa.answers.sentences import Candidate
from qa.answers.spans import Choice
from qa.answers.values import holds_number, whole
from qa.text.sentences import sentences
from qa.types import AnswerForm, Span

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
# "What does it say", "what is the fee", but "what are the steps", "which documents", "list the members".
_LISTED = regex.compile(
    r"\W*(?:(?:please\s+)?(?:list|name|give\s+me)\b|what\s+(?:are|were)\b"
    r"|(?:what|which)\s+(?:\w+\s+)?(?!is\b|was\b|does\b|has\b)\p{L}{3,}(?<!s)s\b)",
    regex.IGNORECASE,
)
_ITEM_LINE = regex.compile(r"[^\S\n]*(?:[•‣◦▪●∙·*+–-]|\(?\d{1,3}[.)]|\(?[a-z][.)])[^\S\n]+\S.*")
# Characters around a choice in which its list is looked for, and those of the longest list that is given.
_AROUND = 4000
_LONGEST = 2000
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
    if _LISTED.match(question) and (found := _list_around(document, sentence, text_of)) is not None:
        return Fitted(found, found, "list")
    is_unmeasured = bool(_MEASURED.match(question)) and not holds_number(choice.text)
    if _YES_NO.match(question) or _EXPLAINED.match(question) or is_unmeasured:
        return Fitted(sentence, sentence, "row" if around[0].kind == "row" else "sentence")
    text = text_of(document, sentence.start, sentence.end)
    inside = Span(choice.span.start - sentence.start, choice.span.end - sentence.start)
    span = whole(text, inside, question)
    return Fitted(Span(sentence.start + span.start, sentence.start + span.end), sentence, "span")


def fit_sentence(candidate: Candidate) -> Fitted:
    """Give a sentence as it is, where nothing was read."""
    return Fitted(candidate.span, candidate.span, "row" if candidate.kind == "row" else "sentence")


def _holding(choice: Choice) -> Sequence[Candidate]:
    """Find the sentences of an excerpt that a choice lies in: one, or those that it runs through."""
    span = choice.span
    found = [each for each in choice.excerpt.candidates if each.span.start < span.end and span.start < each.span.end]
    return found or choice.excerpt.candidates


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
    is_item = [bool(_ITEM_LINE.match(text, start)) for start, _ in lines]
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
    if first == last or end - start > _LONGEST:
        return None
    while text[start].isspace():
        start += 1
    return Span(before + start, before + len(text[:end].rstrip()))
