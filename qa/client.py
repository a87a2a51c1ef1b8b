"""What both clients send, and what they make of what comes back: no input and output here.

A typed client of the HTTP API, in two forms: :class:`Client` and, for asyncio, :class:`AsyncClient`.

::

    with Client("http://127.0.0.1:8000") as client:
        for passage in client.ask("When is the boiler serviced?").passages:
            print(passage.document.id, passage.start, passage.end, passage.text)

Every answer is one of the shapes of the service's own description. What the service refuses is a
:class:`~qa.errors.RequestRefused` with its problem; where it asks to be asked again later (503 and 429 with
``Retry-After``), the client does, for as long as ``patience``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from qa.errors import RequestRefused, ServerUnreachable
from qa.types import Mode
from qa.web.api.responses import (
    AskResponse,
    BatchResponse,
    BatchSuccess,
    DocumentResponse,
    DocumentsResponse,
    ProblemDetails,
    ReadyResponse,
)

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


class Client:
    """Asks one service. Thread-safe; to be closed, or used in a ``with`` statement.

    Args:
        base_url: such as ``http://127.0.0.1:8000``.
        api_key: where the service wants one.
        timeout: seconds that one request may take.
        patience: seconds that a call may wait altogether for a service that is busy, or is starting.
        transport: for tests.

    Every method raises:
        RequestRefused: with the service's problem.
        ServerUnreachable: there is no service, or it did not answer in time.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._base_url, self._patience = base_url, patience
        options = transport_options(api_key, timeout)
        self._http = httpx2.Client(base_url=base_url, transport=transport, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        question: str,
        *,
        top_k: int = 5,
        mode: Mode = "hybrid",
        rerank: bool = False,
        documents: Sequence[str] = (),
        sections: Sequence[str] = (),
    ) -> AskResponse:
        """Ask one question. ``documents`` are globs over ids, ``sections`` over headings."""
        return self._call(ask_call(question, options_of(top_k, mode, rerank, documents, sections)))

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        top_k: int = 5,
        mode: Mode = "hybrid",
        rerank: bool = False,
        documents: Sequence[str] = (),
        sections: Sequence[str] = (),
    ) -> list[AskResponse | RequestRefused]:
        """Ask many in one request; each succeeds or fails by itself, in the order given."""
        return results_of(self._call(ask_many_call(questions, options_of(top_k, mode, rerank, documents, sections))))

    def documents(self) -> DocumentsResponse:
        """What is indexed, and what became of every file."""
        return self._call(DOCUMENTS)

    def document(self, id: str) -> DocumentResponse:
        """A document with the canonical text that spans count in."""
        return self._call(document_call(id))

    def ready(self) -> ReadyResponse:
        """What is served; waits for a service that is starting."""
        return self._call(READY)

    def _call(self, call: Call[Body]) -> Body:
        until = time.monotonic() + self._patience
        while True:
            try:
                response = self._http.request(call.method, call.path, json=call.json)
            except httpx2.TransportError as error:
                raise unreachable(self._base_url, error) from error
            pause = pause_of(response)
            if pause is None or time.monotonic() + pause > until:
                return read(call, response)
            time.sleep(pause)


class AsyncClient:
    """:class:`Client` for asyncio: the same arguments, methods and errors, to be awaited."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url, self._patience = base_url, patience
        options = transport_options(api_key, timeout)
        self._http = httpx2.AsyncClient(base_url=base_url, transport=transport, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        question: str,
        *,
        top_k: int = 5,
        mode: Mode = "hybrid",
        rerank: bool = False,
        documents: Sequence[str] = (),
        sections: Sequence[str] = (),
    ) -> AskResponse:
        """As :meth:`Client.ask`."""
        return await self._call(ask_call(question, options_of(top_k, mode, rerank, documents, sections)))

    async def ask_many(
        self,
        questions: Sequence[str],
        *,
        top_k: int = 5,
        mode: Mode = "hybrid",
        rerank: bool = False,
        documents: Sequence[str] = (),
        sections: Sequence[str] = (),
    ) -> list[AskResponse | RequestRefused]:
        """As :meth:`Client.ask_many`."""
        return results_of(
            await self._call(ask_many_call(questions, options_of(top_k, mode, rerank, documents, sections)))
        )

    async def documents(self) -> DocumentsResponse:
        """As :meth:`Client.documents`."""
        return await self._call(DOCUMENTS)

    async def document(self, id: str) -> DocumentResponse:
        """As :meth:`Client.document`."""
        return await self._call(document_call(id))

    async def ready(self) -> ReadyResponse:
        """As :meth:`Client.ready`."""
        return await self._call(READY)

    async def _call(self, call: Call[Body]) -> Body:
        until = time.monotonic() + self._patience
        while True:
            try:
                response = await self._http.request(call.method, call.path, json=call.json)
            except httpx2.TransportError as error:
                raise unreachable(self._base_url, error) from error
            pause = pause_of(response)
            if pause is None or time.monotonic() + pause > until:
                return read(call, response)
            await asyncio.sleep(pause)
