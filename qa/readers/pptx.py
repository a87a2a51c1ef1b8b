"""Slides of a presentation as pages, with their titles as sections."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, Package, attribute, local, parse_xml, repair
from qa.readers.composition import Composition, Content
from qa.readers.tables import Cell, Grid, write_chart, write_diagram, write_table

if TYPE_CHECKING:
    from pptx.presentation import Presentation

_BROKEN = "it is a damaged PowerPoint presentation; open it and save it again"
_MAIN = "ppt/presentation.xml"
_FURNITURE = frozenset({"DATE", "FOOTER", "SLIDE_NUMBER", "HEADER"})
_TITLES = frozenset({"TITLE", "CENTER_TITLE", "VERTICAL_TITLE"})
_DEEPEST_GROUP = 50
_SAME_ROW = 90_000  # EMU: shapes that begin within a tenth of an inch stand side by side
_STRUCK = frozenset({"sngStrike", "dblStrike"})
_BREAKS = str.maketrans({"\x0b": "\n"})


class PptxReader:
    """A reader of ``.pptx``: every slide's title, text, tables, charts and diagrams, then its notes."""

    name = "pptx"
    version = "3"
    media_type = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        Archive(data).refuse_entities()
        presentation = _open(data)
        composition = Composition()
        problems = []
        for number, slide in enumerate(presentation.slides, 1):
            composition.page()
            if slide._element.get("show") in {"0", "false"}:
                problems.append(f"slide {number} is hidden and left out")
                continue
            try:
                _write_slide(slide, composition)
            except Exception:  # the library raises any error; the other slides are unharmed
                problems.append(f"slide {number} is damaged and read in part")
        package = Package(data, _MAIN)
        return composition.content([package.title()], problems, metadata=package.metadata())


def _open(data: bytes) -> Presentation:
    import pptx

    for is_repaired in (False, True):
        try:
            presentation: Presentation = pptx.Presentation(io.BytesIO(repair(data) if is_repaired else data))
            len(presentation.slides)
        except Exception as error:  # the library raises any error
            if is_repaired:
                raise UnreadableDocument(_BROKEN) from error
        else:
            return presentation
    raise AssertionError


def _write_slide(slide: Any, composition: Composition) -> None:
    shapes = list(_in_order(slide.shapes))
    title = next((shape for shape in shapes if _placeholder(shape) in _TITLES and shape.text_frame.text.strip()), None)
    if title is not None:
        composition.heading(title.text_frame.text.translate(_BREAKS), 1)
    for shape in shapes:
        if shape is not title and _placeholder(shape) not in _FURNITURE:
            _write_shape(shape, composition)
            composition.gap()
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        for paragraph in notes.text.split("\n"):
            composition.paragraph(paragraph.translate(_BREAKS))


def _in_order(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Yield shapes from top to bottom, and side by side from left to right; groups stay together."""
    from pptx.shapes.group import GroupShape

    rows: list[list[Any]] = []
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if rows and _are_side_by_side(rows[-1][0], shape):
            rows[-1].append(shape)
        else:
            rows.append([shape])
    for shape in (shape for row in rows for shape in sorted(row, key=lambda shape: shape.left or 0)):
        if not isinstance(shape, GroupShape):
            yield shape
        elif depth < _DEEPEST_GROUP:
            yield from _in_order(shape.shapes, depth + 1)


def _are_side_by_side(first: Any, shape: Any) -> bool:
    """Return whether a shape stands in the row of ``first``, which begins no lower."""
    top, height = shape.top or 0, shape.height or 0
    distance = top - (first.top or 0)
    shared = (first.height or 0) - distance
    return distance <= _SAME_ROW or min(shared, height) * 2 > max(first.height or 0, height)


def _placeholder(shape: Any) -> str:
    """Return the name of the kind of placeholder that a shape is, or nothing if it is none."""
    if not shape.is_placeholder:
        return ""
    kind = shape.placeholder_format.type
    return kind.name if kind is not None else ""


def _write_shape(shape: Any, composition: Composition) -> None:
    if shape.has_text_frame:
        _write_text(shape, composition)
    elif getattr(shape, "has_table", False) and shape.has_table:
        write_table(composition, _rows(shape.table))
    elif getattr(shape, "has_chart", False) and shape.has_chart:
        write_chart(shape.chart.part._element, composition)  # what is public of it does not show all
    elif local(shape.element) == "graphicFrame":
        _write_diagrams(shape, composition)


def _rows(table: Any) -> list[list[str]]:
    grid = Grid()
    return [
        grid.row(
            Cell("\n".join(map(_text, cell.text_frame.paragraphs)), cell.span_width, cell.span_height)
            for cell in row.cells
            if not cell.is_spanned
        )
        for row in table.rows
    ]


def _write_text(shape: Any, composition: Composition) -> None:
    """Write the paragraphs of a shape; several in the body of a slide are its bullets, as they are shown."""
    paragraphs = [paragraph for paragraph in shape.text_frame.paragraphs if _text(paragraph).strip()]
    is_list = _placeholder(shape) in {"BODY", "OBJECT", "VERTICAL_BODY"} and len(paragraphs) > 1
    for paragraph in paragraphs:
        text = _text(paragraph)
        if is_list or _has_bullet(paragraph):
            composition.line(f"• {text}", "list", paragraph.level)
        else:
            composition.paragraph(text)


def _text(paragraph: Any) -> str:
    """Return the text of a paragraph without what is struck out."""
    parts = []
    for element in paragraph._p:
        name = local(element)
        if name == "br":
            parts.append("\n")
        elif name in {"r", "fld"} and not any(attribute(child, "strike") in _STRUCK for child in element):
            parts += [child.text or "" for child in element if local(child) == "t"]
        elif name not in {"r", "fld"}:  # equations
            parts += [child.text or "" for child in element.iter() if local(child) == "t"]
    return "".join(parts).translate(_BREAKS)


def _has_bullet(paragraph: Any) -> bool:
    properties = paragraph._p.pPr  # what is public of it does not say
    return properties is not None and any(local(child) in {"buChar", "buAutoNum"} for child in properties)


def _write_diagrams(frame: Any, composition: Composition) -> None:
    for element in frame.element.iter():
        if local(element) == "relIds" and (id := attribute(element, "dm")):
            write_diagram(parse_xml(frame.part.related_part(id).blob), composition)
