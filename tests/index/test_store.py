from __future__ import annotations

from pathlib import Path

import pytest

from qa.errors import DocumentNotFound
from qa.index.store import Store
from qa.index.store_writer import StoreWriter
from qa.types import Document, FileReport, Page, Property, Section, Span


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
