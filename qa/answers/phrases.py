"""Phrases of a kind in a sentence: dates, numbers with their units, names. By language, as a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import regex

from qa.answers.answer_types import AnswerType
from qa.types import Span

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
