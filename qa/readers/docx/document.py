"""A Word document with all its parts: body, headers, notes, comments, drawings, and documents within it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Package, attribute, local
from qa.readers.composition import Composition, Content
from qa.readers.docx.body import BodyWriter
from qa.readers.docx.styles import Numbering, Styles
from qa.readers.html.page import decode_page, web_page_of_archive, write_page
from qa.readers.tables import write_chart, write_diagram

_BROKEN = "it is a damaged Word document; open it and save it again"
_MAIN = "word/document.xml"
_NOTES = (("footnoteReference", "footnotes", "footnote", ""), ("endnoteReference", "endnotes", "endnote", "e"))
_MOST_NESTED = 3
_PAGE_NUMBER = re.compile(r"\b(?:page|seite|of|von|\d+)\b|[/|\W_]", re.IGNORECASE)
_MIME = re.compile(rb"\s*(?:MIME-Version|From|Content-Type|Subject|Date):", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z!/]")


class DocxReader:
    """A reader of ``.docx``: the body with all tracked changes accepted, without hidden and struck-out text.

    The pages' headers come first, each once. Foot- and endnotes come at the end, ``[1] …``, and ``[1]`` where they are
    referred to; then comments, marked as such, and the pages' footers. The table of contents is left out.
    """

    name = "docx"
    version = "6"
    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        composition = Composition()
        document = _Document(data, composition)
        document.write()
        titles = [document.package.title(), document.title]
        return composition.content(titles, document.problems, metadata=document.package.metadata())


class _Document:
    """One Word document, which may be a part of another (``w:altChunk``)."""

    def __init__(self, data: bytes, composition: Composition, depth: int = 0) -> None:
        self.package = Package(data, _MAIN)
        self.problems: list[str] = []
        self.title = ""
        self._composition = composition
        self._depth = depth
        self._seen: set[str] = set()

    def write(self) -> None:
        """Write all of it. Raises UnreadableDocument."""
        package, composition = self.package, self._composition
        main = package.main
        body = next((element for element in package.xml(main) if local(element) == "body"), None)
        if body is None:
            raise UnreadableDocument(_BROKEN)
        notes = list(_notes(package))
        writer = BodyWriter(
            composition,
            Styles(package.first(main, "styles")),
            Numbering(package.first(main, "numbering")),
            {(reference, id): f"[{label}]" for reference, id, label, _ in notes},
            self._write_part,
        )
        self._write_running("header", writer)
        writer.write(body)
        composition.gap()
        for _, _, label, note in notes:
            start = composition.length
            _label(note, f"[{label}]")
            writer.write(note)
            if composition.length > start:
                composition.gap()
        comments = package.first(main, "comments")
        for comment in comments if comments is not None else ():
            _label(comment, "Comment:")
            writer.write(comment)
        self._write_running("footer", writer)
        self.title = writer.title
        if writer.is_cut:
            self.problems.append("parts of it are nested too deep and left out")

    def _write_running(self, kind: str, writer: BodyWriter) -> None:
        """Write what stands on every page, once; numbers of pages alone say nothing."""
        for part in self.package.related(self.package.main, kind):
            root = self._part(part)
            if root is None:
                continue
            words = "".join(element.text or "" for element in root.iter() if local(element) == "t")
            if (key := _PAGE_NUMBER.sub("", words).strip()) and key not in self._seen:
                self._seen.add(key)
                writer.write(root)
                self._composition.gap()

    def _write_part(self, kind: str, id: str) -> None:
        """Write a diagram, a chart or a document that stands in a part of its own."""
        relation = self.package.relations(self.package.main).get(id)
        if relation is None:
            return
        try:
            if kind == "altChunk":
                self._write_chunk(self.package.read(relation.target))
            else:
                (write_chart if kind == "chart" else write_diagram)(
                    self.package.xml(relation.target), self._composition
                )
        except UnreadableDocument:
            self.problems.append(f"its part {relation.target} could not be read")

    def _write_chunk(self, data: bytes) -> None:
        """Write a file that was put in whole: another Word document, a web page, a web archive, or a text."""
        if data.startswith(b"PK"):
            if self._depth < _MOST_NESTED:
                chunk = _Document(data, self._composition, self._depth + 1)
                chunk.write()
                self.problems += chunk.problems
            return
        if _MIME.match(data):
            data = web_page_of_archive(data)
        markup = decode_page(data).text
        if _TAG.search(markup):
            write_page(markup, self._composition, is_whole=True)
        else:
            for paragraph in markup.split("\n\n"):
                self._composition.paragraph(paragraph)
        self._composition.gap()

    def _part(self, name: str) -> Any:
        try:
            return self.package.xml(name)
        except UnreadableDocument:
            self.problems.append(f"its part {name} could not be read")
            return None


def _notes(package: Package) -> Iterator[tuple[str, str, str, Any]]:
    """Yield ``(name of its reference, id, label, element)`` of every note, in the order of the part."""
    for reference, part, tag, prefix in _NOTES:
        root = package.first(package.main, part)
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
