"""Charts and SmartArt of Office files, as the tables and lists that they were drawn from (ECMA-376 part 1, 21)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qa.readers.archive import attribute, local
from qa.readers.composition import Composition
from qa.readers.tables import format_rows

_MOST_POINTS = 10_000


def write_diagram(root: Any, composition: Composition) -> None:
    """Write the texts of a SmartArt diagram as a list; ``root`` is of its data part."""
    composition.gap()
    for paragraph in root.iter():
        # One is what is written at one point of the diagram; its runs are parts of words at times.
        if local(paragraph) == "p" and (text := _joined(paragraph)).strip():
            composition.line(f"• {text}", "list")
    composition.gap()


def write_chart(root: Any, composition: Composition) -> None:
    """Write the title of a chart, and its series as the columns of a table; ``root`` is of its part."""
    title = next((_joined(element) for element in root.iter() if local(element) == "title"), "")
    composition.paragraph(title)
    series = [element for element in root.iter() if local(element) == "ser"]
    names, columns = [], []
    categories: dict[int, str] = {}
    for one in series:
        parts = {local(part): part for part in one}
        names.append(next((text for _, text in _points(parts.get("tx"))), ""))
        columns.append(dict(_points(parts.get("val") if "val" in parts else parts.get("yVal"))))
        categories = {**dict(_points(parts.get("cat") if "cat" in parts else parts.get("xVal"))), **categories}
    places = sorted({*categories, *(at for column in columns for at in column)})
    rows = [[categories.get(at, ""), *(_number(column.get(at, "")) for column in columns)] for at in places]
    if rows:
        composition.gap()
        for line in format_rows([["", *names], *rows], headings=1):
            composition.line(line, "table")
        composition.gap()


def _points(element: Any) -> Iterator[tuple[int, str]]:
    """Yield the cached values of a reference to cells, with their places."""
    for number, point in enumerate(() if element is None else element.iter()):
        if number > _MOST_POINTS:
            return
        if local(point) == "pt" and attribute(point, "idx").isdecimal():
            yield int(attribute(point, "idx")), next((part.text or "" for part in point if local(part) == "v"), "")
        elif local(point) == "v" and local(point.getparent()) not in {"pt", "lvl"}:
            yield 0, point.text or ""


def _number(text: str) -> str:
    """Write a cached number as a person would: 0.30000000000000004 is 0.3."""
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text


def _joined(element: Any) -> str:
    return "".join(part.text or "" for part in element.iter() if local(part) == "t")
