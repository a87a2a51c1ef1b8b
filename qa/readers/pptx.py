"""Slides of a presentation as pages, with their titles as sections."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local, parse_xml
from qa.readers.composition import Composition, Content
from qa.readers.drawings import write_chart, write_diagram
from qa.readers.tables import Cell, Grid, write_table

if TYPE_CHECKING:
    from pptx.presentation import Presentation

_BROKEN = "it is a damaged PowerPoint presentation; open it and save it anew"
_FURNITURE = frozenset({"DATE", "FOOTER", "SLIDE_NUMBER", "HEADER"})
_TITLES = frozenset({"TITLE", "CENTER_TITLE", "VERTICAL_TITLE"})
_DEEPEST_GROUP = 50
_SAME_ROW = 90_000  # EMU: shapes that start within a tenth of an inch stand side by side
_BREAKS = str.maketrans({"\x0b": "\n"})


class PptxReader:
    """A reader of ``.pptx``: every slide's title, text, tables, charts and diagrams, then its notes."""

    name = "pptx"
    version = "1"
    media_type = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        Archive(data).refuse_entities()
        presentation = _open(data)
        composition = Composition()
        problems = []
        for number, slide in enumerate(presentation.slides, 1):
            composition.page()
            try:
                _write_slide(slide, composition)
            except Exception:  # it raises whatever it stumbles over; the other slides are unharmed
                problems.append(f"slide {number} is damaged and read in part")
        return composition.content([presentation.core_properties.title or ""], problems)


def _open(data: bytes) -> Presentation:
    import pptx

    try:
        presentation = pptx.Presentation(io.BytesIO(data))
        len(presentation.slides)
    except Exception as error:  # it raises whatever it stumbles over
        raise UnreadableDocument(_BROKEN) from error
    return presentation


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

    ordered = sorted(shapes, key=lambda shape: ((shape.top or 0) // _SAME_ROW, shape.left or 0))
    for shape in ordered:
        if not isinstance(shape, GroupShape):
            yield shape
        elif depth < _DEEPEST_GROUP:
            yield from _in_order(shape.shapes, depth + 1)


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
            Cell(cell.text.translate(_BREAKS), cell.span_width, cell.span_height)
            for cell in row.cells
            if not cell.is_spanned
        )
        for row in table.rows
    ]


def _write_text(shape: Any, composition: Composition) -> None:
    """Write the paragraphs of a shape; several in the body of a slide are its bullets, as they are shown."""
    paragraphs = [p for p in shape.text_frame.paragraphs if p.text.strip()]
    is_list = _placeholder(shape) in {"BODY", "OBJECT", "VERTICAL_BODY"} and len(paragraphs) > 1
    for paragraph in paragraphs:
        text = paragraph.text.translate(_BREAKS)
        if is_list or _has_bullet(paragraph):
            composition.line(f"• {text}", "list", paragraph.level)
        else:
            composition.paragraph(text)


def _has_bullet(paragraph: Any) -> bool:
    properties = paragraph._p.pPr  # what is public of it does not say
    return properties is not None and any(local(child) in {"buChar", "buAutoNum"} for child in properties)


def _write_diagrams(frame: Any, composition: Composition) -> None:
    for element in frame.element.iter():
        if local(element) == "relIds" and (id := attribute(element, "dm")):
            write_diagram(parse_xml(frame.part.related_part(id).blob), composition)
