"""Opening a snapshot trusts nothing: each way in which its parts can disagree is found, even where sums agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qa.errors import SnapshotCorrupt
from qa.index.index import open_index, verify_index
from qa.index.manifest import Manifest, file_names
from qa.index.sums import SnapshotSums
from qa.settings import Settings
from tests.conftest import Build

Tamper = Callable[[str], Path]


def correct_sums(folder: Path) -> None:
    replace(Manifest.read(folder), files=SnapshotSums().of(folder, file_names(folder))).write(folder)


@pytest.fixture
def tamper(build: Build, settings: Settings) -> Tamper:
    """Run SQL on a snapshot's documents and correct its checksums, as a faulty program that wrote it would have."""
    folder = settings.indexes / settings.name / "snapshots" / build().manifest.id

    def run(sql: str) -> Path:
        connection = sqlite3.connect(folder / "documents.sqlite")
        connection.executescript(sql)
        connection.close()
        correct_sums(folder)
        return folder

    return run


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM passages WHERE id = (SELECT min(id) FROM passages)", "do not fit their passages"),
        ("DELETE FROM documents WHERE number = 1", "reach beyond their documents"),
        ("UPDATE passages SET id = 7 WHERE id = (SELECT min(id) FROM passages)", "windows .* do not fit"),
        ("UPDATE windows SET id = 7 WHERE id = (SELECT min(id) FROM windows)", "the documents and the relations"),
        ("UPDATE windows SET end = end + 1", "do not fit their passages"),
        ("UPDATE windows SET passage = (SELECT max(id) FROM passages)", "do not fit their passages"),
        ("UPDATE passages SET end = 10000 WHERE start = 0", "reach beyond their documents"),
        ("UPDATE passages SET start = -1 WHERE start = 0", "reach beyond their documents"),
        ("UPDATE passages SET document = 99 WHERE document = 1", "reach beyond their documents"),
        ("UPDATE passages SET text = 'Oranges' WHERE start = 0", r"passage [0-9a-f]{16} is not .*\[0:"),
        ("UPDATE documents SET text = upper(text)", "is not what was indexed"),
    ],
)
def test_verifying_compares_every_id_span_and_text(tamper: Tamper, sql: str, message: str) -> None:
    folder = tamper(sql)
    open_index(folder).close()
    with pytest.raises(SnapshotCorrupt, match=message):
        verify_index(folder)


def test_what_is_no_store_is_found_on_opening(tamper: Tamper) -> None:
    with pytest.raises(SnapshotCorrupt, match="cannot be read"):
        open_index(tamper("DROP TABLE passages"))


@pytest.mark.parametrize("name", ["passages", "windows", "first_places", "owners", "first_windows"])
@pytest.mark.parametrize("change", ["shorter", "of floats", "no array"])
def test_counts_are_compared_on_opening(build: Build, settings: Settings, name: str, change: str) -> None:
    folder = settings.indexes / settings.name / "snapshots" / build().manifest.id
    path = folder / "relations" / f"{name}.npy"
    array = np.load(path)
    match change:
        case "shorter":
            np.save(path, array[:-1])
        case "of floats":
            np.save(path, array.astype(np.float64))
        case "no array":
            path.write_bytes(b"[]")
    correct_sums(folder)
    with pytest.raises(SnapshotCorrupt, match="build the index again"):
        open_index(folder)


def test_verifying_compares_the_relations_with_the_documents(build: Build, settings: Settings) -> None:
    folder = settings.indexes / settings.name / "snapshots" / build().manifest.id
    path = folder / "relations" / "owners.npy"
    np.save(path, np.roll(np.load(path), 1))
    correct_sums(folder)
    open_index(folder).close()
    with pytest.raises(SnapshotCorrupt, match="the documents and the relations"):
        verify_index(folder)


def test_an_untouched_snapshot_passes_both(tamper: Tamper) -> None:
    folder = tamper("SELECT 1")
    open_index(folder).close()
    assert verify_index(folder).documents == 3
