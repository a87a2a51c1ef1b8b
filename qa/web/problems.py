"""Every error as a problem detail, ``application/problem+json`` (RFC 9457), in words for a person."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qa.errors import (
    CollectionFixed,
    CollectionFull,
    DocumentExists,
    DocumentNotFound,
    DocumentReplaced,
    EvaluationError,
    EvaluationNotFound,
    IndexNotFound,
    NotReady,
    OriginalUnavailable,
    Overloaded,
    PictureUnavailable,
    QAError,
    QueryError,
    QuestionFileError,
    QueueFull,
    SnapshotError,
    SnapshotIncompatible,
    SnapshotNotFound,
    StorageError,
    UpdateRunning,
    UpkeepError,
    VectorsUnavailable,
    WriterBusy,
)
from qa.markup import safe_line
from qa.types import Limits

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
QUEUE_RETRY_SECONDS = 60
BUSY_RETRY_SECONDS = 10
# Faults that a response lists: a question file or a hostile body can hold a hundred thousand.
_SHOWN_FAULTS = 100
_SHOWN_ERRORS = 20
_SHOWN_CHARS = 80
_BODY = "body"
_NAMELESS = "a name that is empty"
# Paths of the OpenAI API.
CHAT = "/v1/chat/completions"
MODELS = "/v1/models"

TITLES: Mapping[str, str] = {
    "batch-empty": "The batch holds no question",
    "batch-too-large": "The batch holds too many questions",
    "body-too-large": "The request body is too large",
    "body-unreadable": "The request body cannot be read",
    "collection-fixed": "This collection is not changed from outside",
    "collection-full": "The collection is full",
    "cross-site": "Pages of other sites may not do this",
    "document-changed": "The document has changed",
    "document-exists": "There is a document of this name",
    "document-not-found": "No such document",
    "document-replaced": "The document is another one by now",
    "evaluation-not-found": "No such evaluation",
    "forbidden": "This is not allowed",
    "host-not-allowed": "This server has another name",
    "http-error": "The request failed",
    "index-busy": "The index is being written",
    "internal-error": "The server failed",
    "invalid-request": "The request is not valid",
    "malformed-form": "The form cannot be read",
    "malformed-json": "The request body is not JSON",
    "method-not-allowed": "This method is not allowed here",
    "missing-field": "A field is missing",
    "mode-unknown": "Unknown search mode",
    "model-not-found": "No such model",
    "not-found": "There is nothing at this address",
    "not-ready": "The service is not ready",
    "original-unavailable": "The original file has changed or is gone",
    "overloaded": "The service is overloaded",
    "picture-unavailable": "There is no picture of this page",
    "question-empty": "The question is empty",
    "question-file-wrong": "The question file is wrong",
    "question-too-long": "The question is too long",
    "queue-full": "Too many evaluations are waiting",
    "rate-limited": "Too many requests",
    "request-timeout": "The request took too long",
    "snapshot-not-found": "No such snapshot",
    "snapshot-unusable": "The snapshot cannot be used",
    "storage-unavailable": "The server cannot write",
    "too-many-files": "The form holds too many files",
    "top-k-out-of-range": "The number of passages is out of range",
    "unauthorized": "A key is needed",
    "unknown-field": "Unknown field",
    "unsupported-media-type": "The request body has the wrong type",
    "upload-refused": "The file was not accepted",
    "vectors-unavailable": "The vectors cannot be searched",
    "wrong-type": "A field has the wrong type",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that is wrong: ``message`` is a sentence that names it, ``code`` a key of ``TITLES``."""

    field: str
    message: str
    code: str = "invalid-request"

    @classmethod
    def from_fault(cls, fault: QueryError, question: str = "question") -> FieldError:
        """Turn a fault of a query into a field error; ``question`` is the request's name for that field."""
        return cls(question if fault.field == "question" else fault.field, f"{fault}.", fault.code)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem detail.

    ``code`` is a key of ``TITLES``; ``headers`` go with the response, ``extra`` are further members of its body.
    """

    code: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The URN of this kind of problem."""
        return f"urn:qa:problem:{self.code}"

    @property
    def title(self) -> str:
        """The kind of problem in words."""
        return TITLES[self.code]

    def members(self) -> dict[str, object]:
        """Return the members of the JSON object (RFC 9457, section 3.1, and ``errors``)."""
        members: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        if self.errors:
            members["errors"] = [{"field": error.field, "message": error.message} for error in self.errors]
        return members

    def response(self, path: str = "") -> JSONResponse:
        """Build the response of a program's request to ``path``; clients of the OpenAI API look for ``error``."""
        members = self.members()
        if path == CHAT or path.startswith(MODELS):
            kind = "invalid_request_error" if self.status < 500 else "server_error"
            field = self.errors[0].field if self.errors else None
            members["error"] = {"message": self.detail, "type": kind, "param": field, "code": self.code}
        return JSONResponse(members, self.status, dict(self.headers), MEDIA_TYPE)


# Turns a problem into the response of a request: a page, or a problem detail.
Render = Callable[[Request, Problem], Response]


class ProblemError(Exception):
    """The error that ends a request in ``problem``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def invalid(errors: tuple[FieldError, ...]) -> Problem:
    """Build the problem of wrong fields; it has their kind where all are wrong in the same way."""
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    return Problem(code, 422, " ".join(error.message for error in errors), errors)


def nothing_at(path: str) -> Problem:
    """Build the problem of a path that leads nowhere, or nowhere for this client."""
    return Problem("not-found", 404, f"There is nothing at {shown(path)}.")


def not_ready(detail: str, state: str) -> Problem:
    """Build the problem of a service that cannot answer yet; ``state`` is its one word for what it is doing."""
    return Problem(
        "not-ready",
        503,
        detail,
        headers={"Retry-After": str(RETRY_SECONDS)},
        extra={"state": state},
    )


def overloaded(error: Overloaded) -> Problem:
    """Build the problem of a request that a full queue refused."""
    return Problem("overloaded", 503, f"{error}.", headers={"Retry-After": str(error.retry_after)})


def question_file_wrong(error: QuestionFileError) -> Problem:
    """Build the problem of a question file; each fault names its line and field."""
    faults, count = error.faults, error.count
    fields = tuple(
        FieldError(
            ", ".join(filter(None, [f"line {fault.line}" if fault.line else "", fault.field])) or "body", fault.message
        )
        for fault in faults[:_SHOWN_FAULTS]
    )
    noun = "fault" if count == 1 else "faults"
    more = f" The first {_SHOWN_FAULTS} are listed." if count > _SHOWN_FAULTS else ""
    detail = f"The question file has {count:,} {noun}; the first: {faults[0]}.{more}"
    # Where a fault is of no line, it is of the whole file, and no other record is there.
    others = " With keep_going=true, the other records are scored." if any(fault.line for fault in faults) else ""
    return Problem("question-file-wrong", 422, f"{detail}{others}", fields)


def internal(request_id: str) -> Problem:
    """Build the problem of an unexpected failure: it says where the log has the cause, and nothing of the inside."""
    return Problem("internal-error", 500, f"The cause is in the server's log under the request id {request_id}.")


def choose_problem(error: QAError, request_id: str, question: str = "question") -> Problem:
    """Choose the problem that tells a client of an error.

    Args:
        question: the request's name for the field ``question``.
    """
    match error:
        case QueryError():
            return invalid(tuple(FieldError.from_fault(fault, question) for fault in error.faults))
        case NotReady() | Overloaded() | StorageError():
            return _unavailable_problem(error)
        case EvaluationError():
            return _evaluation_problem(error, request_id)
        case DocumentNotFound() | OriginalUnavailable() | PictureUnavailable() | UpkeepError():
            return _document_problem(error)
        case SnapshotError() | UpdateRunning():
            return _snapshot_problem(error, request_id)
        case _:
            return internal(request_id)


def _document_problem(
    error: DocumentNotFound | OriginalUnavailable | PictureUnavailable | UpkeepError,
) -> Problem:
    if isinstance(error, UpkeepError):
        return _upkeep_problem(error)
    if isinstance(error, DocumentNotFound):
        return Problem("document-not-found", 404, str(error))
    if isinstance(error, PictureUnavailable):
        return Problem("picture-unavailable", 404, f"{error}.")
    return Problem("original-unavailable", 409, f"{error}.")


def _upkeep_problem(error: UpkeepError) -> Problem:
    detail = f"{str(error)[:1].upper()}{str(error)[1:]}."
    match error:
        case CollectionFull():
            return Problem("collection-full", 409, detail)
        case DocumentExists():
            return Problem("document-exists", 409, detail)
        case DocumentReplaced():
            return Problem("document-replaced", 412, detail)
        case CollectionFixed():
            return Problem("collection-fixed", 409, detail)
        case _:
            return Problem("upload-refused", 422, detail)


def _snapshot_problem(error: SnapshotError | UpdateRunning, request_id: str) -> Problem:
    # Errors whose words name paths of this machine stay in the log.
    match error:
        case SnapshotNotFound():
            return Problem("snapshot-not-found", 404, f"{error}.")
        case SnapshotIncompatible():
            return Problem("snapshot-unusable", 409, f"{error}.")
        case WriterBusy() | UpdateRunning():
            return Problem("index-busy", 409, f"{error}.", headers={"Retry-After": str(BUSY_RETRY_SECONDS)})
        case IndexNotFound():
            return not_ready("the index is not there; it has to be built again", "no-index")
        case _:
            return internal(request_id)


def _unavailable_problem(error: NotReady | Overloaded | StorageError) -> Problem:
    match error:
        case NotReady():
            return not_ready(str(error), error.status)
        case Overloaded():
            return overloaded(error)
        case VectorsUnavailable():
            detail = "The server that has the vectors cannot be asked, or not for all of them; the log says more."
            return Problem("vectors-unavailable", 503, detail, headers={"Retry-After": str(BUSY_RETRY_SECONDS)})
    detail = "The server's disk is full, or cannot be read or written; its log says more."
    return Problem("storage-unavailable", 503, detail, headers={"Retry-After": str(QUEUE_RETRY_SECONDS)})


def _evaluation_problem(error: EvaluationError, request_id: str) -> Problem:
    match error:
        case EvaluationNotFound():
            return Problem("evaluation-not-found", 404, str(error))
        case QueueFull():
            return Problem("queue-full", 429, str(error), headers={"Retry-After": str(QUEUE_RETRY_SECONDS)})
        case QuestionFileError():
            return question_file_wrong(error)
        case _:
            return internal(request_id)


def explain(errors: Sequence[Any], fields: Sequence[str]) -> tuple[FieldError, ...]:
    """Explain pydantic's first errors, with ``loc`` relative to the request, to a client that may send ``fields``."""
    return tuple(_explain(error, fields) for error in _without_members(errors)[:_SHOWN_ERRORS])


def few(values: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the known fields and the first few others, which are enough to refuse: there may be a hundred thousand."""
    unknown = list(islice((name for name in values if name not in known), _SHOWN_ERRORS))
    return {name: values[name] for name in (*known, *unknown) if name in values}


def missing(model: type[BaseModel]) -> tuple[FieldError, ...]:
    """Explain that a request lacks every field that ``model`` requires."""
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    return explain([{"type": "missing", "loc": (name,)} for name in required], list(model.model_fields))


def check_batch(count: int, limits: Limits) -> tuple[FieldError, ...]:
    """Return what is wrong with a batch of ``count`` questions."""
    if count == 0:
        return (FieldError("questions", "questions is empty; it must hold at least one question.", "batch-empty"),)
    if count > limits.batch:
        message = f"questions holds {count:,} questions; at most {limits.batch:,} are allowed. Send several batches."
        return (FieldError("questions", message, "batch-too-large"),)
    return ()


def shown(text: str) -> str:
    """Make a client's text safe to show: cut, on one line, and valid Unicode."""
    return safe_line(text, _SHOWN_CHARS)


# The code of the problem and the sentence, by the kind of pydantic's error.
_OBJECT = ("wrong-type", "{article}{name} must be a JSON object; known fields: {fields}.")
_BOOLEAN = ("wrong-type", "{name} must be true or false.")
_TEXT = ("wrong-type", "{name} must be a string.")
_DECIMAL = ("wrong-type", "{name} must be a number, such as 0.2.")
_NUMBER = ("wrong-type", "{name} must be a whole number.")
_KINDS: Mapping[str, tuple[str, str]] = {
    "missing": ("missing-field", "{name} is missing; it is required."),
    "extra_forbidden": ("unknown-field", "{name} is not a known field{hint} Known fields: {fields}."),
    "literal_error": ("mode-unknown", "{name} can only be {expected}."),
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "string_type": _TEXT,
    "string_unicode": ("invalid-request", "{name} holds half of a surrogate pair; remove it."),
    "string_too_short": ("invalid-request", "{name} is empty; write a pattern such as reports/*.txt, or leave it out."),
    "string_too_long": ("invalid-request", "{name} may have at most {max_length:,} characters."),
    "float_type": _DECIMAL,
    "float_parsing": _DECIMAL,
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_parsing_size": _NUMBER,
    "int_from_float": _NUMBER,
    "greater_than_equal": ("invalid-request", "{name} must be at least {ge:,}."),
    "less_than_equal": ("invalid-request", "{name} must be at most {le:,}."),
    "filter": ("invalid-request", "{reason}."),
    "union_tag_invalid": ("invalid-request", "{name} has an unknown op; it can be {expected_tags}."),
    "union_tag_not_found": ("missing-field", "{name} has no op, which says what it is: eq, in, range or and."),
    "no_sha256": ("invalid-request", "{name} must be a SHA-256: 64 hexadecimal digits."),
    "list_type": ("wrong-type", "{name} must be a list."),
    "too_short": ("invalid-request", "{name} is empty; it must hold at least {min_length:,}."),
    "too_long": ("invalid-request", "{name} may hold at most {max_length:,}."),
}
_TYPED = ("wrong-type", "{name} must be {types}.")
_TYPED_OBJECT = ("wrong-type", "{name} must be {types}; known fields: {fields}.")
_OTHER = ("invalid-request", "{name} is not valid.")


# The fields of what a request holds, by the request's field and those below it, without places in lists.
_FIELDS_BELOW: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("filter",): ("op", "field", "value", "values", "low", "high", "filters"),
    ("messages", "content"): ("type", "text"),
    ("messages",): ("role", "content"),
    ("previous",): ("question", "answer"),
    ("stream_options",): ("include_usage",),
}
# The kinds of a filter's nodes, and the types of a value that may be of several, which pydantic puts into its places.
_OPS = ("eq", "in", "range", "and")
_MEMBER = re.compile(r"str|[A-Z]\w*|list\[\w+\]")
_TYPES = {"string_type": "a string", "list_type": "a list", "model_type": "a JSON object"}


def _without_members(errors: Sequence[Any]) -> list[Any]:
    """Merge the errors of a value that may be of several types, of which each has its own: no client knows them."""
    by_value: dict[object, list[Any]] = {}
    for number, error in enumerate(errors):
        location = error["loc"]
        # The last part is a client's word where it is no known field.
        length = len(location) - (error["type"] == "extra_forbidden")
        members = [at for at in range(1, length) if isinstance(location[at], str) and _MEMBER.fullmatch(location[at])]
        key: object = number
        if members:
            key = location[: members[0]]
            location = tuple(part for at, part in enumerate(location) if at not in members)
        by_value.setdefault(key, []).append({**error, "loc": location})
    merged: list[Any] = []
    for key, group in by_value.items():
        of_the_type = [error for error in group if error["loc"] != key or error["type"] not in _TYPES]
        if of_the_type or len(group) == 1:
            merged += of_the_type or group
        else:
            types = list(dict.fromkeys(_TYPES[error["type"]] for error in group))
            merged.append({**group[-1], "ctx": {"types": " or ".join(types)}})
    return merged


def _explain(error: Any, fields: Sequence[str]) -> FieldError:
    location, context = error["loc"], error.get("ctx", {})
    if location[:1] == ("filter",):
        location = [part for part in location if part not in _OPS]
    names = tuple(part for part in location if isinstance(part, str))
    if len(location) > 1 or error["type"] != "extra_forbidden":
        # The longest that fits: a part of a message has other fields than the message.
        below = (names[:length] for length in range(len(names), 0, -1))
        fields = next((_FIELDS_BELOW[each] for each in below if each in _FIELDS_BELOW), fields)
    name = _name(location)
    code, sentence = _KINDS.get(error["type"], _OTHER)
    if "types" in context:
        code, sentence = _TYPED if error["type"] != "model_type" else _TYPED_OBJECT
    if code == "mode-unknown" and name != "mode":
        code = "invalid-request"
    if (code, name) == ("missing-field", _BODY):
        sentence = "The body is missing; send a JSON object; known fields: {fields}."
    if tuple(location) == ("",):
        # Of ?=x, or of {"": 1}; it is no field that anyone could look for.
        name = _NAMELESS
    article = "The " if len(location) < 2 else ""
    hint = _hint(names[-1] if names else name, fields)
    message = sentence.format(name=name, article=article, hint=hint, fields=", ".join(fields), **context)
    return FieldError(name, message, code)


def _name(location: Sequence[str | int]) -> str:
    name = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{shown(part)}" if name else shown(part)
    return name or _BODY


def _hint(name: str, fields: Sequence[str]) -> str:
    near = nearest(name, fields)
    return f"; did you mean {near}?" if near else "."


def nearest(name: str, fields: Sequence[str]) -> str | None:
    """Return the field that ``name`` may be a misspelling of."""
    # A name of a million characters is compared character by character, and is no misspelling.
    if len(name) > _SHOWN_CHARS:
        return None
    return next(iter(difflib.get_close_matches(name, fields, n=1, cutoff=0.65)), None)
