"""Publishing, listing, activating and pruning, as an operator sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qa.build.update import prune
from qa.errors import (
    IndexNotFound,
    SettingsError,
    SnapshotCorrupt,
    SnapshotIncompatible,
    SnapshotNotFound,
    WriterBusy,
)
from qa.files import Access, limit_access
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from tests.conftest import REPOSITORY, Build, hashing_encoder


@pytest.fixture
def snapshots(settings: Settings) -> Snapshots:
    return Snapshots(settings.indexes, settings.name)


def test_a_build_is_listed_active_and_whole(build: Build, snapshots: Snapshots) -> None:
    id = build().manifest.id
    (info,) = snapshots.listing()
    assert (info.id, info.active, info.problem) == (id, True, "")
    assert info.manifest is not None
    assert (info.manifest.documents, info.manifest.parent) == (3, None)
    assert snapshots.verify().id == id


def test_a_second_build_becomes_active_and_names_its_parent(build: Build, snapshots: Snapshots) -> None:
    first, second = build().manifest, build().manifest
    assert snapshots.current() == second.id
    assert second.parent == first.id
    assert [info.id for info in snapshots.listing()] == sorted([first.id, second.id], reverse=True)


def test_activating_goes_back(build: Build, snapshots: Snapshots) -> None:
    first, _ = build(), build()
    with snapshots.writing() as writer:
        writer.activate(first.manifest.id)
    assert snapshots.current() == first.manifest.id


def test_nothing_but_the_published_files_is_left_behind(build: Build, snapshots: Snapshots) -> None:
    id = build().manifest.id
    assert {path.name for path in snapshots.folder.iterdir()} == {"CURRENT", "LOCK", "embeddings.sqlite", "snapshots"}
    assert [path.name for path in (snapshots.folder / "snapshots").iterdir()] == [id]
    assert {path.name for path in snapshots.path(id).iterdir()} == {
        "catalog.sqlite",
        "documents.sqlite",
        "fields",
        "lexical",
        "manifest.json",
        "relations",
        "vectors",
        "vectors.faiss",
    }


@pytest.mark.parametrize(("access", "of_files", "of_folders"), [("owner", 0o600, 0o700), ("everyone", 0o644, 0o755)])
def test_an_index_can_be_read_by_whom_the_operator_says(
    build: Build, snapshots: Snapshots, access: Access, of_files: int, of_folders: int
) -> None:
    build()
    snapshots.folder.chmod(0o711)
    limit_access(access)
    id = build().manifest.id
    assert snapshots.folder.stat().st_mode & 0o777 == of_folders
    for path in snapshots.path(id).rglob("*"):
        assert path.stat().st_mode & 0o777 == (of_folders if path.is_dir() else of_files)
    assert snapshots.verify().id == id


def test_an_unknown_snapshot_is_named_with_those_that_exist(build: Build, snapshots: Snapshots) -> None:
    id = build().manifest.id
    with pytest.raises(SnapshotNotFound, match=rf"no snapshot '../x' in index 'test'; there are: {id}"):
        snapshots.open("../x")


def test_an_unknown_index_is_named_with_those_that_exist(build: Build, settings: Settings) -> None:
    build()
    with pytest.raises(
        IndexNotFound, match=r"no index named 'other' in .*there are test.*qa index FOLDER --name other"
    ):
        Snapshots(settings.indexes, "other").current()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\n"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is no name for an index"):
        Snapshots(tmp_path, name)


@pytest.mark.parametrize(
    "file", ["documents.sqlite", "vectors.faiss", "vectors/ids.npy", "relations/passages.npy", "catalog.sqlite"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "empty"])
def test_a_damaged_file_is_found_and_named(build: Build, snapshots: Snapshots, file: str, damage: str) -> None:
    path = snapshots.path(build().manifest.id) / file
    content = path.read_bytes()
    half = len(content) // 2
    match damage:
        case "flipped":
            path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
        case "cut":
            path.write_bytes(content[:half])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
    with pytest.raises(SnapshotCorrupt, match=file):
        snapshots.open()


def test_a_damaged_snapshot_cannot_be_activated(build: Build, snapshots: Snapshots) -> None:
    first, second = build().manifest.id, build().manifest.id
    (snapshots.path(first) / "vectors.faiss").write_bytes(b"")
    with pytest.raises(SnapshotCorrupt), snapshots.writing() as writer:
        writer.activate(first)
    assert snapshots.current() == second


def test_a_manifest_of_a_later_format_is_refused_as_such(build: Build, snapshots: Snapshots) -> None:
    path = snapshots.path(build().manifest.id) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 99}))
    with pytest.raises(SnapshotIncompatible, match="of format 99 and this program reads 5"):
        snapshots.open()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 5}', "not json"])
def test_what_is_no_manifest_is_said_to_be_none_and_still_listed(
    build: Build, snapshots: Snapshots, content: str
) -> None:
    id = build().manifest.id
    (snapshots.path(id) / "manifest.json").write_text(content)
    with pytest.raises(SnapshotCorrupt, match="is no manifest"):
        snapshots.open()
    (info,) = snapshots.listing()
    assert info.manifest is None
    assert "is no manifest" in info.problem


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("documents", 99, "its values are not those that were written"),
        ("encoder", "another", "its values are not those that were written"),
        ("files", {}, "its values are not those that were written"),
        ("sha256", "0", "its values are not those that were written"),
    ],
)
def test_a_manifest_whose_values_were_changed_is_refused(
    build: Build, snapshots: Snapshots, field: str, value: object, why: str
) -> None:
    path = snapshots.path(build().manifest.id) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), field: value}))
    with pytest.raises(SnapshotCorrupt, match=why):
        snapshots.manifest()


def test_a_manifest_that_was_only_laid_out_anew_or_has_no_sum_is_read(build: Build, snapshots: Snapshots) -> None:
    manifest = build().manifest
    path = snapshots.path(manifest.id) / "manifest.json"
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps(dict(reversed(values.items()))))
    assert snapshots.manifest() == manifest
    del values["sha256"]  # as a version of the program wrote it that knew none
    path.write_text(json.dumps(values))
    assert snapshots.manifest() == manifest


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 5},
        {"created": 5},
        {"created": "yesterday"},
        {"parent": []},
        {"encoder": None},
        {"sources": "/srv"},
        {"sources": [5]},
        {"documents": "2"},
        {"documents": True},
        {"passages": -1},
        {"passages": 1.5},
        {"files": []},
        {"files": {"documents.sqlite": 5}},
        {"files": {"../documents.sqlite": "0"}},
        {"fingerprint": []},
        {"fingerprint": {}},
        {"fingerprint": {"encoder": 5}},
        {"fingerprint": {"encoder": {}, "splitter": 5}},
        {"colour": "green"},
    ],
    ids=str,
)
def test_wrong_types_in_a_manifest_are_refused_by_name(
    build: Build, snapshots: Snapshots, settings: Settings, wrong: dict[str, object]
) -> None:
    path = snapshots.path(build().manifest.id) / "manifest.json"
    values = json.loads(path.read_bytes())
    del values["sha256"]
    path.write_text(json.dumps({**values, **wrong}))
    service = Service(settings, make=hashing_encoder)
    for read in (snapshots.open, snapshots.manifest, snapshots.verify, service.reload):
        with pytest.raises(SnapshotCorrupt, match=r"manifest\.json is no manifest"):
            read()
    assert "is no manifest" in snapshots.listing()[0].problem


def test_a_snapshot_that_is_pruned_while_it_is_listed_is_left_out(
    build: Build, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = build().manifest.id
    gone = snapshots.folder / "snapshots" / "20010101T000000.000Z-00000000"
    gone.mkdir()
    (gone / "manifest.json").touch()
    is_file = Path.is_file

    def is_file_and_then_gone(path: Path) -> bool:
        found = is_file(path)
        if path.parent == gone:
            shutil.rmtree(gone, ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "is_file", is_file_and_then_gone)
    assert [info.id for info in snapshots.listing()] == [id]


def test_a_snapshot_moved_under_another_id_is_refused(build: Build, snapshots: Snapshots) -> None:
    id = build().manifest.id
    other = "20010101T000000.000Z-00000000"
    snapshots.path(id).rename(snapshots.folder / "snapshots" / other)
    for check in (snapshots.open, snapshots.verify):
        with pytest.raises(SnapshotCorrupt, match=f"holds the manifest of {id}"):
            check(other)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../..", b"a\nb", b"20010101T000000.000Z-00000000 and more"])
def test_a_pointer_that_holds_no_id_says_how_to_set_it(build: Build, snapshots: Snapshots, content: bytes) -> None:
    id = build().manifest.id
    (snapshots.folder / "CURRENT").write_bytes(content)
    with pytest.raises(
        SnapshotCorrupt, match=r"CURRENT holds no snapshot's id; .*qa snapshots activate ID --name test"
    ):
        snapshots.current()
    assert [(info.id, info.active) for info in snapshots.listing()] == [(id, False)]
    with snapshots.writing() as writer:
        writer.activate(id)
    assert snapshots.current() == id
    (snapshots.folder / "CURRENT").write_bytes(content)
    assert build().manifest.id == snapshots.current()


def test_what_else_lies_among_the_snapshots_is_left_alone(
    build: Build, snapshots: Snapshots, settings: Settings
) -> None:
    folder = snapshots.path(build().manifest.id)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder.parent / "notes.txt").write_text("mine")
    (folder.parent / "backup").mkdir()
    (folder.parent / ".aside-file").write_text("a leftover that is no folder")
    id = build().manifest.id
    assert snapshots.ids() == [folder.name, id]
    assert prune(settings.model_copy(update={"keep_snapshots": 1})).removed == (folder.name,)
    assert sorted(path.name for path in folder.parent.iterdir()) == [id, "backup", "notes.txt"]


def test_ids_stay_in_order_though_the_clock_goes_back(build: Build, snapshots: Snapshots) -> None:
    folder = snapshots.path(build().manifest.id)
    ahead = "20990101T000000.000Z-00000000"
    folder.rename(folder.parent / ahead)
    id = build().manifest.id
    assert id.startswith("20990101T000000.001Z-")
    assert snapshots.ids() == [ahead, id]


def test_pruning_keeps_the_newest_and_the_active_one(build: Build, snapshots: Snapshots, settings: Settings) -> None:
    ids = [build().manifest.id for _ in range(4)]
    oldest = min(ids)
    with snapshots.writing() as writer:
        writer.activate(oldest)
    pruned = prune(settings.model_copy(update={"keep_snapshots": 1}))
    assert snapshots.ids() == [oldest, max(ids)]
    assert len(pruned.removed) == 2


def test_pruning_forgets_the_embeddings_that_nothing_uses(build: Build, folder: Path, settings: Settings) -> None:
    build()
    (folder / "apples.txt").write_text("Oranges need sun.\n")
    changed = build()
    assert changed.counts.encoded == 1
    assert prune(settings.model_copy(update={"keep_snapshots": 1})).forgotten == 1
    assert build().counts.encoded == 0


def test_pruning_forgets_nothing_while_a_snapshot_that_stays_cannot_be_read(
    build: Build, snapshots: Snapshots, settings: Settings
) -> None:
    ids = [build().manifest.id for _ in range(3)]
    (snapshots.path(ids[1]) / "documents.sqlite").write_bytes(b"")
    pruned = prune(settings.model_copy(update={"keep_snapshots": 2}))
    assert (pruned.removed, pruned.forgotten) == ((ids[0],), None)
    assert build().counts.encoded == 0


HOLDING = """
import sys
from pathlib import Path
from qa.files import Access, limit_access
from qa.index.snapshots import Snapshots

with Snapshots(Path(sys.argv[1]), sys.argv[2]).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_turned_away_and_readers_are_not(
    build: Build, settings: Settings, snapshots: Snapshots
) -> None:
    id = build().manifest.id
    command = [sys.executable, "-c", HOLDING, str(settings.indexes), settings.name]
    # It holds the lock until its input is closed, as the end of this block does.
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WriterBusy, match="another process is writing the index 'test'"):
            build()
        assert snapshots.open().manifest.id == id
    assert build().manifest.parent == id
