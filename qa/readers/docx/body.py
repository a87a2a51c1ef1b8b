"""The body of a Word document: its paragraphs and tables, in the order of the page (ECMA-376 part 1, 17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qa.readers.archive import attribute, local
from qa.readers.composition import Composition
from qa.readers.docx.styles import Numbering, ParagraphStyle, Styles, symbol
from qa.readers.tables import write_table

# What was deleted or moved away, what fields compute their text from, readings of ruby text, fallbacks of what is
# there in a newer form too, and the text of boxes, which comes after the paragraph that they hang on.
_PASSED_OVER = frozenset(
    "del moveFrom delText instrText delInstrText rt Fallback pPr tblPr sdtPr sdtEndPr sectPr annotationRef".split()
)
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_ON, _OFF_BOX = "☒", "☐"
# Of equations, what stands between a fraction's parts and before powers and indices.
_MATHS = {"den": "/", "sup": "^", "sub": "_"}
_PAGE_BREAKS = frozenset({"page", "column"})
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_DRAWN = frozenset({"relIds", "chart"})
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
        write_part: writes what stands in another part, of which only the kind and the id are in the body.
    """

    def __init__(
        self,
        composition: Composition,
        styles: Styles,
        numbering: Numbering,
        notes: Mapping[tuple[str, str], str],
        write_part: Callable[[str, str], None],
    ) -> None:
        self._composition = composition
        self._write_part = write_part
        self._initial = ""
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
            elif name == "altChunk":
                self._write_part(name, attribute(element, "id"))
            elif name == "sdt" and _is_unread(element):
                continue
            elif name in {"sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "AlternateContent", "Choice"}:
                self.write(element, depth + 1)

    def _write_paragraph(self, paragraph: Any, depth: int) -> None:
        boxes: list[Any] = []
        properties = next((child for child in paragraph if local(child) == "pPr"), None)
        text = self._initial + self._text(paragraph, boxes)
        # A drop cap stands in a frame of its own before the rest of its word.
        self._initial = text.strip() if _is_drop_cap(properties) else ""
        style = self._styles.of(properties)
        if text.strip() and not style.is_contents and not self._initial:
            self._write_styled(text, style)
        for box in boxes:
            if (kind := local(box)) in _DRAWN:
                self._write_part(kind, attribute(box, "dm" if kind == "relIds" else "id"))
            else:
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
                pending += reversed(_paragraphs(box) if local(box) == "txbxContent" else [])
        return "; ".join(texts) if len(texts) > 1 else "".join(texts)

    def _text(self, paragraph: Any, boxes: list[Any]) -> str:
        """Return a paragraph's text with all changes accepted; its text boxes are appended to ``boxes``."""
        parts: list[str] = []
        pending = list(reversed(paragraph))
        while pending:
            element = pending.pop()
            name = local(element)
            if (
                name in _PASSED_OVER
                or (name == "r" and self._is_hidden(element))
                or (name == "sdt" and _is_unread(element))
            ):
                continue
            if name == "txbxContent" or name in _DRAWN:
                boxes.append(element)
            elif name == "t":
                parts.append(_raised(element))
            elif name in _CHARACTERS:
                parts.append(" " if attribute(element, "type") in _PAGE_BREAKS else _CHARACTERS[name])
            elif name == "sym":
                parts.append(symbol(attribute(element, "font"), _hexadecimal(attribute(element, "char"))))
            elif name == "ffData":
                parts.append(_chosen(element))
            elif (name, attribute(element, "id")) in self._notes:
                parts.append(self._notes[name, attribute(element, "id")])
            else:
                parts.append(_MATHS.get(name, ""))
                pending.extend(reversed(element))
        return "".join(parts)

    def _is_hidden(self, run: Any) -> bool:
        """Return whether a run is hidden or struck out."""
        properties = _properties(run)
        is_hidden = any(properties.get(name, "0") not in _OFF for name in ("vanish", "strike", "dstrike"))
        return is_hidden or properties.get("rStyle", "") in self._styles.unseen


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


def _is_unread(control: Any) -> bool:
    """Return whether a content control is a table of contents, or only asks for what was not filled in."""
    properties = [element for child in control if local(child) == "sdtPr" for element in child.iter()]
    return any(
        (local(element) == "docPartGallery" and attribute(element, "val") == "Table of Contents")
        or (local(element) == "showingPlcHdr" and _is_on(element))
        for element in properties
    )


def _is_drop_cap(properties: Any) -> bool:
    frames = [child for child in (() if properties is None else properties) if local(child) == "framePr"]
    return any(attribute(frame, "dropCap") in {"drop", "margin"} for frame in frames)


def _chosen(field: Any) -> str:
    """Return what a field of an old form shows that has no text: a box with or without its tick, a chosen entry."""
    for kind in field:
        if local(kind) == "checkBox":
            parts = {local(part): part for part in kind}
            return _ON if _is_on(parts.get("checked", parts.get("default"))) else _OFF_BOX
        if local(kind) == "ddList":
            entries = [attribute(part, "val") for part in kind if local(part) == "listEntry"]
            values = {local(part): attribute(part, "val") for part in kind if local(part) in {"result", "default"}}
            place = values.get("result", values.get("default", "0"))
            return entries[int(place)] if place.isdecimal() and int(place[:4]) < len(entries) else ""
    return ""


def _hexadecimal(value: str) -> int:
    try:
        return int(value[:8], 16)
    except ValueError:
        return 0


def _properties(run: Any) -> dict[str, str]:
    if len(run) and local(run[0]) == "rPr":
        return {local(child): attribute(child, "val") for child in run[0]}
    return {}


def _raised(text: Any) -> str:
    """Return a text, with the digits of a superscript as such: 10³ is not 103."""
    content = text.text or ""
    run = text.getparent()
    is_raised = run is not None and local(run) == "r" and _properties(run).get("vertAlign") == "superscript"
    return content.translate(_SUPERSCRIPT) if is_raised and content.isdigit() else content
