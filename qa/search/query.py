"""What may be asked: the rules of a query, once, for the command line and for HTTP."""

from __future__ import annotations

import unicodedata

from qa.errors import QueryError
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
    for field, globs in (("documents", query.documents), ("sections", query.sections)):
        for number, glob in enumerate(globs):
            if flaw := _flaw(glob):
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


def _question_fault(question: str, limits: Limits) -> QueryError | None:
    if len(question) > limits.question_chars:
        message = f"the question has {len(question):,} characters; at most {limits.question_chars:,} are allowed"
        return QueryError("question", f"{message}; shorten it", "question-too-long")
    if flaw := _flaw(question):
        return QueryError("question", f"the question holds {flaw}; remove it")
    if not any(_is_visible(character) for character in question):
        return QueryError("question", "the question is blank; write what you want to know", "question-empty")
    return None


def _flaw(text: str) -> str:
    if "\0" in text:
        return "a NUL character"
    # JSON can escape one alone (RFC 8259, section 8.2); no encoding can write it.
    return (
        "half of a surrogate pair, as a text that is not UTF-8 gives,"
        if any("\ud800" <= c <= "\udfff" for c in text)
        else ""
    )


def _is_visible(character: str) -> bool:
    # Not isprintable(): characters newer than Python's tables are unassigned to it, and somebody's letters.
    category = unicodedata.category(character)
    return category[0] != "Z" and category not in ("Cc", "Cf")
