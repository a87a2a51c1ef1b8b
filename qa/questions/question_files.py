"""Question files of every format to questions: which format a path is in, and JSONL, CSV and TSV read."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from qa.errors import Fault, QuestionFileError
from qa.questions import question_collections as collections
from qa.questions.questions import FIELDS, QuestionSet, Record, collect, require_sound

Format = Literal["jsonl", "csv", "tsv", "squad", "beir", "trec"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "squad",
    ".trec": "trec", ".topics": "trec", ".xml": "trec", ".txt": "trec",
}  # fmt: skip
# The two that stand for a list of one in a table, where most evidence is one quote of one document.
_SINGLE = ("document", "quote")
_MAX_CELL = 10_000_000


def load_questions(
    path: Path, format: Format | None = None, *, qrels: Path | None = None, keep_going: bool = False
) -> QuestionSet:
    """Read a question file, or a folder that is a BEIR or TREC collection.

    Args:
        format: by default told by the suffix, or by what lies in the folder.
        qrels: judgments of TREC topics, where they do not lie in the same folder.
        keep_going: leave out what is wrong instead of raising.

    Raises:
        QuestionFileError: naming file, line and field.
    """
    format = format or _format_of(path)
    if format in ("beir", "trec"):
        files = collections.beir_files(path) if format == "beir" else collections.trec_files(path, qrels)
        contents = {file.name: _bytes(file) for file in files}
        records = collections.READERS[format]({name: _text(name, data) for name, data in contents.items()})
        return _collected(path.name, b"".join(contents.values()), records, keep_going=keep_going)
    return parse_questions(path.name, _bytes(path), format, keep_going=keep_going)


def parse_questions(name: str, data: bytes, format: Format | None = None, *, keep_going: bool = False) -> QuestionSet:
    """The same of a single file's bytes, such as an upload; ``name`` is what errors call it. BEIR is no single file."""
    format = format or _format_of(Path(name))
    if format == "beir":
        raise QuestionFileError([Fault(name, None, "", "a BEIR collection is a folder with queries.jsonl and qrels/")])
    text = _text(name, data)
    if format in collections.READERS:
        records = collections.READERS[format]({name: text})
    else:
        records = _jsonl(name, text) if format == "jsonl" else _table(name, text, "\t" if format == "tsv" else ",")
    return _collected(name, data, records, keep_going=keep_going)


def _collected(name: str, data: bytes, records: Iterator[Record | Fault], *, keep_going: bool) -> QuestionSet:
    questions, faults = collect(name, records)
    require_sound(questions, faults, keep_going=keep_going)
    if not questions:
        raise QuestionFileError([Fault(name, None, "", "there is no question in it")])
    return QuestionSet(name, hashlib.sha256(data).hexdigest(), questions, faults)


def _format_of(path: Path) -> Format:
    if path.is_dir():
        if (path / "queries.jsonl").is_file():
            return "beir"
        if any(path.glob("*topics*")):
            return "trec"
        message = "the folder is no collection: BEIR has queries.jsonl and qrels/, TREC has topics and qrels files"
        raise QuestionFileError([Fault(str(path), None, "", message)])
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        message = f"its name does not say its format; give --format, one of {', '.join(FORMATS)}"
        raise QuestionFileError([Fault(path.name, None, "", message)])
    return format


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise QuestionFileError([Fault(str(path), None, "", f"cannot be read: {error.strerror}")]) from error


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise QuestionFileError([Fault(name, line, "", f"is not UTF-8, at byte {error.start}")]) from error


def _jsonl(name: str, text: str) -> Iterator[Record | Fault]:
    # Not splitlines(): a text in JSON may hold U+2028 as it is, and that ends no line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield Fault(name, number, "", f"is not JSON: {reason}")
            continue
        if isinstance(values, dict):
            yield Record(number, values)
        else:
            yield Fault(name, number, "", 'must be a JSON object, such as {"question": "…"}')


def _table(name: str, text: str, delimiter: str) -> Iterator[Record | Fault]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        if "question" not in columns:
            yield Fault(name, 1, "question", f"the first line must name the columns, from {', '.join(FIELDS)}")
            return
        line = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                yield _row(name, line, columns, row)
            line = reader.line_num + 1
    except csv.Error as error:
        yield Fault(name, reader.line_num, "", f"is no row of a table: {error}")


def _row(name: str, line: int, columns: list[str], row: list[str]) -> Record | Fault:
    if len(row) > len(columns):
        return Fault(name, line, "", f"has {len(row)} cells, and the first line names {len(columns)} columns")
    values: dict[str, Any] = {column: cell for column, cell in zip(columns, row, strict=False) if cell.strip()}
    for column, read in _CELLS.items():
        if column in values:
            try:
                values[column] = read(values[column])
            except ValueError as error:
                return Fault(name, line, column, f"is not JSON: {error}")
    single = {key: values.pop(key) for key in _SINGLE if key in values}
    if single:
        if "evidence" in values:
            return Fault(name, line, "evidence", "give either evidence or document and quote")
        if "quote" in single:
            values["evidence"] = [single]
        else:
            values["documents"] = [*values.get("documents", []), single["document"]]
    return Record(line, values)


def _list_cell(cell: str) -> object:
    """A JSON list or object as it is; else texts with ``|`` between them."""
    if cell.lstrip()[:1] in ("[", "{"):
        return json.loads(cell)
    return [part for part in cell.split("|") if part.strip()]


_CELLS: Mapping[str, Callable[[str], object]] = {
    "evidence": json.loads,
    "answers": _list_cell,
    "documents": _list_cell,
    "tags": _list_cell,
}
