"""What kind of thing a question asks for, where its words tell: by language, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import regex

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
_ENGLISH: Sequence[tuple[str, tuple[AnswerType, ...]]] = (
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
    "en": tuple((regex.compile(pattern, regex.IGNORECASE), types) for pattern, types in _ENGLISH),
}


def answer_types(question: str) -> tuple[AnswerType, ...]:
    """The kinds of phrase that would answer, the likeliest first; nothing where the question's words do not tell."""
    for rules in QUESTIONS.values():
        for pattern, types in rules:
            if pattern.search(question):
                return types
    return ()
