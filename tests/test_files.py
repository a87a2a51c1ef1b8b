import hashlib
import os
from pathlib import Path

import pytest

from qa.errors import StorageError
from qa.files import (
    Access,
    limit_access,
    open_regular,
    remove_leftovers,
    sha256_of_file,
    share,
    staged_folder,
    write_atomically,
)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    write_atomically(path, "new\n\ud800")
    assert path.read_bytes() == b"new\n?"
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("access", "umask", "file", "folder"),
    [
        ("owner", 0o022, 0o600, 0o700),
        ("group", 0o022, 0o640, 0o750),
        ("everyone", 0o022, 0o644, 0o755),
        ("everyone", 0o007, 0o640, 0o750),
    ],
)
def test_who_may_read_what_is_written(tmp_path: Path, access: Access, umask: int, file: int, folder: int) -> None:
    (tmp_path / "old").mkdir(mode=0o777)
    (tmp_path / "private").touch(mode=0o600)
    os.umask(umask)
    limit_access(access)
    write_atomically(tmp_path / "a.json", "{}")
    (tmp_path / "new").mkdir()
    with staged_folder(tmp_path / "staged"):
        pass
    for path in ("old", "private"):
        share(tmp_path / path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"a.json": file, "private": file, "new": folder, "old": folder, "staged": folder}


@pytest.mark.usefixtures("full_disk")
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(StorageError, match=r"cannot write .*a\.json: No space left on device; check"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/a\.json: No such file or directory"):
        write_atomically(tmp_path / "missing" / "a.json", "x")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    leftover, other = tmp_path / ".CURRENT-k3v8", tmp_path / ".CURRENTS"
    leftover.touch()
    other.touch()
    remove_leftovers(tmp_path / "CURRENT")
    assert list(tmp_path.iterdir()) == [other]


def test_the_sum_of_a_file_is_the_same_by_its_path_and_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_of_file(path) == hashlib.sha256(b"abc").hexdigest()
    with path.open("rb") as file:
        assert sha256_of_file(file) == sha256_of_file(path)


@pytest.mark.parametrize("replaced", ["docs/a.txt", "docs"])
def test_a_link_that_has_taken_the_place_of_what_was_found_is_not_followed(tmp_path: Path, replaced: str) -> None:
    for folder in ("root/docs", "private/docs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text(folder)
    root = tmp_path / "root"
    with open_regular(root / "docs/a.txt", root) as file:
        assert file.read() == b"root/docs"
    (root / replaced).rename(tmp_path / "moved")
    (root / replaced).symlink_to(tmp_path / "private" / replaced)
    with pytest.raises(OSError, match="it has been replaced by a link since it was found"):
        open_regular(root / "docs/a.txt", root)
    # What a person names may be a link, and may lie below links.
    with open_regular(root / "docs/a.txt") as file:
        assert file.read() == b"private/docs"


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for root in (None, tmp_path):
        with pytest.raises(OSError, match="it is not a regular file"):
            open_regular(tmp_path / "pipe", root)
        with pytest.raises(FileNotFoundError):
            open_regular(tmp_path / "gone", root)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.k3v8.partial").mkdir()  # of a process that was killed
    for name in ("old", "new"):
        with staged_folder(tmp_path / "a") as staged:
            (staged / name).write_text(name)
            assert not (tmp_path / "a" / name).exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def make_half(folder: Path) -> None:
    with staged_folder(folder) as staged:
        (staged / "half").touch()
        raise ValueError("the other half")


def test_a_folder_that_cannot_be_made_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="the other half"):
        make_half(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
