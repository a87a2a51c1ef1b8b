from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from qa.errors import DuplicateDocument, SourceNotFound
from qa.readers.discovery import discover
from qa.types import FileReport, Source
from tests.support.texts import a_name_of_any_bytes


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def _ids(*paths: Path) -> list[str]:
    return [found.id for found in discover(paths) if isinstance(found, Source)]


def _reports(*paths: Path) -> dict[str, tuple[str, str]]:
    return {found.id: (found.status, found.reason) for found in discover(paths) if isinstance(found, FileReport)}


def test_ids_are_relative_to_the_folder_and_sorted(tmp_path: Path) -> None:
    _write(tmp_path, "b.txt", "a/z.txt", "a.txt", "a/b/c.md")
    assert _ids(tmp_path) == ["a.txt", "a/b/c.md", "a/z.txt", "b.txt"] == sorted(_ids(tmp_path))


def test_a_single_file_is_called_by_its_name(tmp_path: Path) -> None:
    _write(tmp_path, "deep/down/a.txt")
    assert list(discover([tmp_path / "deep/down/a.txt"])) == [Source("a.txt", tmp_path / "deep/down/a.txt", 4)]


def test_with_several_paths_ids_start_with_their_base_name(tmp_path: Path) -> None:
    _write(tmp_path, "one/a.txt", "two/a.txt", "b.txt")
    assert _ids(tmp_path / "one", tmp_path / "two", tmp_path / "b.txt") == ["one/a.txt", "two/a.txt", "b.txt"]


def test_the_current_folder_has_a_base_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "one/a.txt", "two/b.txt")
    monkeypatch.chdir(tmp_path / "one")
    assert _ids(Path(), Path("../two")) == ["one/a.txt", "two/b.txt"]


def test_a_missing_path_is_refused_before_anything_is_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"gone: no such file or directory; give a file or folder that exists"):
        discover([tmp_path, tmp_path / "gone"])


def test_paths_of_one_base_name_are_told_apart_by_the_folders_above(tmp_path: Path) -> None:
    _write(tmp_path, "x/docs/a.txt", "y/docs/a.txt", "y/docs/.git/config", "x/docs/.git/config", "z.txt")
    paths = [tmp_path / "x/docs", tmp_path / "y/docs", tmp_path / "z.txt"]
    assert [found.id for found in discover(paths)] == [
        "x/docs/.git",
        "x/docs/a.txt",
        "y/docs/.git",
        "y/docs/a.txt",
        "z.txt",
    ]
    assert _ids(*reversed(paths)) == ["z.txt", "y/docs/a.txt", "x/docs/a.txt"]


def test_as_many_folders_are_named_as_tell_the_paths_apart(tmp_path: Path) -> None:
    _write(tmp_path, "a/x/docs/1.txt", "b/x/docs/1.txt", "c/docs/1.txt")
    paths = [tmp_path / "a/x/docs", tmp_path / "b/x/docs", tmp_path / "c/docs"]
    assert _ids(*paths) == ["a/x/docs/1.txt", "b/x/docs/1.txt", "c/docs/1.txt"]


def test_no_path_is_called_by_what_lies_below_another(tmp_path: Path) -> None:
    _write(tmp_path, "1/docs/a.txt", "2/docs/a.txt", "z/1/docs/a.txt")
    assert _ids(tmp_path / "1/docs", tmp_path / "2/docs", tmp_path / "z/1") == [
        f"{tmp_path.name}/1/docs/a.txt",
        "2/docs/a.txt",
        "z/1/docs/a.txt",
    ]


@pytest.mark.parametrize("second", ["docs", "link", "docs/../docs"])
def test_one_folder_given_twice_is_refused(tmp_path: Path, second: str) -> None:
    _write(tmp_path, "docs/a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    with pytest.raises(DuplicateDocument, match=r"docs and .* are the same folder or file; give one of them"):
        discover([tmp_path / "docs", tmp_path / second])


def test_a_folder_within_another_that_is_given_too_has_ids_of_its_own(tmp_path: Path) -> None:
    _write(tmp_path, "docs/docs/a.txt")
    assert _ids(tmp_path / "docs", tmp_path / "docs/docs") == [f"{tmp_path.name}/docs/docs/a.txt", "docs/docs/a.txt"]


def test_two_files_with_one_id_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder above is left to name, as with two folders at the top."""
    _write(tmp_path, "x/docs/a.txt", "y/docs/a.txt")
    monkeypatch.setattr("qa.readers.discovery._names", lambda path: (path.name,))
    with pytest.raises(
        DuplicateDocument, match=r"x/docs/a\.txt and .*y/docs/a\.txt would both be document docs/a\.txt"
    ):
        list(discover([tmp_path / "x/docs", tmp_path / "y/docs"]))


def test_hidden_files_and_folders_are_skipped_with_one_report_each(tmp_path: Path) -> None:
    _write(tmp_path, ".git/config", ".git/objects/x", "a.txt", "sub/.hidden.txt")
    assert _ids(tmp_path) == ["a.txt"]
    assert _reports(tmp_path) == {".git": ("skipped", "hidden"), "sub/.hidden.txt": ("skipped", "hidden")}


def test_installed_packages_are_skipped_unless_their_folder_is_given(tmp_path: Path) -> None:
    _write(tmp_path, "web/node_modules/x/readme.md", "lib/__pycache__/a.txt", "lib/a.py", "node_modules.txt")
    assert _ids(tmp_path) == ["lib/a.py", "node_modules.txt"]
    assert _reports(tmp_path).keys() == {"web/node_modules", "lib/__pycache__"}
    assert _ids(tmp_path / "web/node_modules") == ["x/readme.md"]


def test_a_hidden_path_that_is_given_is_read(tmp_path: Path) -> None:
    _write(tmp_path, ".notes/a.txt")
    assert _ids(tmp_path / ".notes") == ["a.txt"]


def test_links_are_followed_only_to_files_within(tmp_path: Path) -> None:
    _write(tmp_path, "docs/a.txt", "docs/sub/b.txt", "docs/.secret", "outside.txt")
    docs = tmp_path / "docs"
    for name, target in {
        "inside": docs / "a.txt",
        "out": tmp_path / "outside.txt",
        "up": docs,
        "to-hidden": docs / ".secret",
    }.items():
        (docs / name).symlink_to(target)
    assert _ids(docs) == ["a.txt", "inside", "sub/b.txt"]
    assert _reports(docs) == {
        ".secret": ("skipped", "hidden"),
        "out": ("skipped", "a link that leads out of the folder"),
        "to-hidden": ("skipped", "a link to a hidden file"),
        "up": ("skipped", "a link to a folder"),
    }


def test_a_folder_that_becomes_a_link_while_it_is_walked_is_not_listed(tmp_path: Path) -> None:
    _write(tmp_path, "docs/a.txt", "docs/sub/b.txt", "private/secret.txt")
    found = discover([tmp_path / "docs"])
    assert next(found) == Source("a.txt", tmp_path / "docs/a.txt", 4, root=tmp_path / "docs")
    (tmp_path / "docs/sub").rename(tmp_path / "moved")
    (tmp_path / "docs/sub").symlink_to(tmp_path / "private")
    reason = "the folder: it has been replaced by a link since it was found"
    assert list(found) == [FileReport("sub", "failed", reason)]


def test_links_that_lead_nowhere_are_skipped_and_loops_fail(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    reports = _reports(tmp_path)
    assert reports["dangling"] == ("skipped", "the link: no such file or directory")
    assert reports["loop"] == ("failed", "the link: too many levels of symbolic links")


def test_what_is_no_regular_file_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert list(discover([tmp_path])) == [FileReport("pipe.txt", "skipped", "a named pipe")]
    assert list(discover([tmp_path / "pipe.txt"])) == [FileReport("pipe.txt", "skipped", "a named pipe")]


def test_a_folder_that_vanishes_is_skipped_and_the_others_are_found(tmp_path: Path) -> None:
    _write(tmp_path, "a.txt", "b/c.txt", "d.txt")
    found = discover([tmp_path])
    first = next(found)
    (tmp_path / "b/c.txt").unlink()
    (tmp_path / "b").rmdir()
    assert [first.id, *(item.id for item in found)] == ["a.txt", "b", "d.txt"]


def test_a_folder_that_moves_away_is_skipped_with_the_reason(tmp_path: Path) -> None:
    _write(tmp_path, "a.txt", "b/c.txt")
    found = discover([tmp_path])
    next(found)
    (tmp_path / "b").rename(tmp_path / "moved")
    assert next(found) == FileReport("b", "skipped", "the folder: no such file or directory")


def test_a_folder_that_cannot_be_listed_fails_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("qa.readers.discovery.os.scandir", refuse)
    assert list(discover([tmp_path])) == [FileReport(tmp_path.name, "failed", "the folder: permission denied")]


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"caf\xe9/a.txt"])
def test_names_that_are_not_utf8_are_skipped_under_a_printable_id(tmp_path: Path, name: bytes) -> None:
    with a_name_of_any_bytes():
        _write(tmp_path, os.fsdecode(name))
    assert _reports(tmp_path) == {
        os.fsdecode(name.partition(b"/")[0]).replace("\udce9", "\\udce9"): (
            "skipped",
            "its name is not valid UTF-8; rename it",
        )
    }


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("a\nb.txt", "a\\nb.txt"),
        ("a\x1b[31m.txt", "a\\x1b[31m.txt"),
        ("a\u2028b/c.txt", "a\\u2028b"),
        ("\x85", "\\x85"),
    ],
)
def test_names_that_are_no_single_line_are_skipped_under_a_printable_id(tmp_path: Path, name: str, id: str) -> None:
    _write(tmp_path, name, "a.txt")
    assert _ids(tmp_path) == ["a.txt"]
    assert _reports(tmp_path) == {id: ("skipped", "its name holds a line break or control character; rename it")}


def test_odd_names_that_are_one_line_are_read_under_them(tmp_path: Path) -> None:
    names = sorted(
        ["a b.txt", "a\\nb.txt", "50%.txt", "#1?.txt", "👩\u200d👩\u200d👦.txt", "10\u202fPM.txt", '"<&>.txt']
    )
    _write(tmp_path, *names)
    assert _ids(tmp_path) == names


def test_a_given_path_is_named_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"a\\nb: no such file"):
        discover([tmp_path / "a\nb"])
    _write(tmp_path, "a\nb", "c/x.txt", "d\ne/x.txt")
    reason = "its name holds a line break or control character; rename it"
    assert list(discover([tmp_path / "a\nb"])) == [FileReport("a\\nb", "skipped", reason)]
    assert _ids(tmp_path / "c", tmp_path / "d\ne") == ["c/x.txt", "d\\ne/x.txt"]


def test_sockets_and_devices_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.txt")
        assert _reports(tmp_path) == {"socket.txt": ("skipped", "a socket")}
    assert list(discover([Path("/dev/null")])) == [FileReport("null", "skipped", "a device")]


def test_folders_that_lead_into_one_another_end(tmp_path: Path) -> None:
    _write(tmp_path, "a/b/c.txt", "d/e.txt")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/there").symlink_to(tmp_path / "d")
    (tmp_path / "d/back").symlink_to(tmp_path / "a")
    assert _ids(tmp_path) == ["a/b/c.txt", "d/e.txt"]
    assert {reason for _, reason in _reports(tmp_path).values()} == {"a link to a folder"}


def test_a_file_that_vanishes_is_skipped_and_the_others_are_found(tmp_path: Path) -> None:
    _write(tmp_path, "a.txt", "b.txt", "c.txt")
    found = discover([tmp_path])
    assert next(found).id == "a.txt"
    (tmp_path / "b.txt").unlink()
    assert next(found) == FileReport("b.txt", "skipped", "no such file or directory")
    assert next(found).id == "c.txt"


def test_a_folder_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    _write(tmp_path, "x.pdf/a.txt")
    assert _ids(tmp_path) == ["x.pdf/a.txt"]


@pytest.mark.slow
def test_ten_thousand_files_are_found_within_seconds_of_the_processor(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / str(folder)).mkdir()
        for file in range(100):
            (tmp_path / str(folder) / f"{file}.txt").touch()
    (tmp_path / ".qaignore").write_text("*.log\n!keep.log\n/build/\n" * 10)
    started = time.thread_time()
    assert len(_ids(tmp_path)) == 10_000
    assert time.thread_time() - started < 5


@pytest.mark.slow
def test_folders_nested_deeper_than_the_stack_are_walked(tmp_path: Path) -> None:
    folders = [tmp_path]
    try:
        for _ in range(1500):
            folders.append(folders[-1] / "d")
            folders[-1].mkdir()
        assert list(discover([tmp_path])) == []
        (folders[-1] / "a.txt").write_text("text")
        assert _ids(tmp_path) == ["d/" * 1500 + "a.txt"]
    finally:
        # pytest removes old folders by recursion, and would fail in some later run.
        (folders[-1] / "a.txt").unlink()
        for folder in reversed(folders[1:]):
            folder.rmdir()


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert list(discover([tmp_path])) == []
