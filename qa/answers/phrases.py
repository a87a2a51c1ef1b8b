"""What kind of thing a question asks for, where its words tell: by language, as a table.

Phrases of a kind in a sentence: dates, numbers with their units, names. By language, as a table of patterns.

The phrase of a sentence that answers: of the kind that is asked for, and nearest to the words of the question.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import regex

from qa.text.words import Words
from qa.types import Span

AnswerType = Literal[
    "year", "date", "duration", "age", "measure", "percent", "money", "count", "person", "place", "name"
]

_UNITS_OF_TIME = r"(?:second|minute|hour|day|night|week|month|year|decade|centur(?:y|ie))s?"
_KINDS_OF_PLACE = (
    r"(?:city|cities|country|countries|state|town|village|place|county|continent|region|province|district|location|"
    r"island|river|street|neighbou?rhood|stadium|venue|building|area|nation)"
)
_KINDS_OF_PERSON = (
    r"(?:person|man|woman|actor|actress|singer|author|writer|king|queen|president|scientist|general|commander|leader|"
    r"player|coach|director|composer|artist|physicist|mathematician|economist|philosopher|emperor|pope|monarch|"
    r"quarterback|politician|minister|inventor|historian|engineer|architect|explorer|musician)"
)
_ASKED = r"\b(?:what|which)\b"
# Further on, it begins a clause: the people who.
_EARLY = r"^\W*(?:\w+\W+){0,2}"
# Questions that no phrase answers, whatever words follow: reasons, and those after yes or no.
_NO_PHRASE = (
    r"^\W*(?:why|is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b"
)

# The first pattern that occurs in a question decides.
_ENGLISH_QUESTIONS: Sequence[tuple[str, tuple[AnswerType, ...]]] = (
    (_NO_PHRASE, ()),
    (rf"{_ASKED}(?:\s+\w+)?\s+years?\b", ("year", "date")),
    (rf"{_ASKED}(?:\s+\w+){{0,3}}\s+(?:percent|percentage|per\s+cent|proportion|share|fraction)\b", ("percent",)),
    (r"\bhow\s+many\s+percent\b|\bhow\s+large\s+a\s+(?:share|part)\b", ("percent",)),
    (r"\bhow\s+old\b|\b(?:what|which)\s+age\b|\bwhat\s+(?:is|was)\s+(?:the|his|her|their)\s+age\b", ("age",)),
    (
        r"\bhow\s+much\b.*\b(?:cost|pay|paid|spend|spent|earn\w*|worth|charged?|invest\w*|donat\w*|money|owe\w*)\b",
        ("money",),
    ),
    (rf"{_ASKED}.*\b(?:price|cost|salary|budget|revenue|fee|fine|wage|gdp)\b", ("money",)),
    (
        rf"\bhow\s+(?:long|much\s+time|much\s+longer)\b|\bhow\s+many\s+(?:more\s+)?{_UNITS_OF_TIME}\b",
        ("duration", "measure"),
    ),
    (
        r"\bhow\s+(?:far|tall|high|deep|wide|large|big|heavy|fast|hot|cold|thick|close|near)\b|"
        r"\bhow\s+many\s+(?:miles|kilomet(?:er|re)s|met(?:er|re)s|feet|acres|tons|tonnes|degrees|square)\b",
        ("measure",),
    ),
    (
        r"\bhow\s+many\b|\bhow\s+often\b|\bwhat\s+(?:is|was|were|are)\s+the\s+(?:total\s+)?(?:number|population)\b",
        ("count",),
    ),
    (rf"\bhow\s+much\b|{_ASKED}\s+(?:number|population)\b", ("measure", "count")),
    (rf"{_EARLY}when\b|{_ASKED}(?:\s+\w+)?\s+(?:day|date|month|decade|century)\b|\bsince\s+when\b", ("date",)),
    (rf"{_EARLY}who(?:m|se)?\b|{_ASKED}(?:\s+\w+)?\s+{_KINDS_OF_PERSON}\b", ("person",)),
    (rf"{_EARLY}where\b|{_ASKED}(?:\s+\w+)?\s+{_KINDS_OF_PLACE}\b", ("place",)),
)

# Languages by ISO 639-1 code. A question's own language is not told: the words of one are rarely those of another.
QUESTIONS: Mapping[str, Sequence[tuple[regex.Pattern[str], tuple[AnswerType, ...]]]] = {
    "en": tuple((regex.compile(pattern, regex.IGNORECASE), types) for pattern, types in _ENGLISH_QUESTIONS),
}


def answer_types(question: str) -> tuple[AnswerType, ...]:
    """The kinds of phrase that would answer, the likeliest first; nothing where the question's words do not tell."""
    for rules in QUESTIONS.values():
        for pattern, types in rules:
            if pattern.search(question):
                return types
    return ()


_CARDINAL = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-(?:one|two|three|four|five|six|seven|"
    r"eight|nine))?"
)
_SCALE = r"(?:hundred|thousand|million|billion|trillion|dozen)"
_FRACTION = (
    r"(?:a\s+)?(?:half|third|quarter|two-thirds|three-quarters|two\s+thirds|three\s+quarters|one-third|one-half|"
    r"one-quarter)"
)
_DIGITS = r"\d+(?:[,.’]\d{3})*(?:\.\d+)?(?:[½¼¾])?"
_PLAIN = (
    rf"(?:{_DIGITS}|{_CARDINAL}|a|several)(?:\s+(?:and\s+a\s+half\s+)?{_SCALE})+(?:\s+and\s+{_CARDINAL})?"
    rf"|{_DIGITS}|{_CARDINAL}(?:\s+and\s+a\s+half)?|(?:dozens|scores|hundreds|thousands|millions|billions)(?=\s+of\b)"
)
# Whole numbers only: no part of a name such as X-12 or of another number.
NUMBER = rf"(?<![\p{{L}}\p{{N}}.,-])(?:{_PLAIN})(?:\s*(?:to|or|-|–|—)\s*(?:{_PLAIN}))?(?![\p{{L}}\p{{N}}]|[.,]\d)"
_ABOUT = (
    r"(?:(?:about|around|approximately|roughly|some|nearly|almost|over|under|up\s+to|at\s+least|at\s+most|more\s+than|"
    r"less\s+than|fewer\s+than|as\s+many\s+as|an\s+estimated|just\s+over|just\s+under)\s+)?"
)
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?"
)
_WEEKDAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_YEAR = r"(?:1\d{3}|20\d{2})"
_ERA = r"(?:\s*(?:BCE?|CE|AD|B\.C\.|A\.D\.))"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_PART = r"(?:(?:early|mid|late|spring|summer|autumn|fall|winter)(?:[-\s](?:of\s+)?))?"
_YEARS = rf"(?:{_YEAR}s?(?:\s*[-–]\s*(?:{_YEAR}|\d{{2}}))?{_ERA}?|\d{{1,4}}{_ERA})"
_CENTURY = r"(?:\d{1,2}(?:st|nd|rd|th)|(?:\w+teenth|twentieth|twenty-first))[-\s]+centur(?:y|ies)"
_CLOCK = r"\d{1,2}(?::\d{2})?\s*(?:[ap]\.?m\b\.?)|\d{1,2}:\d{2}|noon|midnight|dawn|dusk"
_DATE = (
    rf"(?<![\p{{L}}\p{{N}}])(?:(?:{_WEEKDAY},?\s+)?(?:{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?"
    rf"|{_MONTH}\s+{_DAY}(?:\s*[-–]\s*{_DAY})?(?:,?\s+{_YEAR})?(?!\d)|{_PART}{_MONTH}(?:,?\s+{_YEAR})?)"
    rf"|(?:(?:{_CLOCK})\s+(?:on\s+)?)?{_WEEKDAY}|{_PART}{_YEARS}|(?:early\s+|mid-?|late\s+)?{_CENTURY}"
    rf"|{_CLOCK})(?![\p{{L}}\p{{N}}]|[.,]\d)"
)
_TIME_UNIT = r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|decades?|century|centuries|generations?)"
_UNIT = (
    r"(?:(?:square|cubic)\s+)?(?:miles?|kilomet(?:er|re)s?|met(?:er|re)s?|centimet(?:er|re)s?|millimet(?:er|re)s?|km²?|cm|"
    r"mm|m²?|feet|foot|ft|inch(?:es)?|yards?|acres?|hectares?|tons?|tonnes?|kilograms?|kg|grams?|pounds?|lbs?|ounces?|"
    r"lit(?:er|re)s?|gallons?|degrees?|°\s?[CF]?|mph|km/h|knots?|watts?|kW|MW|GW|volts?|hertz|[KMGT]?Hz|[kMGT]?bit/s|"
    r"bytes?|[KMGT]B|light-years?|stor(?:ey|ie|y)s?|floors?|atm|bar|psi|kPa|MPa)"
)
_CURRENCY = r"(?:US|A|C|HK|NZ)?[$£€¥₹]"
_COINS = r"(?:dollars?|euros?|pounds?|yen|yuan|rupees?|francs?|marks?|cents?|USD|EUR|GBP|SEK|kronor?|rubles?)"

_TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Dr|Prof|Sir|Lord|Lady|Dame|St|Saint|King|Queen|Prince|Princess|Emperor|Pope|President|Lt|Gen|Col|"
    r"Maj|Capt|Sgt|General|Captain|Colonel|Major|Senator|Governor|Duke|Count|Bishop|Archbishop|Chief|Justice)\.?\s+)*"
)
_WORD_OF_NAME = r"(?:\p{Lu}[\p{L}\p{M}]*(?:[’'-]\p{L}+)*)"
_PARTICLE = r"\s+(?:de|del|della|di|da|van|von|der|den|la|le|el|bin|ibn|al|du|of\s+the|of)"
_INITIAL = r"\p{Lu}\."
_RUN = (
    rf"(?:{_WORD_OF_NAME}|{_INITIAL}|(?:al|el|bin|ibn)-{_WORD_OF_NAME})"
    rf"(?:(?:{_PARTICLE})?\s+(?:{_WORD_OF_NAME}|{_INITIAL}|(?:al|el)-{_WORD_OF_NAME}|(?:I{{1,3}}|IV|V|VI{{1,3}}|IX|X)\b))*"
)
# Capital letters that begin a sentence and no name.
_NO_NAME = (
    r"(?!(?:A|An|The|It|Its|He|She|They|We|You|I|His|Her|Their|Our|My|This|That|These|Those|There|Here|In|On|At|By|For|"
    r"From|With|Without|After|Before|During|Since|When|Where|While|As|If|But|And|Or|So|Not|No|Most|Many|Some|All|Both|"
    r"Each|Every|One|Two|Three|Four|Five|Several|Dozens|Hundreds|Thousands|Who|What|Which|How|Why|Today|However|Although|"
    r"Because|Also|Other|Another|Such|To|Of|Is|Was|Are|Were|Has|Have|Had|Up|Only|Then|Now|Under|Over|Between|Among)"
    r"(?![\p{L}\p{M}’'-]))"
)
# What a name can begin with comes first: nearly every word of a text begins none.
_NAME = rf"(?<![\p{{L}}\p{{N}}])(?=\p{{Lu}}|(?:al|el|bin|ibn)-){_NO_NAME}(?:{_TITLE}){_RUN}(?![\p{{L}}\p{{N}}])"
_DISTANCE_FROM = (
    rf"(?:{_ABOUT}(?:{NUMBER})\s+{_UNIT}(?:\s+\([^)]*\))?\s+)?"
    r"(?:(?:to\s+(?:the\s+)?)?(?:north|south|east|west)(?:east|west|ern)?\s+(?:and\s+\w+\s+)?of\s+)"
)

_ENGLISH: Mapping[AnswerType, str] = {
    "year": rf"(?<![\p{{L}}\p{{N}}.,])(?:{_YEARS})(?![\p{{L}}\p{{N}}]|[.,]\d)",
    "date": _DATE,
    "duration": rf"{_ABOUT}{NUMBER}[\s-]+{_TIME_UNIT}\b",
    "age": rf"(?:aged?\s+(?:of\s+)?)?{NUMBER}(?:[\s-]+years?(?:[\s-]+(?:old|of\s+age))?)?",
    "measure": rf"{_ABOUT}{NUMBER}[\s-]*{_UNIT}(?![\p{{L}}\p{{N}}])(?:\s+\({NUMBER}\s*{_UNIT}\))?",
    "percent": (
        rf"{_ABOUT}(?:{NUMBER}\s*(?:%|percent(?:age\s+points)?\b|per\s+cent\b)|(?<!\p{{L}}){_FRACTION}(?!\p{{L}}))"
    ),
    "money": (
        rf"{_ABOUT}(?:{_CURRENCY}\s?(?:{_DIGITS})(?:\s*{_SCALE})?|{NUMBER}(?:\s+{_SCALE})?\s+(?:US\s+)?{_COINS}\b)"
    ),
    # No distance, no time; and "one who" is nobody counted.
    "count": (
        rf"{_ABOUT}(?!one\s+(?:who|which|that|of)\b)(?>{NUMBER})"
        rf"(?!\s*(?:%|percent)|[\s-]+(?:{_UNIT}|{_TIME_UNIT})(?![\p{{L}}\p{{N}}]))"
    ),
    "person": _NAME,
    "place": rf"(?:{_DISTANCE_FROM})?(?:the\s+)?{_NAME}",
    "name": _NAME,
}

_FLAGS = regex.VERSION1
# In a pattern of small letters, as sentences write them; a number may begin a sentence.
PHRASES: Mapping[AnswerType, regex.Pattern[str]] = {
    kind: regex.compile(pattern if kind in ("person", "place", "name", "date", "year") else f"(?i:{pattern})", _FLAGS)
    for kind, pattern in _ENGLISH.items()
}


# Most sentences hold no date, and to look for what every date has takes a tenth of the time. A distance is what makes
# places slow, and few sentences tell one.
_DATED = re.compile(r"\d|centur|day|noon|midnight|dawn|dusk|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec")
_DIRECTED = re.compile(r"north|south|east|west")
_PLACE_ALONE = regex.compile(rf"(?:the\s+)?{_NAME}", _FLAGS)


@lru_cache(maxsize=1 << 14)
def phrases(text: str, kind: AnswerType) -> tuple[Span, ...]:
    """Spans of ``text`` that are phrases of a kind, in order, not overlapping."""
    if kind == "date" and not _DATED.search(text):
        return ()
    pattern = _PLACE_ALONE if kind == "place" and not _DIRECTED.search(text) else PHRASES[kind]
    return tuple(Span(match.start(), match.end()) for match in pattern.finditer(text))


# Words after which the weight of a neighbour has fallen to 1/e.
_REACH = 4.0
# What is counted, or measured, stands right behind its number.
_BEHIND = 2.0
# How far a phrase must be ahead of the next of its sentence to be given by itself.
_LEAD = 1.3
_LEAD_OF_NAMES = 2.0
_NUMERIC = frozenset({"duration", "age", "measure", "percent", "money", "count"})


@dataclass(frozen=True, slots=True)
class Phrase:
    """``span`` of the sentence's text, of a kind.

    ``is_clear`` says whether no other phrase of the sentence could as well be meant: else the sentence is the answer.
    """

    span: Span
    type: AnswerType
    is_clear: bool = True


def best_phrase(text: str, found: Words, types: Sequence[AnswerType], weights: Sequence[float]) -> Phrase | None:
    """The phrase of a sentence that answers, of the first of the kinds that is in it.

    A phrase of nothing but words of the question answers nothing.

    Args:
        text: the sentence.
        found: its ``n`` words.
        weights: ``(n,)``, of those that are words of the question their inverse document frequency; 0 of the others.
    """
    places = [(at, weight) for at, weight in enumerate(weights) if weight]
    for kind in types:
        scored = []
        for span in phrases(text, kind):
            first, last = bisect_left(found.starts, span.start), bisect_left(found.starts, span.end)
            if not all(weights[first:last]):
                scored.append((_nearness(first, last, kind, places), -span.start, span))
        if scored:
            scored.sort(key=lambda each: each[:2], reverse=True)
            lead = _LEAD if kind in _NUMERIC else _LEAD_OF_NAMES
            return Phrase(scored[0][2], kind, len(scored) == 1 or scored[0][0] > lead * scored[1][0])
    return None


def _nearness(first: int, last: int, kind: AnswerType, places: Sequence[tuple[int, float]]) -> float:
    """Of the words ``[first, last)`` to those of the question, which come with their weights."""
    total = 0.0
    for at, weight in places:
        gap = first - at if at < first else max(at - last + 1, 0)
        behind = _BEHIND if kind in _NUMERIC and at >= last else 1.0
        total += behind * weight * math.exp(-gap / _REACH)
    return total
