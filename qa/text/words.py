"""Text to the terms that BM25 counts: words folded and stemmed by language, n-grams where words have no spaces.

Nothing is loaded before it is needed.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import regex

from qa.types import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

# Snowball's stemmers by ISO 639-1 code (Porter, 2001, "Snowball: A language for stemming algorithms").
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish",
}  # fmt: skip

_LETTER = regex.compile(r"\p{L}")

# Scripts by language, of those that are not written in Latin letters, or not in these alone.
_SCRIPTS = {
    "am": "Ethiopic", "ar": "Arabic", "as": "Bengali", "az": "Latin Cyrillic", "be": "Cyrillic", "bg": "Cyrillic",
    "bn": "Bengali", "el": "Greek", "fa": "Arabic", "gu": "Gujarati", "he": "Hebrew", "hi": "Devanagari",
    "hy": "Armenian", "ja": "Han Hiragana Katakana", "ka": "Georgian", "kk": "Cyrillic", "km": "Khmer",
    "kn": "Kannada", "ko": "Hangul Han", "ku": "Latin Arabic", "ky": "Cyrillic", "lo": "Lao", "mk": "Cyrillic",
    "ml": "Malayalam", "mn": "Cyrillic", "mr": "Devanagari", "my": "Myanmar", "ne": "Devanagari", "or": "Oriya",
    "pa": "Gurmukhi", "ps": "Arabic", "ru": "Cyrillic", "sa": "Devanagari", "sd": "Arabic", "si": "Sinhala",
    "sr": "Cyrillic Latin", "ta": "Tamil", "te": "Telugu", "th": "Thai", "ug": "Arabic", "uk": "Cyrillic",
    "ur": "Arabic", "uz": "Latin Cyrillic", "yi": "Hebrew", "zh": "Han",
}  # fmt: skip


def is_foreign(text: str, languages: Sequence[str]) -> bool:
    """Tell whether most letters of a text are of scripts that none of the languages is written in.

    A few words are enough for that, where their language is often a guess. ``languages`` are ISO 639-1 codes; to none
    of them nothing is foreign.
    """
    letters = _LETTER.findall(text)
    if not languages or not letters:
        return False
    return 2 * len(_own_letters(tuple(languages)).findall(text)) < len(letters)


@cache
def _own_letters(languages: tuple[str, ...]) -> regex.Pattern[str]:
    scripts = {script for code in languages for script in _SCRIPTS.get(code, "Latin").split()}
    own = "".join(rf"\p{{{script}}}" for script in sorted(scripts))
    return regex.compile(rf"(?V1)[\p{{L}}&&[{own}]]")


TERMS_VERSION = "3"

# Korean has spaces, and writes its particles with the words before them.
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー々〇"
# What is found as a whole and by its parts: addresses such as 192.168.0.1; versions, decimal numbers and dates (12.3 is
# not 3.12); numbers written with hyphens; file names; codes such as ERR-1042 and QA_MAX_ERROR; C++ and C#; words cut at
# the end of a line. Colours of a terminal are no words.
_LETTERS = r"A-Za-zÀ-ÖØ-öø-ɏͰ-ϿЀ-ӿ"
_NAME = r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*"
_JOINED = (
    r"\x1b\[[0-9;?]*[A-Za-z]|[0-9]+(?:\.[0-9]+){3,}|[vV]?[0-9]+(?:[.,][0-9]+)+|[0-9]{2,4}(?:-[0-9]{2,4})+(?![0-9])"
    rf"|(?=[A-Za-z0-9][-_A-Za-z0-9]){_NAME}\.[A-Za-z][A-Za-z0-9]{{0,4}}(?![0-9{_LETTERS}]|\.[0-9{_LETTERS}])"
    rf"|[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*?(?:_|-[A-Za-z]*(?=[0-9])){_NAME}(?![0-9{_LETTERS}])"
    r"|[A-Za-z]+(?:\+\+|\#)(?!\w)"
    rf"|[{_LETTERS}]{{2,}}[-\u00ad\u2010][ \t]*\n[ \t]*[a-zß-öø-ÿα-ωа-яё][{_LETTERS}]*"
)
# Thousands first: 5,000 and 5.000 and 5000 are one number. A word takes its marks with it, as Indic scripts need.
_WORD = regex.compile(
    rf"(?V1)(?P<number>\p{{Nd}}{{1,3}}(?:[.,’]\p{{Nd}}{{3}})+(?!\p{{N}}|\.[0-9]{{1,3}}\.[0-9]))|(?P<joined>{_JOINED})"
    rf"|(?P<run>[{_NO_SPACES}][{_NO_SPACES}\p{{M}}]*)"
    rf"|(?P<word>[[\p{{L}}\p{{M}}\p{{N}}]--[{_NO_SPACES}]]+)"
)
# What ``_WORD`` finds and a single letter beside an apostrophe is not, in text of Latin letters without marks of their
# own: a build finds the words of every passage, and this is several times as fast. First come most words: letters with
# nothing behind them by which more could be found.
_LATIN = re.compile(r"[\x00-\u024f\u2010-\u2027]*")
_LATIN_WORD = re.compile(
    rf"[{_LETTERS}]{{2,}}+(?![-_+#\u00ad\u2010\w]|\.[A-Za-z])"
    rf"|[0-9]{{1,3}}(?:[.,’][0-9]{{3}})+(?![0-9²³¹¼½¾]|\.[0-9]{{1,3}}\.[0-9])|{_JOINED}|[^\W_]{{2,}}|(?<!['’])[^\W_](?!['’])",
)
# Arabic: the stroke that only lengthens a word. Latin: the soft hyphen, and what joins or parts letters unseen.
_UNSEEN = regex.compile(r"[\u0640\u00ad\u200b-\u200d\u2060\ufeff]")
# The number of a footnote, behind a word too long to be a unit.
_FOOTNOTE = regex.compile(r"(?<=\p{L}{4})[\u00b2\u00b3\u00b9\u2070-\u2079]+$")
_JOINS = frozenset(".,’-_+#\n\x1b\u2010\u00ad")
_JOINT = re.compile(r"[-_\s\u00ad\u2010]+")
_GROUPED = regex.compile(r"\p{Nd}{1,3}(?:[.,’]\p{Nd}{3})+")
_PART = re.compile(rf"[0-9{_LETTERS}]+")
# Letters that are no letter with a mark, and are often typed without what makes them another.
_PLAIN = str.maketrans({"ł": "l", "đ": "d", "ð": "d", "ø": "o", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"})
# English numbers up to 90 but for "one", which is also a pronoun; as terms they are their digits.
_NUMBERS = dict(
    zip(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety".split(),
        map(str, (*range(2, 21), *range(30, 100, 10))),
        strict=True,
    )
)
_APOSTROPHES = "'’ʼ"
_LONGEST_TERM = 64
# Words of a language whose terms are kept, each 200 to 300 bytes. Texts repeat a few thousand over and over.
_MOST_KEPT = 1 << 14

# A stemmer works in a buffer of its own, which two threads must not share.
_stemming = threading.Lock()


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text and where it stands. ``forms`` are the terms that it may be indexed under; any one counts."""

    span: Span
    forms: tuple[str, ...]


def passage_terms(text: str, language: str) -> list[str]:
    """List every term of a passage, in order, repeated as often as it occurs; ``language`` as detected, or empty."""
    if _LATIN.fullmatch(text):
        known = _terms(language)
        return [term for found in _LATIN_WORD.findall(text) for term in known[found]]
    terms: list[str] = []
    # What :func:`words` finds, without the spans, which are not needed: a build does this for every passage.
    for match in _WORD.finditer(text):
        found = match.group()
        if match.lastgroup == "joined":
            terms += _terms(language)[found]
        elif match.lastgroup != "word":
            terms += [form for word in words(found, ()) for form in word.forms]
        elif len(found) > 1 or not _is_elided(text, Span(match.start(), match.end())):
            terms += _terms(language)[found]
    return terms


class _Terms(dict[str, tuple[str, ...]]):
    """The terms of what was found in passages of a language, as it is written: a look-up of most words is all.

    One, unless it is joined of several, or nothing is left.
    """

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, found: str) -> tuple[str, ...]:
        if len(self) >= _MOST_KEPT:
            self.clear()
        forms = (_stem(_normal(surface), self._language) for _, surface in _surfaces(found))
        terms = tuple(form for form in forms if form)
        self[found] = terms
        return terms


@lru_cache(maxsize=32)
def _terms(language: str) -> _Terms:
    return _Terms(language)


def _surfaces(found: str) -> list[tuple[int, str]]:
    """Return what is looked up of a word, a number or what is joined: where it begins, and as what it counts."""
    if _JOINS.isdisjoint(found):
        return [(0, found)]
    if _GROUPED.fullmatch(found):
        return [(0, _digits(found))]
    if found[0] == "\x1b":
        return []
    parts = [(match.start(), match.group()) for match in _PART.finditer(found)]
    whole = _JOINT.sub("", found).replace(",", ".")
    is_version = found[0] in "vV" and found[1].isdigit()
    return [(0, whole[1:] if is_version else whole), *parts]


def read_words(text: str, languages: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the forms of what :func:`words` finds, many times as fast, because answering looks at every word found."""
    if not _LATIN.fullmatch(text):
        return [word.forms for word in words(text, languages)]
    known = _word_forms(languages)
    return [forms for found in _LATIN_WORD.findall(text) for forms in known[found]]


class _WordForms(dict[str, tuple[tuple[str, ...], ...]]):
    """The forms of each word of what was found, as it is written: one word, unless it is joined of several, or none."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        super().__init__()
        self._languages = languages

    def __missing__(self, found: str) -> tuple[tuple[str, ...], ...]:
        if len(self) >= _MOST_KEPT:
            self.clear()
        if _GROUPED.fullmatch(found):
            known: tuple[tuple[str, ...], ...] = ((_digits(found),),)
        else:
            forms_of = (_forms(surface, self._languages) for _, surface in _surfaces(found))
            known = tuple(forms for forms in forms_of if forms)
        self[found] = known
        return known


@lru_cache(maxsize=32)
def _word_forms(languages: tuple[str, ...]) -> _WordForms:
    return _WordForms(languages)


def words(text: str, languages: Sequence[str]) -> Iterator[Word]:
    """Find the words of a text in order, each with a form for every language; of a run without spaces, its n-grams."""
    languages = tuple(languages)
    for match in _WORD.finditer(text):
        found, span = match.group(), Span(match.start(), match.end())
        if match.lastgroup == "run":
            yield from _grams(found, span.start)
        elif match.lastgroup == "number":
            yield Word(span, (_digits(found),))
        elif match.lastgroup == "joined":
            for at, surface in _surfaces(found):
                end = span.end if at == 0 and surface != found[: len(surface)] else span.start + at + len(surface)
                if forms := _forms(surface, languages):
                    yield Word(Span(span.start + at, end), forms)
        elif not _is_elided(text, span) and (forms := _forms(found, languages)):
            yield Word(span, forms)


@lru_cache(maxsize=1 << 12)
def _forms(word: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Make the terms that a word as it is written may be indexed under."""
    normal = _normal(word)
    return tuple(dict.fromkeys(form for code in languages if (form := _stem(normal, code))))


def _grams(run: str, start: int) -> Iterator[Word]:
    """Yield characters and pairs of them: pairs stand for words, and single ones find the words of one character."""
    for at, character in enumerate(run):
        if form := _folded(_normal(character)):
            yield Word(Span(start + at, start + at + 1), (form,))
        if len(pair := run[at : at + 2]) == 2 and (form := _folded(_normal(pair))):
            yield Word(Span(start + at, start + at + 2), (form,))


def _is_elided(text: str, span: Span) -> bool:
    """Tell whether it is the single letter beside an apostrophe: the s of Iraq's, the l of l'eau."""
    return span.end - span.start == 1 and (
        (span.start > 0 and text[span.start - 1] in _APOSTROPHES)
        or (span.end < len(text) and text[span.end] in _APOSTROPHES)
    )


def _digits(number: str) -> str:
    return _folded(regex.sub(r"\P{Nd}", "", number))


def _normal(word: str) -> str:
    if word.isascii():
        return word.lower()  # which is all that the rest does to it, and takes longer
    word = _FOOTNOTE.sub("", word)
    return str(_UNSEEN.sub("", unicodedata.normalize("NFKC", word).casefold()))


def _stem(word: str, language: str) -> str:
    if language not in STEMMERS:
        return _folded(word)
    if language == "en" and word in _NUMBERS:
        return _NUMBERS[word]
    with _stemming:
        stem = _stemmer(STEMMERS[language]).stemWord(word)
    return _folded(stem)


def _folded(word: str) -> str:
    """Remove the marks above and below letters, which questions are often written without."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
        word = unicodedata.normalize("NFC", word.translate(_PLAIN))
    return word[:_LONGEST_TERM]


@cache
def _stemmer(algorithm: str) -> Any:
    import Stemmer

    # Without a cache of its own, which takes longer than a stem does: stems are kept here, by word.
    return Stemmer.Stemmer(algorithm, 0)


def distinct(found: Iterable[Word]) -> list[tuple[str, ...]]:
    """List the forms of each different word, in the order of their first occurrence."""
    return list(dict.fromkeys(word.forms for word in found))
