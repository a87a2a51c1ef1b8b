"""Counting and reading tokens with the ``tokenizers`` library alone: no weights, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Text = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's, or a pair's, token ids and which of the two each belongs to."""

    ids: Sequence[int]
    types: Sequence[int]


class Tokens:
    """A model's tokenizer. Thread-safe: neither of its two copies ever changes.

    Args:
        definition: the content of a ``tokenizer.json``. Published ones carry a truncation and a padding of their own;
            both are turned off.
        window: tokens that :meth:`read` cuts at, special ones included.
    """

    def __init__(self, definition: str, window: int) -> None:
        from tokenizers import Tokenizer

        self._definition = definition
        self._window = window
        self._counter = Tokenizer.from_str(definition)
        self._counter.no_truncation()
        self._counter.no_padding()

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, uncut."""
        return [len(encoding.ids) for encoding in self._counter.encode_batch_fast(list(texts))]

    def read(self, texts: Sequence[Text]) -> list[Encoded]:
        """Texts, or pairs of texts, cut at the window: of a pair, the longer of the two is cut."""
        encodings = self._counter.encode_batch_fast(list(texts))
        if any(len(encoding.ids) > self._window for encoding in encodings):
            encodings = self._cutting.encode_batch_fast(list(texts))
        return [Encoded(encoding.ids, encoding.type_ids) for encoding in encodings]

    @cached_property
    def _cutting(self) -> Any:
        # Late: passages and questions fit, and to parse a vocabulary takes a tenth of a second.
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._definition)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._window)
        return tokenizer


def padded(rows: Sequence[Encoded], length: int, pad: int) -> Mapping[str, NDArray[np.int64]]:
    """Arrays ``(rows, length)`` by the names that transformers gives them, padded on the right."""
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    types = np.zeros((len(rows), length), dtype=np.int64)
    for at, row in enumerate(rows):
        count = len(row.ids)
        ids[at, :count] = row.ids
        mask[at, :count] = 1
        types[at, :count] = row.types
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
