"""Opening a snapshot trusts nothing: each way in which its parts can disagree is found, even where sums agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qa.errors import SnapshotCorrupt
from qa.index.index import open_index, verify_index
from qa.index.manifest import Manifest, file_names, file_sums
from qa.settings import Settings
from tests.conftest import Build

Tamper = Callable[[str], Path]


@pytest.fixture
def tamper(build: Build, settings: Settings) -> Tamper:
    """Run SQL on a snapshot's documents and correct its checksums, as a faulty program that wrote it would have."""
    folder = settings.indexes / settings.name / "snapshots" / build().manifest.id

    def run(sql: str) -> Path:
        connection = sqlite3.connect(folder / "documents.sqlite")
        connection.executescript(sql)
        connection.close()
        replace(Manifest.read(folder), files=file_sums(folder, file_names(folder))).write(folder)
        return folder

    return run


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM passages WHERE id = (SELECT min(id) FROM passages)", "its manifest says 3 and 4"),
        ("DELETE FROM documents WHERE number = 1", "its manifest says 3 and 4"),
        ("UPDATE passages SET id = 7 WHERE id = (SELECT min(id) FROM passages)", "windows .* do not fit"),
        ("UPDATE windows SET id = 7 WHERE id = (SELECT min(id) FROM windows)", "the ids of windows and of vectors"),
        ("UPDATE windows SET end = end + 1", "do not fit their passages"),
        ("UPDATE windows SET passage = (SELECT max(id) FROM passages)", "do not fit their passages"),
        ("UPDATE passages SET end = 10000 WHERE start = 0", "reach beyond their documents"),
        ("UPDATE passages SET start = -1 WHERE start = 0", "reach beyond their documents"),
        ("UPDATE passages SET document = 99 WHERE document = 1", "reach beyond their documents"),
        ("DROP TABLE passages", "cannot be read"),
    ],
)
def test_counts_ids_and_ranges_are_checked_on_opening(tamper: Tamper, sql: str, message: str) -> None:
    with pytest.raises(SnapshotCorrupt, match=message):
        open_index(tamper(sql))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE passages SET text = 'Oranges' WHERE start = 0", r"passage [0-9a-f]{16} is not .*\[0:"),
        ("UPDATE documents SET text = upper(text)", "is not what was indexed"),
    ],
)
def test_verifying_compares_every_text(tamper: Tamper, sql: str, message: str) -> None:
    folder = tamper(sql)
    open_index(folder).close()
    with pytest.raises(SnapshotCorrupt, match=message):
        verify_index(folder)


def test_an_untouched_snapshot_passes_both(tamper: Tamper) -> None:
    folder = tamper("SELECT 1")
    open_index(folder).close()
    assert verify_index(folder).documents == 3
