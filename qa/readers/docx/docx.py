"""DOCX: headings, lists, tables and notes of a Word document."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local, parse_xml
from qa.readers.composition import Composition
from qa.readers.docx.docx_numbering import Numbering
from qa.readers.docx.docx_styles import Styles
from qa.readers.docx.docx_text import BodyWriter
from qa.types import Document, Source

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_BROKEN = "it is a damaged Word document; open it and save it anew"
_NOTES = (("footnoteReference", "footnotes", "footnote", ""), ("endnoteReference", "endnotes", "endnote", "e"))


class DocxReader:
    """Reads ``.docx``: the body as it reads with all tracked changes accepted, without hidden text and comments.

    Foot- and endnotes come at the end, ``[1] …``, and ``[1]`` where they are referred to. Headers, footers and the
    table of contents are left out.
    """

    name = "docx"
    version = "2"
    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

    def read(self, source: Source) -> Document:
        """Raises UnreadableDocument or OSError."""
        data = source.path.read_bytes()
        Archive(data).refuse_entities()
        word = _open(data)
        composition = Composition()
        notes = list(_notes(word))
        writer = BodyWriter(
            composition,
            Styles(_part(word, "styles")),
            Numbering(_part(word, "numbering")),
            {(reference, id): f"[{label}]" for reference, id, label, _ in notes},
        )
        writer.write(word.element.body)
        composition.gap()
        for _, _, label, note in notes:
            start = composition.length
            _label(note, f"[{label}]")
            writer.write(note)
            if composition.length > start:
                composition.gap()
        problems = ["parts of it are nested too deep and left out"] if writer.is_cut else []
        return composition.document(source, data, self, [_core_title(word), writer.title], problems)


def _open(data: bytes) -> WordDocument:
    import docx

    try:
        word = docx.Document(io.BytesIO(data))
        if word.element.body is None:
            raise UnreadableDocument(_BROKEN)
    except UnreadableDocument:
        raise
    except Exception as error:  # it raises whatever it stumbles over
        raise UnreadableDocument(_BROKEN) from error
    return word


def _part(word: WordDocument, kind: str) -> Any:
    """The root of a part that the document is related to by ``kind``; ``None`` where there is none."""
    for relation in word.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(f"/{kind}"):
            return parse_xml(relation.target_part.blob)
    return None


def _notes(word: WordDocument) -> Iterator[tuple[str, str, str, Any]]:
    """``(name of its reference, id, label, element)`` of every note, in the order of the part."""
    for reference, part, tag, prefix in _NOTES:
        root = _part(word, part)
        number = 0
        for note in root if root is not None else ():
            # Others are the lines that part notes from the text.
            if local(note) == tag and attribute(note, "type") in {"", "normal"}:
                number += 1
                yield reference, attribute(note, "id"), f"{prefix}{number}", note


def _label(note: Any, label: str) -> None:
    """Put ``label`` at the beginning of a note's first paragraph."""
    namespace = note.tag.rpartition("}")[0] + "}"
    paragraph = note.find(f"{namespace}p")
    if paragraph is not None:
        run = paragraph.makeelement(f"{namespace}r", {})
        text = paragraph.makeelement(f"{namespace}t", {})
        text.text = f"{label} "
        run.append(text)
        position = 1 if len(paragraph) and local(paragraph[0]) == "pPr" else 0
        paragraph.insert(position, run)


def _core_title(word: WordDocument) -> str:
    try:
        return word.core_properties.title or ""
    except Exception:  # a part that says nothing more is no reason not to read the text
        return ""
