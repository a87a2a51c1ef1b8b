"""Encoding beside the caller: each text once, known ones never, and the model loaded only where something is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from qa.build.embeddings import CACHE_FILE, Embedding, EmbeddingCache
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.types import Vectors


class Counting(HashingEncoder):
    """Remembers what it was given to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        self.given += texts
        return super().encode_passages(texts)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    cache = EmbeddingCache(tmp_path / CACHE_FILE)
    yield cache
    cache.close()


def test_a_text_is_encoded_once_also_while_it_is_on_its_way(cache: EmbeddingCache) -> None:
    encoder, loads = Counting(), [0]

    def load() -> None:
        loads[0] += 1

    embedding = Embedding(encoder, cache, load)
    first, second = embedding.begin(["a", "b", "a"]), embedding.begin(["b", "c"])
    assert np.allclose(first(), HashingEncoder().encode_passages(["a", "b", "a"]))
    assert np.allclose(second(), HashingEncoder().encode_passages(["b", "c"]))
    embedding.close()
    assert encoder.given == ["a", "b", "c"]
    assert (embedding.encoded, loads) == (3, [1])


def test_what_is_known_needs_no_model(cache: EmbeddingCache) -> None:
    embedding = Embedding(HashingEncoder(), cache, lambda: None)
    embedding.begin(["a", "b"])()
    embedding.close()
    encoder, loads = Counting(), [0]
    again = Embedding(encoder, cache, lambda: pytest.fail("loaded"))
    assert again.begin(["b", "a"])().shape == (2, 256)
    again.close()
    assert (encoder.given, again.encoded, loads) == ([], 0, [0])


def test_what_the_encoder_raises_comes_out_where_the_rows_are_asked_for(cache: EmbeddingCache) -> None:
    class Failing(HashingEncoder):
        def encode_passages(self, texts: Sequence[str]) -> Vectors:
            raise MemoryError

    embedding = Embedding(Failing(), cache, lambda: None)
    rows = embedding.begin(["a"])
    with pytest.raises(MemoryError):
        rows()
    embedding.close()
