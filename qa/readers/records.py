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
    version = "1"
    media_type = "application/json"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        damaged = 0
        try:
            _write(json.loads(decoded.text), composition)
        except RecursionError as error:
            raise UnreadableDocument("it is nested too deep") from error
        except ValueError as error:
            for line in decoded.text.split("\n"):
                try:
                    _write_record(json.loads(line), composition)
                except (ValueError, RecursionError):
                    damaged += bool(line.strip())
            if not composition.length:
                raise UnreadableDocument("it is neither JSON nor JSON Lines; correct it") from error
        problems = [f"{damaged} lines are no JSON"] if damaged else []
        return composition.content([], [*decoded.problems, *problems], titled_by_heading=False)


def _write(value: object, composition: Composition) -> None:
    """Write a list of records, or the lists in an object, each under its name."""
    if isinstance(value, list):
        for record in value:
            _write_record(record, composition)
    elif isinstance(value, dict):
        lists = {
            key: records
            for key, records in value.items()
            if isinstance(records, list) and any(isinstance(record, dict) for record in records)
        }
        _write_record({key: other for key, other in value.items() if key not in lists}, composition)
        for key, records in lists.items():
            composition.heading(key, 1)
            for record in records:
                _write_record(record, composition)
    else:
        composition.paragraph(_scalar(value))


def _write_record(record: object, composition: Composition) -> None:
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
    parts = [f"{name}: {value}" for name, value in _values(record) if value]
    line = " | ".join(map(one_line, parts))
    if len(line) <= _LONGEST_LINE:
        composition.line(line, "records")
    else:
        composition.gap()
        for part in parts:
            composition.line(part, "record")
        composition.gap()


def _values(record: Mapping[str, object], path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the values of a record and of those in it, with their paths."""
    for key, value in record.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _values(value, name, depth + 1)
        elif isinstance(value, list):
            yield name, _listed([other for other in value if not isinstance(other, dict | list)])
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
