"""A typed client of the HTTP API, in two forms: :class:`Client` and, for asyncio, :class:`AsyncClient`.

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
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2

from qa.client_calls import (
    DOCUMENTS,
    READY,
    Body,
    Call,
    ask_call,
    ask_many_call,
    document_call,
    options_of,
    pause_of,
    read,
    results_of,
    transport_options,
    unreachable,
)
from qa.errors import RequestRefused
from qa.types import Mode
from qa.web.api.document_schemas import DocumentResponse, DocumentsResponse
from qa.web.api.schemas import AskResponse, ReadyResponse


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
