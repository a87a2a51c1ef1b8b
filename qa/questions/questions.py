"""Questions with what is known about their answers, and the same questions with their judgments in one snapshot.

In every format of question files a record becomes a mapping of the fields in ``FIELDS``, and is checked here, once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qa.errors import Fault, QuestionFileError

FIELDS = ("id", "question", "evidence", "answers", "documents", "answerable", "tags", "judged")
_EVIDENCE_FIELDS = ("document", "quote")
# What the file of judgments adds (:mod:`qa.questions.feedback`).
_OF_JUDGMENTS = ("part", "relevant")
# Characters of a field's name that is compared with the known ones, and of a message.
_LONGEST_NAME = 40
_LONGEST_MESSAGE = 500
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


@dataclass(frozen=True, slots=True)
class Quote:
    """An exact quotation of a document that answers a question.

    ``document`` is ``None`` if the file does not name one; all are then searched. ``part`` is the half-open span of the
    quotation that counts, if that is not the whole. A quote that is not ``relevant`` was judged not to answer, and
    changes no measure.
    """

    document: str | None
    text: str
    part: tuple[int, int] | None = None
    relevant: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a file.

    ``documents`` grades documents by id: 0 is not relevant, 1 relevant, more is better. ``answerable`` is ``None`` if
    neither the file nor a judgment says it. ``judged`` is the time of a judgment that others may follow. ``line``
    counts from 1.
    """

    id: str
    text: str
    evidence: tuple[Quote, ...] = ()
    answers: tuple[str, ...] = ()
    documents: Mapping[str, int] = field(default_factory=dict)
    answerable: bool | None = None
    tags: tuple[str, ...] = ()
    judged: str = ""
    line: int | None = None

    @property
    def is_judged(self) -> bool:
        """Whether anything about the question can be scored."""
        relevant = any(quote.relevant for quote in self.evidence)
        return bool(relevant or self.answers or self.documents) or self.answerable is not None


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions of one file. ``sha256`` is that of its bytes; ``left_out`` says which records were faulty."""

    name: str
    sha256: str
    questions: tuple[Question, ...]
    left_out: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A record that is not checked yet: values by field."""

    line: int | None
    values: Mapping[str, Any]


class _Invalid(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def collect(file: str, records: Iterable[Record | Fault]) -> tuple[tuple[Question, ...], tuple[Fault, ...]]:
    """Check the records of ``file``, and return the questions in order and the faults of the others.

    A question without an id gets one from its words, so that it keeps it when lines are added. Judgments of one
    question, which each say when they were made, become one question; of two on the same quote the later counts.
    """
    questions: list[Question] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    counts: dict[str, int] = {}
    judgments: dict[int, list[Question]] = {}
    for record in records:
        if isinstance(record, Fault):
            faults.append(record)
            continue
        try:
            question = _question(record)
            if not question.id:
                question = replace(question, id=_made_id(question.text, seen, counts))
            elif question.id in seen:
                at = seen[question.id]
                _require_judgments(questions[at], question)
                judgments.setdefault(at, [questions[at]]).append(question)
                continue
        except _Invalid as invalid:
            faults.append(Fault(file, record.line, _cut(invalid.field), _cut(str(invalid))))
            continue
        seen[question.id] = len(questions)
        questions.append(question)
    for at, made in judgments.items():
        questions[at] = _together(made)
    return tuple(questions), tuple(faults)


def check_record(file: str, record: Record) -> Question | Fault:
    """Check one record of ``file`` by itself; a question without an id keeps none."""
    try:
        return _question(record)
    except _Invalid as invalid:
        return Fault(file, record.line, _cut(invalid.field), _cut(str(invalid)))


def _require_judgments(before: Question, after: Question) -> None:
    """Raise _Invalid unless two records of one id are judgments of one question."""
    if not before.judged or not after.judged or before.text != after.text:
        raise _Invalid("id", f"the id {after.id!r} was used before, on line {before.line}")
    for name in ("answers", "documents"):
        if getattr(before, name) or getattr(after, name):
            raise _Invalid(name, f"judgments of one question, as on line {before.line}, have evidence and no {name}")


def _together(judgments: Sequence[Question]) -> Question:
    """Merge the judgments of one question by the time when they were made; at the same time the later line counts."""
    quotes: dict[object, Quote] = {}
    for judgment in sorted(judgments, key=lambda each: each.judged):
        quotes |= {(quote.document, quote.text, quote.part): quote for quote in judgment.evidence}
    evidence = tuple(quotes.values())
    tags = tuple(dict.fromkeys(tag for judgment in judgments for tag in judgment.tags))
    answerable = True if any(quote.relevant for quote in evidence) else None
    return replace(judgments[0], evidence=evidence, answerable=answerable, tags=tags)


def require_sound(questions: Sequence[object], faults: Sequence[Fault], *, keep_going: bool) -> None:
    """Raise QuestionFileError if there are faults; with ``keep_going`` only if no question is left."""
    if faults and (not keep_going or not questions):
        raise QuestionFileError(faults)


def _made_id(text: str, seen: Mapping[str, object], made: dict[str, int]) -> str:
    """Make an id of a question's words that no other has; ``made`` counts those that were made of the same words."""
    base = f"q-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
    number = made.get(base, 0) + 1
    # A file may use such an id itself.
    while (id := base if number == 1 else f"{base}-{number}") in seen:
        number += 1
    made[base] = number
    return id


def _cut(text: str) -> str:
    """Cut what a message repeats of a file: a field's name may have a million characters."""
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def _question(record: Record) -> Question:
    values = {name: value for name, value in record.values.items() if value is not None}
    if isinstance(values.get("answer"), str) and "answers" not in values:
        # Of a file with a question and its answer.
        answer = values.pop("answer")
        values |= {"answers": [answer]} if answer.strip() else {}
    for name in values:
        if name not in FIELDS:
            near = difflib.get_close_matches(name[:_LONGEST_NAME], FIELDS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise _Invalid(
                name, f"{name[:_LONGEST_NAME]!r} is not a known field; {hint}known fields: {', '.join(FIELDS)}"
            )
    text = values.get("question", "")
    if not isinstance(text, str) or not text.strip():
        raise _Invalid("question", "the question is missing or blank; it must be a text")
    evidence = _evidence(values.get("evidence", []))
    answers = _texts("answers", values.get("answers", []))
    documents = _documents(values.get("documents", []))
    answerable = _answerable(values.get("answerable"))
    has_answer = any(quote.relevant for quote in evidence) or bool(answers) or any(documents.values())
    if answerable is False and has_answer:
        raise _Invalid("answerable", "the question is said to have no answer, and has evidence, answers or documents")
    if answerable is None and has_answer:
        answerable = True
    return Question(
        id=_id(values.get("id", "")),
        text=text.strip(),
        evidence=evidence,
        answers=answers,
        documents=documents,
        answerable=answerable,
        tags=_texts("tags", values.get("tags", [])),
        judged=_judged(values.get("judged", "")),
        line=record.line,
    )


def _id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise _Invalid("id", "the id must be a text of at most 200 printable characters")
    return value.strip()


def _judged(value: object) -> str:
    if not isinstance(value, str) or len(value) > 40:
        raise _Invalid("judged", "judged must be a time, such as 2026-04-01T12:00:00Z")
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
        raise _Invalid(name, f"{name} must be a list of texts that are not blank")
    return tuple(dict.fromkeys(item.strip() for item in items))


def _documents(value: object) -> dict[str, int]:
    if isinstance(value, dict):
        # JSON has no integers of its own, and true is no grade.
        if not all(type(grade) is int and 0 <= grade <= 100 for grade in value.values()):
            raise _Invalid("documents", "a document's grade must be a whole number from 0 to 100")
        return {str(id): grade for id, grade in value.items()}
    return dict.fromkeys(_texts("documents", value), 1)


def _answerable(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise _Invalid("answerable", f"answerable is {value!r}; it must be true or false")
    return word in _TRUE


def _evidence(value: object) -> tuple[Quote, ...]:
    items = [value] if isinstance(value, dict | Quote) else value
    if not isinstance(items, list):
        raise _Invalid("evidence", "evidence must be a list of objects with a document and a quote")
    return tuple(dict.fromkeys(_quote(f"evidence[{number}]", item) for number, item in enumerate(items)))


def _quote(name: str, item: object) -> Quote:
    if isinstance(item, Quote):
        return item
    if not isinstance(item, dict):
        raise _Invalid(name, f"{name} must be an object with a document and a quote")
    for key in item:
        if key not in _EVIDENCE_FIELDS + _OF_JUDGMENTS:
            raise _Invalid(f"{name}.{key}", f"{key!r} is not a known field; known fields: document, quote")
    for key in _EVIDENCE_FIELDS:
        if not isinstance(item.get(key), str) or not item[key].strip():
            raise _Invalid(f"{name}.{key}", f"{name} has no {key}; it must be a text that is not blank")
    relevant = item.get("relevant", True)
    if not isinstance(relevant, bool):
        raise _Invalid(f"{name}.relevant", "relevant must be true or false")
    return Quote(item["document"], item["quote"], _part(name, item), relevant)


def _part(name: str, item: Mapping[str, Any]) -> tuple[int, int] | None:
    part = item.get("part")
    if part is None:
        return None
    if not isinstance(part, list) or [type(edge) for edge in part] != [int, int]:
        raise _Invalid(f"{name}.part", "part must be two whole numbers: where it begins and ends in the quote")
    start, end = part
    if not 0 <= start < end <= len(item["quote"]) or not item["quote"][start:end].strip():
        raise _Invalid(f"{name}.part", f"part {start} to {end} is no part of the quote that holds a word")
    return start, end


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote that was found: ``[start, end)`` of a document's canonical text is ``text``.

    ``passages`` are the ids of all passages of the snapshot that overlap the span: they are relevant.
    """

    document: str
    start: int
    end: int
    text: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with its judgments in one snapshot.

    ``documents`` grades indexed documents, those of the evidence included; 0 is not relevant.
    """

    id: str
    text: str
    evidence: tuple[Evidence, ...] = ()
    documents: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    answerable: bool | None = None
    tags: tuple[str, ...] = ()

    @property
    def relevant(self) -> frozenset[str]:
        """The ids of the passages that overlap any evidence."""
        return frozenset(id for evidence in self.evidence for id in evidence.passages)

    @property
    def has_relevant_documents(self) -> bool:
        return any(self.documents.values())
