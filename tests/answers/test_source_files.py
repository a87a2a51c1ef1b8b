"""Finding a document's source again, by what the manifest says."""

from __future__ import annotations

import hashlib
import os
import time
from io import BufferedReader, FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.answers.citations import FileSums, SourceFiles
from qa.files import printable
from qa.readers.discovery import discover
from qa.types import Source


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def source_files(*paths: Path) -> SourceFiles:
    return SourceFiles([printable(str(path)) for path in paths], FileSums())


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_file_that_discovery_names_is_found_again(tmp_path: Path) -> None:
    roots = [tmp_path / "mine/notes", tmp_path / "yours/notes", tmp_path / "single.txt"]
    for root in roots[:2]:
        write(root / "a.txt", f"a in {root}")
        write(root / "below/b.txt", f"b in {root}")
    write(roots[2], "single")
    for paths in (roots, roots[:1], roots[2:], [roots[0].parent, roots[0]]):
        files = source_files(*paths)
        found = [source for source in discover(paths) if isinstance(source, Source)]
        assert found
        for source in found:
            assert files.sha256(source.id) == sha256(source.path.read_text()), source.id


names = st.text("ab/._-", min_size=1, max_size=6)


@given(id=st.one_of(st.text(max_size=40), st.lists(names | st.just(".."), min_size=1).map("/".join)))
def test_nothing_outside_of_the_folders_is_ever_found(tmp_path_factory: pytest.TempPathFactory, id: str) -> None:
    outside = tmp_path_factory.getbasetemp() / "outside.txt"
    root = tmp_path_factory.getbasetemp() / "root"
    outside.write_text("secret")
    root.mkdir(exist_ok=True)
    for hostile in (id, f"../{id}", "../outside.txt", str(outside), f"{id}/../../outside.txt"):
        with source_files(root).opened(hostile.replace("\0", "")) as file:
            assert file is None


def test_a_link_is_followed_only_within_the_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside.txt", "outside")
    inside = write(tmp_path / "root/inside.txt", "inside")
    (tmp_path / "root/out.txt").symlink_to(outside)
    (tmp_path / "root/in.txt").symlink_to(inside)
    files = source_files(tmp_path / "root")
    assert (files.sha256("in.txt"), files.sha256("out.txt")) == (sha256("inside"), None)


def test_what_is_no_regular_file_is_missing_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    write(tmp_path / "file.txt", "a file")
    files = source_files(tmp_path)
    assert [files.sha256(id) for id in ("pipe.txt", "folder.txt", "absent.txt", "file.txt/below")] == [None] * 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "a").chmod(0)
    assert source_files(tmp_path).sha256("a.txt") is None


def test_a_folder_whose_name_is_no_unicode_is_found(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    write(root / "a.txt", "a")
    assert source_files(root).sha256("a.txt") == sha256("a")


class Reads(BufferedReader):
    """An open file that counts how often it is read from its start."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self.times = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.times += 1
        return super().seek(offset, whence)


def test_a_sum_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sums = write(tmp_path / "a.txt", "before"), FileSums()
    # Three seconds later: the file's times are not of this moment any more.
    monkeypatch.setattr("qa.answers.citations.time.time_ns", lambda now=time.time_ns: now() + 3_000_000_000)

    def read() -> tuple[str, bool]:
        with Reads(path) as file:
            return sums.of(file, path), file.times > 0

    assert [read(), read()] == [(sha256("before"), True), (sha256("before"), False)]
    path.write_text("after!")
    os.utime(path, (0, 0))  # as old as it may say it is
    assert [read(), read()] == [(sha256("after!"), True), (sha256("after!"), False)]


def test_a_file_that_was_written_this_moment_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sums = write(tmp_path / "a.txt", "a"), FileSums()
    # However long ago that is by now on a busy machine.
    moment = path.stat().st_mtime_ns + 1_000_000_000
    monkeypatch.setattr("qa.answers.citations.time.time_ns", lambda: moment)
    for _ in range(2):
        with Reads(path) as file:
            assert sums.of(file, path) == sha256("a")
            assert file.times == 1
