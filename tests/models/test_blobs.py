"""Compiled graphs on disk: a start that finds one gives the same results, and a damaged one does no harm."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import structlog
from structlog.typing import EventDict

from qa.models.answer_reader import OpenVinoReader
from qa.models.choice import Runtime, choose_encoder
from qa.models.files import locate
from qa.protocols import Reading
from tests.models.conftest import TinyModel
from tests.support.tiny_reader import write_tiny_reader

PAIRS = [("Who built the tower?", "The tower was built by Nasoni."), ("When?", "It was built in 1763. " * 9)]
TEXTS = ["apples", "apples and pears " * 5]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_reader(tmp_path_factory.mktemp("reader"))


def read(weights: Path, models: Path | None) -> tuple[list[Reading], list[EventDict]]:
    """Read with a reader that has just been made."""
    with structlog.testing.capture_logs() as logs:
        return OpenVinoReader(threads=1, weights=weights, models=models).read(PAIRS), logs


def assert_same(one: list[Reading], other: list[Reading]) -> None:
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.starts, its.starts)
        np.testing.assert_array_equal(mine.ends, its.ends)
        assert (mine.null, mine.relevance) == (its.null, its.relevance)


def blobs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.blob"))


def test_the_reader_is_compiled_once_and_reads_the_same_to_the_bit(weights: Path, tmp_path: Path) -> None:
    wanted, _ = read(weights, None)
    first, _ = read(weights, tmp_path)
    (kept,) = blobs(tmp_path)
    written = kept.stat().st_mtime_ns
    second, logs = read(weights, tmp_path)
    assert_same(wanted, first)
    assert_same(wanted, second)
    assert (blobs(tmp_path), kept.stat().st_mtime_ns, logs) == ([kept], written, [])


def test_the_encoder_is_compiled_once_and_gives_the_same_to_the_bit(tiny_model: TinyModel, tmp_path: Path) -> None:
    files = locate(str(tiny_model()))

    def encode() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return choose_encoder(files, Runtime(tmp_path, "fp32", 1), lambda message: None).encode_passages(TEXTS)

    first = encode()
    (kept,) = blobs(tmp_path)
    written = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(encode(), first)
    assert (blobs(tmp_path), kept.stat().st_mtime_ns) == ([kept], written)
    # It points into the weights beside it.
    assert kept.stat().st_size < next(tmp_path.rglob("model.bin")).stat().st_size


@pytest.mark.parametrize("damage", ["a byte", "the end", "everything", "nothing left"])
def test_what_is_damaged_is_compiled_again_and_said(weights: Path, tmp_path: Path, damage: str) -> None:
    wanted, _ = read(weights, tmp_path)
    (kept,) = blobs(tmp_path)
    whole = kept.read_bytes()
    content = bytearray(whole)
    if damage == "a byte":
        content[len(content) // 2] ^= 1
    elif damage == "the end":
        content = content[:-100]
    elif damage == "everything":
        content = bytearray(b"<html>not found</html>" * 1000)
    else:
        content = bytearray()
    # Another file in its place: the one that is mapped must not change.
    kept.unlink()
    kept.write_bytes(content)
    again, logs = read(weights, tmp_path)
    assert_same(wanted, again)
    assert [entry["event"] for entry in logs] == ["a compiled graph cannot be used; compiling it again"]
    assert read(weights, tmp_path)[1] == []


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, where the folder should be")
    found, logs = read(weights, tmp_path / "file")
    assert_same(found, read(weights, None)[0])
    assert [entry["log_level"] for entry in logs] == ["debug"]


def test_other_weights_have_a_place_of_their_own(weights: Path, tmp_path: Path) -> None:
    other = write_tiny_reader(tmp_path / "other", seed=4)
    one, _ = read(weights, tmp_path)
    two, _ = read(other, tmp_path)
    assert len(blobs(tmp_path)) == 2
    assert one[0].null != two[0].null
    assert_same(one, read(weights, tmp_path)[0])


def test_two_at_once_leave_one_whole_blob(weights: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: OpenVinoReader(threads=1, weights=weights, models=tmp_path).read(PAIRS), range(2))
    assert_same(one, two)
    assert len(blobs(tmp_path)) == 1
    # Beside it are the remembered sums of files, and nothing half written.
    others = {name for _, _, names in os.walk(tmp_path) for name in names if not name.endswith(".blob")}
    assert others <= {"sums.json"}
    assert read(weights, tmp_path)[1] == []
