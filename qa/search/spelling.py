"""Words of a question that no passage holds, and the nearest word that one does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qa.index.index import Index
from qa.text.words import words

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
