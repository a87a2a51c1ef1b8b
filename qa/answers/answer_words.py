"""An answer in lines of words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from qa.types import Answer, Citation

_SURE = ((0.9, "very likely right"), (0.75, "probably right"), (0.5, "more likely right than not"), (0.0, "uncertain"))


def told(answer: Answer) -> Iterator[str]:
    """The answer first, then its citation, how sure it is, and what the documents say otherwise."""
    if not answer.answerable or answer.citation is None:
        yield "The documents do not answer this, as far as can be told."
    else:
        yield " ".join((answer.text or "").split())
        yield f"  {_place(answer.citation)}"
    yield f"  {sureness(answer)}"
    for other in answer.alternatives if answer.answerable else ():
        yield f"  Otherwise: {' '.join(other.text.split())} ({_place(other.citation)})"


def sureness(answer: Answer) -> str:
    """The confidence in words and as a number, and what is promised."""
    if answer.confidence is None:
        return f"How sure this is was not calibrated: {answer.note}."
    words = next(words for least, words in _SURE if answer.confidence >= least)
    said = f"{words} ({answer.confidence:.0%})" if answer.answerable else f"best guess {answer.confidence:.0%} sure"
    if answer.promised_error is not None:
        return f"{said}; what is answered is wrong at most {answer.promised_error:.0%} of the time"
    return f"{said}; {answer.note}" if answer.note else said


def _place(citation: Citation) -> str:
    parts = [citation.document, f"characters {citation.start} to {citation.end}", citation.status]
    parts += [f"page {citation.page}"] if citation.page else []
    parts += [citation.section] if citation.section else []
    return " \u00b7 ".join(parts)
