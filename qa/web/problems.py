"""Every error as a problem detail, ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qa.errors import (
    DocumentNotFound,
    EvaluationError,
    EvaluationNotFound,
    Fault,
    IndexNotFound,
    NotReady,
    OriginalUnavailable,
    Overloaded,
    QAError,
    QueryError,
    QuestionFileError,
    QueueFull,
    SnapshotError,
    SnapshotIncompatible,
    SnapshotNotFound,
    StorageError,
    UpdateRunning,
    WriterBusy,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
QUEUE_RETRY_SECONDS = 60
BUSY_RETRY_SECONDS = 10
# Faults of a question file that are told: a file can hold a hundred thousand.
_SHOWN_FAULTS = 100

TITLES: Mapping[str, str] = {
    "batch-empty": "The batch holds no question",
    "batch-too-large": "The batch holds too many questions",
    "body-too-large": "The request body is too large",
    "body-unreadable": "The request body cannot be read",
    "cross-site": "Another site's page may not do this",
    "document-changed": "The document has changed",
    "document-not-found": "No such document",
    "evaluation-not-found": "No such evaluation",
    "forbidden": "This is not allowed",
    "host-not-allowed": "This server is not that host",
    "http-error": "The request failed",
    "index-busy": "The index is being written",
    "internal-error": "The server failed",
    "invalid-request": "The request is not valid",
    "malformed-json": "The request body is not JSON",
    "method-not-allowed": "This method is not allowed here",
    "missing-field": "A field is missing",
    "mode-unknown": "No such mode of search",
    "not-found": "Nothing is at this address",
    "not-ready": "The service is not ready",
    "original-unavailable": "The original is not there as it was indexed",
    "overloaded": "The service is overloaded",
    "question-empty": "The question is empty",
    "question-file-wrong": "The question file is wrong",
    "question-too-long": "The question is too long",
    "queue-full": "Too many evaluations are waiting",
    "rate-limited": "Too many requests",
    "request-timeout": "The request took too long",
    "snapshot-not-found": "No such snapshot",
    "snapshot-unusable": "The snapshot cannot be used",
    "storage-unavailable": "The server cannot write",
    "top-k-out-of-range": "The number of passages is out of range",
    "unauthorized": "A key is needed",
    "unknown-field": "A field is not known",
    "unsupported-media-type": "The request body is not sent as JSON",
    "wrong-type": "A field has the wrong type",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: ``message`` is a sentence that names it. ``code`` is a key of ``TITLES``."""

    field: str
    message: str
    code: str = "invalid-request"

    @classmethod
    def of(cls, fault: QueryError, question: str = "question") -> FieldError:
        """A fault of a query; ``question`` is what the request calls the field of that name."""
        return cls(question if fault.field == "question" else fault.field, f"{fault}.", fault.code)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem detail.

    ``code`` is a key of ``TITLES``; ``headers`` go with the response, ``extra`` are further members of its body.
    """

    code: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return f"urn:qa:problem:{self.code}"

    @property
    def title(self) -> str:
        return TITLES[self.code]

    def members(self) -> dict[str, object]:
        """The members of the JSON object (RFC 9457, section 3.1, and ``errors``)."""
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

    def response(self) -> JSONResponse:
        return JSONResponse(self.members(), self.status, dict(self.headers), MEDIA_TYPE)


# How a problem is answered to whoever sent a request: as a page, or as a problem detail.
Render = Callable[[Request, Problem], Response]


class ProblemError(Exception):
    """Raised where a request ends in ``problem``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def invalid(errors: tuple[FieldError, ...]) -> Problem:
    """The problem of fields that are wrong, named for its kind where all are wrong in one way."""
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    return Problem(code, 422, " ".join(error.message for error in errors), errors)


def not_ready(detail: str, state: str) -> Problem:
    """The service cannot answer yet; ``state`` is its one word for what it is doing."""
    return Problem(
        "not-ready",
        503,
        detail,
        headers={"Retry-After": str(RETRY_SECONDS)},
        extra={"state": state},
    )


def overloaded(error: Overloaded) -> Problem:
    """Refused at once, before anything was done for it."""
    return Problem("overloaded", 503, f"{error}.", headers={"Retry-After": str(error.retry_after)})


def question_file_wrong(faults: Sequence[Fault]) -> Problem:
    """What is wrong with a question file; each fault names line and field."""
    fields = tuple(
        FieldError(
            ", ".join(filter(None, [f"line {fault.line}" if fault.line else "", fault.field])) or "body", fault.message
        )
        for fault in faults[:_SHOWN_FAULTS]
    )
    more = f" The first {_SHOWN_FAULTS} are listed." if len(faults) > _SHOWN_FAULTS else ""
    detail = f"What is wrong with the question file: {len(faults):,}, first: {faults[0]}.{more}"
    return Problem("question-file-wrong", 422, f"{detail} With keep_going=true what is sound is scored.", fields)


def internal(request_id: str) -> Problem:
    """What a client may know of a failure that is not its own: where the log has the cause."""
    return Problem("internal-error", 500, f"The cause is in the server's log under the request id {request_id}.")


def of_error(error: QAError, request_id: str, question: str = "question") -> Problem:
    """The problem that an error of the service is to a client.

    Args:
        question: what the request calls the field ``question``.
    """
    match error:
        case QueryError():
            return invalid((FieldError.of(error, question),))
        case NotReady() | Overloaded() | StorageError():
            return _of_unavailable(error)
        case EvaluationError():
            return _of_evaluation(error, request_id)
        case DocumentNotFound() | OriginalUnavailable():
            return _of_document(error)
        case SnapshotError() | UpdateRunning():
            return _of_snapshot(error, request_id)
        case _:
            return internal(request_id)


def _of_document(error: DocumentNotFound | OriginalUnavailable) -> Problem:
    if isinstance(error, DocumentNotFound):
        return Problem("document-not-found", 404, str(error))
    return Problem("original-unavailable", 409, f"{error}.")


def _of_snapshot(error: SnapshotError | UpdateRunning, request_id: str) -> Problem:
    """Without the words of errors that name paths of this machine; the log has them."""
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


def _of_unavailable(error: NotReady | Overloaded | StorageError) -> Problem:
    match error:
        case NotReady():
            return not_ready(str(error), error.status)
        case Overloaded():
            return overloaded(error)
    detail = "The server's disk is full, or cannot be read or written; its log says more."
    return Problem("storage-unavailable", 503, detail, headers={"Retry-After": str(QUEUE_RETRY_SECONDS)})


def _of_evaluation(error: EvaluationError, request_id: str) -> Problem:
    match error:
        case EvaluationNotFound():
            return Problem("evaluation-not-found", 404, str(error))
        case QueueFull():
            return Problem("queue-full", 429, str(error), headers={"Retry-After": str(QUEUE_RETRY_SECONDS)})
        case QuestionFileError():
            return question_file_wrong(error.faults)
        case _:
            return internal(request_id)
