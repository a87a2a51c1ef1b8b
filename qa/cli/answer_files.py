"""A file of questions answered, as a table or as lines of JSON: a row a question, with its answer and citation."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from qa.errors import Fault, QAError, QuestionFileError, SettingsError
from qa.files import is_same_file, replacing
from qa.markup import safe_cell

if TYPE_CHECKING:
    from qa.questions.questions import Question
    from qa.web.api.responses import AskResponse

Form = Literal["csv", "tsv", "jsonl"]
COLUMNS = (
    "id", "question", "outcome", "answer", "confidence", "document", "page", "section", "start", "end", "sha256",
    "status", "error",
)  # fmt: skip
# Questions that are asked together, and faults of a file that are kept to be shown.
BATCH = 16
_MOST_FAULTS = 1000
# Names of fields that are passed over and shown.
_MOST_NAMED = 20

# Answers several questions, each with a response or its own error.
AskMany = Callable[[Sequence[str]], "Sequence[AskResponse | QAError]"]


def choose_form(output: str) -> Form:
    """Return the form of an output file by its suffix; a table for standard output. Raises SettingsError."""
    suffix = Path(output).suffix.lower()
    if output == "-":
        return "csv"
    forms: dict[str, Form] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    if suffix not in forms:
        raise SettingsError(f"--output is {output!r}; its name must end in .csv, .tsv or .jsonl, or it is - alone")
    return forms[suffix]


def require_other_file(file: Path, output: str) -> None:
    """Raise SettingsError where the answers would replace their questions, by another path or a link too."""
    if output != "-" and is_same_file(file, Path(output)):
        raise SettingsError(f"--output {output} is the question file itself; give the answers another name")


@dataclass(frozen=True, slots=True)
class Checked:
    """A question file that was read once: ``notes`` are sentences on how it was read."""

    count: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def check_questions(file: Path, *, keep_going: bool) -> Checked:
    """Read a question file once without keeping it: count its questions, and list what is wrong with the others.

    Raises:
        QuestionFileError: a record is wrong and ``keep_going`` is not set, or there is no question.
    """
    from qa.questions.formats import is_windows_text

    count, faults = 0, []
    foreign: dict[str, None] = {}
    for each in _read(file, foreign):
        if isinstance(each, Fault):
            faults.append(each)
            if len(faults) == _MOST_FAULTS:
                break
        else:
            count += 1
    if faults and not (keep_going and count):
        raise QuestionFileError(faults)
    if not count:
        raise QuestionFileError([Fault(file.name, None, "", "there is no question in it")])
    notes = []
    if is_windows_text(file):
        notes.append(f"{file.name} is not UTF-8, and is read as Windows-1252; if letters are wrong, save it as UTF-8")
    if foreign:
        more = ", …" if len(foreign) > _MOST_NAMED else ""
        notes.append(f"these fields are passed over: {', '.join(list(foreign)[:_MOST_NAMED])}{more}")
    return Checked(count, tuple(faults), tuple(notes))


def answer_file(file: Path, output: str, form: Form, ask_many: AskMany, advance: Callable[[int], None]) -> int:
    """Answer the questions of a file, a few at a time, into ``output``, which appears when all are answered.

    Returns how many could not be asked; their outcome is ``error``.

    Raises:
        QuestionFileError, StorageError: the file cannot be read, or the output not be written.
    """
    opened: AbstractContextManager[IO[str]] = nullcontext(sys.stdout) if output == "-" else replacing(Path(output))
    failed = 0
    with opened as out:
        write = _writer(out, form)
        questions = (each for each in _read(file) if not isinstance(each, Fault))
        while batch := list(islice(questions, BATCH)):
            for question, reply in zip(batch, ask_many([each.text for each in batch]), strict=True):
                write(_row(question, reply))
                failed += isinstance(reply, QAError)
            out.flush()
            advance(len(batch))
    return failed


def _read(file: Path, foreign: dict[str, None] | None = None) -> Iterator[Question | Fault]:
    """Read the questions of a file; the names of fields that no question file knows go into ``foreign``."""
    from qa.questions.formats import read_records
    from qa.questions.questions import FIELDS, Record, check_record

    for record in read_records(file):
        if isinstance(record, Fault):
            yield record
            continue
        values = record.values
        if "question" in values:
            if foreign is not None and len(foreign) <= _MOST_NAMED:
                foreign |= dict.fromkeys(name for name in values if name not in (*FIELDS, "answer"))
            values = {name: values[name] for name in ("id", "question") if name in values}
        yield check_record(file.name, Record(record.line, values))


def _writer(out: IO[str], form: Form) -> Callable[[dict[str, object]], None]:
    if form == "jsonl":
        return lambda row: print(json.dumps(row, ensure_ascii=False), file=out)
    table = csv.writer(out, delimiter="\t" if form == "tsv" else ",", lineterminator="\n")
    table.writerow(COLUMNS)
    return lambda row: table.writerow([_cell(row[name]) for name in COLUMNS])


def _cell(value: object) -> object:
    """Return a value as a table shows it: a text acts neither on a spreadsheet nor on a terminal."""
    if value is None:
        return ""
    return safe_cell(value) if isinstance(value, str) else value


def _row(question: Question, reply: AskResponse | QAError) -> dict[str, object]:
    row: dict[str, object] = {**dict.fromkeys(COLUMNS), "id": question.id or None, "question": question.text}
    if isinstance(reply, QAError):
        return {**row, "outcome": "error", "error": str(reply)}
    answer = reply.answer
    if answer is None:
        return row
    found = answer.guess if answer.outcome == "unsure" else answer
    row |= {"outcome": answer.outcome, "confidence": answer.confidence}
    if found is None or found.citation is None:
        return row
    cited = found.citation
    return row | {
        "answer": found.text,
        "document": cited.document,
        "page": cited.page,
        "section": cited.section,
        "start": cited.start,
        "end": cited.end,
        "sha256": cited.sha256,
        "status": cited.status,
    }
