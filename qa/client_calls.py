"""What both clients send, and what they make of what comes back: no input and output here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from qa.errors import RequestRefused, ServerUnreachable
from qa.types import Mode
from qa.web.api.document_schemas import DocumentResponse, DocumentsResponse
from qa.web.api.schemas import AskResponse, BatchResponse, BatchSuccess, ProblemDetails, ReadyResponse

# Seconds: the longest a single pause gets, and that of a service which names none.
_LONGEST_PAUSE = 30.0
_PAUSE = 1.0
_LATER = (429, 503)

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[Body]):
    """One request, and the shape of what it is answered with."""

    method: str
    path: str
    shape: type[Body]
    json: Mapping[str, Any] | None = None


def ask_call(question: str, options: Mapping[str, Any]) -> Call[AskResponse]:
    return Call("POST", "/v1/ask", AskResponse, {"question": question, **options})


def ask_many_call(questions: Sequence[str], options: Mapping[str, Any]) -> Call[BatchResponse]:
    asked = [{"question": question, **options} for question in questions]
    return Call("POST", "/v1/ask/batch", BatchResponse, {"questions": asked})


def options_of(
    top_k: int, mode: Mode, rerank: bool, documents: Sequence[str], sections: Sequence[str]
) -> dict[str, Any]:
    return {
        "top_k": top_k,
        "mode": mode,
        "rerank": rerank,
        "documents": list(documents),
        "sections": list(sections),
    }


def document_call(id: str) -> Call[DocumentResponse]:
    return Call("GET", f"/v1/documents/{quote(id, safe='/')}", DocumentResponse)


DOCUMENTS = Call("GET", "/v1/documents", DocumentsResponse)
READY = Call("GET", "/readyz", ReadyResponse)


def results_of(batch: BatchResponse) -> list[AskResponse | RequestRefused]:
    return [one.response if isinstance(one, BatchSuccess) else _refused(one.problem) for one in batch.results]


def _refused(problem: ProblemDetails) -> RequestRefused:
    errors = {error.field: error.message for error in problem.errors}
    return RequestRefused(problem.detail, problem.status, problem.type, errors)


def read(call: Call[Body], response: httpx2.Response) -> Body:
    """Raises RequestRefused, or ServerUnreachable where whatever answered is not this service."""
    try:
        if response.is_success:
            return call.shape.model_validate_json(response.content)
        raise _refused(ProblemDetails.model_validate_json(response.content))
    except ValidationError:
        raise ServerUnreachable(
            f"{response.request.url} answered {response.status_code} and not as qa does; is this its address?"
        ) from None


def pause_of(response: httpx2.Response) -> float | None:
    """Seconds after which to ask again; ``None`` where that is of no use."""
    if response.status_code not in _LATER:
        return None
    told = response.headers.get("retry-after")
    if told is None:
        return _PAUSE if response.status_code == 503 else None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except ValueError:
            seconds = _PAUSE
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def transport_options(api_key: str | None, timeout: float) -> dict[str, Any]:
    headers = {"User-Agent": "qa-client"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return {"headers": headers, "timeout": timeout}


def unreachable(base_url: str, error: Exception) -> ServerUnreachable:
    return ServerUnreachable(f"cannot ask {base_url}: {str(error) or type(error).__name__}")
