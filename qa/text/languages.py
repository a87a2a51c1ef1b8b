"""The language of a document, among those whose words can be stemmed. Nothing here is loaded before it is needed."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from collections.abc import Callable

# Snowball's stemmers by ISO 639-1 code (Porter, 2001, "Snowball: A language for stemming algorithms").
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish",
}  # fmt: skip

# Enough to tell, and little enough that a book costs no more than a page.
_SAMPLE = 4000
_LEAST_LETTERS = 8
# Written without spaces between words: there is nothing to stem.
_UNSTEMMED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_LETTER = regex.compile(r"\p{L}")

_loading = threading.Lock()


@cache
def prepare_detection() -> None:
    """Begin, once, to load the classifier, which takes most of a second, beside what the caller does next."""
    threading.Thread(target=_classifier, name="languages", daemon=True).start()


def detect_language(text: str) -> str:
    """The ISO 639-1 code of a text's language, by the naive Bayes classifier of langid.py (Lui & Baldwin, 2012).

    Empty where none of :data:`STEMMERS` is its stemmer: too few letters to tell, or a script without spaces.
    """
    sample = text[:_SAMPLE]
    letters = len(_LETTER.findall(sample))
    if letters < _LEAST_LETTERS or 2 * len(_UNSTEMMED.findall(sample)) > letters:
        return ""
    code = _classifier()(sample)
    return code if code in STEMMERS else ""


def _classifier() -> Callable[[str], str]:
    with _loading:
        return _loaded()


@cache
def _loaded() -> Callable[[str], str]:
    import py3langid

    py3langid.set_languages(sorted({*STEMMERS, "ja", "ko", "th", "vi", "zh"}))

    def classify(text: str) -> str:
        return str(py3langid.classify(text)[0])

    return classify
