"""Jupyter notebooks: their prose, code and printed results (nbformat 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content
from qa.readers.decoding import decode
from qa.readers.markdown import write_markdown

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
                _write(cell, composition)
                composition.gap()
        return composition.content([], decoded.problems)


def _write(cell: Mapping[str, Any], composition: Composition) -> None:
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
