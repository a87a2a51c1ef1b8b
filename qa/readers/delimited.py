"""Comma- and tab-separated values, as a line for every row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content
from qa.readers.decoding import decode
from qa.readers.tables import format_rows

_SAMPLE = 65_536
_SAMPLE_LINES = 50
# What Excel writes, and reads, before the first row.
_DECLARED = re.compile(r"sep=([^\w\s\"]|\t)\n", re.IGNORECASE)
_DELIMITERS = ",;\t|"
# A quotation mark that is never closed makes one field of the rest of the file.
_LONGEST_FIELD = 10_000_000


class DelimitedReader:
    """A reader of ``text/csv``; commas, semicolons, tabs or bars separate the values.

    A row is a line, "name: value | name: value" if the first row names the columns.
    """

    name = "delimited"
    version = "2"
    media_type = "text/csv"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        try:
            for line in format_rows(_rows(decoded.text)):
                composition.line(line, "table")
        except csv.Error as error:
            raise UnreadableDocument(f"it is not comma-separated values ({error}); save it again") from error
        return composition.content([], decoded.problems, titled_by_heading=False)


def _rows(text: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    declared = _DECLARED.match(text)
    delimiter = declared[1] if declared else _delimiter(text[:_SAMPLE])
    # Without newline="" a field could not hold a newline.
    file = io.StringIO(text, newline="")
    file.seek(declared.end() if declared else 0)
    return csv.reader(file, delimiter=delimiter, skipinitialspace=True)


def _delimiter(sample: str) -> str:
    """Return the delimiter that divides the most of the first lines into equally many values, and into most values.

    ``csv.Sniffer`` takes letters for delimiters.
    """
    lines = sample.splitlines()
    if len(lines) > 1:
        lines = lines[:-1]
    lines = lines[:_SAMPLE_LINES]

    def fitness(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
        common = max(set(widths), key=widths.count, default=1)
        return (widths.count(common) / len(widths), common) if common > 1 else (0.0, 0)

    return max(_DELIMITERS, key=fitness)
