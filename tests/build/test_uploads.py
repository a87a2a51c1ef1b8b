"""Documents that a collection keeps itself: their names, and files landed whole, replaced and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from filelock import FileLock

from qa.build.uploads import DocumentFolder, StagedFile, check_name
from qa.errors import (
    CollectionFull,
    DocumentExists,
    DocumentNotFound,
    DocumentReplaced,
    UploadRefused,
    WriterBusy,
)
from qa.types import UploadLimits
from tests.support.dying import dying

LIMITS = UploadLimits(file_bytes=1000, most_files=3, most_bytes=2000)


@pytest.fixture
def kept(tmp_path: Path) -> DocumentFolder:
    folder = DocumentFolder(tmp_path / "index", LIMITS)
    folder.create()
    return folder


def stage(folder: DocumentFolder, data: bytes) -> StagedFile:
    staged = folder.stage()
    staged.write(data)
    staged.finish()
    return staged


def put(folder: DocumentFolder, id: str, data: bytes, *, replace: bool = True, expected: str | None = None) -> str:
    staged = stage(folder, data)
    try:
        with folder.changing() as change:
            return change.land(staged, id, replace=replace, expected=expected)
    finally:
        staged.discard()


def incoming(folder: DocumentFolder) -> list[Path]:
    return list((folder.path.parent / "incoming").iterdir())


@pytest.mark.parametrize("name", ["a.txt", "Jahr 2023/Bericht (1).pdf", "отчёт.docx", "報告/一.md", "%22.txt"])
def test_names_of_every_script_are_taken_as_they_are(name: str) -> None:
    assert check_name(name) == name


def test_a_name_is_kept_in_one_form_however_it_was_composed() -> None:
    assert check_name(unicodedata.normalize("NFD", "Zürich.txt")) == "Zürich.txt"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a.txt",
        "a/../../b.txt",
        "a//b.txt",
        "a/./b.txt",
        "a/",
        "..\\a.txt",
        "C:\\a.txt",
        ".qaignore",
        "a/.git/config.txt",
        " a.txt",
        "a /b.txt",
        "a\0.txt",
        "a\n.txt",
        "a\x85.txt",
        "a\u2028.txt",
        "exe\u202etxt.pdf",
        "a\u2066b.txt",
        "a\u200bb.txt",
        "a\ud800.txt",
        "node_modules/a.md",
        "é" * 126,
        "/".join(["a"] * 21),
        "/".join(["a" * 200] * 6),
    ],
)
def test_names_that_could_lead_elsewhere_or_deceive_are_refused(name: str) -> None:
    with pytest.raises(UploadRefused):
        check_name(name)


def test_a_file_lands_whole_in_folders_that_are_made_for_it(kept: DocumentFolder) -> None:
    assert put(kept, "a/b/c.txt", b"one") == "added"
    assert (kept.path / "a/b/c.txt").read_bytes() == b"one"
    assert incoming(kept) == []
    assert (kept.kept().files, kept.kept().bytes) == (1, 3)


def test_files_and_folders_are_their_owner_s_alone(tmp_path: Path) -> None:
    os.umask(0o077)
    folder = DocumentFolder(tmp_path / "index", LIMITS)
    folder.create()
    put(folder, "a/b.txt", b"one")
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    files = {"index/documents/a/b.txt", "index/documents.lock"} & modes.keys()
    assert "index/documents/a/b.txt" in files
    assert {modes.pop(name) for name in files} == {0o600}
    assert set(modes.values()) == {0o700}


def test_a_file_is_replaced_only_where_that_is_meant(kept: DocumentFolder) -> None:
    put(kept, "a.txt", b"one")
    with pytest.raises(DocumentExists, match=r"a\.txt"):
        put(kept, "a.txt", b"two", replace=False)
    assert (kept.path / "a.txt").read_bytes() == b"one"
    assert put(kept, "a.txt", b"one", replace=False) == "unchanged"
    assert put(kept, "a.txt", b"two") == "replaced"
    assert (kept.path / "a.txt").read_bytes() == b"two"
    assert incoming(kept) == []


def test_who_has_not_seen_the_last_version_replaces_and_removes_nothing(kept: DocumentFolder) -> None:
    first = stage(kept, b"one").sha256
    put(kept, "a.txt", b"one")
    assert put(kept, "a.txt", b"two", expected=first) == "replaced"
    with pytest.raises(DocumentReplaced):
        put(kept, "a.txt", b"three", expected=first)
    with kept.changing() as change, pytest.raises(DocumentReplaced):
        change.remove("a.txt", expected=first)
    with pytest.raises(DocumentReplaced):
        put(kept, "b.txt", b"one", expected=first)
    assert (kept.path / "a.txt").read_bytes() == b"two"


def test_a_removed_file_takes_its_empty_folders_along(kept: DocumentFolder) -> None:
    put(kept, "a/b/c.txt", b"one")
    put(kept, "a/d.txt", b"two")
    with kept.changing() as change:
        change.remove("a/b/c.txt")
    assert [path.name for path in kept.path.rglob("*")] == ["a", "d.txt"]
    with kept.changing() as change, pytest.raises(DocumentNotFound):
        change.remove("a/b/c.txt")


@pytest.mark.parametrize("id", ["../index/documents.lock", "/etc/passwd", "a.txt/b", "", "a\0", "a" * 5000])
def test_nothing_outside_is_removed(kept: DocumentFolder, id: str) -> None:
    put(kept, "a.txt", b"one")
    with kept.changing() as change, pytest.raises(DocumentNotFound):
        change.remove(id)
    assert kept.path.with_name("documents.lock").exists()


def test_no_link_is_followed(kept: DocumentFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(b"theirs")
    (kept.path / "out").symlink_to(outside)
    (kept.path / "own.txt").symlink_to(outside / "a.txt")
    for id in ("out/a.txt", "out/b.txt", "own.txt"):
        with pytest.raises(UploadRefused):
            put(kept, id, b"ours")
    with kept.changing() as change:
        with pytest.raises(DocumentNotFound):
            change.remove("out/a.txt")
        with pytest.raises(UploadRefused):
            change.remove("own.txt")
    assert [path.name for path in outside.iterdir()] == ["a.txt"]
    assert (outside / "a.txt").read_bytes() == b"theirs"


def test_a_file_in_the_place_of_a_folder_is_said(kept: DocumentFolder) -> None:
    put(kept, "a", b"one")
    with pytest.raises(UploadRefused, match="no folder"):
        put(kept, "a/b.txt", b"two")
    put(kept, "c/d.txt", b"three")
    with pytest.raises(UploadRefused, match="folder"):
        put(kept, "c", b"four")


def test_a_file_above_the_limit_is_given_up_as_it_comes(kept: DocumentFolder) -> None:
    staged = kept.stage()
    staged.write(b"x" * 1000)
    with pytest.raises(UploadRefused, match="larger"):
        staged.write(b"x")
    staged.discard()
    assert incoming(kept) == []


def test_a_collection_holds_so_many_files_and_bytes(kept: DocumentFolder) -> None:
    put(kept, "a.txt", b"x" * 1000)
    put(kept, "b.txt", b"x" * 900)
    with pytest.raises(CollectionFull, match="QA_MAX_DOCUMENTS_MB"):
        put(kept, "c.txt", b"x" * 101)
    put(kept, "a.txt", b"y" * 50)
    put(kept, "c.txt", b"x" * 101)
    with pytest.raises(CollectionFull, match="QA_MAX_DOCUMENTS"):
        put(kept, "d.txt", b"x")
    assert incoming(kept) == []
    assert kept.kept().files == 3


def test_the_bounds_hold_within_one_change(kept: DocumentFolder) -> None:
    staged = [stage(kept, bytes([at]) * 10) for at in range(4)]
    with kept.changing() as change:
        for at, each in enumerate(staged[:3]):
            change.land(each, f"{at}.txt", replace=False)
        with pytest.raises(CollectionFull):
            change.land(staged[3], "3.txt", replace=False)


def test_two_at_once_lose_nothing(kept: DocumentFolder) -> None:
    """Of two that add the same name at once, one has it and the other one is told."""
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def add(data: bytes) -> None:
        together.wait()
        try:
            outcomes.append(put(kept, "a.txt", data, replace=False))
        except DocumentExists:
            outcomes.append("refused")

    threads = [threading.Thread(target=add, args=(data,)) for data in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", "refused"]
    assert incoming(kept) == []


def test_another_process_that_changes_for_long_is_said(kept: DocumentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.build.uploads._PATIENCE", 0.0)
    other = FileLock(kept.path.with_name("documents.lock"))
    with other, pytest.raises(WriterBusy), kept.changing():
        pass


def test_what_was_left_long_ago_is_removed_and_what_is_received_is_not(kept: DocumentFolder) -> None:
    old, new = stage(kept, b"old"), stage(kept, b"new")
    os.utime(old.path, (0, 0))
    kept.create()
    assert incoming(kept) == [new.path]


RECEIVING = """
import sys
from pathlib import Path
from qa.build.uploads import DocumentFolder
from qa.types import UploadLimits
folder = DocumentFolder(Path(sys.argv[1]), UploadLimits(1000, 3, 2000))
staged = folder.stage()
staged.write(b"a part")
print("receiving", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_server_was_receiving_is_removed_at_the_next_start_and_what_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    index = tmp_path / "index"
    folder = DocumentFolder(index, LIMITS)
    folder.create()
    command = [sys.executable, "-c", RECEIVING, str(index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"receiving\n"
        (part,) = incoming(folder)
        folder.create()
        assert incoming(folder) == [part]
        server.kill()
        server.wait()
    folder.create()
    assert incoming(folder) == []


def put_both(index: str) -> None:
    folder = DocumentFolder(Path(index), LIMITS)
    folder.create()
    put(folder, "a.txt", b"new")
    put(folder, "b/c.txt", b"new")


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(kept: DocumentFolder) -> None:
    index = kept.path.parent
    with dying(index, "tests.build.test_uploads:put_both", str(index)) as put_until:
        for step in range(1, 100):
            put(kept, "a.txt", b"old")
            outcome = put_until(step)
            assert (kept.path / "a.txt").read_bytes() in (b"old", b"new")
            (kept.path / "a.txt").write_bytes(b"old")
            if outcome is None:
                break
            assert outcome == signal.SIGKILL
    assert step > 5, "the hook saw too little for this test to mean anything"
    assert (kept.path / "b/c.txt").read_bytes() == b"new"
