"""The index as tools for language models (Model Context Protocol): at ``/mcp``, and over standard input by ``qa mcp``.

A tool's result has the same spans as the HTTP API, and its errors have the same words.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import structlog
from pydantic import BaseModel, Field, ValidationError
from starlette.types import Receive, Scope, Send

from qa.errors import QAError
from qa.search.filters import parse_filter
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Condition, Query, Reply, Turn
from qa.web.api.document_responses import SPAN_END, SPAN_START, SectionBody, SummaryBody
from qa.web.api.filters import FilterTexts
from qa.web.api.requests import Globs, MaxError, PreviousQuestions, ReadTokens, SearchMode, Sections, WantsAnswer
from qa.web.api.responses import AskResponse
from qa.web.problems import choose_problem, explain, few

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

log = structlog.get_logger(__name__)

INSTRUCTIONS = (
    "Answers questions from a collection of documents. Ask in plain language with `ask`. The answer's `outcome` is "
    "`answered`, `unsure` (there is only a `guess`: call it one) or `not_found` (say so). Every passage is the span "
    "`text[start:end]` of its document, which `read_document` shows in its surroundings. Cite document, start and end."
)
MOST_CHARACTERS = 50_000
MOST_LISTED = 1000
# Of an id, or a pattern of ids.
MOST_CHARACTERS_OF_IDS = 4096
# Seconds that a question over standard input waits for the snapshot and its model: a client asks at once.
_PATIENCE = 120.0
# Seconds that ending waits for a model that is being loaded.
_SECONDS_TO_FINISH = 10.0

Ask = Callable[[Query], Awaitable[Reply]]


class ListedDocuments(BaseModel):
    """A part of the list of documents, in order of their ids."""

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
    characters: int = Field(description="The length of the whole document.")
    text: str
    sections: list[SectionBody] = Field(description="The sections that overlap this part.")


def run_on_stdio(settings: Settings, version: str) -> None:
    """Serve the tools over standard input and output until the client closes its end. Logs go to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    service = Service(settings, patience=_PATIENCE)
    stopped = threading.Event()
    arguments = (stopped, lambda state: None)
    loading = threading.Thread(target=service.keep_current, args=arguments, daemon=True, name="keep-current")
    loading.start()

    async def ask(query: Query) -> Reply:
        return await asyncio.to_thread(service.ask, query)

    try:
        build_server(service, ask, version).run("stdio")
    finally:
        stopped.set()
        # The process would abort if the interpreter ended while a model is being loaded.
        loading.join(_SECONDS_TO_FINISH)


def build_server(service: Service, ask: Ask, version: str) -> MCPServer[Any]:
    """Build the protocol's server with its three tools.

    Args:
        ask: answers one question, and raises what ``service.ask`` raises.
    """
    from mcp.server.mcpserver import MCPServer
    from mcp.types import ToolAnnotations

    class Server(MCPServer[Any]):
        """A server that checks arguments first, to refuse wrong and unknown ones in the words of the HTTP API."""

        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            tool = next((tool for tool in self._tool_manager.list_tools() if tool.name == name), None)
            if tool is not None:
                _check_arguments(tool, arguments)
            return await super().call_tool(name, arguments, context)

    server = Server("qa", title="qa", instructions=INSTRUCTIONS, version=version, log_level="WARNING")
    tools = _Tools(service, ask)
    reads = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    server.add_tool(tools.ask, title="Ask a question", annotations=reads)
    server.add_tool(tools.list_documents, title="List documents", annotations=reads)
    server.add_tool(tools.read_document, title="Read a document", annotations=reads)
    return server


class _Tools:
    """The tools. The model is shown each one's docstring and annotations."""

    def __init__(self, service: Service, ask: Ask) -> None:
        self._service = service
        self._ask = ask

    async def ask(  # noqa: PLR0913, PLR0917 - a tool takes its parameters one by one
        self,
        question: Annotated[str, Field(description="The question, in plain language.")],
        top_k: Annotated[int, Field(description="How many passages to return, best first.")] = 5,
        mode: SearchMode = "hybrid",
        documents: Globs = [],  # noqa: B006 - it is only read, and shown in the schema
        sections: Sections = [],  # noqa: B006
        filter: FilterTexts = [],  # noqa: B006
        answer: WantsAnswer = True,
        max_error: MaxError = None,
        read_tokens: ReadTokens = None,
        previous: PreviousQuestions = [],  # noqa: B006
    ) -> AskResponse:
        """Answer a question from the documents: the answer or a guess, and the passages, each with its exact span."""
        globs = tuple(documents), tuple(sections)
        before = tuple(map(Turn, previous))
        parsed = parse_filter(filter)
        query = Query(question, top_k, *globs, mode, False, answer, max_error, parsed, (), read_tokens, before)
        try:
            # In a thread, because a hundred passages take milliseconds.
            return await asyncio.to_thread(AskResponse.from_reply, await self._ask(query))
        except QAError as error:
            raise _tool_error(error) from error

    async def list_documents(
        self,
        pattern: Annotated[
            str,
            Field(
                max_length=MOST_CHARACTERS_OF_IDS, description="Only documents whose id matches, such as `reports/*`."
            ),
        ] = "*",
        offset: Annotated[int, Field(ge=0, description="How many to leave out from the beginning.")] = 0,
        limit: Annotated[int, Field(ge=1, le=MOST_LISTED, description="How many to list at most.")] = 100,
        filter: FilterTexts = [],  # noqa: B006
    ) -> ListedDocuments:
        """List the indexed documents by id, with title and length."""
        return await asyncio.to_thread(self._list, pattern, offset, limit, parse_filter(filter))

    def _list(self, pattern: str, offset: int, limit: int, filter: tuple[Condition, ...]) -> ListedDocuments:
        try:
            found = self._service.listing(offset, limit, (pattern,), filter)
        except QAError as error:
            raise _tool_error(error) from error
        shown = [SummaryBody.from_summary(one) for one in found.documents]
        return ListedDocuments(snapshot=found.snapshot, total=found.total, documents=shown)

    async def read_document(
        self,
        id: Annotated[
            str,
            Field(
                max_length=MOST_CHARACTERS_OF_IDS,
                description="The document's id, as `ask` and `list_documents` give it.",
            ),
        ],
        start: Annotated[int, Field(ge=0, description=SPAN_START)] = 0,
        characters: Annotated[int, Field(ge=1, le=MOST_CHARACTERS, description="How many to read at most.")] = 10_000,
    ) -> ReadDocument:
        """Read a document's canonical text, or the part of it from `start`."""
        return await asyncio.to_thread(self._read, id, start, characters)

    def _read(self, id: str, start: int, characters: int) -> ReadDocument:
        try:
            stored = self._service.stream(id)
        except QAError as error:
            raise _tool_error(error) from error
        start = min(start, stored.characters)
        end = min(start + characters, stored.characters)
        within = [section for section in stored.sections if section.start < end and section.end > start]
        return ReadDocument(
            snapshot=stored.snapshot,
            id=stored.head.id,
            title=stored.head.title,
            start=start,
            end=end,
            characters=stored.characters,
            text=stored.cut(start, end),
            sections=[SectionBody.model_validate(section, from_attributes=True) for section in within],
        )


def _check_arguments(tool: Any, arguments: dict[str, Any]) -> None:
    """Raise ToolError, naming every argument that the tool does not take or that is of no use to it."""
    from mcp.server.mcpserver.exceptions import ToolError

    names = tuple(tool.parameters["properties"])
    wrong: list[Any] = [
        {"type": "extra_forbidden", "loc": (name,)} for name in few(arguments, names) if name not in names
    ]
    try:
        tool.fn_metadata.validate_arguments({name: value for name, value in arguments.items() if name in names})
    except ValidationError as error:
        wrong += error.errors()
    if wrong:
        raise ToolError(" ".join(error.message for error in explain(wrong, names)))


def _tool_error(error: QAError) -> Exception:
    """Turn an error into the one that shows the model what the HTTP API would say."""
    from mcp.server.mcpserver.exceptions import ToolError

    problem = choose_problem(error, "mcp")
    return error if problem.status == 500 else ToolError(problem.detail)


class McpEndpoint:
    """The ASGI application at ``/mcp``: the streamable HTTP transport, without sessions.

    The protocol's package is imported at the first request, because that takes most of a second.
    """

    def __init__(self, make: Callable[[], MCPServer[Any]]) -> None:
        self._make = make
        self._stopped = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._manager: asyncio.Future[Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A transport that could not be started, or has ended since, is started again.
        if self._manager is None or self._running is None or self._running.done():
            self._manager = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._run(self._manager))
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End the transport. No request may be running."""
        self._stopped.set()
        if self._running is not None:
            await self._running

    async def _run(self, started: asyncio.Future[Any]) -> None:
        try:
            manager = await asyncio.to_thread(self._make_manager)
            async with manager.run():
                started.set_result(manager)
                await self._stopped.wait()
        except Exception as error:
            if started.done():
                log.error("the transport at /mcp has ended; the next request starts it again", exc_info=error)
                return
            started.set_exception(error)

    def _make_manager(self) -> Any:
        from mcp.server.transport_security import TransportSecuritySettings

        server = self._make()
        # The application's own middleware checks hosts, keys and sizes of bodies around this endpoint too.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(json_response=True, stateless_http=True, transport_security=unchecked)
        return server.session_manager


class McpEndpoints:
    """The ASGI application at ``/mcp``, which passes each request on to the endpoint of its collection."""

    def __init__(self, endpoints: Mapping[str, McpEndpoint]) -> None:
        self._endpoints = dict(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoints[scope["state"]["collection"]](scope, receive, send)

    async def close(self) -> None:
        """End the transports. No request may be running."""
        for endpoint in self._endpoints.values():
            await endpoint.close()
