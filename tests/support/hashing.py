"""A deterministic encoder without weights, for unit tests only: no command or setting can choose it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import QuestionTooLong

if TYPE_CHECKING:
    from qa.types import Vectors

# Runs of at most eight word characters, so that scripts without spaces get several tokens.
_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")
_SPECIAL_TOKENS = 2


class HashingEncoder:
    """Signed feature hashing of lower-cased words (Weinberger et al., 2009, "Feature Hashing"), unit length."""

    def __init__(self, dimension: int = 256, window: int = 256) -> None:
        self.dimension = dimension
        self.window = window

    @property
    def name(self) -> str:
        return "hashing"

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return {"weights": "hashing/1", "dimension": self.dimension, "window": self.window}

    @property
    def languages(self) -> tuple[str, ...]:
        return ()

    @property
    def spread(self) -> float:
        return 0.189

    def load(self) -> None:
        pass

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_TOKEN.findall(text)) + _SPECIAL_TOKENS for text in texts]

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.count_tokens(texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for at, text in enumerate(texts):
            for token in _TOKEN.findall(text.lower()):
                digest = int.from_bytes(hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest())
                rows[at, (digest >> 1) % self.dimension] += 1.0 if digest & 1 else -1.0
            if not rows[at].any():
                rows[at, 0] = 1.0
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        for tokens in self.count_question_tokens(texts):
            if tokens > self.window:
                raise QuestionTooLong(tokens, self.window)
        return self.encode_passages(texts)
