"""Indexing again: only what changed is read, only new text is encoded, and nothing that is gone answers."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from qa.build.update import Update, follow, update
from qa.index.schema import DOCUMENTS_FILE
from qa.index.snapshots import Snapshots
from qa.protocols import Encoder
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Document, FileReport, Query, Source
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.hashing import HashingEncoder
from tests.support.reader_samples import SAMPLES


class Indexer:
    """Indexes ``folder`` again and again, and notes what is read; ``broken`` ids cannot be read."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.read: list[str] = []
        self.broken: set[str] = set()
        self.loads = 0

    def __call__(self, settings: Settings | None = None, rebuild: bool = False) -> Update:
        self.read, self.loads = [], 0
        return update(
            settings or self.settings,
            [self.folder],
            Recorder(),
            make=self._make,
            read=self._read,
            rebuild=rebuild,
        )

    def _read(self, source: Source) -> tuple[Document | None, FileReport]:
        self.read.append(source.id)
        if source.id in self.broken:
            return None, FileReport(source.id, "failed", "it is half written", size=source.size)
        return read_source(source)

    def _make(self, settings: Settings, *, threads: int) -> Encoder:
        indexer = self

        class Counting(HashingEncoder):
            def load(self) -> None:
                indexer.loads += 1

        return Counting()


@pytest.fixture
def index(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Indexer:
    # Files of this very moment are not relied on; a test cannot wait two seconds each time.
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    indexer = Indexer(settings, folder)
    indexer()
    assert set(indexer.read) == {"apples.txt", "below/plums.txt", "pears.md", "photo.xyz"}
    return indexer


def documents(settings: Settings) -> set[str]:
    index = Snapshots(settings.indexes, settings.name).open()
    try:
        return set(index.store.document_ids)
    finally:
        index.close()


def test_where_nothing_changed_nothing_is_read_and_there_is_no_new_snapshot(index: Indexer) -> None:
    snapshots = Snapshots(index.settings.indexes, "test")
    before = snapshots.ids()
    again = index()
    assert (again.counts.changed, again.manifest.id) == (False, before[0])
    assert (index.read, index.loads, snapshots.ids()) == ([], 0, before)


def test_only_a_changed_file_is_read(index: Indexer, folder: Path) -> None:
    (folder / "apples.txt").write_text("Apples are crisp.\n")
    again = index()
    assert (index.read, again.counts.encoded, again.counts.changed) == (["apples.txt"], 1, True)
    assert documents(index.settings) == {"apples.txt", "below/plums.txt", "pears.md"}


def test_a_new_file_and_a_deleted_one(index: Indexer, folder: Path) -> None:
    (folder / "quinces.txt").write_text("Quinces are yellow.\n")
    (folder / "apples.txt").unlink()
    assert index().counts.encoded == 1
    assert index.read == ["quinces.txt"]
    service = Service(index.settings, make=hashing_encoder)
    service.reload()
    hits = service.ask(Query("Where do apples grow? Quinces")).hits
    assert hits[0].passage.document == "quinces.txt"
    assert "apples.txt" not in {hit.passage.document for hit in hits}


def test_a_deletion_alone_needs_no_model(index: Indexer, folder: Path) -> None:
    (folder / "apples.txt").unlink()
    assert index().counts.changed
    assert (index.read, index.loads) == ([], 0)


def test_a_renamed_file_costs_no_encoding(index: Indexer, folder: Path) -> None:
    (folder / "apples.txt").rename(folder / "fruit.txt")
    assert index().counts.encoded == 0
    assert index.read == ["fruit.txt"]
    assert documents(index.settings) == {"fruit.txt", "below/plums.txt", "pears.md"}


def test_a_touched_file_is_read_and_makes_no_new_snapshot(index: Indexer, folder: Path) -> None:
    os.utime(folder / "apples.txt", ns=(1, 1))
    assert not index().counts.changed
    assert index.read == ["apples.txt"]


def test_what_is_taken_over_is_what_a_rebuild_makes(index: Indexer, folder: Path) -> None:
    (folder / "apples.txt").write_text("Apples are crisp.\n")

    def content(update: Update) -> list[object]:
        opened = Snapshots(index.settings.indexes, "test").open(update.manifest.id)
        reports = [replace(report, seconds=0.0) for report in opened.store.report()]
        texts = [opened.store.document(id) for id in opened.store.document_ids]
        passages = sorted(opened.store.all_passages(), key=lambda passage: passage.id)
        opened.close()
        return [reports, texts, passages]

    assert content(index()) == content(index(rebuild=True))
    assert len(index.read) == 4


@pytest.mark.parametrize("change", [{"passage_tokens": 64}, {"overlap_tokens": 8}])
def test_other_parameters_read_everything_again(index: Indexer, change: dict[str, int]) -> None:
    assert index(index.settings.model_copy(update=change)).counts.changed
    assert len(index.read) == 4


def test_what_is_hidden_is_read_after_the_setting_has_changed(
    settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    workbook = openpyxl.Workbook()
    workbook.active.append(("Rope", 9))
    workbook.create_sheet("Keys").append(("east gate",))
    workbook["Keys"].sheet_state = "hidden"
    workbook.save(folder / "stock.xlsx")

    def text(of: Settings) -> str:
        update(of, [folder], Recorder(), make=hashing_encoder)
        service = Service(of, make=hashing_encoder)
        service.reload()
        return service.document("stock.xlsx").document.text

    assert "east gate" not in text(settings)
    assert "east gate" in text(settings.model_copy(update={"hidden": True}))
    # A server that follows the index reads what the index holds, whatever its own setting is.
    (folder / "new.txt").write_text("Medlars are brown.\n")
    after = follow(settings, Recorder(), HashingEncoder())
    assert after.counts.encoded == 1
    assert after.manifest.fingerprint["reading"]["hidden"] is True


def test_a_damaged_snapshot_is_not_followed(index: Indexer, settings: Settings) -> None:
    folder = Snapshots(settings.indexes, "test").path(Snapshots(settings.indexes, "test").current())
    (folder / "documents.sqlite").write_bytes(b"")
    assert index().counts.changed
    assert len(index.read) == 4


def test_a_file_that_cannot_be_read_any_more_keeps_its_last_good_version(index: Indexer, folder: Path) -> None:
    created = Snapshots(index.settings.indexes, "test").listing()[0].manifest
    assert created is not None
    index.broken = {"apples.txt"}
    for text in ("Half", "Half a sen"):
        (folder / "apples.txt").write_text(text)
        assert index().counts.encoded == 0
        service = Service(index.settings, make=hashing_encoder)
        service.reload()
        assert service.document("apples.txt").document.text.startswith("Apples grow on trees.")
        (report,) = [report for report in service.collection().report if report.id == "apples.txt"]
        assert (report.status, report.passages) == ("failed", 1)
        assert report.reason == f"it is half written; what was read before ({created.created}) is kept"


def test_a_file_that_was_kept_is_read_when_it_can_be_again(index: Indexer, folder: Path) -> None:
    index.broken = {"apples.txt"}
    (folder / "apples.txt").write_text("Half")
    index()
    index()
    assert index.read == ["apples.txt"]
    index.broken = set()
    assert index().counts.encoded == 1
    assert index.read == ["apples.txt"]


def test_a_failure_is_never_relied_on(index: Indexer, folder: Path) -> None:
    index.broken = {"apples.txt", "new.txt"}
    (folder / "new.txt").write_text("It was too large for a limit that is higher now.\n")
    index()
    index.broken = set()
    assert index().counts.changed
    assert "new.txt" in index.read
    assert "new.txt" in documents(index.settings)


def test_a_file_that_never_could_be_read_is_no_reason_for_a_new_snapshot(index: Indexer, folder: Path) -> None:
    index.broken = {"new.txt"}
    (folder / "new.txt").write_text("x")
    assert index().counts.changed
    assert not index().counts.changed


@pytest.fixture
def of_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files stay as if written just now, however long a busy machine takes."""
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 10**18)


@pytest.mark.usefixtures("of_this_moment")
def test_a_file_of_this_moment_is_taken_over_by_its_bytes(settings: Settings, folder: Path) -> None:
    index = Indexer(settings, folder)
    index()
    assert not index().counts.changed
    assert index.read == ["photo.xyz"]
    assert index.loads == 0


@pytest.mark.usefixtures("of_this_moment")
def test_a_change_that_shows_in_no_time_and_no_size_is_found(settings: Settings, folder: Path) -> None:
    index = Indexer(settings, folder)
    index()
    (folder / "apples.txt").write_text("Apples grow on trees. They are red or brown.\n")
    assert index().counts.changed
    assert "apples.txt" in index.read


def test_where_a_file_that_is_read_again_says_nothing_new_no_model_is_loaded(index: Indexer, folder: Path) -> None:
    (folder / "apples.txt").rename(folder / "fruit.txt")
    os.utime(folder / "pears.md", ns=(1, 1))
    assert index().counts.changed
    assert (index.read, index.loads) == (["fruit.txt", "pears.md"], 0)


def text_of(index: Indexer, id: str) -> str:
    service = Service(index.settings, make=hashing_encoder)
    service.reload()
    return service.document(id).document.text


@pytest.mark.parametrize("how", ["other settings", "a rebuild"])
def test_what_is_kept_stays_where_everything_is_read_again(index: Indexer, folder: Path, how: str) -> None:
    (folder / "apples.txt").write_text("Apples grow on trees. They are red or green. They are best in autumn.\n")
    index()
    (folder / "apples.txt").write_text("Half")
    index.broken = {"apples.txt"}
    smaller = index.settings.model_copy(update={"passage_tokens": 16, "overlap_tokens": 0})
    again = index(rebuild=True) if how == "a rebuild" else index(smaller)
    assert again.counts.changed
    assert set(index.read) == {"apples.txt", "below/plums.txt", "pears.md", "photo.xyz"}
    assert text_of(index, "apples.txt").startswith("Apples grow on trees.")
    opened = Snapshots(index.settings.indexes, "test").open()
    passages = [passage.text for passage in opened.store.passages_of("apples.txt")]
    (report,) = [report for report in opened.store.report() if report.id == "apples.txt"]
    opened.close()
    assert len(passages) == report.passages == (1 if how == "a rebuild" else 2)


@pytest.fixture
def unlistable(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that cannot be listed: rights do not keep root out."""
    folders: set[Path] = set()
    listing = os.scandir

    def scandir(path: Path | int) -> object:
        listed = Path(os.readlink(f"/proc/self/fd/{path}")) if isinstance(path, int) else path  # noqa: PTH115
        if listed in folders:
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr("qa.readers.discovery.os.scandir", scandir)
    return folders


def test_a_folder_that_cannot_be_listed_keeps_what_was_in_it(
    index: Indexer, folder: Path, unlistable: set[Path]
) -> None:
    unlistable.add(folder / "below")
    assert index().counts.changed
    assert (index.read, index.loads) == ([], 0)
    assert text_of(index, "below/plums.txt").endswith("Plums are blue.\n")
    opened = Snapshots(index.settings.indexes, "test").open()
    reports = {report.id: report for report in opened.store.report()}
    opened.close()
    assert reports["below"].reason == "the folder: permission denied"
    assert reports["below/plums.txt"].status == "failed"
    assert reports["below/plums.txt"].reason.startswith(
        "it is in below, which cannot be listed; what was read before ("
    )
    assert not index().counts.changed
    unlistable.clear()
    assert index().counts.changed
    assert index.read == ["below/plums.txt"]


def test_a_folder_that_is_gone_keeps_nothing(index: Indexer, folder: Path) -> None:
    (folder / "below/plums.txt").unlink()
    (folder / "below").rmdir()
    index()
    assert documents(index.settings) == {"apples.txt", "pears.md"}


def test_a_file_that_cannot_be_looked_at_keeps_its_last_good_version(
    index: Indexer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def failing(path: Path, **options: bool) -> os.stat_result:
        if path == folder / "apples.txt":
            raise OSError(5, "Input/output error", str(path))
        return stat(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", failing)
        assert index().counts.changed
    assert text_of(index, "apples.txt").startswith("Apples grow on trees.")


def test_a_link_whose_file_is_deleted_keeps_nothing(index: Indexer, folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / "apples.txt")
    index()
    assert "link.txt" in documents(index.settings)
    (folder / "apples.txt").unlink()
    index()
    assert documents(index.settings) == {"below/plums.txt", "pears.md"}


def test_two_roots_of_one_name_are_followed_and_keep_their_files(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    roots = [tmp_path / "mine/notes", tmp_path / "yours/notes"]
    for root in roots:
        root.mkdir(parents=True)
        (root / f"{root.parent.name}.txt").write_text(f"These are {root.parent.name}.\n")
        (root / ".hidden").write_text("x")
    broken: set[str] = set()

    def read(source: Source) -> tuple[Document | None, FileReport]:
        return (None, FileReport(source.id, "failed", "broken")) if source.id in broken else read_source(source)

    def run() -> Update:
        return update(settings, roots, Recorder(), make=hashing_encoder, read=read)

    run()
    assert documents(settings) == {"mine/notes/mine.txt", "yours/notes/yours.txt"}
    assert not run().counts.changed
    broken.add("mine/notes/mine.txt")
    (roots[0] / "mine.txt").write_text("Half")
    assert run().counts.changed
    assert documents(settings) == {"mine/notes/mine.txt", "yours/notes/yours.txt"}


def test_another_folder_of_the_same_names_is_not_taken_for_this_one(
    index: Indexer, build: Build, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "apples.txt").write_bytes((index.folder / "apples.txt").read_bytes())
    build(other, rebuild=False)
    assert documents(index.settings) == {"apples.txt"}


def test_two_names_that_are_shown_alike_are_unchanged_too(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    (folder / "a\nb.txt").write_text("A name of two lines.\n")
    (folder / "a\\nb.txt").write_text("A name that is shown like the other.\n")
    assert update(settings, [folder], Recorder(), make=hashing_encoder, read=read_source).counts.documents == 4
    assert not update(settings, [folder], Recorder(), make=hashing_encoder, read=read_source).counts.changed


def rows_of(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table of the active snapshot's documents, but for the times of its report."""
    path = Snapshots(settings.indexes, settings.name).path(Snapshots(settings.indexes, settings.name).current())
    with closing(sqlite3.connect(path / DOCUMENTS_FILE)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(name for name in names if name not in {"seconds", "modified_ns"})
            found[table] = sorted(connection.execute(f"SELECT {kept} FROM {table}"), key=repr)
    return found


def answers_of(settings: Settings) -> list[object]:
    """Return what some questions find, with all scores."""
    service = Service(settings, make=hashing_encoder)
    service.reload()
    questions = ["Which apples are crisp?", "plums", "Where do pears grow?", "What is attached?"]
    hits = [service.ask(Query(question)).hits for question in questions]
    return [(hit.passage, hit.scores) for each in hits for hit in each]


def test_an_update_holds_what_a_build_of_everything_holds(index: Indexer, folder: Path) -> None:
    for name, make in SAMPLES.items():
        (folder / name).write_bytes(make())
    index()
    # The numbers of documents move: one goes, one is new before those that stay, and one changes.
    (folder / "apples.txt").unlink()
    (folder / "a first.txt").write_text("Apricots are soft.\n")
    (folder / "pears.md").write_text("# Pears\n\nPears grow in the valley.\n\n## Other\n\nSome are red.\n")
    updated = index()
    assert index.read == ["a first.txt", "pears.md"]
    assert updated.counts.changed
    rows, hits = rows_of(index.settings), answers_of(index.settings)
    again = index(rebuild=True)
    assert again.counts.passages == updated.counts.passages
    assert rows_of(index.settings) == rows
    assert answers_of(index.settings) == hits
    assert {"documents", "passages", "windows", "sections", "pages", "metadata"} <= {
        name for name in rows if rows[name]
    }
