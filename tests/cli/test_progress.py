"""What a person sees of a build: a table by kind, what was not read, and nothing that steers the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qa.cli.progress import IndexingProgress
from qa.types import FileReport
from tests.conftest import Build


def test_the_table_sums_by_kind_and_names_what_was_not_read(
    build: Build, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    update = build()
    progress = IndexingProgress()
    progress.started(1000, 3)
    progress.finished_file(FileReport("a.txt", "read", size=400_000, characters=1200, passages=3, seconds=0.5))
    progress.finished_file(FileReport("b.TXT", "failed", "it looks binary", size=100_000))
    progress.finished_file(FileReport("c.pdf", "partial", "page 2 has no text", pages=2, empty_pages=1, passages=1))
    progress.advanced(1000)
    progress.summarise(update, "test")
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert "files read part skip fail MB chars pages empty passages s" in lines
    assert ".pdf 1 0.0 2 1 1 0.0" in lines
    assert ".txt 1 1 0.5 1,200 3 0.5" in lines
    assert "all 1 1 1 0.5 1,200 2 1 4 0.5" in lines
    assert "failed: b.TXT: it looks binary" in lines
    assert any(line.startswith("1 read, 1 partial, 1 failed; 3 documents, 4 passages") for line in lines)


def test_a_name_cannot_steer_the_terminal(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    update = build()
    progress = IndexingProgress()
    progress.finished_file(FileReport("x\x1b[2J\nfailed: y.[bold]txt", "skipped", "why\x9b"))
    progress.summarise(update, "test")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "skipped: x\\x1b[2J\\nfailed: y.[bold]txt: why\\x9b" in shown


def test_where_nothing_changed_it_says_so(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    update = build()
    same = replace(update, counts=replace(update.counts, encoded=0, changed=False))
    IndexingProgress().summarise(same, "test")
    assert (
        capsys.readouterr().err == f"Nothing has changed: snapshot {update.manifest.id} of index test stays active.\n"
    )
