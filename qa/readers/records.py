"""JSON and JSON Lines, as records: the path of each value is its name. Jupyter notebooks (nbformat 4) are among them.

Of a notebook its prose, code and printed results are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content, one_line
from qa.readers.decoding import decode
from qa.readers.markdown import write_markdown

_TITLES, _TEXTS = ("title", "name", "heading"), ("text", "body", "content", "contents", "abstract")
_LONGEST_LINE = 400
_LONGEST_ITEM = 60
_LEAST_TEXT = 40
_DEEPEST = 20
_MOST_VALUES = 2_000_000


class RecordsReader:
    """A reader of ``.json`` and ``.jsonl``.

    A record with a title and a text, as those of a corpus are, is a section with that text; of others, short ones are
    a line, "name: value | name: value", and long ones a line for each value. Names of values within others are paths:
    "address.town".
    """

    name = "records"
    version = "3"
    media_type = "application/json"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        damaged = 0
        try:
            write_records(_parse(decoded.text), composition)
        except RecursionError as error:
            raise UnreadableDocument("it is nested too deep") from error
        except ValueError as error:
            for line in decoded.text.split("\n"):
                try:
                    write_record(_parse(line), composition)
                except (ValueError, RecursionError):
                    damaged += bool(line.strip())
            if not composition.length:
                raise UnreadableDocument("it is neither JSON nor JSON Lines; correct it") from error
        problems = [f"{damaged} lines are no JSON"] if damaged else []
        return composition.content([], [*decoded.problems, *problems], titled_by_heading=False)


def _parse(text: str) -> object:
    """Parse JSON; its numbers stay as they are written: "312.00" is an amount. Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def write_records(value: object, composition: Composition, path: str = "", depth: int = 0) -> None:
    """Write a list of records, or the lists in an object and in the objects within it, each under its path."""
    if isinstance(value, list):
        for record in value:
            write_record(record, composition)
    elif isinstance(value, dict):
        inner = {key for key, other in value.items() if _holds_records(other, depth)}
        write_record({key: other for key, other in value.items() if key not in inner}, composition, path)
        for key in (key for key in value if key in inner):
            name = _join(path, key)
            if isinstance(value[key], list):
                composition.heading(name, 1)
            write_records(value[key], composition, name, depth + 1)
    else:
        composition.paragraph(_scalar(value))


def _holds_records(value: object, depth: int) -> bool:
    """Return whether a value is a list of records, or an object that holds one at some depth."""
    if isinstance(value, list):
        return any(isinstance(record, dict) for record in value)
    return isinstance(value, dict) and depth < _DEEPEST and any(_holds_records(v, depth + 1) for v in value.values())


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key


def write_record(record: object, composition: Composition, path: str = "") -> None:
    """Write a record, whose own place is ``path``, as a line or as a section with its text."""
    if not isinstance(record, dict):
        composition.line(_scalar(record) if not isinstance(record, list) else _listed(record), "records")
        return
    title = next((record[key] for key in _TITLES if isinstance(record.get(key), str)), "")
    text = next((key for key in _TEXTS if isinstance(record.get(key), str) and len(record[key]) >= _LEAST_TEXT), "")
    if text:
        composition.heading(title, 2)
        for paragraph in record[text].split("\n\n"):
            composition.paragraph(paragraph)
        record = {key: value for key, value in record.items() if key != text and not (title and value == title)}
    parts = [f"{name}: {value}" for name, value in _values(record, path) if value]
    line = " | ".join(map(one_line, parts))
    if len(line) <= _LONGEST_LINE:
        composition.line(line, "records")
    else:
        if title and not text:
            composition.heading(title, 2)
            parts.remove(next(part for part in parts if part.endswith(f": {title}")))
        composition.gap()
        for part in parts:
            composition.line(part, "record")
        composition.gap()


def _values(record: Mapping[str, object], path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the values of a record and of those in it, with their paths."""
    for key, value in record.items():
        name = _join(path, str(key))
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _values(value, name, depth + 1)
        elif isinstance(value, list):
            texts = [text for text in map(_scalar, value) if text]
            # Long ones are paragraphs.
            for text in texts if any(len(text) > _LONGEST_ITEM for text in texts) else [", ".join(texts)]:
                yield name, text
            for other in value:
                if isinstance(other, dict) and depth < _DEEPEST:
                    yield from _values(other, name, depth + 1)
        else:
            yield name, _scalar(value)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(filter(None, map(_scalar, values)))


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, dict | list) else str(value)


_LONGEST_OUTPUT = 2_000
_BROKEN = "it is not a Jupyter notebook; save it again"


class NotebookReader:
    """A reader of ``.ipynb``: cells of Markdown as they are shown, code as it stands, and the beginning of results."""

    name = "notebook"
    version = "1"
    media_type = "application/x-ipynb+json"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        try:
            notebook = json.loads(decoded.text)
        except (ValueError, RecursionError) as error:
            raise UnreadableDocument(_BROKEN) from error
        cells = notebook.get("cells") if isinstance(notebook, dict) else None
        if not isinstance(cells, list):
            raise UnreadableDocument(_BROKEN)
        composition = Composition()
        for cell in cells:
            if isinstance(cell, dict):
                _write_cell(cell, composition)
                composition.gap()
        return composition.content([], decoded.problems)


def _write_cell(cell: Mapping[str, Any], composition: Composition) -> None:
    source = _joined(cell.get("source"))
    if cell.get("cell_type") == "markdown":
        write_markdown(source, composition)
        return
    composition.verbatim(source)
    for output in _outputs(cell):
        composition.verbatim(output[:_LONGEST_OUTPUT])


def _outputs(cell: Mapping[str, Any]) -> Iterator[str]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            data = output.get("data")
            yield _joined(output.get("text"))
            yield _joined(data.get("text/plain")) if isinstance(data, dict) else ""


def _joined(lines: object) -> str:
    """Return a text that is written as one string or as a list of lines."""
    if isinstance(lines, str):
        return lines
    return "".join(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else ""
