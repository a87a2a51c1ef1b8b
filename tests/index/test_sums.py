"""The sums of large files are remembered for as long as the files are the same, and no longer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qa.errors import SnapshotCorrupt
from qa.files import identity_of, sha256_of_file
from qa.index import sums
from qa.index.snapshots import Snapshots
from qa.index.sums import SUMS_FILE, SnapshotSums
from qa.settings import Settings
from tests.conftest import Build

NAMES = ["a.bin", "b.bin"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take every file for a large one that was written long ago; the names of those that are read come in here."""
    names: list[str] = []

    def sum(path: Path) -> str:
        names.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr("qa.index.sums._SMALL", -1)
    monkeypatch.setattr("qa.files._SETTLED_NS", -(10**12))
    monkeypatch.setattr("qa.index.sums.sha256_of_file", sum)
    return names


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Make the folder of an index with one snapshot of two files."""
    folder = tmp_path / "snapshots" / "one"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(f"what {name} holds")
    return tmp_path


def sums_of(index: Path, snapshot: str = "one") -> dict[str, str]:
    return SnapshotSums(index).of(index / "snapshots" / snapshot, NAMES)


def test_a_large_file_is_read_once_on_a_machine(index: Path, read: list[str]) -> None:
    first = sums_of(index)
    assert read == NAMES
    assert sums_of(index) == first
    assert read == NAMES
    folder = index / "snapshots" / "one"
    folder.rename(folder.with_name("two"))  # as publishing does
    assert sums_of(index, "two") == first
    assert read == NAMES


def test_verifying_reads_every_file_again(index: Path, read: list[str]) -> None:
    first = sums_of(index)
    assert SnapshotSums(index).of(index / "snapshots" / "one", NAMES, read_all=True) == first
    assert read == NAMES * 2


def written(path: Path) -> None:
    path.write_text(path.read_text().upper())


def written_with_its_old_time(path: Path) -> None:
    status = path.stat()
    written(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    shutil.copy2(path, other)
    other.replace(path)


@pytest.mark.parametrize("change", [written, written_with_its_old_time, replaced])
def test_a_file_that_may_be_another_is_read_again(index: Path, read: list[str], change: Callable[[Path], None]) -> None:
    first = sums_of(index)
    change(index / "snapshots" / "one" / "b.bin")
    found = sums_of(index)
    assert read == [*NAMES, "b.bin"]
    assert found["a.bin"] == first["a.bin"]
    assert (found["b.bin"] == first["b.bin"]) is (change is replaced)


def test_a_small_file_is_read_every_time(index: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.index.sums._SMALL", 1000)
    sums_of(index)
    sums_of(index)
    assert read == NAMES * 2
    assert not (index / SUMS_FILE).exists()


def test_a_file_that_was_just_written_is_read_again(
    index: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.files._SETTLED_NS", 10**15)
    sums_of(index)
    sums_of(index)
    assert read == NAMES * 2


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json", "swapped", '{"sums": 5, "sha256": "0"}'])
def test_a_record_that_is_not_what_was_written_is_left_out(index: Path, read: list[str], content: str) -> None:
    first = sums_of(index)
    path = index / SUMS_FILE
    if content == "swapped":
        known = json.loads(path.read_bytes())
        identities = list(known["sums"])
        known["sums"] = dict(zip(identities, reversed(known["sums"].values()), strict=True))
        path.write_text(json.dumps(known))
    else:
        path.write_text(content)
    assert sums_of(index) == first
    assert read == NAMES * 2


def test_where_nothing_can_be_written_the_process_remembers(index: Path, read: list[str]) -> None:
    (index / SUMS_FILE).mkdir()
    remembered = SnapshotSums(index)
    first = remembered.of(index / "snapshots" / "one", NAMES)
    assert remembered.of(index / "snapshots" / "one", NAMES) == first
    assert read == NAMES


def test_what_is_removed_is_forgotten(index: Path, read: list[str]) -> None:
    sums_of(index)
    shutil.copytree(index / "snapshots" / "one", index / "snapshots" / "two")
    shutil.rmtree(index / "snapshots" / "one")
    sums_of(index, "two")
    assert len(json.loads((index / SUMS_FILE).read_bytes())["sums"]) == len(NAMES)


def test_a_snapshot_that_another_process_removes_meanwhile_keeps_none_from_being_opened(
    index: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(index / "snapshots" / "one", index / "snapshots" / "two")
    other_of = {
        (index / "snapshots" / name / "a.bin").stat().st_ino: index / "snapshots" / other
        for name, other in (("one", "two"), ("two", "one"))
    }
    identify = identity_of

    def identify_and_remove(status: os.stat_result) -> str:
        # Only the walk over all snapshots looks at this file: it is in one of them, and the other goes.
        if other := other_of.get(status.st_ino):
            shutil.rmtree(other, ignore_errors=True)
        return identify(status)

    monkeypatch.setattr(sums, "identity_of", identify_and_remove)
    found = SnapshotSums(index).of(index / "snapshots" / "one", ["b.bin"])
    assert found == {"b.bin": hashlib.sha256(b"what b.bin holds").hexdigest()}
    assert len(list((index / "snapshots").iterdir())) == 1


def test_a_published_snapshot_is_opened_without_reading_it_again_and_damage_is_found(
    build: Build, settings: Settings, read: list[str]
) -> None:
    id = build().manifest.id
    read.clear()
    Snapshots(settings.indexes, settings.name).open().close()
    assert read == []
    path = settings.indexes / settings.name / "snapshots" / id / "documents.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SnapshotCorrupt, match=r"documents\.sqlite changed since it was published"):
        Snapshots(settings.indexes, settings.name).open()
