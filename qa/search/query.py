"""What may be asked: the rules of a query, once, for the command line and for HTTP; the question in a long text; and
misspelt words.

A word that no passage holds is searched for as the nearest word that one does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from qa.errors import QueryError
from qa.index.index import Index
from qa.search.filters import filter_excess, flaw_of
from qa.text.globs import find_excess
from qa.text.sentences import sentences
from qa.text.words import words
from qa.types import Limits, Query


def faults(query: Query, limits: Limits) -> list[QueryError]:
    """List all that is wrong with a query, each naming its field; nothing where it can be asked."""
    found = []
    if fault := _question_fault(query.question, limits):
        found.append(fault)
    if fault := top_k_fault(query.top_k, limits):
        found.append(fault)
    if fault := max_error_fault(query.max_error):
        found.append(fault)
    if fault := filter_excess(query.filter):
        found.append(fault)
    if fault := _read_tokens_fault(query.read_tokens, limits):
        found.append(fault)
    found += _previous_faults(query, limits)
    for field, globs in (("documents", query.documents), ("sections", query.sections)):
        if excess := find_excess(globs):
            found.append(QueryError(field, f"{field}: {excess}"))
            continue
        for number, glob in enumerate(globs):
            if flaw := flaw_of(glob):
                found.append(QueryError(f"{field}[{number}]", f"{field}[{number}] holds {flaw}; remove it"))
    return found


def check(query: Query, limits: Limits) -> None:
    """Raise the first of the query's faults; its ``faults`` has all of them."""
    if found := faults(query, limits):
        found[0].faults = tuple(found)
        raise found[0]


def top_k_fault(top_k: int, limits: Limits) -> QueryError | None:
    """Return what is wrong with a number of passages, if anything."""
    if 1 <= top_k <= limits.top_k:
        return None
    # Without the value: a client may send one of more digits than Python prints.
    return QueryError("top_k", f"top_k must be from 1 to {limits.top_k:,}", "top-k-out-of-range")


def max_error_fault(max_error: float | None) -> QueryError | None:
    """Return what is wrong with the share of answers that may be wrong, if anything."""
    if max_error is None or 0 < max_error < 1:
        return None
    return QueryError("max_error", "max_error must be above 0 and below 1, such as 0.2")


# Fewer tokens are less than a passage.
LEAST_READ_TOKENS = 50


def _read_tokens_fault(read_tokens: int | None, limits: Limits) -> QueryError | None:
    if read_tokens is None or LEAST_READ_TOKENS <= read_tokens <= limits.read_tokens:
        return None
    return QueryError("read_tokens", f"read_tokens must be from {LEAST_READ_TOKENS} to {limits.read_tokens:,}")


def _previous_faults(query: Query, limits: Limits) -> list[QueryError]:
    """List what is wrong with the questions that were asked before, and with their answers."""
    if len(query.previous) > limits.previous:
        message = f"previous holds {len(query.previous):,} questions; at most {limits.previous} are allowed"
        return [QueryError("previous", f"{message}; keep the last ones")]
    found = []
    for number, turn in enumerate(query.previous):
        for text in (turn.question, turn.answer):
            name = f"previous[{number}]"
            if len(text) > limits.question_chars:
                message = f"{name} has {len(text):,} characters; at most {limits.question_chars:,} are allowed"
                found.append(QueryError(name, f"{message}; shorten it"))
            elif flaw := flaw_of(text):
                found.append(QueryError(name, f"{name} holds {flaw}; remove it"))
    return found


def _question_fault(question: str, limits: Limits) -> QueryError | None:
    if len(question) > limits.question_chars:
        message = f"the question has {len(question):,} characters; at most {limits.question_chars:,} are allowed"
        return QueryError("question", f"{message}; shorten it", "question-too-long")
    if flaw := flaw_of(question):
        return QueryError("question", f"the question holds {flaw}; remove it")
    if not any(_is_visible(character) for character in question):
        return QueryError("question", "the question is blank; write what you want to know", "question-empty")
    return None


def _is_visible(character: str) -> bool:
    # Not isprintable(): characters newer than Python's tables are unassigned to it, and somebody's letters.
    category = unicodedata.category(character)
    return category[0] != "Z" and category not in ("Cc", "Cf")


# Words of a text that is looked through for its question; a question of search engines has ten.
_LONG = 25
# Words of a question that can be understood alone, if it points to nothing that was said before.
_LEAST_WORDS = 5
_POINTS_BACK = re.compile(
    r"\b(?:it|its|this|that|these|those|they|them|their|theirs|he|him|his|she|her|hers|same|above|such)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:(?:please|kindly) (?:tell|explain|say|send|confirm)|(?:tell|explain to) (?:me|us)"
    r"|(?:like|want|wanted|need|wish) to (?:know|ask|find out)"
    r"|wonder(?:ing|ed)? (?:if|whether|what|when|where|who|why|how))\b",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:dear|hi|hello|hey|greetings|good (?:morning|afternoon|evening|day)|to whom it may concern|my name is"
    r"|i hope|hope (?:you|this|all)|thank|thanks|many thanks|cheers|(?:with )?(?:best|kind|warm)? ?(?:regards|wishes)"
    r"|sincerely|yours|sorry|apologies|i apologi[sz]e|any help|(?:i am |i'm )?looking forward|i look forward|sent from"
    r"|please (?:let (?:me|us) know|do not hesitate|don't hesitate|advise|help|get back)"
    r"|have a (?:nice|great|good|lovely))\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def find_question(text: str) -> str:
    """Find the question in a long text, such as a letter; a short text, or one without a question, comes back as it is.

    The sentences that ask are the question where each can be understood alone. Otherwise it is the text without
    greetings, thanks and the like, which are known in English only.
    """
    if len(text.split()) <= _LONG:
        return text
    parts = [text[span.start : span.end].strip() for span in sentences(text)]
    said = [part for part in parts if not _COURTESY.match(part) or part.endswith("?")]
    asking = [part for part in said if part.endswith("?")] or [part for part in said if _ASKS.search(part)]
    if not asking:
        return text
    is_alone = all(len(part.split()) >= _LEAST_WORDS and not _POINTS_BACK.search(part) for part in asking)
    return " ".join(asking if is_alone else said)


# Shorter words are too near to too many others.
_LEAST_LETTERS = 5
# Passages that are read to find what their similar word is.
_READ = 16


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of a question as it was ``written``, and the indexed word that is ``meant``; ``forms`` are its terms."""

    written: str
    meant: str
    forms: tuple[str, ...]


def apply_corrections(question: str, corrections: Iterable[Correction]) -> str:
    """Write a question with its corrections."""
    for correction in corrections:
        question = re.sub(rf"\b{re.escape(correction.written)}\b", correction.meant, question)
    return question


def correct_words(
    index: Index, question: str, languages: Sequence[str], is_word: Callable[[str], bool]
) -> dict[tuple[str, ...], Correction]:
    """Correct words of which no passage holds a form, by the forms that they have.

    A word is taken for another that begins alike and differs by one letter more, less or other, or by two that are
    exchanged (Damerau, 1964); of several, for the one that most passages hold.

    Args:
        languages: ISO 639-1 codes of those that ``is_word`` knows; words of passages in others are left out.
        is_word: tells of a word that it is spelt right, as far as that is known, and not to be corrected.
    """
    found = {}
    for word in words(question, index.lexical.languages):
        written = question[word.span.start : word.span.end]
        if len(written) >= _LEAST_LETTERS and written.isalpha() and not index.lexical.idf(word.forms):
            nearest = None if is_word(written) else _nearest(index, written.lower(), word.forms, languages)
            if nearest is not None:
                found[word.forms] = Correction(written, *nearest)
    return found


def _nearest(
    index: Index, written: str, forms: Sequence[str], languages: Sequence[str]
) -> tuple[str, tuple[str, ...]] | None:
    """Return the nearest indexed word, as a passage writes it, and its terms; ``None`` where there is none."""
    from rapidfuzz.distance import OSA

    near: dict[str, str] = {}
    for form in forms:
        keys = index.lexical.find_similar(form, _READ)
        for passage, _ in index.store.find_passages(keys.tolist()).values():
            for word in words(passage.text, (passage.language,)) if passage.language in languages else ():
                other = passage.text[word.span.start : word.span.end].lower()
                # Stems are alike where words are not: losing and lost.
                if other[:1] == written[:1] and OSA.distance(other, written, score_cutoff=1) == 1:
                    near |= dict.fromkeys(word.forms, other)
    if not near:
        return None
    best = min(near, key=lambda form: (index.lexical.idf((form,)), form))
    return near[best], (best,)
