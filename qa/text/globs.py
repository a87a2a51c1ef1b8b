"""Names chosen by globs: ids of documents and titles of sections, in time linear in the names and in the patterns.

A pattern that is a name, or a beginning with ``*`` behind it, is looked up. All others together become one automaton
that reads each name once, a step for each character, many names side by side: the Shift-And method (Baeza-Yates and
Gonnet 1992), with ``*`` as a state that stays. No pattern makes it go back.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate

import numpy as np

# Patterns of one query, their characters, and the characters of those that need the automaton: with 100,000 names of 60
# characters it then takes about a quarter of a second of one core.
MOST_GLOBS = 100
MOST_CHARACTERS = 10_000
MOST_WILD_CHARACTERS = 1_000
# Steps of comparing names with patterns, about three seconds of one core: for a name one for each 64 characters of the
# patterns, and as long as these few for reading it.
MOST_STEPS = 20_000_000
_STEPS_OF_A_NAME = 4

_WILD = re.compile(r"[*?\[]")
# Names that are read side by side.
BLOCK = 2048
_BITS = 64


def find_excess(globs: Sequence[str]) -> str:
    """Return which bound a query's globs exceed, as a clause; empty where they are within all."""
    if len(globs) > MOST_GLOBS:
        return f"there are {len(globs):,} patterns; at most {MOST_GLOBS} are allowed"
    for most, kind, counted in (
        (MOST_CHARACTERS, "patterns", globs),
        (MOST_WILD_CHARACTERS, "patterns with *, ? or [ in them", [glob for glob in globs if _WILD.search(glob)]),
    ):
        if (length := sum(map(len, counted))) > most:
            return f"the {kind} have {length:,} characters; at most {most:,} are allowed together"
    return ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What globs come to: names, beginnings of names, and patterns that names are compared with; all of them folded.

    ``every`` says that all names are chosen.
    """

    every: bool
    names: tuple[str, ...]
    beginnings: tuple[str, ...]
    patterns: tuple[str, ...]

    @property
    def compared(self) -> list[tuple[str, str | None]]:
        """The ranges of names that have to be compared with the patterns, as :func:`beginning_range` gives them.

        A pattern can only match a name that begins with what is before its first wildcard.
        """
        merged: list[tuple[str, str | None]] = []
        for low, high in sorted(beginning_range(_WILD.split(pattern, maxsplit=1)[0]) for pattern in self.patterns):
            # Sorted beginnings: each is within the range before it, or behind it.
            if not merged or (merged[-1][1] is not None and low >= merged[-1][1]):
                merged.append((low, high))
        return merged

    def find_excess(self, compared: int) -> str:
        """Return, as a clause, that the patterns cannot be compared with so many names; empty where they can."""
        words = -(-sum(map(len, self.patterns)) // _BITS)
        if compared * (_STEPS_OF_A_NAME + words) <= MOST_STEPS:
            return ""
        return (
            f"{', '.join(map(repr, self.patterns[:3]))} would have to be compared with {compared:,} names; "
            "begin it with a folder, such as reports/*, or filter by type or folder"
        )


def beginning_range(beginning: str) -> tuple[str, str | None]:
    """Return the first name with a beginning, and the first one behind all of these; ``None`` where there is none."""
    # The next character, in the order of code points; halves of surrogate pairs are none that UTF-8 has.
    kept = beginning.rstrip("\U0010ffff")
    if not kept:
        return beginning, None
    code = ord(kept[-1]) + 1
    return beginning, kept[:-1] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)


def choose(globs: Iterable[str], is_name: Callable[[str], bool]) -> Choice:
    """Sort out what globs choose, in any case and Unicode form (NFC).

    A glob that is a name but does not match it, as ``[1].txt`` does not, chooses that name.

    Args:
        is_name: tells whether there is a name that folds to a text.
    """
    names, beginnings, patterns = [], [], []
    for glob in dict.fromkeys(map(fold, globs)):
        if not glob.strip("*") and glob:
            return Choice(True, (), (), ())
        names.append(glob)
        if not _WILD.search(glob) or (is_name(glob) and not re.match(translate(glob), glob)):
            continue
        if not _WILD.search(beginning := glob.rstrip("*")):
            beginnings.append(beginning)
        else:
            patterns.append(glob)
    return Choice(False, tuple(names), tuple(beginnings), tuple(patterns))


class Names:
    """Names in memory that are chosen by globs."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._places: dict[str, list[int]] = {}
        for at, name in enumerate(names):
            self._places.setdefault(fold(name), []).append(at)
        self._folded = sorted(self._places)

    def find(self, globs: Sequence[str]) -> list[int]:
        """Find the names, by their places, that any glob matches."""
        choice = choose(globs, self._places.__contains__)
        if choice.every:
            return list(range(len(self.names)))
        found = {name for name in choice.names if name in self._places}
        for beginning in choice.beginnings:
            found.update(self._between(*beginning_range(beginning)))
        if choice.patterns:
            compared = [name for low, high in choice.compared for name in self._between(low, high)]
            automaton = Automaton(choice.patterns)
            for start in range(0, len(compared), BLOCK):
                block = compared[start : start + BLOCK]
                found.update(block[at] for at in automaton.matching(block))
        return sorted(at for name in found for at in self._places[name])

    def _between(self, low: str, high: str | None) -> Sequence[str]:
        end = len(self._folded) if high is None else bisect_left(self._folded, high)
        return self._folded[bisect_left(self._folded, low) : end]


class Automaton:
    """All patterns as one automaton: a bit for each state, and a state for each character that was matched."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._any: set[int] = set()
        self._letters: dict[str, list[int]] = {}
        self._classes: list[tuple[int, re.Pattern[str]]] = []
        first, stays, last = [], [], []
        bit = 0
        for glob in globs:
            first.append(bit)
            for token in _tokens(glob):
                if token == "*":
                    stays.append(bit)
                    continue
                bit += 1
                if token == "?":
                    self._any.add(bit)
                elif len(token) == 1:
                    self._letters.setdefault(token, []).append(bit)
                else:
                    self._classes.append((bit, re.compile(translate(token))))
            last.append(bit)
            bit += 1
        self._words = -(-bit // _BITS)
        self._first, self._stays, self._last = self._mask(first), self._mask(stays), self._mask(last)
        self._steps: dict[int, np.ndarray] = {}

    def _mask(self, bits: Sequence[int]) -> np.ndarray:
        mask = np.zeros(self._words, np.uint64)
        for bit in bits:
            mask[bit // _BITS] |= np.uint64(1 << bit % _BITS)
        return mask

    def _step(self, code: int) -> np.ndarray:
        """Return the states that a character, by its code point, leads to."""
        if code not in self._steps:
            character = chr(code)
            classes = [bit for bit, pattern in self._classes if pattern.match(character)]
            self._steps[code] = self._mask([*self._any, *self._letters.get(character, ()), *classes])
        return self._steps[code]

    def matching(self, names: Sequence[str]) -> list[int]:
        """Find the places of the names, :data:`BLOCK` of them at most, that any pattern matches."""
        order = sorted(range(len(names)), key=lambda at: -len(names[at]))
        accepted = self._accepts([names[at] for at in order])
        return [order[at] for at in np.flatnonzero(accepted).tolist()]

    def _accepts(self, block: Sequence[str]) -> np.ndarray:
        """Tell of each name, the longest first, whether any pattern matches it."""
        lengths = np.array([len(name) for name in block])
        longest = int(lengths[0])
        states = np.tile(self._first, (len(block), 1))
        if longest:
            # (names, characters); a NUL at a name's end is a character too, and numpy keeps it in the buffer.
            codes = np.array(block, dtype=f"U{longest}").view(np.uint32).reshape(len(block), longest)
            # By a table of all characters up to the last one: to sort those of the block takes five times as long.
            numbers = np.zeros(int(codes.max()) + 1, np.int32)
            numbers[codes] = 1
            distinct = np.flatnonzero(numbers)
            numbers[distinct] = np.arange(len(distinct))
            numbers = numbers[codes]
            steps = np.stack([self._step(code) for code in distinct.tolist()])
            # Names are sorted by length: those that have a character at this place are the first ones.
            counts = np.searchsorted(-lengths, -np.arange(longest), side="left")
            for place, count in enumerate(counts.tolist()):
                now = states[:count]
                moved = now << np.uint64(1)
                moved[:, 1:] |= now[:, :-1] >> np.uint64(_BITS - 1)
                moved &= steps[numbers[:count, place]]
                now &= self._stays
                now |= moved
        accepted: np.ndarray = (states & self._last).any(axis=1)
        return accepted


def _tokens(glob: str) -> Iterator[str]:
    """Cut a glob into ``*``, ``?``, single characters, and classes such as ``[a-z]``, as :mod:`fnmatch` does."""
    at = 0
    while at < len(glob):
        end = at + 1
        if glob[at] == "[":
            # A bracket directly behind the opening one is a member of the class.
            inner = at + 1 + (glob[at + 1 : at + 2] == "!")
            closing = glob.find("]", inner + (glob[inner : inner + 1] == "]"))
            end = closing + 1 if closing >= 0 else end
        yield glob[at:end]
        at = end


def fold(name: str) -> str:
    """Return what equal names have in common: neither case nor Unicode form counts."""
    # NFC again: to fold the case of a letter may take it apart.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
