"""Embeddings survive from build to build, and never pass from one model to another."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from qa.build.embeddings import EmbeddingCache, cache_keys
from qa.errors import SnapshotCorrupt, StorageError
from qa.settings import Settings
from tests.conftest import Build
from tests.support.hashing import HashingEncoder


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    keys = list(cache_keys({"weights": "a"}, ["one", "two"]))
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
    cache.put([b"k"], np.eye(1, 4, dtype=np.float32))
    assert cache.get([b"k"], 8) == {}


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    texts = [f"text {number}" for number in range(1200)]
    keys = list(cache_keys(encoder.fingerprint, texts))
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put(keys, encoder.encode_passages(texts))
    assert set(cache.get(keys, encoder.dimension)) == set(keys)
    assert cache.keep_only(keys[:10]) == 1190


def test_a_look_up_takes_no_longer_the_more_this_build_has_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[None] = []

    def connect(path: Path, timeout: float) -> sqlite3.Connection:
        connection = connecting(path, timeout)
        connection.set_progress_handler(lambda: steps.append(None), 1)
        return connection

    connecting = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", connect)
    cache = EmbeddingCache(tmp_path / "cache")
    taken = []
    for start in range(0, 3000, 1000):
        keys = [number.to_bytes(16, "big") for number in range(start, start + 1000)]
        cache.put(keys, np.ones((1000, 1), dtype=np.float32))
        steps.clear()
        assert set(cache.get(keys[:10], 1)) == set(keys[:10])
        taken.append(len(steps))
    cache.close()
    assert max(taken) < 2 * min(taken)


def test_a_file_that_is_no_cache_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no database" * 100)
    cache = EmbeddingCache(tmp_path / "cache")
    assert cache.get([b"k"], 4) == {}


def test_damaged_pages_are_begun_again_and_the_build_goes_on(build: Build, settings: Settings) -> None:
    build()
    path = settings.indexes / "test" / "embeddings.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert build().counts.encoded == 4
    assert build().counts.encoded == 0


def test_a_locked_cache_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put([b"k"], np.eye(1, 4, dtype=np.float32))
    cache.close()
    other = sqlite3.connect(tmp_path / "cache")
    other.execute("BEGIN EXCLUSIVE")
    waiting = EmbeddingCache(tmp_path / "cache", timeout=0.01)
    with pytest.raises(StorageError, match="database is locked"):
        waiting.put([b"l"], np.eye(1, 4, dtype=np.float32))
    other.close()
    assert set(EmbeddingCache(tmp_path / "cache").get([b"k"], 4)) == {b"k"}


def test_a_vector_that_rotted_is_encoded_again(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put([b"k", b"l"], np.array([[1, 0], [3, 4]], dtype=np.float32))
    assert set(cache.get([b"k", b"l"], 2)) == {b"k"}


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


def test_a_row_whose_sum_does_not_fit_is_encoded_again(build: Build, settings: Settings) -> None:
    """A vector of unit length in another's place would pass every check of a snapshot, and be found for nothing."""
    build()
    with sqlite3.connect(settings.indexes / "test" / "embeddings.sqlite") as connection:
        ((other,),) = connection.execute("SELECT vector FROM embeddings ORDER BY key LIMIT 1")
        assert connection.execute("UPDATE embeddings SET vector = ?", [other]).rowcount == 4
    assert build().counts.encoded == 3
    assert build().counts.encoded == 0


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param("", id="without sums"),
        pytest.param(", sum BLOB, build INTEGER NOT NULL DEFAULT 0", id="with a column for builds"),
    ],
)
def test_a_cache_of_an_earlier_version_is_used_on(build: Build, settings: Settings, folder: Path, columns: str) -> None:
    build()
    path = settings.indexes / "test" / "embeddings.sqlite"
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, vector, sum FROM embeddings").fetchall()
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL{columns})")
        if columns:
            connection.execute("CREATE INDEX unfinished ON embeddings (build) WHERE build != 0")
            connection.executemany("INSERT INTO embeddings VALUES (?, ?, ?, 7)", rows)
        else:
            connection.executemany("INSERT INTO embeddings VALUES (?, ?)", [row[:2] for row in rows])
    assert build(rebuild=True).counts.encoded == 0
    (folder / "new.txt").write_text("Words that are new.")
    assert build().counts.encoded == 1


def test_what_a_failed_build_put_stays_for_the_next_and_no_longer(tmp_path: Path) -> None:
    def build(*keys: bytes, used: bool) -> None:
        cache = EmbeddingCache(tmp_path / "cache")
        new = [key for key in keys if key not in cache.get(keys, 2)]
        cache.put(new, np.array([[1, 0]] * len(new), dtype=np.float32))
        cache.finish(used=used)
        cache.close()

    def kept() -> set[bytes]:
        return set(EmbeddingCache(tmp_path / "cache").get([b"a", b"b", b"c", b"d"], 2))

    build(b"a", used=True)
    build(b"a", b"b", used=False)
    build(b"c", b"b", used=False)
    build(b"d", b"b", used=False)
    with sqlite3.connect(tmp_path / "cache") as connection:
        assert {key for (key,) in connection.execute("SELECT key FROM embeddings")} == {b"a", b"b", b"d"}
    build(b"d", used=True)
    build(used=False)
    assert kept() == {b"a", b"d"}


def test_embeddings_of_a_snapshot_whose_build_was_killed_at_its_end_are_kept(
    build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_killed(cache: EmbeddingCache, *, used: bool) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddingCache, "finish", is_killed)
        with pytest.raises(KeyboardInterrupt):
            build()
    # Takes the vectors of the others from the snapshot.
    (folder / "new.txt").write_text("Words that are new.")
    assert build(rebuild=False).counts.encoded == 1
    assert build().counts.encoded == 0


def test_builds_that_fail_again_and_again_do_not_fill_the_disk(
    build: Build, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise SnapshotCorrupt("it does not hold together")

    build()
    path = settings.indexes / "test" / "embeddings.sqlite"
    sizes = []
    with monkeypatch.context() as patched:
        patched.setattr("qa.index.snapshots.verify_content", fails)
        for number in range(4):
            (folder / "new.txt").write_text("\n\n".join(f"Words {number} and {other}." for other in range(300)))
            with pytest.raises(SnapshotCorrupt, match="hold together"):
                build()
            with sqlite3.connect(path) as connection:
                sizes += connection.execute("SELECT count(*) FROM embeddings").fetchone()
    assert len(set(sizes)) == 1
    # What the last one encoded is not encoded again.
    assert build().counts.encoded == 0
