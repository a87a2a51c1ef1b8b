"""How good answers are: exact match and F1 as in SQuAD (Rajpurkar et al. 2016), and whether an answer is right.

Words are what white space separates, as in the official script, which is made for English: where a language writes
without spaces, F1 is exact match.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from qa.questions.judgments import JudgedQuestion
from qa.types import Span

# An answer with at least this F1 is right: "three to four miles" and "three to four miles away" are one answer.
RIGHT_F1 = 0.5

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and surplus white space: SQuAD's ``normalize_answer``."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1 if the answer is one of ``golds`` once both are normalised, else 0."""
    return _best(answer, golds, lambda mine, gold: float(mine == gold))


def f1(answer: str, golds: Sequence[str]) -> float:
    """The F1 of the words that the answer shares with the gold answer that it shares most with."""
    return _best(answer, golds, _f1)


def _best(answer: str, golds: Sequence[str], score: Callable[[str, str], float]) -> float:
    mine = normalise(answer)
    return max((score(mine, normalise(gold)) for gold in golds), default=0.0)


def _f1(mine: str, gold: str) -> float:
    words, wanted = mine.split(), gold.split()
    if not words or not wanted:
        # Nothing but articles and punctuation: equal or not, as in SQuAD 2.0.
        return float(words == wanted)
    shared = (Counter(words) & Counter(wanted)).total()
    return 2 * shared / (len(words) + len(wanted))


def holds(text: str, golds: Sequence[str]) -> bool:
    """Whether the words of one of ``golds`` stand in the text, together and in order, once both are normalised."""
    mine = f" {normalise(text)} "
    return any(f" {gold} " in mine for gold in map(normalise, golds) if gold)


def is_right(question: JudgedQuestion, text: str | None, document: str | None, span: Span | None) -> bool | None:
    """Whether a text answers the question; ``None`` where nobody can tell (docs/decisions/0009).

    Of a question with gold answers: its F1 with one of them is enough, or it holds one and is cited from a relevant
    document, where any is known. Of one with quotes alone: its citation overlaps one of them. No text is right for a
    question that has no answer.
    """
    if question.answerable is False:
        return False
    if question.answers:
        if text is None:
            return False
        is_relevant = not question.has_relevant_documents or question.documents.get(document or "", 0) > 0
        return f1(text, question.answers) >= RIGHT_F1 or (is_relevant and holds(text, question.answers))
    if question.evidence:
        if span is None:
            return False
        return any(e.document == document and e.start < span.end and e.end > span.start for e in question.evidence)
    return None
