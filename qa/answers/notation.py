"""How values are written: units, currencies, magnitudes, numbers and dates, as tables and as patterns of them.

The patterns are for English and for digits as Europe, America and India write them. Names of units and months are
written in one way or two, everything else in any case.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import regex

_Key = TypeVar("_Key")


class LatePattern:
    """A pattern that is compiled when it is first used, by one thread: the longest of them take a tenth of a second."""

    def __init__(self, pattern: str, flags: int = regex.VERSION1) -> None:
        self._pattern = pattern
        self._flags = flags
        self._compiled: Any = None
        _late.append(self)

    @property
    def compiled(self) -> Any:
        if self._compiled is None:
            with _compiling:
                self._compiled = self._compiled or regex.compile(self._pattern, self._flags)
        return self._compiled


_late: list[LatePattern] = []
_compiling = threading.Lock()


def compile_patterns() -> None:
    """Compile what was not used yet, so that no question has to wait for it; a fifth of a second of the processor."""
    for pattern in _late:
        pattern.compiled  # noqa: B018


# Each unit as factor to the first of its kind; "1" is what has no unit.
_UNITS_BY_KIND: Mapping[str, Mapping[float, str]] = {
    "duration": {
        1e-3: "ms milliseconds? msec",
        1: "s secs? seconds?",
        60: "mins? minutes?",
        3600: "h hrs? hours?",
        86_400: "days? nights?",
        604_800: "wks? weeks?",
        2_629_746: "months?",
        31_556_952: "yrs? years?",
        315_569_520: "decades?",
        3_155_695_200: "century centuries",
    },
    "length": {
        1e-3: "mm millimet(?:er|re)s?",
        1e-2: "cm centimet(?:er|re)s?",
        1: "m met(?:er|re)s?",
        1000: "km kilomet(?:er|re)s? kms",
        0.0254: "inch inches",
        0.3048: "ft feet foot ′",
        0.9144: "yds? yards?",
        1609.344: "mi miles?",
        1852: "nmi nautical\\smiles?",
    },
    "area": {
        1: "m² m2 square\\smet(?:er|re)s? sq\\sm",
        1e4: "ha hectares?",
        4046.856: "acres?",
        1e6: "km² km2 square\\skilomet(?:er|re)s? sq\\skm",
        2_589_988: "square\\smiles? sq\\smi mi²",
        0.0929: "square\\sfeet sq\\sft ft²",
    },
    "mass": {
        1e-6: "mg milligrams?",
        1e-3: "g grams?",
        1: "kg kilos? kilograms?",
        1000: "t tons? tonnes?",
        0.45359: "lbs? pounds?",
        0.02835: "oz ounces?",
        6.35: "stone",
    },
    "volume": {
        1e-3: "ml mL millilit(?:er|re)s?",
        1e-2: "cl",
        1: "l L lit(?:er|re)s?",
        3.7854: "gal gallons?",
        1000: "m³ m3 cubic\\smet(?:er|re)s?",
        0.5683: "pints?",
    },
    "speed": {1: "km/h kph kmh", 1.609344: "mph", 1.852: "knots? kn", 3.6: "m/s"},
    "power": {1: "W watts?", 1e3: "kW kilowatts?", 1e6: "MW megawatts?", 1e9: "GW gigawatts?"},
    "energy": {1: "kWh", 1e3: "MWh", 1e6: "GWh"},
    "voltage": {1e-3: "mV", 1: "V volts?", 1e3: "kV"},
    "current": {1e-3: "mA", 1: "A amps? amperes?"},
    "frequency": {1: "Hz hertz", 1e3: "kHz", 1e6: "MHz", 1e9: "GHz"},
    "pressure": {1: "Pa", 1e3: "kPa", 1e5: "bar bars", 1e6: "MPa", 6894.76: "psi"},
    "data": {1: "bytes?", 1e3: "KB kB kilobytes?", 1e6: "MB megabytes?", 1e9: "GB gigabytes?", 1e12: "TB terabytes?"},
    "temperature": {1: "°\\s?C ℃ degrees(?:\\sCelsius)? °"},
    "temperature-f": {1: "°\\s?F degrees\\sFahrenheit"},
    "percent": {1: "% percent per\\scent percentage\\spoints? pct"},
}
# Currencies are not converted: each is a kind of its own.
CURRENCIES = {
    "$": r"US\$ \$ USD dollars? bucks",
    "€": "€ EUR euros?",
    "£": "£ GBP pounds\\ssterling quid",
    "¥": "¥ JPY yen CNY yuan RMB",
    "₹": "₹ INR Rs\\.? rupees?",
    "CHF": "CHF francs? Fr\\.",
    "kr": "kr SEK NOK DKK kronor kroner krona",
    "¢": "¢ cents?",
    "A$": r"A\$ AUD",
    "C$": r"C\$ CAD",
}
MAGNITUDES = {
    12: "dozen",
    100: "hundred",
    1e3: "thousand k K",
    1e5: "lakhs?",
    1e6: "million mn m M mio",
    1e7: "crores?",
    1e9: "billion bn B",
    1e12: "trillion tn",
}
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = {word: float(number) for number, word in enumerate(_SMALL)} | {
    word: 10.0 * number for number, word in enumerate(_TENS, start=2)
}
MONTHS = "january february march april may june july august september october november december".split()


def _alternatives(table: Mapping[_Key, str]) -> str:
    """One pattern of all names in a table, the longest first, so that "minutes" is not "m" and a rest."""
    return "|".join(sorted((name for names in table.values() for name in names.split()), key=len, reverse=True))


UNITS = {(kind, factor): names for kind, units in _UNITS_BY_KIND.items() for factor, names in units.items()}
END = r"(?![\p{L}\p{N}])"
UNIT = rf"(?:{_alternatives(UNITS)}){END}"
CURRENCY = rf"(?:{_alternatives(CURRENCIES)})"
DIGITS = (
    r"(?:\d{1,3}(?:[\u00a0\u2009\u202f ]\d{3})+(?!\d)|\d+(?:[.,'’]\d+)*)(?:\s?[½¼¾⅓⅔]|(?:\s\d+)?/\d+(?![/\d]))?"
    r"(?:\s?[×x·*]\s?10\s?(?:\^\s?[-−+]?\d+|[⁻⁺]?[⁰¹²³⁴-⁹]+)|[eE][-+]?\d+)?|[½¼¾⅓⅔]"
)
WORDS = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_SMALL[1:10])}))?|{'|'.join(sorted(_SMALL, key=len, reverse=True))}"
    rf"|an?(?=\s(?:half|quarter|dozen|hundred|thousand|million|billion|trillion){END})|half)(?![\p{{L}}])"
    r"(?:\sand\sa\shalf)?"
)
MAGNITUDE = rf"(?:\s?(?:{_alternatives(MAGNITUDES)}){END})"
NUMBER = rf"(?:{DIGITS}|{WORDS}){MAGNITUDE}*"
SIGN = r"(?:(?<![\p{L}\p{N})\]])[-−–+±](?=[\d$€£¥₹])|minus\s|plus\s)"
_ONE = (
    rf"(?:{SIGN}?(?:{CURRENCY}\s?)?{SIGN}?{NUMBER}(?:[\s-]?{UNIT}|\s?{CURRENCY}{END})?"
    rf"(?:(?:,?\s(?:and\s)?){NUMBER}\s?{UNIT})*)"
)
PER = (
    r"(?:\s?/\s?|\s(?:per|an?|each)\s)(?:hour|minute|second|day|week|month|year|night|head|person|lift|litre|liter|"
    rf"kg|km|mile|h|s|min|unit|member|head|square\smet(?:er|re)){END}"
)
_TIMES = rf"(?:\s?[×x]\s?{_ONE})"
_TOLERANCE = rf"(?:\s?(?:±|\+/-|plus\sor\sminus)\s?{_ONE})"
AMOUNT = rf"{_ONE}{_TIMES}*{_TOLERANCE}?"
BOUND = (
    r"(?:(?:no|not)\s(?:more|less|fewer|later|earlier|longer|greater|higher|lower)\sthan|(?:more|less|fewer|greater|"
    r"higher|lower|longer|older|younger)\sthan|at\s(?:the\s)?(?:least|most)|up\sto|as\s(?:many|much|few|little)\sas|"
    r"(?:a\s)?(?:minimum|maximum)\sof|just\s(?:over|under)|an\sestimated|about|around|approximately|approx\.|roughly|"
    r"nearly|almost|over|under|above|below|exceeding|circa|ca?\.|[~≈≤≥<>])"
)
AFTER = r"(?:\sor\s(?:more|less|fewer|over|older|younger|longer|above|below)|\sat\s(?:the\s)?(?:most|least))"
TO = r"(?:\s?(?:[-–—]|to|up\sto|until|and|or|through)\s?)"

MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
YEAR = r"(?:1\d{3}|20\d{2})(?!\d)"
DAY = r"\d{1,2}(?:st|nd|rd|th)?(?!\d)"
_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?(?:[ap]\.?m\b\.?|h\b))?|\d{1,2}(?:\.\d{2})?\s?[ap]\.?m\b\.?"
DATE = (
    rf"(?:{_WEEKDAY},?\s)?(?:the\s)?(?:{DAY}\s(?:of\s)?{MONTH}(?:,?\s{YEAR})?|{MONTH}\s{DAY}(?:,?\s{YEAR})?"
    rf"|{MONTH},?\s{YEAR}|\d{{4}}-\d\d?-\d\d?(?:[T\s]\d\d?:\d\d(?::\d\d)?)?|\d\d?[./]\d\d?[./]\d{{2,4}}(?!\d))"
)


def named(name: str, table: Mapping[_Key, str], default: _Key) -> _Key:
    """Find the entry whose names match; letters as they are written come before letters of any case ("M", "m")."""
    for flags in (0, regex.IGNORECASE):
        for key, names in table.items():
            if any(regex.fullmatch(pattern, name, flags) for pattern in names.split()):
                return key
    return default
