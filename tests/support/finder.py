"""An answer reader that is sure of the words it looks for, with no model behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import regex

from qa.protocols import Reading

_WORD = regex.compile(r"\w+|[^\w\s]")


class Finder:
    """Reads a text word by word; wherever one of ``wanted`` stands it scores ``score`` above "no answer here"."""

    name = "finder"
    window = 384
    fingerprint: Mapping[str, object] = {"weights": "finder"}

    def __init__(self, *wanted: str, score: float = 5.0) -> None:
        self._wanted = wanted
        self._score = score
        self.read_pairs: list[list[tuple[str, str]]] = []

    def load(self) -> None:
        pass

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        self.read_pairs.append(list(pairs))
        return [self._reading(text) for _, text in pairs]

    def _reading(self, text: str) -> Reading:
        offsets = np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
        starts = np.full(len(offsets), -10.0, dtype=np.float32)
        ends = starts.copy()
        found = [(text.find(each), text.find(each) + len(each)) for each in self._wanted if each in text]
        for place, (start, end) in enumerate(found):
            starts[offsets[:, 0] == start] = self._score / 2 - place
            ends[offsets[:, 1] == end] = self._score / 2 - place
        return Reading(offsets, starts, ends, 0.0, 3.0 if found else -5.0)
