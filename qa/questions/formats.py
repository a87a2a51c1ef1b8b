"""Question files of every format: JSONL, CSV, TSV, SQuAD, BEIR folders and TREC topics with qrels.

References: Thakur et al. 2021 (BEIR); trec_eval's qrels (topic, iteration, document, grade); Rajpurkar et al. 2016 and
2018 (SQuAD 1.1 and 2.0).
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import html
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal, get_args

from qa.errors import Fault, QuestionFileError
from qa.questions.questions import FIELDS, QuestionSet, Quote, Record, collect, require_sound

Format = Literal["jsonl", "csv", "tsv", "squad", "beir", "trec"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "squad",
    ".trec": "trec", ".topics": "trec", ".xml": "trec", ".txt": "trec",
}  # fmt: skip
# The two that stand for a list of one in a table, where most evidence is one quote of one document.
_SINGLE = ("document", "quote")
# Files that programs of Windows write in its code page.
_IN_CODE_PAGES = frozenset({".csv", ".tsv", ".tab", ".txt"})
_MAX_CELL = 10_000_000
# Of files that come from clients: bytes of a line, and values of a JSON document, which take about 100 bytes each.
_LONGEST_LINE = 1_000_000
_MOST_VALUES = 2_000_000


def parse_format(file: str, name: str) -> Format:
    """Return the format that is called ``name``.

    Raises:
        QuestionFileError: there is none; the message names ``file``.
    """
    for format in FORMATS:
        if format == name:
            return format
    raise QuestionFileError([Fault(file, None, "", f"no format is called {name!r}; use one of {', '.join(FORMATS)}")])


def load_questions(
    path: Path, format: Format | None = None, *, qrels: Path | None = None, keep_going: bool = False
) -> QuestionSet:
    """Read a question file, or a folder that is a BEIR or TREC collection.

    Args:
        format: by default what the suffix says, or what lies in the folder.
        qrels: the judgments of TREC topics, if they do not lie in the same folder.
        keep_going: leave out faulty records instead of raising.

    Raises:
        QuestionFileError: a record is faulty; the error names file, line and field.
    """
    format = format or _detect_format(path)
    if format in ("beir", "trec"):
        files = beir_files(path) if format == "beir" else trec_files(path, qrels)
        contents = {file.name: _bytes(file) for file in files}
        records = READERS[format]({name: _text(name, data) for name, data in contents.items()})
        return _collected(path.name, b"".join(contents.values()), records, keep_going=keep_going)
    return parse_questions(path.name, _bytes(path), format, keep_going=keep_going)


def parse_questions(
    name: str, data: bytes, format: Format | None = None, *, keep_going: bool = False, most: int | None = None
) -> QuestionSet:
    """Read the bytes of a single file, such as an upload, which errors call ``name``. BEIR is no single file.

    Args:
        most: records that the file may hold, the faulty ones included. Reading stops there, and before a value that
            would take hundreds of megabytes; by default the file is trusted.

    Raises:
        QuestionFileError: a record is faulty, or there are too many.
    """
    format = format or _detect_format(Path(name))
    if format == "beir":
        raise QuestionFileError([Fault(name, None, "", "a BEIR collection is a folder with queries.jsonl and qrels/")])
    if most is not None:
        _require_moderate(name, data, format)
    text = _text(name, data)
    if format in READERS:
        records = READERS[format]({name: text})
    else:
        records = _from_lines(name, io.StringIO(text, newline=""), format)
    if most is not None:
        records = _at_most(name, records, most)
    return _collected(name, data, records, keep_going=keep_going)


def _require_moderate(name: str, data: bytes, format: Format) -> None:
    """Raise QuestionFileError where one value of the file would take much more memory than the file."""
    if format == "squad":
        # Each value of a JSON document but the first follows one of these; some of them stand in texts.
        values = sum(map(data.count, (b",", b"[", b"{")))
        if values > _MOST_VALUES:
            message = f"holds about {values:,} values; at most {_MOST_VALUES:,} are allowed"
            raise QuestionFileError([Fault(name, None, "", message)])
        return
    start = 0
    # From the last line end within reach to the next: the number of lines costs nothing.
    while len(data) - start > _LONGEST_LINE:
        end = data.rfind(b"\n", start, start + _LONGEST_LINE + 1)
        if end < 0:
            line = data.count(b"\n", 0, start) + 1
            raise QuestionFileError([Fault(name, line, "", f"is longer than {_LONGEST_LINE:,} bytes")])
        start = end + 1


def _at_most(name: str, records: Iterator[Record | Fault], most: int) -> Iterator[Record | Fault]:
    for number, record in enumerate(records):
        if number == most:
            message = f"the file holds more than {most:,} questions; send it in parts"
            raise QuestionFileError([Fault(name, None, "", message)])
        yield record


def _collected(name: str, data: bytes, records: Iterator[Record | Fault], *, keep_going: bool) -> QuestionSet:
    questions, faults = collect(name, records)
    require_sound(questions, faults, keep_going=keep_going)
    if not questions:
        raise QuestionFileError([Fault(name, None, "", "there is no question in it")])
    return QuestionSet(name, hashlib.sha256(data).hexdigest(), questions, faults)


def _detect_format(path: Path) -> Format:
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
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        kind = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise QuestionFileError(
            [Fault(name, line, "", f"is not {kind}, at byte {error.start}; save it as UTF-8")]
        ) from error


def _encoding(head: bytes) -> str:
    """Return the encoding that a file's first bytes tell: UTF-16 by its mark, as spreadsheets write it, else UTF-8."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _encoding_of(path: Path) -> str:
    with path.open("rb") as file:
        return _encoding(file.read(4))


def is_windows_text(path: Path) -> bool:
    """Return whether a table, or a text of one question a line, is read as Windows-1252 because it is not UTF-8.

    Excel writes CSV in the code page of Windows, which is that one in Western Europe, without a mark. JSON is UTF-8.

    Raises:
        OSError: the file cannot be read.
    """
    if path.suffix.lower() not in _IN_CODE_PAGES or _encoding_of(path) != "utf-8-sig":
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while part := file.read(1 << 20):
                decoder.decode(part)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return True
    return False


def read_records(path: Path, format: Format | None = None) -> Iterator[Record | Fault]:
    """Read the records of a question file one after the other, so that a long one is never held whole.

    A ``.txt`` has one question a line. A JSON list is held whole.

    Raises:
        QuestionFileError: the file cannot be read, or its format is none of one file.
    """
    is_plain = format is None and path.suffix.lower() == ".txt"
    format = "jsonl" if is_plain else format or _detect_format(path)
    try:
        if format == "squad":
            yield from _squad({path.name: _text(path.name, _bytes(path))})
            return
        if format in READERS:
            message = f"is of the format {format}, which qa evaluate takes; give JSONL, CSV, TSV, JSON or lines of text"
            raise QuestionFileError([Fault(path.name, None, "", message)])
        encoding = "cp1252" if is_windows_text(path) else _encoding_of(path)
        with path.open(encoding=encoding, newline="") as lines:
            yield from _plain(lines) if is_plain else _from_lines(path.name, lines, format)
    except UnicodeDecodeError as error:
        # Python's name of what every code page of Windows is decoded by.
        kind = "neither UTF-8 nor Windows-1252" if error.encoding == "charmap" else f"not {error.encoding.upper()}"
        raise QuestionFileError([Fault(path.name, None, "", f"is {kind}; save it as UTF-8")]) from error
    except OSError as error:
        raise QuestionFileError([Fault(str(path), None, "", f"cannot be read: {error.strerror}")]) from error


def _from_lines(name: str, lines: IO[str], format: Format) -> Iterator[Record | Fault]:
    return _jsonl(name, lines) if format == "jsonl" else _table(name, lines, "\t" if format == "tsv" else ",")


def _plain(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield Record(number, {"question": line.strip()})


def _jsonl(name: str, lines: Iterable[str]) -> Iterator[Record | Fault]:
    # Line by line, because a list of millions of lines takes ten times the memory of the file. Only a line feed ends a
    # line, alone or behind a carriage return: a text in JSON may hold U+2028 as it is.
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.removesuffix("\n"))
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield Fault(name, number, "", f"is not JSON: {reason}")
            continue
        if isinstance(values, dict):
            yield Record(number, values)
        else:
            yield Fault(name, number, "", 'must be a JSON object, such as {"question": "…"}')


def _table(name: str, lines: IO[str], delimiter: str) -> Iterator[Record | Fault]:
    csv.field_size_limit(_MAX_CELL)
    first = lines.readline()
    # Spreadsheets write semicolons where the comma is in numbers, and tabs in what they call Unicode text.
    for other in (delimiter, ";", "\t", ",", "|"):
        if "question" in _columns(first, other):
            delimiter = other
            break
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
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


def _columns(line: str, delimiter: str) -> list[str]:
    try:
        return [column.strip().lower() for column in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


# What a library calls the column of row numbers that it wrote.
_UNNAMED = ("", "unnamed: 0")


def _row(name: str, line: int, columns: list[str], row: list[str]) -> Record | Fault:
    if len(row) > len(columns):
        return Fault(name, line, "", f"has {len(row)} cells, and the first line names {len(columns)} columns")
    values: dict[str, Any] = {column: cell for column, cell in zip(columns, row, strict=False) if cell.strip()}
    for unnamed in _UNNAMED:
        values.pop(unnamed, None)
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
    """Read a cell that is a JSON list or object, or texts with ``|`` between them."""
    if cell.lstrip()[:1] in ("[", "{"):
        return json.loads(cell)
    return [part for part in cell.split("|") if part.strip()]


_CELLS: Mapping[str, Callable[[str], object]] = {
    "evidence": json.loads,
    "answers": _list_cell,
    "documents": _list_cell,
    "tags": _list_cell,
}


Texts = Mapping[str, str]
_TOP = re.compile(r"<(top(?:ic)?)\b(?P<attributes>[^>]*)>(?P<body>.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num(?:ber)?>\s*(?:number:)?\s*(?P<id>[^\s<]+)", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(?:number|id)\s*=\s*["']?(?P<id>[^\s"'>]+)""", re.IGNORECASE)
_TITLE = re.compile(r"<(?:title|query|question)>\s*(?:(?:topic|title):)?(?P<text>[^<]*)", re.IGNORECASE)


def beir_files(folder: Path) -> list[Path]:
    """Return ``queries.jsonl`` and its judgments: ``qrels/test.tsv``, or all of ``qrels/``, or ``qrels.tsv``."""
    test = folder / "qrels" / "test.tsv"
    qrels = [test] if test.is_file() else sorted(folder.glob("qrels/*.tsv")) or sorted(folder.glob("qrels.tsv"))
    if not qrels:
        message = "there are no judgments: a BEIR folder has qrels/test.tsv"
        raise QuestionFileError([Fault(str(folder), None, "", message)])
    return [folder / "queries.jsonl", *qrels]


def trec_files(path: Path, qrels: Path | None) -> list[Path]:
    """Return the topics, then the judgments; in a folder their names say which is which."""
    topics = sorted(path.glob("*topics*"))[:1] if path.is_dir() else [path]
    judged = [qrels] if qrels else sorted((path if path.is_dir() else path.parent).glob("*qrels*"))
    if len(judged) > 1:
        message = f"there are several files of judgments ({', '.join(p.name for p in judged)}); choose one with --qrels"
        raise QuestionFileError([Fault(str(path), None, "", message)])
    return [*topics, *judged]


def _beir(texts: Texts) -> Iterator[Record | Fault]:
    (name, queries), *judged = texts.items()
    grades, faults = _qrels(judged)
    yield from faults
    for number, line in enumerate(queries.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            query = json.loads(line)
            id, question = str(query["_id"]), query["text"]
        except (ValueError, TypeError, KeyError) as error:
            yield Fault(name, number, "", f"is no query with _id and text: {error}")
            continue
        # A collection's queries are those of all its splits; the judgments say which are of this one.
        if id in grades or query.get("answerable") is False:
            more = {key: query[key] for key in ("answers", "answerable", "tags") if key in query}
            yield Record(number, {"id": id, "question": question, "documents": grades.get(id, {}), **more})


def _trec(texts: Texts) -> Iterator[Record | Fault]:
    (name, topics), *judged = texts.items()
    grades, faults = _qrels(judged)
    yield from faults
    if "<top" not in topics.lower():
        yield from _topic_lines(name, topics, grades)
        return
    for match in _TOP.finditer(topics):
        line = topics.count("\n", 0, match.start()) + 1
        id = _NUMBER.search(match["body"]) or _ATTRIBUTE.search(match["attributes"])
        title = _TITLE.search(match["body"])
        if id is None or title is None:
            yield Fault(name, line, "" if id else "num", "the topic has no number or no title")
            continue
        question = " ".join(html.unescape(title["text"]).split())
        yield Record(line, {"id": id["id"], "question": question, "documents": grades.get(id["id"], {})})


def _topic_lines(name: str, topics: str, grades: Mapping[str, Mapping[str, int]]) -> Iterator[Record | Fault]:
    for number, line in enumerate(topics.split("\n"), start=1):
        if line.strip():
            id, tab, question = line.partition("\t")
            if tab:
                yield Record(number, {"id": id, "question": question, "documents": grades.get(id, {})})
            else:
                yield Fault(name, number, "", "is no topic: an id, a tab and the question, or <top> … </top>")


def _qrels(files: list[tuple[str, str]]) -> tuple[dict[str, dict[str, int]], list[Fault]]:
    """Read grades of documents by question: three columns as in BEIR or four as in TREC, with or without a header."""
    grades: defaultdict[str, dict[str, int]] = defaultdict(dict)
    faults = []
    for name, text in files:
        for number, line in enumerate(text.split("\n"), start=1):
            cells = line.split("\t") if "\t" in line else line.split()
            if not line.strip() or (number == 1 and not _is_grade(cells[-1])):
                continue
            if len(cells) not in (3, 4) or not _is_grade(cells[-1]):
                faults.append(Fault(name, number, "", "is no judgment: a question, a document and a whole number"))
                continue
            # Judged, and not relevant, is -1 or less in some collections.
            grades[cells[0].strip()][cells[-2].strip()] = max(0, int(cells[-1]))
    return grades, faults


def _is_grade(cell: str) -> bool:
    return re.fullmatch(r"\s*-?\d{1,3}\s*", cell) is not None


def _squad(texts: Texts) -> Iterator[Record | Fault]:
    ((name, text),) = texts.items()
    if text.lstrip()[:1] == "[":
        yield from _json_list(name, text)
        return
    try:
        data = json.loads(text)
        paragraphs = [
            (f"data[{a}].paragraphs[{p}]", paragraph)
            for a, article in enumerate(data["data"])
            for p, paragraph in enumerate(article["paragraphs"])
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f'is no SQuAD file, an object with "data", "paragraphs" and "qas": {error}'
        yield Fault(name, getattr(error, "lineno", None), "", message)
        return
    for field, paragraph in paragraphs:
        try:
            yield from [_squad_record(paragraph["context"], question) for question in paragraph["qas"]]
        except (TypeError, KeyError, ValueError) as error:
            yield Fault(name, None, field, f"has no context, or a question with no id or no answers: {error}")


def _json_list(name: str, text: str) -> Iterator[Record | Fault]:
    """Read a list of records, or of questions; each is of the line where it begins."""
    decoder = json.JSONDecoder()
    at, line = text.index("[") + 1, text.count("\n", 0, text.index("[")) + 1
    try:
        while True:
            gap = _BETWEEN.match(text, at)
            assert gap is not None
            line, at = line + text.count("\n", at, gap.end()), gap.end()
            if text[at : at + 1] == "]":
                return
            values, end = decoder.raw_decode(text, at)
            values = {"question": values} if isinstance(values, str) else values
            if isinstance(values, dict):
                yield Record(line, values)
            else:
                yield Fault(name, line, "", 'must be a JSON object, such as {"question": "…"}')
            line, at = line + text.count("\n", at, end), end
    except (ValueError, RecursionError) as error:
        yield Fault(name, line, "", f"is no list of JSON objects: {error}")


_BETWEEN = re.compile(r"[\s,]*")


def _squad_record(context: str, question: Any) -> Record:
    values = {"id": str(question["id"]), "question": question["question"]}
    if question.get("is_impossible"):
        return Record(None, {**values, "answerable": False})
    spans = [(answer["answer_start"], answer["text"]) for answer in question["answers"]]
    for start, text in spans:
        if context[start : start + len(text)] != text:
            raise ValueError(f"question {question['id']}: its answer is not in the context at {start}")
    if not spans:
        return Record(None, values)
    # Annotators differ; where most of them point is the evidence, and what each of them wrote is an answer.
    (start, text), _ = Counter(spans).most_common(1)[0]
    quote = Quote(None, context, (start, start + len(text)))
    return Record(None, {**values, "evidence": [quote], "answers": [text for _, text in spans]})


READERS: Mapping[str, Callable[[Texts], Iterator[Record | Fault]]] = {"beir": _beir, "trec": _trec, "squad": _squad}
