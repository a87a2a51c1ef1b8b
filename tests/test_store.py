from __future__ import annotations

from pathlib import Path

from qa.store import Store
from qa.store_writer import StoreWriter
from qa.types import Document, Page, Section, Span


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
        pages=(Page(1, 0, 19), Page(2, 21, 27), Page(3, 29, 29)),
        problems=("page 3 has no text; it may be a scanned image",),
        excluded=(Span(0, 6), Span(21, 27)),
    )
    other = Document("b.txt", "B", "Other.", "01", "text/plain", "text/1")
    with StoreWriter(tmp_path / "documents.sqlite") as writer:
        writer.add_document(document)
        writer.add_document(other)
    store = Store(tmp_path / "documents.sqlite")
    assert (store.document("a.pdf"), store.document("b.txt")) == (document, other)
    store.close()
