"""Names chosen by globs: ids of documents and titles of sections, in time linear in the names and in the patterns.

A pattern that is a name, or a beginning with ``*`` behind it, is looked up. All others together become one automaton
that reads every name once, a step for each character, many names side by side: the Shift-And method (Baeza-Yates and
Gonnet 1992), with ``*`` as a state that stays. No pattern makes it go back.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import cached_property

import numpy as np

# Patterns of one query, their characters, and the characters of those that need the automaton: with 100,000 names of 60
# characters it then takes about a quarter of a second of one core.
MOST_GLOBS = 100
MOST_CHARACTERS = 10_000
MOST_WILD_CHARACTERS = 1_000

_WILD = re.compile(r"[*?\[]")
_BLOCK = 2048
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


class Names:
    """Names that are chosen by globs, in any case and Unicode form (NFC)."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for at, name in enumerate(self.names):
            places.setdefault(fold(name), []).append(at)
        return places

    @cached_property
    def _folded(self) -> list[str]:
        return sorted(self._places)

    @cached_property
    def _by_length(self) -> list[str]:
        return sorted(self._places, key=len, reverse=True)

    def find(self, globs: Sequence[str]) -> list[int]:
        """Find the names, by their places, that any glob matches.

        A glob that is a name but does not match it, as ``[1].txt`` does not, chooses that name.
        """
        found: set[int] = set()
        wild = []
        for glob in dict.fromkeys(map(fold, globs)):
            if not glob.strip("*") and glob:
                return list(range(len(self.names)))
            named = self._places.get(glob, [])
            found.update(named)
            if not _WILD.search(glob) or (named and not re.match(translate(glob), glob)):
                continue
            if not _WILD.search(beginning := glob.rstrip("*")):
                found.update(self._beginning_with(beginning))
            else:
                wild.append(glob)
        if wild:
            found.update(at for name in _Automaton(wild).matching(self._by_length) for at in self._places[name])
        return sorted(found)

    def _beginning_with(self, beginning: str) -> Iterator[int]:
        for number in range(bisect_left(self._folded, beginning), len(self._folded)):
            name = self._folded[number]
            if not name.startswith(beginning):
                return
            yield from self._places[name]


class _Automaton:
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

    def matching(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the names that any pattern matches; ``names`` come longest first."""
        for start in range(0, len(names), _BLOCK):
            block = names[start : start + _BLOCK]
            for at in np.flatnonzero(self._accepts(block)).tolist():
                yield block[at]

    def _accepts(self, block: Sequence[str]) -> np.ndarray:
        lengths = np.array([len(name) for name in block])
        longest = int(lengths[0])
        states = np.tile(self._first, (len(block), 1))
        if longest:
            # (names, characters); a NUL at a name's end is a character too, and numpy keeps it in the buffer.
            codes = np.array(block, dtype=f"U{longest}").view(np.uint32).reshape(len(block), longest)
            distinct, numbers = np.unique(codes, return_inverse=True)
            steps = np.stack([self._step(int(code)) for code in distinct])
            numbers = numbers.reshape(codes.shape)
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
