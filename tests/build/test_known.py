"""What workers of a cluster know of the cache: every key that it holds, and hardly another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from qa.build import known
from qa.build.embeddings import EmbeddingCache
from qa.build.known import KnownKeys, filter_of


def keys(start: int, end: int) -> list[bytes]:
    return [hashlib.blake2b(str(number).encode(), digest_size=16).digest() for number in range(start, end)]


@pytest.mark.parametrize("count", [0, 1, 40_000])
def test_what_was_given_is_known_and_hardly_anything_else(count: int) -> None:
    found = KnownKeys(filter_of(keys(0, count), count))
    assert all(key in found for key in keys(0, count))
    assert sum(key in found for key in keys(count, count + 20_000)) < 40


def test_it_takes_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_MOST_BITS", 1 << 17)
    bits = filter_of(keys(0, 16_384), 10**9)
    assert bits.nbytes == 1 << 14
    assert all(key in KnownKeys(bits) for key in keys(0, 16_384))
    # So full a filter takes one in 46 for known.
    assert sum(key in KnownKeys(bits) for key in keys(16_384, 21_384)) < 200


def test_a_cache_tells_what_it_holds(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "embeddings.sqlite")
    held = keys(0, 50)
    cache.put(held, np.eye(50, dtype=np.float32))
    found = KnownKeys(cache.known())
    assert [key in found for key in keys(0, 60)] == [True] * 50 + [False] * 10
    cache.close()
