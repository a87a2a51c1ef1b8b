from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from qa.errors import BadIgnoreFile
from qa.readers.discovery import IgnoreRules, discover, read_rules
from qa.types import FileReport, Source


def _rules(folder: Path, *lines: str) -> IgnoreRules:
    (folder / ".qaignore").write_text("\n".join(lines), "utf-8")
    rules = read_rules(folder / ".qaignore", "", None)
    assert rules is not None
    return rules


def _write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _ids(*paths: Path) -> list[str]:
    return [found.id for found in discover(paths) if isinstance(found, Source)]


@pytest.mark.parametrize(
    ("pattern", "ignored", "wanted"),
    [
        ("*.log", ["a.log", "b/c.log"], ["a.txt", "log"]),
        ("/a.txt", ["a.txt"], ["b/a.txt"]),
        ("b/a.txt", ["b/a.txt"], ["c/b/a.txt"]),
        ("**/old", ["old", "a/b/old"], ["older"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z"]),
        ("a?[0-9].txt", ["ab1.txt"], ["a1.txt", "abc.txt"]),
        ("\\#x", ["#x"], ["x"]),
        ("\\!x", ["!x"], ["x"]),
        ("été  ", ["été"], ["ete"]),
        ("tab\t\r", ["tab"], ["tab\t"]),
        ("# comment", [], ["# comment", "comment"]),
        ("folder/", [], ["folder"]),
    ],
)
def test_patterns_for_files(tmp_path: Path, pattern: str, ignored: list[str], wanted: list[str]) -> None:
    rules = _rules(tmp_path, pattern)
    assert [id for id in (*ignored, *wanted) if rules.ignore(id, is_folder=False)] == ignored


def test_the_last_pattern_that_matches_decides(tmp_path: Path) -> None:
    rules = _rules(tmp_path, "*.txt", "!keep.txt", "drafts/keep.txt")
    ids = ["a.txt", "keep.txt", "drafts/keep.txt", "b/keep.txt"]
    assert [rules.ignore(id, is_folder=False) for id in ids] == [True, False, True, False]


def test_all_but_some_kinds(tmp_path: Path) -> None:
    _write(tmp_path, a_md="", a_txt="", sub__b_md="", sub__b_txt="", _qaignore="*\n!*/\n!*.md\n")
    assert _ids(tmp_path) == ["a.md", "sub/b.md"]


def test_nearer_files_come_first_and_speak_of_their_own_folder(tmp_path: Path) -> None:
    _write(tmp_path, _qaignore="*.txt\n", a_txt="", sub__a_txt="", sub__b_txt="", sub__deep__a_txt="")
    (tmp_path / "sub/.qaignore").write_text("!/a.txt")
    assert _ids(tmp_path) == ["sub/a.txt"]
    assert _ids(tmp_path / "sub") == ["a.txt", "b.txt", "deep/a.txt"]
    assert _ids(tmp_path / "sub", tmp_path / "a.txt") == ["sub/a.txt", "sub/b.txt", "sub/deep/a.txt", "a.txt"]


def test_an_ignored_folder_is_one_report_and_the_file_that_says_so_none(tmp_path: Path) -> None:
    _write(tmp_path, a_txt="", big__a_txt="", big__sub__b_txt="", _qaignore="big/\n!big/a.txt\n.hidden")
    (tmp_path / ".hidden").write_text("")
    assert list(discover([tmp_path])) == [
        FileReport(".hidden", "skipped", "hidden"),
        Source("a.txt", tmp_path / "a.txt", 0, root=tmp_path),
        FileReport("big", "skipped", "ignored by .qaignore"),
    ]


def test_a_file_that_is_given_is_read(tmp_path: Path) -> None:
    _write(tmp_path, a_txt="", _qaignore="*")
    assert _ids(tmp_path / "a.txt") == ["a.txt"]


@pytest.mark.parametrize("pattern", ["a[b", "[z-a]", "a\\", "!"])
def test_a_broken_pattern_is_named_with_its_line(tmp_path: Path, pattern: str) -> None:
    _write(tmp_path, a_txt="", sub___qaignore=f"*.log\n\n{pattern}\n")
    with pytest.raises(BadIgnoreFile) as caught:
        list(discover([tmp_path]))
    file = tmp_path / "sub" / ".qaignore"
    assert str(caught.value) == f"{file}, line 3: {pattern!r} is no gitignore pattern; correct or remove it"


def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    file = tmp_path / ".qaignore"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(BadIgnoreFile, match="not valid UTF-8"):
        list(discover([tmp_path]))
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(BadIgnoreFile, match="larger than 1 MB"):
        list(discover([tmp_path]))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BadIgnoreFile, match="not a regular file"):
        list(discover([tmp_path]))
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(BadIgnoreFile, match="too many levels"):
        list(discover([tmp_path]))


def test_one_that_is_gone_when_it_is_opened_has_no_rules(tmp_path: Path) -> None:
    assert read_rules(tmp_path / ".qaignore", "", None) is None


def test_a_byte_order_mark_is_no_part_of_the_pattern(tmp_path: Path) -> None:
    (tmp_path / ".qaignore").write_bytes(b"\xef\xbb\xbfa.txt\r\nb.txt\r\n")
    _write(tmp_path, a_txt="", b_txt="", c_txt="")
    assert _ids(tmp_path) == ["c.txt"]


_NAMES = ["a", "b", "a.txt", "b.md", "ab", "foo"]
_PARTS = ["a", "b", "*", "**", "*.txt", "a*", "?", "[ab]", "foo", "b.md", "[!a]", "f**o", "\\a"]


def _pattern(choose: random.Random) -> str:
    parts = "/".join(choose.choice(_PARTS) for _ in range(choose.choice([1, 1, 2, 3])))
    ends = [*[""] * 6, " ", "\\ ", "\r"]
    return choose.choice(["", "", "!"]) + choose.choice(["", "", "/"]) + parts + choose.choice(["", "/", *ends])


def _grow(folder: Path, choose: random.Random, depth: int) -> None:
    folder.mkdir()
    for name in choose.sample(_NAMES, 3):
        if depth and choose.random() < 0.5:
            _grow(folder / name, choose, depth - 1)
        else:
            (folder / name).write_text("")
    if choose.random() < (0.9 if depth == 3 else 0.3):
        (folder / ".qaignore").write_text("\n".join(_pattern(choose) for _ in range(choose.randint(1, 4))), newline="")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what it is compared with")
@pytest.mark.parametrize("seed", range(30))
def test_it_agrees_with_git(tmp_path: Path, seed: int) -> None:
    root = tmp_path / "root"
    _grow(root, random.Random(seed), 3)
    subprocess.run(["git", "init", "-q", root], check=True)
    listing = ["git", "-c", "core.excludesFile=/dev/null", "ls-files", "-zo", "--exclude-per-directory=.qaignore"]
    listed = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout
    expected = [name for name in listed.split("\0") if name and not name.endswith(".qaignore")]
    assert _ids(root) == sorted(expected)
