"""The index as tools for language models, by the Model Context Protocol: at ``/mcp``, and over standard input.

Every answer has the spans that it can be checked by, as over HTTP; what is wrong is told in the same words.

``qa mcp``: the tools of ``qa.web.mcp`` over standard input and output, for a client on the same machine.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import structlog
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from qa.errors import QAError
from qa.service.service import Service
from qa.settings import Settings
from qa.types import CheckedCitation, CitationClaim, Collection, Limits, Query, Reply, SnapshotDocument, State
from qa.web.api.requests import Globs, SearchMode, Sections
from qa.web.api.responses import SPAN_END, SPAN_START, AskResponse, SectionBody, SummaryBody
from qa.web.ports import ReadService
from qa.web.problems import ProblemError, check, invalid, of_error

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

PATH = "/mcp"
INSTRUCTIONS = (
    "Answers questions from a collection of documents. Ask in plain language with `ask`; every passage it gives is the "
    "span `text[start:end]` of its document, which `read_document` shows in its surroundings. Cite document, start and "
    "end. What the passages do not hold, the documents may not hold: say so."
)
MOST_CHARACTERS = 50_000
MOST_LISTED = 1000

Ask = Callable[[Query], Awaitable[Reply]]


class ListedDocuments(BaseModel):
    """A part of what is indexed, in order of the ids."""

    snapshot: str
    total: int = Field(description="How many documents match.")
    documents: list[SummaryBody]


class ReadDocument(BaseModel):
    """A part of a document's canonical text: `text` is `document[start:end]`."""

    snapshot: str
    id: str
    title: str
    start: int = Field(description=SPAN_START)
    end: int = Field(description=SPAN_END)
    characters: int = Field(description="Of the whole document.")
    text: str
    sections: list[SectionBody] = Field(description="Those that this part has a piece of.")


def build(service: ReadService, ask: Ask, version: str) -> MCPServer[Any]:
    """The server with its three tools.

    Args:
        ask: how a question is answered; raises what ``service.ask`` does.
    """
    from mcp.server.mcpserver import MCPServer
    from mcp.types import ToolAnnotations

    server: MCPServer[Any] = MCPServer(
        "qa", title="qa", instructions=INSTRUCTIONS, version=version, log_level="WARNING"
    )
    tools = _Tools(service, ask)
    reads = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    server.add_tool(tools.ask, title="Ask a question", annotations=reads)
    server.add_tool(tools.list_documents, title="List documents", annotations=reads)
    server.add_tool(tools.read_document, title="Read a document", annotations=reads)
    return server


class _Tools:
    """A tool's docstring and annotations are what the model is told."""

    def __init__(self, service: ReadService, ask: Ask) -> None:
        self._service = service
        self._ask = ask

    async def ask(
        self,
        question: Annotated[str, Field(description="The question, in plain language.")],
        top_k: Annotated[int, Field(description="How many passages to return, best first.")] = 5,
        mode: SearchMode = "hybrid",
        documents: Globs = [],  # noqa: B006 - it is only read, and shown in the schema
        sections: Sections = [],  # noqa: B006
    ) -> AskResponse:
        """Find the passages of the documents that answer a question, each with the exact span where it stands."""
        query = Query(question, top_k, tuple(documents), tuple(sections), mode)
        if errors := check(query, self._service.limits):
            raise _told(ProblemError(invalid(errors)))
        try:
            return AskResponse.of(await self._ask(query))
        except QAError as error:
            raise _told(error) from error

    async def list_documents(
        self,
        pattern: Annotated[str, Field(description="Only documents whose id matches, such as `reports/*`.")] = "*",
        offset: Annotated[int, Field(ge=0, description="How many to leave out from the beginning.")] = 0,
        limit: Annotated[int, Field(ge=1, le=MOST_LISTED, description="How many to list at most.")] = 100,
    ) -> ListedDocuments:
        """List the indexed documents by id, with title and length."""
        try:
            collection = await asyncio.to_thread(self._service.collection)
        except QAError as error:
            raise _told(error) from error
        found = [summary for summary in collection.documents if fnmatchcase(summary.id, pattern)]
        shown = [SummaryBody.model_validate(one, from_attributes=True) for one in found[offset : offset + limit]]
        return ListedDocuments(snapshot=collection.snapshot, total=len(found), documents=shown)

    async def read_document(
        self,
        id: Annotated[str, Field(description="The document's id, as `ask` and `list_documents` give it.")],
        start: Annotated[int, Field(ge=0, description=SPAN_START)] = 0,
        characters: Annotated[int, Field(ge=1, le=MOST_CHARACTERS, description="How many to read at most.")] = 10_000,
    ) -> ReadDocument:
        """Read a document's canonical text, or the part of it from `start`."""
        try:
            stored = await asyncio.to_thread(self._service.document, id)
        except QAError as error:
            raise _told(error) from error
        document = stored.document
        start = min(start, len(document.text))
        end = min(start + characters, len(document.text))
        within = [section for section in document.sections if section.start < end and section.end > start]
        return ReadDocument(
            snapshot=stored.snapshot,
            id=document.id,
            title=document.title,
            start=start,
            end=end,
            characters=len(document.text),
            text=document.text[start:end],
            sections=[SectionBody.model_validate(section, from_attributes=True) for section in within],
        )


def _told(error: QAError | ProblemError) -> Exception:
    """What the model is told: the detail of the problem that it would be over HTTP."""
    from mcp.server.mcpserver.exceptions import ToolError

    problem = error.problem if isinstance(error, ProblemError) else of_error(error, "mcp")
    if problem.status == 500:
        return error
    return ToolError(problem.detail)


class Endpoint:
    """The ASGI application at :data:`PATH`: the streamable HTTP transport, without sessions.

    The package is imported at the first request: a start would have to wait most of a second for it.
    """

    def __init__(self, make: Callable[[], MCPServer[Any]]) -> None:
        self._make = make
        self._stopped: asyncio.Event | None = None
        self._running: asyncio.Task[None] | None = None
        self._manager: asyncio.Future[Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._stopped = asyncio.Event()
            self._running = asyncio.create_task(self._run(self._manager, self._stopped))
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        if self._stopped is not None and self._running is not None:
            self._stopped.set()
            await self._running

    async def _run(self, started: asyncio.Future[Any], stopped: asyncio.Event) -> None:
        try:
            manager = await asyncio.to_thread(self._managed)
            async with manager.run():
                started.set_result(manager)
                await stopped.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    def _managed(self) -> Any:
        from mcp.server.transport_security import TransportSecuritySettings

        server = self._make()
        # Hosts, keys and sizes of bodies are checked around the whole application, this included.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(json_response=True, stateless_http=True, transport_security=unchecked)
        return server.session_manager


# Seconds that a question waits for the snapshot and its model, and between two looks; and for what is being loaded at
# the end.
_PATIENCE = 120.0
_LOOK_EVERY = 0.05
_SECONDS_TO_FINISH = 10.0


class Patient:
    """A service that is loading: what is asked waits, since a client asks at once. Otherwise the service itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def limits(self) -> Limits:
        return self._service.limits

    def state(self) -> State:
        return self._service.state()

    def ask(self, query: Query) -> Reply:
        self._wait()
        return self._service.ask(query)

    def ask_many(self, queries: Sequence[Query]) -> Sequence[Reply | QAError]:
        self._wait()
        return self._service.ask_many(queries)

    def collection(self) -> Collection:
        self._wait()
        return self._service.collection()

    def document(self, id: str) -> SnapshotDocument:
        self._wait()
        return self._service.document(id)

    def check_citation(self, claim: CitationClaim, snapshot: str | None = None) -> CheckedCitation:
        self._wait()
        return self._service.check_citation(claim, snapshot)

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self._service.state().status == "loading" and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)


def run(settings: Settings, version: str) -> None:
    """Until the client closes standard input. Nothing but the protocol goes to standard output."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    service = Service(settings)
    stopped = threading.Event()
    following = threading.Thread(target=service.follow, args=(stopped, lambda state: None), daemon=True, name="follow")
    following.start()
    patient = Patient(service)

    async def ask(query: Query) -> Reply:
        return await asyncio.to_thread(patient.ask, query)

    try:
        build(patient, ask, version).run("stdio")
    finally:
        stopped.set()
        # A model that is being loaded while the interpreter ends would abort the process.
        following.join(_SECONDS_TO_FINISH)
