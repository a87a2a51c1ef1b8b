"""Embeddings survive from build to build, and never pass from one model to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qa.embedding_cache import EmbeddingCache, cache_keys
from qa.encoders.hashing import HashingEncoder
from tests.conftest import Build


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    keys = cache_keys({"weights": "a"}, ["one", "two"])
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put(keys, np.eye(2, 4, dtype=np.float32))
    cache.close()
    found = EmbeddingCache(tmp_path / "cache").get([*keys, b"unknown"], 4)
    assert {key: row.tolist() for key, row in found.items()} == {keys[0]: [1, 0, 0, 0], keys[1]: [0, 1, 0, 0]}


def test_keys_differ_by_text_and_by_encoder() -> None:
    keys = [*cache_keys({"weights": "a"}, ["x", "y"]), *cache_keys({"weights": "b"}, ["x", "y"])]
    assert len(set(keys)) == 4


def test_a_row_of_another_dimension_is_not_returned(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put([b"k"], np.ones((1, 4), dtype=np.float32))
    assert cache.get([b"k"], 8) == {}


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    texts = [f"text {number}" for number in range(1200)]
    keys = cache_keys(encoder.fingerprint, texts)
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put(keys, encoder.encode_passages(texts))
    assert set(cache.get(keys, encoder.dimension)) == set(keys)
    assert cache.keep_only(keys[:10]) == 1190


def test_a_file_that_is_no_cache_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no database" * 100)
    cache = EmbeddingCache(tmp_path / "cache")
    assert cache.get([b"k"], 4) == {}


def test_only_new_text_is_encoded(build: Build, folder: Path) -> None:
    first = build()
    assert first.counts.encoded == first.counts.passages == 4
    (folder / "apples.txt").rename(folder / "renamed.txt")
    (folder / "new.txt").write_text("Quinces are yellow.\n")
    second = build()
    assert (second.counts.encoded, second.counts.passages) == (1, 5)


@pytest.mark.parametrize("copies", [3, 700])
def test_equal_text_is_encoded_once(build: Build, folder: Path, copies: int) -> None:
    for number in range(copies):
        (folder / f"copy{number}.txt").write_text("The same sentence, over and over.\n")
    assert build().counts.encoded == 5
