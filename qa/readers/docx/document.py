"""The text of a Word document: paragraphs, tables and notes, in the order of the page (ECMA-376 part 1, 17)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local, parse_xml
from qa.readers.composition import Composition, Content
from qa.readers.docx.styles import Numbering, ParagraphStyle, Styles
from qa.readers.tables import write_table

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

# What was deleted or moved away, what fields compute their text from, readings of ruby text, fallbacks of what is
# there in a newer form too, and the text of boxes, which comes after the paragraph that they hang on.
_PASSED_OVER = frozenset(
    "del moveFrom delText instrText delInstrText rt Fallback pPr tblPr sdtPr sdtEndPr sectPr annotationRef".split()
)
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
# Of equations, what stands between a fraction's parts and before powers and indices.
_MATHS = {"den": "/", "sup": "^", "sub": "_"}
_PAGE_BREAKS = frozenset({"page", "column"})
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_LONG_CELL = 1_500
_DEEPEST = 200
# A cell that says a number or a name for several rows says it in each; a text is said once.
_LONGEST_REPEATED = 100
_MOST_COLUMNS = 100
_OFF = frozenset({"0", "false", "off"})


class BodyWriter:
    """A writer of the parts of one document into a composition.

    Args:
        notes: labels of foot- and endnotes, by the reference's element name and the note's id.
    """

    def __init__(
        self, composition: Composition, styles: Styles, numbering: Numbering, notes: Mapping[tuple[str, str], str]
    ) -> None:
        self._composition = composition
        self._styles = styles
        self._numbering = numbering
        self._notes = notes
        self.title = ""
        self.is_cut = False

    def write(self, container: Any, depth: int = 0) -> None:
        """Write what stands in a body, a cell, a text box or a content control."""
        if depth > _DEEPEST:
            self.is_cut = True
            return
        for element in container:
            name = local(element)
            if name == "p":
                self._write_paragraph(element, depth)
            elif name == "tbl":
                self._write_table(element, depth)
            elif name == "sdt" and _is_contents(element):
                continue
            elif name in {"sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "AlternateContent", "Choice"}:
                self.write(element, depth + 1)

    def _write_paragraph(self, paragraph: Any, depth: int) -> None:
        boxes: list[Any] = []
        text = self._text(paragraph, boxes)
        style = self._styles.of(next((child for child in paragraph if local(child) == "pPr"), None))
        if text.strip() and not style.is_contents:
            self._write_styled(text, style)
        for box in boxes:
            self.write(box, depth + 1)

    def _write_styled(self, text: str, style: ParagraphStyle) -> None:
        label = self._numbering.label(style.list_id, style.list_level) if style.list_id else ""
        labelled = f"{label} {text}" if label else text
        if style.is_title and not self.title:
            self.title = text
        if style.level or style.is_title:
            self._composition.heading(text if label == "•" else labelled, style.level or 1)
        elif style.list_id:
            self._composition.line(labelled, "list", style.list_level)
        else:
            self._composition.paragraph(text)

    def _write_table(self, table: Any, depth: int) -> None:
        rows = _rows(table)
        if _is_layout([row.cells for row in rows]):
            self._composition.gap()
            for row in rows:
                for cell in row.cells:
                    self.write(cell, depth + 1)
            self._composition.gap()
        else:
            headings = next((at for at, row in enumerate(rows) if not row.is_heading), len(rows))
            texts: list[list[str]] = []
            for at, row in enumerate(rows):
                texts.append(self._cells(row, texts[-1] if at else [], is_heading=at < headings))
            write_table(self._composition, texts, headings or None)

    def _cells(self, row: _Row, above: list[str], *, is_heading: bool) -> list[str]:
        """Return a text for every column of a row; a short one is repeated in the rows below that its cell spans."""
        texts = [""] * row.skipped
        for cell in row.cells:
            columns, goes_on = _spans(cell)
            text = self._cell(cell)
            if goes_on and not text and len(texts) < len(above) and len(above[len(texts)]) <= _LONGEST_REPEATED:
                text = above[len(texts)]
            texts += [text] + [text if is_heading and len(text) <= _LONGEST_REPEATED else ""] * (columns - 1)
        # One cell across the whole table is a title of what stands below it.
        return texts[:1] if len(row.cells) == 1 and not row.skipped else texts

    def _cell(self, cell: Any) -> str:
        texts = []
        pending = list(reversed(_paragraphs(cell)))
        while pending:
            boxes: list[Any] = []
            if text := self._text(pending.pop(), boxes).strip():
                texts.append(text)
            for box in reversed(boxes):
                pending += reversed(_paragraphs(box))
        return "; ".join(texts) if len(texts) > 1 else "".join(texts)

    def _text(self, paragraph: Any, boxes: list[Any]) -> str:
        """Return a paragraph's text with all changes accepted; its text boxes are appended to ``boxes``."""
        parts: list[str] = []
        pending = list(reversed(paragraph))
        while pending:
            element = pending.pop()
            name = local(element)
            if name in _PASSED_OVER or (name == "r" and _is_hidden(element)):
                continue
            if name == "txbxContent":
                boxes.append(element)
            elif name == "t":
                parts.append(_raised(element))
            elif name in _CHARACTERS:
                parts.append(" " if attribute(element, "type") in _PAGE_BREAKS else _CHARACTERS[name])
            elif (name, attribute(element, "id")) in self._notes:
                parts.append(self._notes[name, attribute(element, "id")])
            else:
                parts.append(_MATHS.get(name, ""))
                pending.extend(reversed(element))
        return "".join(parts)


def _paragraphs(container: Any) -> list[Any]:
    """Return the paragraphs in a cell or box, without those that hang on a paragraph themselves."""
    found = []
    pending = list(reversed(container))
    while pending:
        element = pending.pop()
        name = local(element)
        if name == "p":
            found.append(element)
        elif name not in _PASSED_OVER:
            pending.extend(reversed(element))
    return found


def _spans(cell: Any) -> tuple[int, bool]:
    """Return how many columns a cell spans, and whether it is a part of the one above it."""
    columns, goes_on = 1, False
    for properties in cell[:1]:
        for part in properties if local(properties) == "tcPr" else ():
            value = attribute(part, "val")
            if local(part) == "gridSpan" and value.isascii() and value.isdigit() and len(value) < 4:
                columns = min(max(int(value), 1), _MOST_COLUMNS)
            elif local(part) == "vMerge":
                goes_on = value != "restart"
    return columns, goes_on


@dataclass(slots=True)
class _Row:
    """A row of a table. ``skipped`` is how many columns of the grid stand empty before its first cell."""

    cells: list[Any]
    skipped: int = 0
    is_heading: bool = False


def _rows(table: Any) -> list[_Row]:
    """Return the cells of every row, including those in content controls and without deleted rows."""
    rows: list[_Row] = []
    pending = list(reversed(table))
    while pending:
        element = pending.pop()
        name = local(element)
        if name == "tr":
            properties = {local(part): part for parts in element[:3] if local(parts) == "trPr" for part in parts}
            if "del" not in properties:
                rows.append(_Row([], _skipped(properties), _is_on(properties.get("tblHeader"))))
                pending.extend(reversed(element))
        elif name == "tc":
            rows[-1].cells.append(element) if rows else rows.append(_Row([element]))
        elif name in {"sdt", "sdtContent", "customXml", "ins"}:
            pending.extend(reversed(element))
    return rows


def _skipped(properties: Mapping[str, Any]) -> int:
    value = attribute(properties["gridBefore"], "val") if "gridBefore" in properties else ""
    return min(int(value), _MOST_COLUMNS) if value.isascii() and value.isdigit() and len(value) < 4 else 0


def _is_on(property: Any) -> bool:
    """Return whether a property that is on or off is there and on."""
    return property is not None and attribute(property, "val") not in _OFF


def _is_layout(rows: list[list[Any]]) -> bool:
    """Return whether a table is a frame for text: one cell a row, tables in cells, or long texts."""
    if all(len(row) <= 1 for row in rows):
        return True
    for row in rows:
        for cell in row:
            paragraphs = tables = characters = 0
            for element in cell.iter():
                name = local(element)
                paragraphs += name == "p"
                tables += name == "tbl"
                characters += len(element.text or "") if name == "t" else 0
            if tables or (characters > _LONG_CELL and paragraphs > 1):
                return True
    return False


def _is_contents(control: Any) -> bool:
    """Return whether a content control is a table of contents, which only repeats the headings."""
    return any(
        local(element) == "docPartGallery" and attribute(element, "val") == "Table of Contents"
        for properties in control
        if local(properties) == "sdtPr"
        for element in properties.iter()
    )


def _properties(run: Any) -> dict[str, str]:
    if len(run) and local(run[0]) == "rPr":
        return {local(child): attribute(child, "val") for child in run[0]}
    return {}


def _is_hidden(run: Any) -> bool:
    return _properties(run).get("vanish", "0") not in _OFF


def _raised(text: Any) -> str:
    """Return a text, with the digits of a superscript as such: 10³ is not 103."""
    content = text.text or ""
    run = text.getparent()
    is_raised = run is not None and local(run) == "r" and _properties(run).get("vertAlign") == "superscript"
    return content.translate(_SUPERSCRIPT) if is_raised and content.isdigit() else content


_BROKEN = "it is a damaged Word document; open it and save it anew"
_NOTES = (("footnoteReference", "footnotes", "footnote", ""), ("endnoteReference", "endnotes", "endnote", "e"))


class DocxReader:
    """A reader of ``.docx``: the body with all tracked changes accepted, without hidden text and comments.

    Foot- and endnotes come at the end, ``[1] …``, and ``[1]`` where they are referred to. Headers, footers and the
    table of contents are left out.
    """

    name = "docx"
    version = "3"
    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
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
        return composition.content([_core_title(word), writer.title], problems)


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
    """Return the root of the part that the document is related to by ``kind``, or ``None``."""
    for relation in word.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(f"/{kind}"):
            return parse_xml(relation.target_part.blob)
    return None


def _notes(word: WordDocument) -> Iterator[tuple[str, str, str, Any]]:
    """Yield ``(name of its reference, id, label, element)`` of every note, in the order of the part."""
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
