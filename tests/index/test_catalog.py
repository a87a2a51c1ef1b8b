"""Names in a snapshot's catalog are chosen by globs as those in memory are; comparing them is bounded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import QueryError, SnapshotCorrupt
from qa.index.catalog import CATALOG_FILE, SCHEMA, Catalog, write_names
from qa.index.manifest import Manifest, file_names
from qa.index.schema import DOCUMENTS_FILE
from qa.index.snapshots import Snapshots
from qa.index.store import Store
from qa.index.store_writer import StoreWriter
from qa.index.sums import SnapshotSums
from qa.search.retriever import Retriever
from qa.service.service import Service
from qa.settings import Settings
from qa.text.globs import Names
from qa.types import Document, Limits, Passage, Query, Window
from tests.conftest import Build, hashing_encoder
from tests.support.hashing import HashingEncoder

Make = Callable[..., Catalog]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make the catalog of documents with these ids, each under a heading of its own."""

    def make_catalog(ids: list[str]) -> Catalog:
        folder = tmp_path_factory.mktemp("catalog")
        with StoreWriter(folder / DOCUMENTS_FILE) as writer:
            for at, id in enumerate(ids):
                number = writer.add_document(Document(id, "", "Words.", "00", "text/plain", "text/1"))
                path = ("Part", f"Heading of {id}")
                passage = Passage(f"{at:016x}", id, 0, 6, "Words.", path=path, windows=(Window(0, 6),))
                writer.add_passages([(number, passage)])
        with closing(Store(folder / DOCUMENTS_FILE)) as store, closing(sqlite3.connect(folder / CATALOG_FILE)) as file:
            file.executescript(SCHEMA)
            write_names(file, store)
            file.commit()
        return Catalog(folder / CATALOG_FILE)

    return make_catalog


NAMES = ["reports/2024/a.txt", "Reports/2025/b.txt", "Notes/Café.md", "x[1].txt", "x1.txt", "reports", "日本/東京.txt"]
NAMES += ["\U0010ffff", "\U0010ffffa", "\ud7ff", "\ue000", "a\U0010ffff"]


@pytest.mark.parametrize(
    "globs",
    [
        ["reports/*"],
        ["REPORTS/2025/B.TXT", "x1.txt"],
        ["*/a.*", "no*"],
        ["NOTES/CAFE\u0301.MD"],
        ["x[1].txt"],
        ["x[0-9].txt", "x[[]1].txt"],
        ["*東?.txt", "r*4/?.txt", "reports/2025/?.txt"],
        ["nothing"],
        ["*"],
        ["\U0010ffff*"],
        ["\ud7ff*", "a\U0010ffff*"],
        ["r*", "re*", "rep?rts*"],
    ],
)
def test_globs_choose_what_they_choose_in_memory(make: Make, globs: list[str]) -> None:
    with closing(make(NAMES)) as catalog:
        assert catalog.find("documents", globs, "documents").tolist() == [at + 1 for at in Names(NAMES).find(globs)]
        titles = ["Part" if glob == "*" else f"heading of {glob}" for glob in globs]
        paths = catalog.paths(catalog.find("headings", titles, "sections").tolist())
        assert {path[1] for path in paths} == {f"Heading of {NAMES[at]}" for at in Names(NAMES).find(globs)}


ODD = st.text(alphabet="aAb*?[]!-\0", max_size=9)


@given(globs=st.lists(ODD, min_size=1, max_size=4))
def test_patterns_of_every_kind_choose_what_they_choose_in_memory(make: Make, globs: list[str]) -> None:
    if "catalog" not in _MADE:
        _MADE["catalog"] = make(_SHORT)
    assert _MADE["catalog"].find("documents", globs, "documents").tolist() == [
        at + 1 for at in Names(_SHORT).find(globs)
    ]


_SHORT = ["", "a", "A ", "b", "ab", "a[b", "ba]", "[a]", "a-b", "bab", "a!", "a\0", "a\0b", "aaa", "bbbb"]
_MADE: dict[str, Catalog] = {}


def test_patterns_are_not_compared_with_too_many_names(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.text.globs.MOST_STEPS", 20)
    with closing(make(NAMES)) as catalog:
        # What a pattern begins with leaves few names to compare it with.
        assert len(catalog.find("documents", ["reports/*/?.txt"], "documents")) == 2
        assert len(catalog.find("documents", ["reports/*"], "documents")) == 2
        with pytest.raises(
            QueryError, match=r"^documents: '\*\.txt' would have to be compared with 12 names; begin it"
        ):
            catalog.find("documents", ["*.txt"], "documents")


def test_a_question_and_a_list_say_which_pattern_is_too_wide(
    build: Build, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    monkeypatch.setattr("qa.text.globs.MOST_STEPS", 9)
    question = Query("Where do plums grow?")
    for field, query in (
        ("documents", replace(question, documents=("*p*s.txt",))),
        ("sections", replace(question, sections=("?tor*e",))),
    ):
        with pytest.raises(QueryError, match=f"^{field}: .* would have to be compared with . names") as raised:
            service.ask(query)
        assert raised.value.field == field
    with pytest.raises(QueryError, match=r"^pattern: '\*p\*s.txt' would have"):
        service.listing(0, 10, ("*p*s.txt",))


def test_sections_of_too_many_headings_are_refused(
    build: Build, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    monkeypatch.setattr("qa.search.retriever._MOST_PATHS", 1)
    service = Service(settings, make=hashing_encoder)
    service.reload()
    with pytest.raises(QueryError, match="sections: 2 headings match; name the one that is meant"):
        service.ask(Query("Where are pears kept?", sections=("*",)))


def test_many_documents_are_searched_as_few_are(
    build: Build, folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (folder / f"plums{number}.txt").write_text(f"Plums of the year {number} are blue.\n")
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    queries = [
        Query("Which plums are blue?", documents=globs, sections=sections)
        for globs in (("plums1*",), ("p*",), ("apples.txt", "plums?.txt"))
        for sections in ((), ("pears",))
    ]
    replies = []
    for most in (1000, 0):
        monkeypatch.setattr("qa.index.fields._MOST_NAMED", most)
        found = Retriever(index, HashingEncoder(), Limits(2000, 100, 100)).find(queries)
        replies.append([None if isinstance(each, QueryError) else each.hits for each in found])
    index.close()
    assert replies[0] == replies[1]
    assert replies[0][0]


@pytest.mark.parametrize("name", ["fields.json", "facets.json", "document_slots.npy", "row_passages.npy", "1.rows.npy"])
def test_fields_that_are_not_whole_are_refused(build: Build, settings: Settings, name: str) -> None:
    index = Snapshots(settings.indexes, settings.name).path(build().manifest.id)
    (index / "fields" / name).write_bytes(b"[]")
    with pytest.raises(SnapshotCorrupt, match=rf"fields/{name} changed since"):
        Snapshots(settings.indexes, settings.name).open()


@pytest.mark.parametrize("name", ["fields/1.rows.npy", "fields/facets.json", "relations/by_id.npy", "catalog.sqlite"])
def test_verifying_derives_again_what_is_derived(build: Build, settings: Settings, name: str) -> None:
    snapshots = Snapshots(settings.indexes, settings.name)
    folder = snapshots.path(build().manifest.id)
    assert snapshots.verify().documents == 3
    match (folder / name).suffix:
        case ".npy":
            np.save(folder / name, np.load(folder / name)[::-1])
        case ".json":
            (folder / name).write_text((folder / name).read_text().replace(": 3", ": 4"))
        case ".sqlite":
            with closing(sqlite3.connect(folder / name)) as catalog:
                catalog.execute("UPDATE documents SET number = 4 - number")
                catalog.commit()
    replace(Manifest.read(folder), files=SnapshotSums().of(folder, file_names(folder))).write(folder)
    snapshots.open().close()
    with pytest.raises(SnapshotCorrupt, match=rf"{name} is not what its documents say|documents and the relations"):
        snapshots.verify()
