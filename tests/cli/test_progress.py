"""What a person sees of a build: a table by kind, what was not read, and nothing that steers the terminal."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from qa.cli.progress import IndexingProgress
from qa.types import FileReport
from tests.conftest import Build, Recorder


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


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def after_a_kill(console: Console, steps: int) -> str:
    """Return what is shown of a build of a megabyte, half of which an earlier one that was killed had encoded."""
    clock = Clock()
    with IndexingProgress(console, clock) as progress:
        progress.started(1_000_000, 10)
        for seconds, size, encoded in [
            (60, 500_000, 0.0),
            (20, 100_000, None),  # no text
            (20, 100_000, 100_000),
            (40, 200_000, 100_000),
        ][:steps]:
            clock.now += seconds
            progress.advanced(size, encoded)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_time_that_is_left_is_that_of_batches_with_something_new() -> None:
    lines = after_a_kill(Console(file=StringIO(), width=200), 4).splitlines()
    assert lines[1:] == [
        "50 % of 1.0 MB",
        "60 % of 1.0 MB",
        "70 % of 1.0 MB, about 0:02:00 left",
        "90 % of 1.0 MB, about 0:00:27 left",
    ]


def test_a_file_whose_bytes_are_shares_of_passages_is_not_less_than_nothing() -> None:
    console, clock = Console(file=StringIO(), width=200), Clock()
    with IndexingProgress(console, clock) as progress:
        progress.started(1_000_000, 1)
        clock.now += 60
        progress.advanced(-1e-10)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().splitlines()[1:] == ["0 % of 1.0 MB"]


@pytest.mark.parametrize(("steps", "left"), [(2, "-:--:--"), (3, "0:02:00")])
def test_a_bar_shows_the_time_that_is_left(steps: int, left: str) -> None:
    assert left in after_a_kill(Console(file=StringIO(), width=200, force_terminal=True), steps)


def test_a_build_says_which_bytes_it_encoded(build: Build, folder: Path) -> None:
    first, again = Recorder(), Recorder()
    build(listener=first)
    build(listener=again, rebuild=True)
    assert first.encoded > 0.9 * first.total  # one text stands twice
    assert again.done == pytest.approx(again.total)
    assert again.encoded == 0


def test_where_nothing_changed_it_says_so(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    update = build()
    same = replace(update, counts=replace(update.counts, encoded=0, changed=False))
    IndexingProgress().summarise(same, "test")
    assert (
        capsys.readouterr().err == f"Nothing has changed: snapshot {update.manifest.id} of index test stays active.\n"
    )


@pytest.mark.parametrize(("recall", "is_said"), [(0.93, True), (0.985, False), (0.9847, False), (None, False)])
def test_a_recall_below_the_usual_is_said(
    build: Build, capsys: pytest.CaptureFixture[str], recall: float | None, is_said: bool
) -> None:
    update = build()
    vectors = {**update.manifest.vectors, **({} if recall is None else {"recall_at_10": recall})}
    IndexingProgress().summarise(replace(update, manifest=replace(update.manifest, vectors=vectors)), "test")
    lines = " ".join(capsys.readouterr().err.split())
    assert ("finds 93.0% of the nearest ten, where 97% and more are usual" in lines) is is_said
    assert ("of the nearest ten" in lines) is is_said
