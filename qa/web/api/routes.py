"""The JSON API: questions, documents, health.

Nothing blocks the event loop: questions run in the queue's threads, and all else in the framework's thread pool.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as FromQuery
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from qa.errors import DocumentNotFound, QAError
from qa.search.filters import parse_filter
from qa.types import Query, Reply
from qa.web.admission import Budget
from qa.web.api import document_responses, operation_responses, requests, responses
from qa.web.api.openapi import problems
from qa.web.api.reply_json import write_reply
from qa.web.deps import AskingDep, Deps, ServiceDep, visible_collections
from qa.web.federation import ask_collections
from qa.web.handlers import service_problem
from qa.web.monitoring import MEDIA_TYPE
from qa.web.problems import (
    FieldError,
    Problem,
    ProblemError,
    check_batch,
    explain,
    few,
    invalid,
    missing,
    shown,
)

# Questions are most of what is asked, so that their routes are looked at first.
questions = APIRouter()
router = APIRouter()

# Bytes of a body, and passages of a reply, that are worth a thread.
_LARGE = 4096
_MANY = 50
# Bytes of a response that is built whole.
_SMALL = 1_000_000


async def json_only(request: Request) -> None:
    """Refuse a body that is not JSON. Raises ProblemError, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and media_type != "application/json":
        detail = "Send the request body as JSON, with the header Content-Type: application/json."
        raise ProblemError(Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": "application/json"}))


async def ask(request: Request) -> Response:
    """Return the answer, if there is one, and the passages that match best, each with its span of a document."""
    await json_only(request)
    body = await read_body(requests.AskRequest, request)
    return await _ask(request, body.query())


async def ask_by_address(parameters: Annotated[requests.AskParameters, FromQuery()], request: Request) -> Response:
    """Do the same as `POST /v1/ask`, for a browser or a link. `documents`, `sections`, `filter` and
    `collections` may be repeated."""
    return await _ask(request, parameters.query())


class _ReadByItself(APIRoute):
    """A route that FastAPI describes, and that reads its request by itself.

    To find the parameters of an address one by one takes FastAPI as long as everything else in the event loop.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if self.endpoint is ask:
            return ask

        async def handle(request: Request) -> Response:
            return await ask_by_address(requests.read_parameters(requests.AskParameters, request), request)

        return handle


questions.add_api_route(
    "/v1/ask",
    ask,
    methods=["POST"],
    operation_id="ask",
    tags=["questions"],
    summary="Ask one question",
    response_model=responses.AskResponse,
    openapi_extra={"requestBody": requests.body_of(requests.AskRequest)},
    responses=problems(400, 413, 415, 422, 503),
    route_class_override=_ReadByItself,
)
questions.add_api_route(
    "/v1/ask",
    ask_by_address,
    methods=["GET"],
    operation_id="askByAddress",
    tags=["questions"],
    summary="Ask one question by an address",
    response_model=responses.AskResponse,
    responses=problems(422, 503),
    route_class_override=_ReadByItself,
)


@router.post(
    "/v1/ask/batch",
    operation_id="askMany",
    tags=["questions"],
    summary="Ask many questions",
    response_model=responses.BatchResponse,
    dependencies=[Depends(json_only)],
    openapi_extra={"requestBody": requests.body_of(requests.BatchRequest)},
    responses=problems(400, 413, 415, 422, 503),
)
async def ask_many(asking: AskingDep, service: ServiceDep, deps: Deps, request: Request) -> Response:
    """Answer each question by itself: the results come in the order of the questions, and `ok` says which succeeded.

    A wrong question is a result with its problem; only a batch that is wrong as a whole is refused.
    """
    body = await read_body(requests.BatchRequest, request)
    if errors := check_batch(len(body.questions), service.limits):
        raise ProblemError(invalid(errors))
    parsed = await run_in_threadpool(lambda: [_parse(item) for item in body.questions])
    queries = [item for item in parsed if isinstance(item, Query)]
    passages = sum(min(max(query.top_k, 1), service.limits.top_k) for query in queries)
    deps.passages.take(passages)
    try:
        replies = iter(await asking.ask_many(queries, request) if queries else [])
        outcomes = [next(replies) if isinstance(item, Query) else item for item in parsed]
        results = _stream_results(_result(request, each) for each in outcomes)
        response = await run_in_threadpool(_respond, results)
    except BaseException:
        deps.passages.give(passages)
        raise
    return _Held(response, deps.passages, passages)


class _Held(Response):
    """A response that holds an amount of a budget until it has been sent, or the client has gone."""

    def __init__(self, response: Response, budget: Budget, amount: int) -> None:
        super().__init__()
        self._response, self._budget, self._amount = response, budget, amount

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._response(scope, receive, send)
        finally:
            self._budget.give(self._amount)


def _respond(parts: Iterator[bytes]) -> Response:
    """Answer in JSON: as one body where that is small, and else part by part. It blocks; a thread must call it."""
    taken: list[bytes] = []
    size = 0
    for part in parts:
        taken.append(part)
        size += len(part)
        if size > _SMALL:
            return StreamingResponse(chain(taken, parts), media_type="application/json")
    return Response(b"".join(taken), media_type="application/json")


@router.get(
    "/v1/documents",
    operation_id="listDocuments",
    tags=["documents"],
    summary="What is indexed, and the ingestion report",
    responses=problems(422, 503),
    response_model=document_responses.DocumentsResponse,
)
async def list_documents(
    parameters: Annotated[requests.ListParameters, FromQuery()], service: ServiceDep, deps: Deps, request: Request
) -> Response:
    """List the indexed documents, and for every file whether it was read, partly read, skipped or failed, and why.

    Both lists are given in parts: `next` is the `offset` of the next part. With a `filter`, only documents that pass it
    are listed, and no files.
    """

    def build() -> bytes:
        found = service.listing(parameters.offset, parameters.limit, filter=parse_filter(parameters.filter))
        return document_responses.DocumentsResponse.from_collection(found, parameters.offset).model_dump_json().encode()

    return Response(await deps.whole.run(build, request=request), media_type="application/json")


def verify_citation(
    id: Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")],
    parameters: Annotated[requests.VerifyParameters, FromQuery()],
    service: ServiceDep,
) -> responses.VerifyResponse:
    """Check whether a citation still holds, against the source file as it is now and the text of a snapshot.

    A citation has drifted where the source has changed, and where the snapshot holds another version of the document.
    The source is looked for where it was when it was indexed.
    """
    return responses.VerifyResponse.from_checked(service.check_citation(parameters.claim(id), parameters.snapshot))


class _OnlyWithQuery(APIRoute):
    """A route that leaves an address without parameters to the next one: a document may be called ``verify``."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if scope.get("query_string") else (Match.NONE, {})


router.add_api_route(
    "/v1/documents/{id:path}/verify",
    verify_citation,
    operation_id="verifyCitation",
    tags=["documents"],
    summary="Check a citation",
    responses=problems(404, 422, 503),
    route_class_override=_OnlyWithQuery,
)


@router.get(
    "/v1/documents/{id:path}",
    operation_id="getDocument",
    tags=["documents"],
    summary="A document with its canonical text",
    response_model=document_responses.DocumentResponse,
    responses=problems(404, 422, 503),
)
def get_document(
    id: Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")],
    service: ServiceDep,
    request: Request,
) -> Response:
    """Return the text that every `start` and `end` counts in, so that anyone can check `text[start:end]`.

    Both count Unicode code points from 0, as Python does; in JavaScript, index `Array.from(text)`.
    """
    # A route's pattern stops before a line end: without this, "a.txt%0A" would get "a.txt".
    if not request.scope["path"].endswith(f"/{id}"):
        raise DocumentNotFound(f"no indexed document has the id {shown(request.scope['path'])!r}")
    try:
        parts = document_responses.stream_document(service.stream(id))
    except DocumentNotFound:
        cited = id.removesuffix("/verify")
        if cited == id:
            raise
        service.stream(cited)
        raise ProblemError(invalid(missing(requests.VerifyParameters))) from None
    return _respond(parts)


@router.get(
    "/healthz",
    operation_id="health",
    tags=["operation"],
    summary="Whether the process is up",
    responses=problems(),
)
async def health() -> operation_responses.HealthResponse:
    """Return 200 while the process is up, whether it is ready or not."""
    return operation_responses.HealthResponse()


@router.get("/metrics", include_in_schema=False)
def metrics(deps: Deps, request: Request) -> Response:
    """Return the metrics in the text format of Prometheus, of collections that the request may not ask none."""
    return Response(deps.monitoring.text([each.name for each in visible_collections(request)]), media_type=MEDIA_TYPE)


async def _ask(request: Request, query: Query) -> Response:
    found = await ask_collections(request, query)
    request.scope["state"]["timings_ms"] = found.timings_ms

    built = await run_in_threadpool(write_reply, found) if len(found.hits) > _MANY else write_reply(found)
    return Response(built, media_type="application/json")


async def read_body(shape: type[requests.Body], request: Request) -> requests.Body:
    """Read a body of this shape; a small one at once, because a thread takes longer. Raises ProblemError."""
    data = await request.body()
    return await run_in_threadpool(requests.read, shape, data) if len(data) > _LARGE else requests.read(shape, data)


def _parse(item: object) -> Query | Problem:
    fields = {"question": item} if isinstance(item, str) else item
    if not isinstance(fields, dict):
        message = "Each of questions must be a string or a JSON object."
        return invalid((FieldError("questions", message, "wrong-type"),))
    known = list(requests.AskRequest.model_fields)
    try:
        query = requests.AskRequest.model_validate(few(fields, known)).query()
    except ValidationError as error:
        return invalid(explain(error.errors(), known))
    if query.collections:
        message = "The questions of a batch are asked of one collection; ask several with POST /v1/ask."
        return invalid((FieldError("collections", message),))
    return query


def _result(request: Request, outcome: Reply | QAError | Problem) -> bytes:
    """Write one result of a batch."""
    if isinstance(outcome, Reply):
        return b'{"ok":true,"response":' + write_reply(outcome) + b"}"
    problem = service_problem(request, outcome) if isinstance(outcome, QAError) else outcome
    failure = responses.BatchFailure(
        ok=False, problem=operation_responses.ProblemDetails.model_validate(problem.members())
    )
    # A problem has only the members that it has.
    return failure.model_dump_json(exclude_unset=True).encode()


def _stream_results(results: Iterable[bytes]) -> Iterator[bytes]:
    """Write a :class:`qa.web.api.responses.BatchResponse` a result at a time: it may have a hundred megabytes."""
    between = b'{"results":['
    for result in results:
        yield between + result
        between = b","
    yield b"]}"
