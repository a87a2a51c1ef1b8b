"""What an approximate index promises: its recall, exact filters, one file for the same rows, and updates."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qa.errors import SnapshotCorrupt, StorageError, VectorIndexError
from qa.index.bitmaps import filter_for
from qa.index.vectors.approximate import FaissIvf
from qa.index.vectors.clusters import list_count
from qa.index.vectors.engines import FaissVectors, open_vectors
from qa.index.vectors.exact import VECTORS_FILE
from qa.index.vectors.tuning import Effort
from qa.protocols import VectorIndex, VectorRows
from qa.types import Eq

ROWS, DIMENSION = 4000, 32
Matrix = NDArray[np.float32]


def gathered(seed: int, rows: int) -> Matrix:
    """Make vectors of unit length in 50 groups, as texts of some subjects are."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((50, DIMENSION))
    vectors = centres[generator.integers(0, 50, rows)] + 0.8 * generator.standard_normal((rows, DIMENSION))
    normalised: Matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return normalised


@dataclass(frozen=True, slots=True)
class Written:
    """An approximate index in ``folder``, of ``vectors`` whose ids are three times their row's number."""

    folder: Path
    description: Mapping[str, object]
    vectors: Matrix

    def open(self) -> VectorIndex:
        return open_vectors(self.folder, self.description)


def write(folder: Path, vectors: Matrix, before: VectorIndex | None = None, batch: int = 512) -> Written:
    folder.mkdir()
    with closing(FaissVectors(folder, DIMENSION, ["document"], before, exact_up_to=0, least_recall=0)) as index:
        for start in range(0, len(vectors), batch):
            part = vectors[start : start + batch]
            ids = 3 * np.arange(start, start + len(part))
            index.upsert(VectorRows(ids, part, {"document": [f"{id % 200}.txt" for id in ids.tolist()]}))
        index.save(folder)
        return Written(folder, index.describe(), vectors)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("approximate") / "index", gathered(0, ROWS))


@pytest.mark.parametrize(
    ("rows", "lists", "k", "expected"),
    [(10**6, 4096, 10, 16), (10**6, 4096, 11, 64), (10**6, 4096, 300, 64), (10**6, 32, 300, 32), (1000, 256, 10, 256)],
)
def test_more_lists_are_searched_for_more_rows_and_for_fewer_that_pass(
    rows: int, lists: int, k: int, expected: int
) -> None:
    assert Effort(nprobe=16, candidates=100, recall=0.99).among(rows, lists, k).nprobe == expected


def test_it_finds_the_share_of_the_nearest_that_its_description_promises(written: Written) -> None:
    index, queries = written.open(), gathered(0, ROWS + 100)[ROWS:]
    ids, cosines = index.search(queries, 10)
    truth = queries @ written.vectors.T
    nearest = np.argsort(-truth, axis=1)[:, :10]
    recall = np.mean([np.isin(3 * of, found).mean() for of, found in zip(nearest, ids, strict=True)])
    promised = written.description["recall_at_10"]
    assert isinstance(promised, float)
    assert promised >= 0.97
    assert recall >= promised - 0.03
    assert cosines == pytest.approx(np.take_along_axis(truth, ids // 3, axis=1), abs=5e-3)


def test_no_more_lists_are_searched_for_what_codes_cannot_tell_apart(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    texts = gathered(0, ROWS // 40)
    copies = np.repeat(texts, 40, axis=0) + 0.001 * generator.standard_normal((ROWS, DIMENSION))
    vectors = (copies / np.linalg.norm(copies, axis=1, keepdims=True)).astype(np.float32)
    found = write(tmp_path / "index", vectors).description
    nprobe, recall = found["nprobe"], found["recall_at_10"]
    assert isinstance(nprobe, int)
    assert isinstance(recall, float)
    assert recall < 0.97
    assert nprobe <= list_count(ROWS) // 8


def test_its_description_is_what_the_manifest_keeps(written: Written) -> None:
    assert written.description["engine"] == "approximate"
    assert written.description["factory"] == "IVF64,RaBitQ"
    assert written.description["trained_rows"] == ROWS
    assert written.open().describe() == written.description


@pytest.mark.parametrize(("rows", "lists"), [(1, 1), (4_000, 64), (200_000, 2048), (10**6, 4096), (10**7, 16384)])
def test_lists_grow_with_the_root_of_the_rows(rows: int, lists: int) -> None:
    assert list_count(rows) == lists


def test_a_filter_is_exact(written: Written) -> None:
    index, query = written.open(), gathered(1, 1)
    ids, cosines = index.search(query, ROWS, Eq("document", "9.txt"))
    passing = {3 * row for row in range(ROWS) if 3 * row % 200 == 9}
    assert set(ids[0][ids[0] >= 0].tolist()) == passing
    assert cosines[0, : len(passing)].tolist() == index.cosines(query[0], ids[0, : len(passing)]).tolist()


def test_rows_that_pass_a_filter_are_found_where_they_are_many(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.index.vectors.approximate._FEW", 0)
    index, queries = written.open(), gathered(1, 50)
    passing = np.random.default_rng(2).random(ROWS) < 0.3
    ids, _ = index.search(queries, 10, filter_for(index.ids(), passing))
    assert passing[ids // 3].all()
    truth = np.where(passing, queries @ written.vectors.T, -1)
    nearest = 3 * np.argsort(-truth, axis=1)[:, :10]
    assert np.mean([np.isin(of, found).mean() for of, found in zip(nearest, ids, strict=True)]) > 0.9


def test_as_many_rows_come_as_are_wanted_and_pass(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.index.vectors.approximate._FEW", 0)
    index, query = written.open(), gathered(1, 1)
    assert sorted(index.search(query, ROWS)[0][0].tolist()) == index.ids().tolist()
    one = np.arange(ROWS) == 1234
    assert index.search(query, 2, filter_for(index.ids(), one))[0].tolist() == [[3 * 1234, -1]]


def test_the_same_rows_make_the_same_files_however_they_come(written: Written, tmp_path: Path) -> None:
    again = write(tmp_path / "index", written.vectors, batch=77)
    assert again.description == written.description
    files = [path.relative_to(written.folder) for path in written.folder.rglob("*.*")]
    assert len(files) == 7
    for file in files:
        assert (again.folder / file).read_bytes() == (written.folder / file).read_bytes()


def test_the_file_is_the_one_that_faiss_writes_of_rows_that_were_added(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    index: Any = faiss.read_index(str(written.folder / VECTORS_FILE))
    index.reset()
    for start in range(0, ROWS, 1000):
        index.add_with_ids(written.vectors[start : start + 1000], np.arange(start, start + 1000))
    faiss.write_index(index, str(tmp_path / "added"))
    expected = (tmp_path / "added").read_bytes()
    assert (written.folder / VECTORS_FILE).read_bytes() == expected
    # In many parts, as of millions of rows.
    monkeypatch.setattr("qa.index.arrays._PART", 99)
    parted = write(tmp_path / "parted", written.vectors)
    assert (parted.folder / VECTORS_FILE).read_bytes() == expected


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "index", gathered(0, 300)).open().verify()
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("name", ["trained_rows", "trained_recall", "nprobe"])
def test_a_description_of_another_type_is_refused(written: Written, name: str) -> None:
    description = {**written.description, name: "4000"}
    with pytest.raises(SnapshotCorrupt, match=r"the manifest does not say how .*wrong type.*build the index again"):
        FaissIvf(written.folder, description)


def test_of_equal_rows_it_does_not_matter_which_are_found(tmp_path: Path) -> None:
    index = write(tmp_path / "index", np.repeat(gathered(0, 100), 20, axis=0))
    recall = index.description["recall_at_10"]
    assert isinstance(recall, float)
    assert recall >= 0.97
    index.open().verify()


def test_a_graph_finds_the_nearest_of_many_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("qa.index.vectors.clusters._GRAPH", 16)
        first = write(tmp_path / "first", gathered(0, 1000))
    assert first.description["factory"] == "IVF16_HNSW32,RaBitQ"
    first.open().verify()
    with closing(first.open()) as before:
        second = write(tmp_path / "second", gathered(0, 1100), before)
    assert second.description["factory"] == "IVF16_HNSW32,RaBitQ"
    recall = second.description["recall_at_10"]
    assert isinstance(recall, float)
    assert recall >= 0.97


def test_an_update_trains_nothing_while_recall_holds(written: Written, tmp_path: Path) -> None:
    vectors = np.concatenate([written.vectors[100:], gathered(0, ROWS + 300)[ROWS:]])
    with closing(written.open()) as before:
        updated = write(tmp_path / "index", vectors, before)
    assert updated.description["trained_rows"] == ROWS
    recall = updated.description["recall_at_10"]
    assert isinstance(recall, float)
    assert recall >= 0.97
    index = updated.open()
    index.verify()
    assert index.search(vectors[-1:], 1)[0].tolist() == [[3 * (len(vectors) - 1)]]


def read_lists(place: Written) -> list[dict[int, bytes]]:
    """Read the code of each row by list and number, as FAISS wrote them."""
    import faiss

    # It owns its lists.
    index: Any = faiss.read_index(str(place.folder / VECTORS_FILE))
    lists = index.invlists
    found: list[dict[int, bytes]] = []
    for number in range(lists.nlist):
        found.append({})
        if size := lists.list_size(number):
            rows = faiss.rev_swig_ptr(lists.get_ids(number), size).tolist()
            codes = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).reshape(size, -1)
            found[-1] = {row: bytes(code) for row, code in zip(rows, codes, strict=True)}
    return found


def test_an_update_puts_rows_where_adding_all_of_them_would(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows that are as before, others that moved, went or came, and some whose vector is another one."""
    generator = np.random.default_rng(4)
    vectors = written.vectors.copy()
    vectors[::50] = gathered(3, ROWS)[::50]
    vectors = np.concatenate([vectors, gathered(5, 100)])
    ids = 3 * np.delete(generator.permutation(len(vectors)), np.s_[::40])

    def update(name: str) -> Written:
        folder = tmp_path / name
        folder.mkdir()
        with (
            closing(written.open()) as before,
            closing(FaissVectors(folder, DIMENSION, [], before, exact_up_to=0, least_recall=0)) as index,
        ):
            index.upsert(VectorRows(ids, vectors[ids // 3], {}))
            index.save(folder)
            return Written(folder, index.describe(), vectors)

    updated = update("updated")
    # As if no row were as it was.
    monkeypatch.setattr("qa.index.vectors.codes.CodedRows.are_same", lambda self, rows, others, of: rows < 0)
    added = update("added")
    assert updated.description == added.description
    assert updated.description["trained_rows"] == ROWS
    assert read_lists(updated) == read_lists(added)
    assert sum(map(len, read_lists(updated))) == len(ids)


@pytest.mark.parametrize("rows", [ROWS // 2 - 1, 2 * ROWS + 1])
def test_an_index_of_far_more_or_fewer_rows_is_trained(written: Written, tmp_path: Path, rows: int) -> None:
    with closing(written.open()) as before:
        updated = write(tmp_path / "index", gathered(0, rows), before)
    assert updated.description["trained_rows"] == rows


def test_clusters_that_no_longer_fit_the_rows_are_trained(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if nothing but one list were ever tried: other rows than those of the training then lie too far apart.
    monkeypatch.setattr("qa.index.vectors.tuning._NPROBES", (1,))
    with closing(written.open()) as before:
        updated = write(tmp_path / "index", gathered(9, ROWS + 1), before)
    assert updated.description["trained_rows"] == ROWS + 1


def test_falls_of_many_updates_do_not_add_up(written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.index.vectors.tuning._NPROBES", (1,))
    fallen = {**written.description, "recall_at_10": 0.1}
    with closing(open_vectors(written.folder, fallen)) as before:
        updated = write(tmp_path / "index", gathered(9, ROWS + 1), before)
    assert updated.description["trained_rows"] == ROWS + 1


def copied(written: Written, tmp_path: Path) -> Written:
    return write(tmp_path / "copied", written.vectors[:500])


@pytest.mark.parametrize(
    ("file", "byte", "message"),
    [
        ("codes.npy", 128, r"the vector in row 0 of .*codes\.npy is damaged"),
        ("order.npy", 128, "the order of the ids"),
        ("document.places.npy", 128, "does not fit its values"),
    ],
)
def test_verifying_finds_what_is_damaged(written: Written, tmp_path: Path, file: str, byte: int, message: str) -> None:
    damaged = copied(written, tmp_path)
    path = damaged.folder / "vectors" / file
    content = bytearray(path.read_bytes())
    content[byte : byte + DIMENSION] = bytes([0x77] * DIMENSION if "codes" not in file else DIMENSION)
    path.write_bytes(content)
    with pytest.raises(VectorIndexError, match=message):
        damaged.open().verify()


def test_verifying_finds_that_less_is_found_than_the_manifest_says(written: Written) -> None:
    worse = {**written.description, "nprobe": 1, "candidates": 10}
    with pytest.raises(VectorIndexError, match=r"search finds 0\.\d+ of the ten nearest"):
        open_vectors(written.folder, worse).verify()


@pytest.mark.parametrize("changed", [{"nprobe": 0}, {"nprobe": "8"}, {"candidates": None}, {"recall_at_10": "all"}])
def test_a_description_that_does_not_say_how_to_search_is_refused(
    written: Written, changed: Mapping[str, object]
) -> None:
    with pytest.raises(SnapshotCorrupt, match="does not say how the vectors in"):
        FaissIvf(written.folder, {**written.description, **changed})


@pytest.mark.parametrize(
    "file",
    ["vectors.faiss", "vectors/codes.npy", "vectors/ids.npy", "vectors/order.npy", "vectors/document.places.npy"],
)
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_file_is_found_and_named(written: Written, tmp_path: Path, file: str, damage: str) -> None:
    damaged = copied(written, tmp_path)
    path = damaged.folder / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    if damage == "gone" and "places" in file:
        with pytest.raises(VectorIndexError, match="no filter column 'document'"):
            damaged.open().count(Eq("document", "1.txt"))
        return
    with pytest.raises(SnapshotCorrupt, match=f"{path}"):
        damaged.open()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, which fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("exact_up_to", [0, 10**6])
@pytest.mark.parametrize("size", [0, 10_000, 30_000])
def test_a_disk_that_is_full_is_said_with_the_file(tmp_path: Path, exact_up_to: int, size: int) -> None:
    (tmp_path / "saved").mkdir()
    vectors = gathered(0, 1000)
    with closing(FaissVectors(tmp_path, DIMENSION, ["document"], exact_up_to=exact_up_to)) as index:
        index.upsert(VectorRows(np.arange(1000), vectors, {"document": ["a.txt"] * 1000}))
        index.describe()
        with largest_file(size), pytest.raises(StorageError, match=r"cannot write .*(saved|spool)"):
            index.save(tmp_path / "saved")
        with largest_file(size), pytest.raises(StorageError, match=r"cannot write .*spool"):
            index.upsert(VectorRows(np.arange(1000), vectors, {"document": ["a.txt"] * 1000}))


def test_what_is_given_up_on_a_full_disk_is_removed_without_another_error(tmp_path: Path) -> None:
    index = FaissVectors(tmp_path, DIMENSION, ["document"], exact_up_to=0)
    with largest_file(0):
        # So few rows wait to be written, and cannot be when their files are closed.
        index.upsert(VectorRows(np.arange(3), gathered(0, 3), {"document": ["a.txt"] * 3}))
        index.close()
    assert list(tmp_path.iterdir()) == []
