"""Files that were found: packed, they are what was found, each time."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest

from qa.build.found import FoundFiles, require_sources
from qa.errors import NothingToIndex
from qa.readers.discovery import discover
from qa.types import FileReport, Source

FOUND: list[Source | FileReport] = [
    Source("a.txt", Path("/docs/a.txt"), 3, root=Path("/docs")),
    Source("b.txt", Path("/docs/link's target.txt"), 4, root=Path("/docs")),
    Source("other/ä\udcff.txt", Path("/other/ä\udcff.txt"), 5, root=Path("/other")),
    Source("given.txt", Path("/elsewhere/given.txt"), 6),
    FileReport("c.bin", "skipped", "no reader", size=7),
    FileReport("d.pdf", "partial", "one page is empty", pages=2, seconds=0.5, recognised=((1, 0.5), (2, 0.25))),
]


@pytest.mark.parametrize("times", [0, 1, 700])
def test_what_was_found_comes_again_each_time(times: int) -> None:
    found = FoundFiles(FOUND * times)
    assert [*found] == [*found] == FOUND * times
    assert len(found) == len(FOUND) * times
    assert found.size == 18 * times


def test_what_discovery_finds_comes_as_it_was(tmp_path: Path) -> None:
    for place in ("x/docs/a.txt", "x/docs/b/c.txt", "y/docs/a.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("text", encoding="utf-8")
    (tmp_path / "x/docs/link.txt").symlink_to(tmp_path / "x/docs/b/c.txt")
    for paths in ([tmp_path], [tmp_path / "x/docs", tmp_path / "y/docs"], [tmp_path / "x/docs/a.txt"]):
        assert [*FoundFiles(discover(paths))] == [*discover(paths)]


def test_a_file_takes_less_than_forty_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter's table of interned texts, to which paths add their parts, grows by megabytes at a time.
    monkeypatch.setattr(sys, "intern", str)
    root = Path("/srv/documents")

    def files(count: int) -> FoundFiles:
        ids = (f"department {at // 1000}/report of the {at}th day.txt" for at in range(count))
        return FoundFiles(Source(id, root / id, at * 7919 % 100_000, root=root) for at, id in enumerate(ids))

    tracemalloc.start()
    try:
        few = files(10_000)
        before = tracemalloc.get_traced_memory()[0]
        many = files(50_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(few) + len(many) == 60_000
    assert grown < 40 * 50_000


def test_it_is_said_what_became_of_files_where_none_can_be_read() -> None:
    with pytest.raises(NothingToIndex, match="there is no file to index"):
        require_sources(FoundFiles([]))
    with pytest.raises(NothingToIndex, match=r"c\.bin: skipped, no reader; d\.pdf: partial"):
        require_sources(FoundFiles(FOUND[4:]))
    require_sources(FoundFiles(FOUND))
