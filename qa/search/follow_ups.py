"""A question that leans on the one before, made into one that stands alone: by rules, in English, German and French.

A follow-up asks the same of something else ("and in 2023?", "what about Oslo?"), something else of the same ("why?"),
or points back ("how much does it cost?"). A question that does none of it, or is in another language, comes back as it
is. What the rules bring is measured in benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from qa.search.query import find_question
from qa.types import Turn

# Words of a part of a sentence, of a thing that is pointed at, of an answer that names one, and of a question made.
_MOST_OF_PART = 6
_MOST_OF_THING = 12
_MOST_OF_NAME = 6
_MOST_OF_QUESTION = 60

_WORD = regex.compile(r"[\p{L}\p{N}€$£%](?:[\p{L}\p{N}'’.,€$£%&/-]*[\p{L}\p{N}€$£%])?")
# Where another clause begins.
_JOINT = regex.compile(
    r"[,;]|\b(?:and|but|or|when|where|if|because|after|before|while|that|than|which|who|to|said|says?|announced?|compare"
    r"|(?!during)\p{L}+ing|und|oder|wenn|dass|weil|et|ou|si|que|qui)\b",
    regex.IGNORECASE,
)
# The first, the most: said of what is pointed at. And what may point by itself, or at what is named behind it.
_RANKS = frozenset("most first last newer next new".split())
_POINTING = frozenset("this these those that dies diese dieser dieses diesen diesem".split())
# Of a noun, in a noun's own phrase. Behind these verbs stands what something is, or what was done to it.
_OF_PERSON = frozenset("who whom wer wen wem qui".split())
_OF = frozenset("of von de du des".split())
_BEING = frozenset("is are was were ist sind war waren wurde wurden est sont était".split())
_DOING = frozenset("do does did".split())
_PARTICIPLE = regex.compile(r"(?:ed|en|built|made|held|found|sold|lost)$|^ge\p{L}+t$")
_TAIL = regex.compile(r"[\s?!.:;,…]+$")
# The one in Oslo, celle de Lille: what stands for the thing is left out.
_ONE = regex.compile(
    r"(?:the\s+ones?|those|that|d(?:er|ie|as|en)|cel(?:ui|le|les)|ceux)\s+(?=(?:in|at|on|from|of|for|von|aus|für|de|du|à)\b)",
    regex.IGNORECASE,
)
_OWN = regex.compile(r"^(?:its|their|his|her)\b", regex.IGNORECASE)
_YEAR = regex.compile(r"\b(?:1[0-9]|20)[0-9]{2}\b")


@dataclass(frozen=True, slots=True)
class _Rules:
    """The words of one language.

    ``common`` tell the language. ``lead`` may stand in front of any question, ``joins`` in front of a part of one;
    ``about`` asks the same of what follows.
    ``asks`` is a question word with what belongs to it, ``verbs`` are those that follow it. ``points`` finds a word
    that points back, by a group that says to what: a ``thing``, a ``person``, what ``owns`` what follows, or
    ``all`` that was asked. ``idle`` is where such words point at nothing.
    """

    common: frozenset[str]
    joins: frozenset[str]
    lead: regex.Pattern[str]
    about: regex.Pattern[str]
    asks: regex.Pattern[str]
    verbs: frozenset[str]
    prepositions: frozenset[str]
    determiners: frozenset[str]
    points: regex.Pattern[str]
    idle: regex.Pattern[str]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _pattern(text: str) -> regex.Pattern[str]:
    return regex.compile(text, regex.IGNORECASE)


_ENGLISH = _Rules(
    common=_set(
        "the a an of to what which who when where why how is are was were do does did can could and about it its they "
        "he she in for many much"
    ),
    joins=_set("and or but"),
    lead=_pattern(r"(?:and|but|so|then|now|also|or|ok|okay|well|right|great|thanks|thank you|yes|no|i see)\b[\s,.!]+"),
    about=_pattern(r"(?:what|how)\s+(?:about|of)\s+|(?:and\s+)?the\s+same\s+for\s+"),
    asks=_pattern(
        r"(?:(?:approximately|about|roughly|in|on|at|by|for|from|since|until|to|of|with)\s+)?"
        r"(?:why|when|where|who(?:se|m)?|what|which"
        r"|how(?:\s+(?:much|many|long|often|old|big|large|high|tall|far|fast|late|early|deep|heavy))?)"
        r"(?:\s+(?:exactly|else|so|not|then))?\b"
    ),
    verbs=_set(
        "is are was were do does did has have had can could will would shall should may might must isn't aren't wasn't "
        "weren't don't doesn't didn't"
    ),
    prepositions=_set("in on at for from to with without by during since until after before of around between"),
    determiners=_set("the a an its their his her my our your this that these those"),
    points=_pattern(
        r"\b(?:did|does|is|was|do)\s+(?P<all>(?:that|this|it)(?:\s+(?:so|happen|occur|take\s+place))?)(?=\W*$)"
        r"|(?P<owns>\b(?:its|theirs?|his)\b|\bher\b(?=\s+\p{L}))|(?P<person>\b(?:he|him|she|hers?)\b)"
        r"|(?P<thing>\b(?:it(?!['’])|they|them|these|those(?!\s+(?:at|in|of|on|who|that|with|from)\b)"
        r"|(?:the\s+)?same(?=\W*$|\s+(?:for|in|on|at|with|to)\b)|(?:which|that|another|each|every|other)\s+ones?)\b"
        r"|\bthis\b(?!\s+(?:year|month|week|morning|evening|afternoon|day|time|way|season|century|decade)\b)"
        r"|(?<=\b(?:is|was|did|does|do|of|about|for|with|in|on|to|during|before|after|since|like|than)\s)that\b"
        r"|\b(?:that|there)\b(?=\W*$))"
    ),
    # It is possible to, it takes long to; but not: it has to.
    idle=_pattern(
        r"\bit(?:'s)?\s+(?!ha[sv]e?\b|going\b|need|want|used\b|able\b|likely\b)"
        r"(?:(?:\w+\s+){1,2}?(?:to|that|if|when|whether|how)\b|(?:take|mean|called)\b.*?\b(?:to|for|when)\b|seems?\b|appears?\b)"
        r"|\b(?:is|are|was|were|be|been)\s+there\b|(?-i:\bIT\b)"
    ),
)
_GERMAN = _Rules(
    common=_set(
        "der die das den dem des ein eine was welche welcher welches wer wann wo warum wie ist sind war waren und im "
        "für mit von es er sie viele viel wurde hat kostet"
    ),
    joins=_set("und oder aber"),
    lead=_pattern(r"(?:und|aber|also|dann|oder|ok|okay|gut|danke|ja|nein)\b[\s,.!]+"),
    about=_pattern(r"was\s+ist\s+mit\s+|wie\s+(?:ist|sieht|steht)\s+(?:es|das)\s+(?:mit|bei)\s+|dasselbe\s+für\s+"),
    asks=_pattern(
        r"(?:(?:in|an|auf|bei|für|seit|bis|von|zu|mit|aus)\s+)?(?:warum|weshalb|wieso|wann|wo|woher|wohin|we[rnm]"
        r"|wessen|was|wie(?:\s+(?:viele?|lange|oft|alt|gro(?:ß|ss)|hoch|weit|schnell|teuer))?|welche[nmrs]?|wozu|womit)"
        r"(?:\s+(?:genau|sonst|nicht|denn))?\b"
    ),
    verbs=_set(
        "ist sind war waren wird werden wurde wurden hat haben hatte hatten kann können konnte darf dürfen muss müssen "
        "soll sollen will gibt kostet kosten kam kamen"
    ),
    prepositions=_set("in im am an auf für mit ohne von vom zu zum zur bei beim seit bis aus nach vor über um"),
    determiners=_set("der die das den dem des ein eine einen einem einer sein seine ihr ihre"),
    points=_pattern(
        r"\b(?:ist|war|passierte|geschah)\s+(?P<all>das(?:\s+so)?)(?=\W*$)"
        r"|(?P<thing>\b(?:es|sie|ihn|ihm|er|dies|diese[mnrs]?|dort|dorthin|davon|dafür|damit|darin|dazu|darüber|dessen"
        r"|deren|seine?[mnrs]?|ihre?[mnrs]?|das\s+gleiche|dasselbe)\b)"
    ),
    idle=_pattern(
        r"\bes\s+(?:\w+\s+){0,2}?(?:zu|dass|wenn)\b|\b(?:gibt|gab|geht|regnet|handelt|dauert)\s+es\b|\bes\s+(?:gibt|gab|geht)\b"
    ),
)
_FRENCH = _Rules(
    common=_set(
        "le la les un une des de du et en est sont était que qui quoi quel quelle quels quelles quand où pourquoi "
        "comment combien dans pour avec il elle ils elles ce cette a par celle celui"
    ),
    joins=_set("et ou mais"),
    lead=_pattern(r"(?:et|mais|ou|alors|donc|puis|ok|d['’]accord|merci|oui|non)\b[\s,.!]+"),
    about=_pattern(r"(?:qu['’]en\s+est-il|quid)\s+(?=de|du|des|d['’]|pour)|la\s+même\s+chose\s+pour\s+"),
    asks=_pattern(
        r"(?:(?:de|à|en|dans|par|pour|avec|depuis|sur)\s+)?(?:pourquoi|quand|où|qui|quoi|comment|combien"
        r"|quels?|quelles?)(?:\s+(?:exactement|pas|donc))?(?![\p{L}'’])"
    ),
    verbs=_set("est sont était étaient a ont avait sera peut peuvent doit doivent coûte coûtent est-ce"),
    prepositions=_set("en dans à au aux pour de du des par avec sans depuis sur chez vers pendant après avant"),
    determiners=_set("le la les un une des son sa ses leur leurs ce cette ces celle celui ceux celles"),
    points=_pattern(
        r"\best-ce\s+(?P<all>arrivé)(?=\W*$)"
        r"|(?P<thing>\b(?:ils?|elles?|lui|cela|ça|y|leurs?|son|sa|ses|là-bas|ce(?:lui|lle|ux|lles)-ci)\b)"
    ),
    # What a noun before the verb is taken up by: la piscine est-elle.
    idle=_pattern(
        r"\bil\s+(?:y\s+a|faut|est\s+\w+\s+(?:de|que)|fait|pleut)\b|\by\s+a-t-il\b|\bfaut-il\b"
        r"|\b(?:le|la|les|un|une|[ld]['’])\s?[\p{L}-]+(?:\s[\p{L}-]+){0,8}\s\p{L}+-(?:t-)?(?:ils?|elles?)\b"
    ),
)
_LANGUAGES = (_ENGLISH, _GERMAN, _FRENCH)


# A question of a batch is resolved three times; one may be kept with 130 kB of what was asked before.
@lru_cache(maxsize=64)
def resolve(question: str, previous: Sequence[Turn]) -> str:
    """Make a question that stands alone of one that follows ``previous``, the oldest first.

    It comes back as it is where it stands alone already, where there is nothing before it, and where what would be made
    of it is too long.
    """
    before = ""
    answer = ""
    for turn in previous:
        before, answer = _resolve(find_question(turn.question), before, answer), turn.answer
    return _resolve(question, before, answer)


def _resolve(question: str, before: str, answer: str) -> str:
    text, last = _bare(question), _bare(before)
    if not text or not last or (rules := _language(f"{last} {text}")) is None:
        return question
    rest = text
    while match := rules.lead.match(rest):
        rest = rest[match.end() :]
    is_led = _words(text)[0] in rules.joins and not question.rstrip().endswith("!")
    made = _rewritten(rules, rest, last, answer, is_led=is_led)
    return f"{made[0].upper()}{made[1:]}?" if made and len(made.split()) <= _MOST_OF_QUESTION else question


def _rewritten(rules: _Rules, rest: str, last: str, answer: str, *, is_led: bool) -> str:
    """Rewrite a question without its lead; empty where it stands alone."""
    if match := rules.about.match(rest):
        return _same_of_another(rules, rest[match.end() :], last)
    found = _words(rest)
    asked = rules.asks.match(rest)
    if asked and not (more := rest[asked.end() :].strip()):
        return _another_of_same(rules, rest, last)
    if asked and _begins(rules.prepositions, more) and _is_part(rules, more):
        return _same_of_another(rules, more, _another_of_same(rules, asked.group(), last))
    is_part = not asked and found and found[0] not in rules.verbs and _is_part(rules, rest)
    if is_part and (is_led or _begins(rules.prepositions, rest)):
        return _same_of_another(rules, rest, last)
    return _pointed(rules, rest, last, answer)


def _is_part(rules: _Rules, text: str) -> bool:
    """Tell whether a text is a part of a sentence, which has no verb that is known."""
    # As they are written: May is a month, and may is a verb.
    found = [word.group() for word in _WORD.finditer(text)]
    return 0 < len(found) <= _MOST_OF_PART and rules.verbs.isdisjoint(found)


def _begins(words: frozenset[str], text: str) -> bool:
    found = _words(text)
    return bool(found) and found[0] in words


def _same_of_another(rules: _Rules, part: str, last: str) -> str:
    """Ask the last question with ``part`` in the place of what it stands for: of the same kind, else behind it."""
    part = _ONE.sub("", part)
    years = _YEAR.findall(part)
    if years and _YEAR.search(last):
        # What else it says, as "in May of 2012", is of another kind than a year.
        return _YEAR.sub(years[-1], last) if len(_words(part)) <= 2 else f"{last} {part}"
    words = _words(part)
    if words[0] in rules.prepositions:
        place = _phrase(rules, last, words[0], holds_digit=any(map(str.isdigit, part)))
        return _put(last, place, part) if place else f"{last} {part}"
    part = _OWN.sub("the", part)
    for place in (_beside(words, last), _name(rules, part, last), _thing_in(rules, part, last)):
        if place:
            return _put(last, place, part)
    return f"{last}, {part}"


def _put(text: str, place: tuple[int, int], part: str) -> str:
    return f"{text[: place[0]]}{part}{text[place[1] :]}"


def _phrase(rules: _Rules, text: str, preposition: str, *, holds_digit: bool) -> tuple[int, int] | None:
    """Find the last part that begins with a preposition, up to the next one: of a number for a number."""
    found = list(_WORD.finditer(text))
    for at in range(len(found) - 2, -1, -1):
        if found[at].group().lower() != preposition:
            continue
        end = at + 1
        stop = rules.prepositions | rules.verbs
        while end + 1 < len(found) and found[end + 1].group().lower() not in stop:
            # A name, and a number, end before the verb: in Oslo close.
            if found[end].group()[0].isupper() != found[end + 1].group()[0].isupper() or found[end].group().isdigit():
                break
            end += 1
        phrase = text[found[at].start() : found[end].end()]
        if any(map(str.isdigit, phrase)) == holds_digit:
            return found[at].start(), found[end].end()
    return None


def _beside(words: Sequence[str], text: str) -> tuple[int, int] | None:
    """Find what ends in the same word, and is as long: "family size" for "household size"."""
    found = list(_WORD.finditer(text))
    for at, word in enumerate(found):
        if len(words) > 1 and word.group().lower() == words[-1] and at + 1 >= len(words):
            return found[at + 1 - len(words)].start(), word.end()
    return None


def _name(rules: _Rules, part: str, text: str) -> tuple[int, int] | None:
    """Find the last name, for a name."""
    if _begins(rules.determiners, part) or not all(word.group()[0].isupper() for word in _WORD.finditer(part)):
        return None
    # In German a noun behind a name has a capital too.
    names = [(start, end) for start, end in _names(text) if len(_words(text[start:end])) <= len(_words(part)) + 1]
    return names[-1] if names else None


def _names(text: str) -> list[tuple[int, int]]:
    """Find runs of words with capitals, but for the first word of a question."""
    runs: list[tuple[int, int]] = []
    previous = -1
    for at, word in enumerate(_WORD.finditer(text)):
        if at == 0 or not word.group()[0].isupper():
            continue
        end = word.end() - 2 if word.group().endswith(("'s", "’s")) else word.end()
        if runs and at == previous + 1 and text[runs[-1][1] : word.start()].isspace():
            runs[-1] = runs[-1][0], end
        else:
            runs.append((word.start(), end))
        previous = at
    return runs


def _thing_in(rules: _Rules, part: str, text: str) -> tuple[int, int] | None:
    """Find the thing that ``part`` takes the place of: what has a determiner too, else what ends the question."""
    found = list(_WORD.finditer(text))
    asked = rules.asks.match(text)
    first = next((at for at, word in enumerate(found) if not asked or word.start() >= asked.end()), len(found))
    if _begins(rules.determiners, part):
        starts = [at for at in range(first, len(found) - 1) if found[at].group().lower() in rules.determiners]
        if not starts:
            return None
        end = starts[0] + 1
        stop = rules.prepositions | rules.verbs | rules.determiners
        while end + 1 < len(found) and found[end + 1].group().lower() not in stop:
            end += 1
        return found[starts[0]].start(), found[end].end()
    counts = asked is not None and regex.search(r"many|much|viele?|combien", asked.group(), regex.IGNORECASE)
    if counts and first < len(found) and found[first].group().lower() not in rules.verbs | rules.determiners:
        # How many passengers: and cars.
        return found[first].start(), found[first].end()
    if first + 2 < len(found) and found[first].group().lower() in _DOING and len(_words(part)) == 1:
        # Where do apples grow: and plums.
        return found[first + 1].start(), found[first + 1].end()
    if len(found) > 2 and found[-2].group().lower() in rules.prepositions:
        return found[-1].start(), found[-1].end()
    return None


def _another_of_same(rules: _Rules, asks: str, last: str) -> str:
    """Ask ``asks`` of what the last question was about: its own question word is left out."""
    head = asks[0].upper() + asks[1:]
    asked = rules.asks.match(last)
    if asked is None:
        return f"{head} {last[0].lower()}{last[1:]}"
    rest = last[asked.end() :].strip()
    for word in _WORD.finditer(rest):
        # In what year did: up to the verb.
        if word.group().lower() in rules.verbs:
            return f"{head} {rest[word.start() :]}"
    return f"{head} {rest}"


def _pointed(rules: _Rules, text: str, last: str, answer: str) -> str:
    """Say what a question points at, in place of the word that points; empty where none does."""
    idle = [match.span() for match in rules.idle.finditer(text)]
    for match in rules.points.finditer(text):
        kind = str(match.lastgroup)
        start, end = match.span(kind)
        is_idle = any(first <= start and end <= after for first, after in idle)
        if is_idle or _is_said_before(rules, text[:start], owns=kind == "owns"):
            continue
        if kind == "all":
            asked = rules.asks.match(text)
            return _another_of_same(rules, asked.group() if asked else text, last)
        word = match.group(kind).lower()
        is_person = kind == "person" or word in ("his", "her")
        thing = (
            _thing(last, answer, is_person=is_person, owns=kind == "owns")
            if rules is _ENGLISH
            else _all_asked(rules, last, answer)
        )
        if not thing or len(_words(thing)) > _MOST_OF_THING:
            return f"{text}, {last[0].lower()}{last[1:]}"
        behind = text[end:].lstrip(" ")
        is_followed = word in _POINTING and behind and not _begins(rules.verbs | rules.prepositions, behind)
        if rules is not _ENGLISH or " " in word or is_followed:
            # The thing has other forms in other places of a sentence, and "this edict" says itself what it is.
            return f"{text}, {thing}"
        if kind == "owns":
            return _put(text, (start, end), f"{thing}'" if thing.endswith("s") else f"{thing}'s")
        return _put(text, (start, end), thing)
    return ""


def _is_said_before(rules: _Rules, text: str, *, owns: bool) -> bool:
    """Tell whether a question itself says, before the word that points, what it may point at.

    Within a clause only what owns can point at what the clause is of: "does the board have its own rules", and not
    "what happened to the crew during it".
    """
    asked = rules.asks.match(text)
    words = [word for word in _WORD.finditer(text) if not asked or word.start() >= asked.end()]
    if not asked and words and words[0].group().lower() not in rules.verbs and (owns or len(words) > 2):
        return True
    for at, word in enumerate(words):
        small = word.group().lower()
        if small in rules.determiners:
            is_noun = (
                at + 1 < len(words) and words[at + 1].group().lower() not in _RANKS and not rules.points.match(small)
            )
        elif at == 0:
            # How many households have.
            is_noun = not owns and small not in rules.verbs
        else:
            is_noun = rules is not _GERMAN and word.group()[0].isupper()
        if is_noun and (owns or _JOINT.search(text[word.end() :])):
            return True
    return False


def _thing(last: str, answer: str, *, is_person: bool, owns: bool) -> str:
    """Find what the last question, in English, was about, or what answered it."""
    rules = _ENGLISH
    asked = rules.asks.match(last)
    names = [last[start:end] for start, end in _names(last)]
    rest = last[asked.end() :].strip() if asked else last
    named = _named(answer)
    of_person = asked is not None and asked.group().lower() in _OF_PERSON
    by_answer = of_person and named[:1].isupper()
    if is_person and (by_answer or names):
        return named if by_answer else names[0]
    words = list(_WORD.finditer(rest))
    at = next((at for at, word in enumerate(words) if word.group().lower() in rules.verbs), None) if asked else None
    # Which gorge is between them: what was asked for is the thing.
    is_subject = at is None or (0 < at < len(words) - 1 and not _is_thing(rules, words[at + 1].group()))
    if asked and named and (of_person or is_subject):
        return named
    if at is None:
        return rest
    subject, whole = _subject(rules, rest[words[at].end() :].strip(), words[at].group().lower())
    # When did Dewar experiment on oxygen, when was it developed: a name is not always what is meant.
    return subject if is_person or owns or is_subject or subject not in names else whole


def _all_asked(rules: _Rules, last: str, answer: str) -> str:
    """Return what a question says behind its question word and its verb, and the answer where that is a person."""
    asked = rules.asks.match(last)
    if asked is None:
        return last
    rest = last[asked.end() :].strip()
    found = _WORD.match(rest)
    if found is not None and found.group().lower() in rules.verbs:
        rest = _subject(rules, rest[found.end() :].strip(), found.group().lower())[0]
    named = _named(answer)
    return f"{named}, {rest}" if named[:1].isupper() and asked.group().lower() in _OF_PERSON else rest


def _named(answer: str) -> str:
    """Return an answer that can name a thing: of a few words, and no number."""
    named = _bare(answer)
    return named if len(_words(named)) <= _MOST_OF_NAME and not any(map(str.isdigit, named)) else ""


def _is_thing(rules: _Rules, word: str) -> bool:
    return word.lower() in rules.determiners or word[0].isupper()


def _subject(rules: _Rules, text: str, verb: str) -> tuple[str, str]:
    """Find the subject in what follows an auxiliary ``verb``, up to the verb proper, and all of what follows."""
    if _begins(rules.prepositions, text):
        # How many items are in the collection.
        text = text.partition(" ")[2].strip()
    words = list(_WORD.finditer(text))
    end = len(words)
    if verb not in _BEING:
        stop = rules.prepositions - _OF
        end = next((at for at, word in enumerate(words) if at and word.group().lower() in stop), len(words))
        # How much does a membership cost: the last word is the verb.
        end -= end > 1 and not words[end - 1].group()[0].isupper()
        # When did Poland join the league: so it is where a name is the subject.
        named = next((at for at, word in enumerate(words[:end]) if not word.group()[0].isupper()), end)
        end = named or end
    elif end > 1 and _PARTICIPLE.search(words[end - 1].group()):
        end -= 1
    return (text[: words[end - 1].end()] if end else ""), text


def _language(text: str) -> _Rules | None:
    """Find the language by its most common words; ``None`` where none of them is there."""
    found = set(_words(text))
    best = max(_LANGUAGES, key=lambda rules: len(rules.common & found))
    return best if best.common & found else None


def _bare(text: str) -> str:
    return str(_TAIL.sub("", text)).strip()


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _WORD.finditer(text)]
