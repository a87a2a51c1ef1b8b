"""The sums of models' files are remembered for as long as the files are the same, and no longer."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qa.files import sha256_of_file
from qa.models.sums import SUMS_FILE, remembered_sha256


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take every file for a large one that was written long ago; the names of those that are read come in here."""
    names: list[str] = []

    def sum(path: Path) -> str:
        names.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr("qa.models.sums._SMALL", -1)
    monkeypatch.setattr("qa.files._SETTLED_NS", -(10**12))
    monkeypatch.setattr("qa.models.sums.sha256_of_file", sum)
    return names


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_text("weights")
    return path


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written_with_its_old_time(path: Path) -> None:
    status = path.stat()
    path.write_text("WEIGHTS")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    shutil.copy2(path, other)
    other.replace(path)


def test_a_large_file_is_read_once(weights: Path, tmp_path: Path, read: list[str]) -> None:
    folder = tmp_path / "indexes" / ".models"
    assert remembered_sha256(weights, folder) == remembered_sha256(weights, folder) == sum_of(weights)
    assert read == ["model.bin"]


@pytest.mark.parametrize("change", [written_with_its_old_time, replaced])
def test_a_file_that_may_be_another_is_read_again(
    weights: Path, tmp_path: Path, read: list[str], change: Callable[[Path], None]
) -> None:
    remembered_sha256(weights, tmp_path)
    change(weights)
    assert remembered_sha256(weights, tmp_path) == sum_of(weights)
    assert len(read) == 2


@pytest.mark.parametrize("name", ["qa.models.sums._SMALL", "qa.files._SETTLED_NS"])
def test_what_is_small_or_was_just_written_is_read_each_time(
    weights: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(name, 10**18)
    assert remembered_sha256(weights, tmp_path) == remembered_sha256(weights, tmp_path) == sum_of(weights)
    assert len(read) == 2
    assert not (tmp_path / SUMS_FILE).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sums": 5, "sha256": "0"}', "changed"])
def test_a_record_that_is_not_what_was_written_is_left_out(
    weights: Path, tmp_path: Path, read: list[str], content: str
) -> None:
    remembered_sha256(weights, tmp_path)
    record = tmp_path / SUMS_FILE
    record.write_text(content if content != "changed" else record.read_text().replace(sum_of(weights), "0" * 64))
    assert remembered_sha256(weights, tmp_path) == sum_of(weights)
    assert len(read) == 2


def test_where_nothing_can_be_remembered_it_is_read_each_time(weights: Path, tmp_path: Path, read: list[str]) -> None:
    (tmp_path / SUMS_FILE).mkdir()
    for folder in (None, tmp_path, weights / "below a file"):
        assert remembered_sha256(weights, folder) == sum_of(weights)
    assert len(read) == 3
