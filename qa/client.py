"""A typed client of the HTTP API, in two forms: :class:`Client` and, for asyncio, :class:`AsyncClient`.

::

    with Client("http://127.0.0.1:8000") as client:
        for passage in client.ask("When is the boiler serviced?").passages:
            print(passage.document.id, passage.start, passage.end, passage.text)

Every response is one of the shapes of the service's OpenAPI document. A problem is raised as
:class:`~qa.errors.RequestRefused`. Where the service asks the client to try again later (503, or 429 with
``Retry-After``), the client does so for ``patience`` seconds.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from qa.errors import RequestRefused, ServerUnreachable, StorageError, UploadRefused
from qa.files import why
from qa.search.filters import parse_filter
from qa.types import Condition, Eq, In, Mode, Range
from qa.web.api.document_responses import DocumentResponse, DocumentsResponse, FacetsResponse
from qa.web.api.operation_responses import CollectionsResponse, ProblemDetails, ReadyResponse
from qa.web.api.responses import AskResponse, BatchResponse, BatchSuccess
from qa.web.api.upkeep_responses import IndexResponse, UploadResponse

# Seconds: the longest single pause, and the pause where the service names none.
_LONGEST_PAUSE = 30.0
_PAUSE = 1.0
_LATER = (429, 503)
# Bytes of an upload that are in memory at a time, and the seconds that the service may take to read what it received.
_BLOCK = 1 << 18
_READING = 600.0

Body = TypeVar("Body", bound=BaseModel)

# A file to upload: its path, under whose last part it is kept, or a name such as ``reports/2023.pdf`` and the content.
Upload = str | Path | tuple[str, bytes | Path]


@dataclass(frozen=True, slots=True)
class Call(Generic[Body]):
    """A request, and the shape of its response."""

    method: str
    path: str
    shape: type[Body]
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # What is uploaded, one behind the other.
    parts: Sequence[bytes | Path] = ()


def _ask_call(question: str, options: AskOptions) -> Call[AskResponse]:
    return Call("POST", "/v1/ask", AskResponse, _asked(question, options))


def _asked(question: str, options: AskOptions) -> dict[str, Any]:
    """Build a question's request. Raises QueryError where a text of the filter is no condition."""
    request: dict[str, Any] = {"question": question, **options}
    if "filter" in options:
        nodes = [_node(condition) for condition in parse_filter(options["filter"])]
        request["filter"] = {"op": "and", "filters": nodes}
    return request


def _node(condition: Condition) -> dict[str, Any]:
    match condition:
        case Eq(field, value):
            return {"op": "eq", "field": field, "value": value}
        case In(field, values):
            return {"op": "in", "field": field, "values": values}
        case Range(field, low, high):
            return {"op": "range", "field": field, "low": low, "high": high}


def _ask_many_call(questions: Sequence[str], options: AskOptions) -> Call[BatchResponse]:
    asked = [_asked(question, options) for question in questions]
    return Call("POST", "/v1/ask/batch", BatchResponse, {"questions": asked})


def _document_call(id: str) -> Call[DocumentResponse]:
    return Call("GET", f"/v1/documents/{quote(id, safe='/')}", DocumentResponse)


def _documents_call(offset: int, limit: int, filter: Sequence[str]) -> Call[DocumentsResponse]:
    return Call("GET", f"/v1/documents?offset={offset:d}&limit={limit:d}{_parameters(filter)}", DocumentsResponse)


def _facets_call(filter: Sequence[str], values: int) -> Call[FacetsResponse]:
    return Call("GET", f"/v1/facets?values={values:d}{_parameters(filter)}", FacetsResponse)


def _upload_call(files: Iterable[Upload], into: str, replace: bool) -> Call[UploadResponse]:
    """Build the form of the files, as RFC 7578 has it. Each is opened when its turn comes: there may be a thousand.

    Raises:
        UploadRefused: a name cannot be written into a form.
    """
    boundary = secrets.token_hex(16)
    parts: list[bytes | Path] = []
    if into:
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="into"\r\n\r\n{into}\r\n'.encode())
    for file in files:
        name, content = (Path(file).name, Path(file)) if isinstance(file, (str, Path)) else file
        if found := _AMBIGUOUS.search(name):
            raise UploadRefused(
                f"{name!r} has {found[0]} in it, which a form says for another character; put_document it"
            )
        quoted = _ESCAPED.sub(lambda found: _escape(found[0]), name)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n\r\n'
        parts += [head.encode("utf-8", "surrogateescape"), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    path = f"/v1/documents?replace={str(replace).lower()}"
    return Call("POST", path, UploadResponse, headers=headers, parts=parts)


# What would end a name within a header.
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
# What a service takes for a quotation mark or a line break, since browsers write these so.
_AMBIGUOUS = re.compile("%22|%0D|%0A")


def _escape(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"%{ord(character):02X}"


def _put_call(id: str, content: bytes | Path, if_match: str | None) -> Call[UploadResponse]:
    headers = {"Content-Type": "application/octet-stream", **_match(if_match)}
    return Call("PUT", f"/v1/documents/{quote(id, safe='/')}", UploadResponse, headers=headers, parts=[content])


def _delete_call(id: str, if_match: str | None) -> Call[IndexResponse]:
    return Call("DELETE", f"/v1/documents/{quote(id, safe='/')}", IndexResponse, headers=_match(if_match))


def _match(sha256: str | None) -> dict[str, str]:
    return {} if sha256 is None else {"If-Match": f'"{sha256}"'}


def _count_bytes(parts: Sequence[bytes | Path]) -> int:
    """Add up what is uploaded. Raises StorageError where a file cannot be read."""
    with _reading():
        return sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts)


def _read_blocks(parts: Sequence[bytes | Path]) -> Iterator[bytes]:
    """Yield what is uploaded in blocks. Raises StorageError where a file cannot be read."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        with _reading(), part.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block


async def _read_blocks_beside(parts: Sequence[bytes | Path]) -> AsyncIterator[bytes]:
    """Do what :func:`_read_blocks` does, and read files in a thread."""
    blocks = _read_blocks(parts)
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot read {error.filename or 'the file'}: {why(error)}") from error


def _request_options(call: Call[Any], timeout: float) -> dict[str, Any]:
    """Return what a request has besides the body of an upload. Raises StorageError."""
    if not call.parts:
        return {"json": call.json, "headers": dict(call.headers)}
    headers = {**call.headers, "Content-Length": str(_count_bytes(call.parts))}
    return {"headers": headers, "timeout": httpx2.Timeout(timeout, read=max(timeout, _READING))}


def _parameters(filter: Sequence[str]) -> str:
    return "".join(f"&filter={quote(text, safe='')}" for text in filter)


_INDEXING = Call("GET", "/v1/index", IndexResponse)
_UPDATE = Call("POST", "/v1/index", IndexResponse)
_COLLECTIONS = Call("GET", "/v1/collections", CollectionsResponse)
_READY = Call("GET", "/readyz", ReadyResponse)


def _path_in(collection: str | None, path: str) -> str:
    """Return a path of the API as that of a collection; what is of the whole service stays as it is."""
    if collection is None or not path.startswith("/v1/") or path == _COLLECTIONS.path:
        return path
    return f"/v1/collections/{quote(collection, safe='')}{path[len('/v1') :]}"


def _split_results(batch: BatchResponse) -> list[AskResponse | RequestRefused]:
    return [one.response if isinstance(one, BatchSuccess) else _refused(one.problem) for one in batch.results]


def _refused(problem: ProblemDetails) -> RequestRefused:
    errors = {error.field: error.message for error in problem.errors}
    return RequestRefused(problem.detail, problem.status, problem.type, errors)


def _parse(call: Call[Body], response: httpx2.Response) -> Body:
    """Parse a response. Raises RequestRefused, or ServerUnreachable where another program answered."""
    try:
        if response.is_success:
            return call.shape.model_validate_json(response.content)
        raise _refused(ProblemDetails.model_validate_json(response.content))
    except ValidationError:
        raise ServerUnreachable(
            f"{response.request.url} answered {response.status_code}, and not as qa would; is the address right?"
        ) from None


def _find_pause(response: httpx2.Response) -> float | None:
    """Return the seconds after which to try again; ``None`` where that is of no use."""
    if response.status_code not in _LATER:
        return None
    named = response.headers.get("retry-after")
    if named is None:
        return _PAUSE if response.status_code == 503 else None
    try:
        seconds = float(named)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(named).timestamp() - time.time()
        except ValueError:
            seconds = _PAUSE
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def _transport_options(api_key: str | None, timeout: float) -> dict[str, Any]:
    headers = {"User-Agent": "qa-client"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return {"headers": headers, "timeout": timeout}


@contextmanager
def _checking(base_url: str) -> Iterator[None]:
    try:
        yield
    except httpx2.InvalidURL as error:
        raise ServerUnreachable(f"{base_url!r} is no address of a service ({error})") from error


def _unreachable(base_url: str, error: Exception) -> ServerUnreachable:
    return ServerUnreachable(f"cannot ask {base_url}: {str(error) or type(error).__name__}")


class Previous(TypedDict):
    """A question that was asked before, and the text that answered it."""

    question: str
    answer: str


class AskOptions(TypedDict, total=False):
    """How to ask. The service has a default for each.

    ``documents`` are globs over document ids, ``sections`` over headings. ``answer=False`` returns the passages alone,
    sooner. ``max_error`` is how often an answer may be wrong. ``filter`` are conditions, such as ``folder=hr`` and
    ``date>=2024``, on the fields that :meth:`Client.facets` lists. ``collections`` are asked together, ``*`` for all;
    questions of a batch cannot have them. ``read_tokens`` is how much is read for the answer. ``previous`` is what was
    asked before, the oldest first, with its answer where that is known.
    """

    top_k: int
    mode: Mode
    rerank: bool
    documents: Sequence[str]
    sections: Sequence[str]
    filter: Sequence[str]
    answer: bool
    max_error: float
    collections: Sequence[str]
    read_tokens: int
    previous: Sequence[str | Previous]


class Client:
    """A client of one service. Thread-safe; close it, or use it in a ``with`` statement.

    Args:
        base_url: such as ``http://127.0.0.1:8000``.
        api_key: a key, where the service needs one.
        collection: the one to ask; by default the first of those that the key may ask.
        timeout: seconds that one request may take; an upload has ten minutes to be read by the service.
        patience: seconds that a call may wait in all for a service that is busy or starting.
        transport: for tests.

    Raises:
        ServerUnreachable: the address is none.

    Every method raises:
        RequestRefused: with the service's problem.
        ServerUnreachable: no service answered in time.

    Methods that upload raise StorageError, too, where a file cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        collection: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._base_url, self._patience, self._collection, self._timeout = base_url, patience, collection, timeout
        options = _transport_options(api_key, timeout)
        with _checking(base_url):
            self._http = httpx2.Client(base_url=base_url, transport=transport, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        question: str,
        **options: Unpack[AskOptions],
    ) -> AskResponse:
        """Ask one question."""
        return self._call(_ask_call(question, options))

    def ask_many(
        self,
        questions: Sequence[str],
        **options: Unpack[AskOptions],
    ) -> list[AskResponse | RequestRefused]:
        """Ask many questions in one request; each gets a response or a problem, in the order given."""
        return _split_results(self._call(_ask_many_call(questions, options)))

    def documents(self, offset: int = 0, limit: int = 1000, filter: Sequence[str] = ()) -> DocumentsResponse:
        """List the documents and report on the files, ``limit`` of both from ``offset`` on; ``next`` goes on.

        With a ``filter`` the documents that pass it are listed alone.
        """
        return self._call(_documents_call(offset, limit, filter))

    def facets(self, filter: Sequence[str] = (), values: int = 20) -> FacetsResponse:
        """List the fields that a filter may name, and count the documents by value, ``values`` of each field."""
        return self._call(_facets_call(filter, values))

    def document(self, id: str) -> DocumentResponse:
        """Return a document with the canonical text that spans count in."""
        return self._call(_document_call(id))

    def upload_documents(self, files: Iterable[Upload], into: str = "", *, replace: bool = False) -> UploadResponse:
        """Upload files into the folder ``into``; each is accepted or refused by itself, and indexed soon.

        Files are sent from the disk in blocks. Where none was accepted, RequestRefused has the reason for each.

        Raises:
            UploadRefused: a name has ``%22``, ``%0D`` or ``%0A`` in it, which stands for another character in a form;
                nothing was sent. ``put_document`` sends such a file.
        """
        return self._call(_upload_call(files, into, replace))

    def put_document(self, id: str, content: bytes | Path, *, if_match: str | None = None) -> UploadResponse:
        """Make a file or bytes the document of this id; with ``if_match``, only in place of that SHA-256."""
        return self._call(_put_call(id, content, if_match))

    def delete_document(self, id: str, *, if_match: str | None = None) -> IndexResponse:
        """Delete a document; with ``if_match``, only if its file has that SHA-256."""
        return self._call(_delete_call(id, if_match))

    def indexing(self) -> IndexResponse:
        """Return how far the update of the index is: ``status`` is ``running`` until all of it is answered from."""
        return self._call(_INDEXING)

    def update_index(self) -> IndexResponse:
        """Begin an update of the index from its files."""
        return self._call(_UPDATE)

    def collections(self) -> CollectionsResponse:
        """List the collections that the key may ask, the default one first."""
        return self._call(_COLLECTIONS)

    def ready(self) -> ReadyResponse:
        """Return what is served, after waiting for a service that is starting."""
        return self._call(_READY)

    def _call(self, call: Call[Body]) -> Body:
        until = time.monotonic() + self._patience
        path = _path_in(self._collection, call.path)
        while True:
            options = _request_options(call, self._timeout)
            if call.parts:
                options["content"] = _read_blocks(call.parts)
            try:
                response = self._http.request(call.method, path, **options)
            except httpx2.TransportError as error:
                raise _unreachable(self._base_url, error) from error
            pause = _find_pause(response)
            if pause is None or time.monotonic() + pause > until:
                return _parse(call, response)
            time.sleep(pause)


class AsyncClient:
    """:class:`Client` for asyncio, with the same arguments, methods and errors."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        collection: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url, self._patience, self._collection, self._timeout = base_url, patience, collection, timeout
        options = _transport_options(api_key, timeout)
        with _checking(base_url):
            self._http = httpx2.AsyncClient(base_url=base_url, transport=transport, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self,
        question: str,
        **options: Unpack[AskOptions],
    ) -> AskResponse:
        """Do what :meth:`Client.ask` does."""
        return await self._call(_ask_call(question, options))

    async def ask_many(
        self,
        questions: Sequence[str],
        **options: Unpack[AskOptions],
    ) -> list[AskResponse | RequestRefused]:
        """Do what :meth:`Client.ask_many` does."""
        return _split_results(await self._call(_ask_many_call(questions, options)))

    async def documents(self, offset: int = 0, limit: int = 1000, filter: Sequence[str] = ()) -> DocumentsResponse:
        """Do what :meth:`Client.documents` does."""
        return await self._call(_documents_call(offset, limit, filter))

    async def facets(self, filter: Sequence[str] = (), values: int = 20) -> FacetsResponse:
        """Do what :meth:`Client.facets` does."""
        return await self._call(_facets_call(filter, values))

    async def document(self, id: str) -> DocumentResponse:
        """Do what :meth:`Client.document` does."""
        return await self._call(_document_call(id))

    async def upload_documents(
        self, files: Iterable[Upload], into: str = "", *, replace: bool = False
    ) -> UploadResponse:
        """Do what :meth:`Client.upload_documents` does."""
        return await self._call(_upload_call(files, into, replace))

    async def put_document(self, id: str, content: bytes | Path, *, if_match: str | None = None) -> UploadResponse:
        """Do what :meth:`Client.put_document` does."""
        return await self._call(_put_call(id, content, if_match))

    async def delete_document(self, id: str, *, if_match: str | None = None) -> IndexResponse:
        """Do what :meth:`Client.delete_document` does."""
        return await self._call(_delete_call(id, if_match))

    async def indexing(self) -> IndexResponse:
        """Do what :meth:`Client.indexing` does."""
        return await self._call(_INDEXING)

    async def update_index(self) -> IndexResponse:
        """Do what :meth:`Client.update_index` does."""
        return await self._call(_UPDATE)

    async def collections(self) -> CollectionsResponse:
        """Do what :meth:`Client.collections` does."""
        return await self._call(_COLLECTIONS)

    async def ready(self) -> ReadyResponse:
        """Do what :meth:`Client.ready` does."""
        return await self._call(_READY)

    async def _call(self, call: Call[Body]) -> Body:
        until = time.monotonic() + self._patience
        path = _path_in(self._collection, call.path)
        while True:
            options = _request_options(call, self._timeout)
            if call.parts:
                options["content"] = _read_blocks_beside(call.parts)
            try:
                response = await self._http.request(call.method, path, **options)
            except httpx2.TransportError as error:
                raise _unreachable(self._base_url, error) from error
            pause = _find_pause(response)
            if pause is None or time.monotonic() + pause > until:
                return _parse(call, response)
            await asyncio.sleep(pause)
