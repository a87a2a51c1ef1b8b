from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import DocumentNotFound, StorageError
from qa.index.store import Store
from qa.index.store_writer import StoreWriter
from qa.types import Document, FileOrder, FileReport, FileStatus, FileTotals, Page, Property, Section, Span
from tests.support.fake_service import sort_files


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    text = "Header\n\nOne\n\nWords.\n\nHeader\n\n"
    document = Document(
        id="a.pdf",
        title="A",
        text=text,
        source_sha256="00",
        media_type="application/pdf",
        reader="pdf/1",
        sections=(Section("One", 1, 8, 11, len(text)),),
        pages=(Page(1, 0, 19), Page(2, 21, 27, 0.75), Page(3, 29, 29)),
        problems=("page 3 has no text; it may be a scanned image",),
        excluded=(Span(0, 6), Span(21, 27)),
    )
    other = Document("b.txt", "B", "Other.", "01", "text/plain", "text/1")
    with StoreWriter(tmp_path / "documents.sqlite") as writer:
        writer.add_document(document)
        writer.add_document(other)
    store = Store(tmp_path / "documents.sqlite")
    assert (store.document("a.pdf"), store.document("b.txt")) == (document, other)
    assert [store.place("a.pdf", at) for at in (0, 8, 20, 21, 28)] == [
        (1, None, None), (1, "One", None), (1, "One", None), (2, "One", 0.75), (2, "One", 0.75),
    ]  # fmt: skip
    assert store.place("b.txt", 0) == (None, None, None)
    store.close()


def test_metadata_are_of_the_whole_and_of_the_part_that_holds_a_place(tmp_path: Path) -> None:
    metadata = (
        Property("author", "Ann", 0, 9),
        Property("keyword", "rope", 0, 9),
        Property("keyword", "oar", 0, 9),
        Property("sheet", "A", 0, 4),
        Property("sheet", "B", 4, 6),
    )
    document = Document("a.xlsx", "A", "A 1\nB 2 c", "00", "x/y", "xlsx/1", language="en", metadata=metadata)
    attached = Document("b.eml/c.txt", "C", "Words.", "01", "text/plain", "text/1", container="b.eml")
    with StoreWriter(tmp_path / "documents.sqlite") as writer:
        writer.add_document(document)
        writer.add_document(attached)
        for line in (FileReport("b.eml", "failed"), FileReport("b.eml/c.txt", "read", container="b.eml")):
            writer.add_report(line)
    store = Store(tmp_path / "documents.sqlite")
    assert store.document("a.xlsx") == document
    whole = (("author", "Ann"), ("keyword", "rope"), ("keyword", "oar"))
    assert [store.metadata_at("a.xlsx", at)[3:] for at in (0, 3, 4, 5, 6)] == [
        (("sheet", "A"),), (("sheet", "A"),), (("sheet", "B"),), (("sheet", "B"),), ()
    ]  # fmt: skip
    assert store.metadata_at("a.xlsx", 8) == whole
    assert store.metadata_at("b.eml/c.txt", 0) == store.metadata_at("none", 0) == ()
    summary, other = store.summaries()
    assert (summary.metadata, summary.language, summary.container) == (whole, "en", "")
    assert other.container == "b.eml"
    assert (store.source("a.xlsx"), store.source("b.eml/c.txt")) == ("a.xlsx", "b.eml")
    store.close()


@pytest.mark.parametrize("text", ["Plums are blue.", "Сливы 🫐 растут", "a\0b\0cdef\0", "\0"])
def test_a_part_of_a_text_is_exact_whatever_it_holds(tmp_path: Path, text: str) -> None:
    with StoreWriter(tmp_path / "documents.sqlite") as writer:
        writer.add_document(Document("a.txt", "A", text, "00", "text/plain", "text/1"))
    store = Store(tmp_path / "documents.sqlite")
    spans = [(start, end) for start in range(len(text)) for end in range(start, len(text) + 1)]
    assert all(store.text("a.txt", start, end) == text[start:end] for start, end in spans)
    with pytest.raises(DocumentNotFound):
        store.text("b.txt", 0, 1)
    store.close()


@pytest.mark.parametrize("text", ["", "Plums are blue.", "Сливы 🫐 растут", "a\0b\0cdef\0", "\0"])
def test_a_document_in_parts_is_the_document(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks end within characters.
    monkeypatch.setattr("qa.index.store._BLOCK", 3)
    document = Document(
        "a.txt",
        "A",
        text,
        "00",
        "text/plain",
        "text/1",
        sections=(Section("A", 1, 0, 0, len(text)),),
        pages=(Page(1, 0, 1),),
    )
    with StoreWriter(tmp_path / "documents.sqlite") as writer:
        writer.add_document(document)
    store = Store(tmp_path / "documents.sqlite")
    streamed = store.stream("a.txt", "s")
    assert ("".join(streamed.text), streamed.characters) == (text, len(text))
    assert (tuple(streamed.sections), tuple(streamed.pages)) == (document.sections, document.pages)
    assert (streamed.snapshot, streamed.head.title, streamed.head.text) == ("s", "A", "")
    with pytest.raises(DocumentNotFound):
        store.stream("b.txt", "s")
    store.close()


ORDERS: list[FileOrder] = ["file", "status", "characters", "pages", "passages"]
STATUSES: list[FileStatus] = ["read", "partial", "skipped", "failed"]
REPORTS = st.builds(
    FileReport,
    st.sampled_from(["a", "B", "b/c", "é", "日", "d\0", "e", "f", "g"]),
    st.sampled_from(STATUSES),
    st.just("why"),
    characters=st.integers(0, 3),
    pages=st.integers(0, 2),
    passages=st.integers(0, 2),
)


@given(files=st.lists(REPORTS, max_size=12))
def test_files_are_listed_added_up_and_counted_as_one_would_by_hand(
    tmp_path_factory: pytest.TempPathFactory, files: list[FileReport]
) -> None:
    path = tmp_path_factory.mktemp("files") / "documents.sqlite"
    indexed = {file.id for file in files if file.status in ("read", "partial")}
    with StoreWriter(path) as writer:
        for file in files:
            writer.add_report(file)
        for id in sorted(indexed):
            writer.add_document(Document(id, f"Title of {id}", "Words.", "00", "text/plain", "text/1"))
    store = Store(path)
    known = {summary.id: summary for summary in store.summaries()}
    every = [(file, known.get(file.id)) for file in files]
    numbers = [number for number, id in store.numbered() if id in ("a", "é", "d\0")]
    passing = [each for each in every if each[0].id in indexed & {"a", "é", "d\0"}]
    for within, found in ((None, every), (numbers, passing)):
        totals = store.file_totals(within)
        for status in (None, *STATUSES):
            chosen = [each for each in found if status in (None, each[0].status)]
            counted = [totals.get(each, FileTotals()) for each in STATUSES if status in (None, each)]
            assert sum(each.files for each in counted) == len(chosen)
            assert sum(each.characters for each in counted) == sum(file.characters for file, _ in chosen)
            for order in ORDERS:
                for descending in (False, True):
                    listed = [*store.list_files(status, order, descending, 0, 5, within)]
                    listed += store.list_files(status, order, descending, 5, 100, within)
                    assert listed == sort_files(chosen, order, descending)
    unread = [file for file in files if file.status in ("failed", "partial")]
    assert (store.unread_files(), store.unread) == (unread, len(unread))
    assert store.reports_of(["a", "nothing"]).get("a") == next((f for f in files[::-1] if f.id == "a"), None)
    store.close()


def test_a_file_that_cannot_be_opened_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*unable to open database file"):
        StoreWriter(tmp_path / "missing" / "documents.sqlite")


def test_a_file_before_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open database"):
        StoreWriter(tmp_path / "documents.sqlite", tmp_path)
