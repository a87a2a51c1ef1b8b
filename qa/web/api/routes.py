"""The JSON API: questions, documents, health.

Nothing blocks the event loop: questions run in the queue's threads, and all else in the framework's thread pool.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as FromQuery
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from qa.errors import DocumentNotFound, QAError
from qa.types import Query, Reply
from qa.web.api import requests, responses
from qa.web.api.openapi import problems
from qa.web.asking import Asking
from qa.web.deps import AskingDep, Deps, ServiceDep
from qa.web.handlers import service_problem
from qa.web.monitoring import MEDIA_TYPE
from qa.web.problems import (
    FieldError,
    Problem,
    ProblemError,
    check_batch,
    explain,
    invalid,
    missing,
    not_ready,
    shown,
)

router = APIRouter()


async def _json_only(request: Request) -> None:
    """Refuse a body that is not JSON. Raises ProblemError, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and media_type != "application/json":
        detail = "Send the request body as JSON, with the header Content-Type: application/json."
        raise ProblemError(Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": "application/json"}))


@router.post(
    "/v1/ask",
    operation_id="ask",
    tags=["questions"],
    summary="Ask one question",
    dependencies=[Depends(_json_only)],
    response_model=responses.AskResponse,
    responses=problems(400, 413, 415, 422, 503),
)
async def ask(body: requests.AskRequest, asking: AskingDep, request: Request) -> Response:
    """Return the answer, if there is one, and the passages that match best, each with its span of a document."""
    return await _ask(asking, request, body.query())


@router.get(
    "/v1/ask",
    operation_id="askByAddress",
    tags=["questions"],
    summary="Ask one question by an address",
    response_model=responses.AskResponse,
    responses=problems(422, 503),
)
async def ask_by_address(
    parameters: Annotated[requests.AskParameters, FromQuery()], asking: AskingDep, request: Request
) -> Response:
    """Do the same as `POST /v1/ask`, for a browser or a link. `documents` may be repeated."""
    return await _ask(asking, request, parameters.query())


@router.post(
    "/v1/ask/batch",
    operation_id="askMany",
    tags=["questions"],
    summary="Ask many questions",
    response_model_exclude_unset=True,  # A problem has only the members that it has.
    dependencies=[Depends(_json_only)],
    responses=problems(400, 413, 415, 422, 503),
)
async def ask_many(
    body: requests.BatchRequest, asking: AskingDep, service: ServiceDep, request: Request
) -> responses.BatchResponse:
    """Answer each question by itself: the results come in the order of the questions, and `ok` says which succeeded.

    A wrong question is a result with its problem; only a batch that is wrong as a whole is refused.
    """
    if errors := check_batch(len(body.questions), service.limits):
        raise ProblemError(invalid(errors))
    parsed = [_parse(item) for item in body.questions]
    queries = [item for item in parsed if isinstance(item, Query)]
    replies = iter(await asking.ask_many(queries, request) if queries else [])
    outcomes = (next(replies) if isinstance(item, Query) else item for item in parsed)
    return responses.BatchResponse(results=[_result(request, outcome) for outcome in outcomes])


def _no_parameters(request: Request) -> None:
    """Refuse every parameter of an address that takes none, so that nobody takes the whole list for a part of it."""
    errors = tuple(
        FieldError(shown(name), f"{shown(name)} is not a known field; the list takes none.", "unknown-field")
        for name in request.query_params
    )
    if errors:
        raise ProblemError(invalid(errors))


@router.get(
    "/v1/documents",
    operation_id="listDocuments",
    tags=["documents"],
    summary="What is indexed, and the ingestion report",
    dependencies=[Depends(_no_parameters)],
    responses=problems(422, 503),
)
def list_documents(service: ServiceDep) -> responses.DocumentsResponse:
    """List every indexed document, and for every file whether it was read, partly read, skipped or failed, and why."""
    return responses.DocumentsResponse.from_collection(service.collection())


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
    responses=problems(404, 422, 503),
)
def get_document(
    id: Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")],
    service: ServiceDep,
    request: Request,
) -> responses.DocumentResponse:
    """Return the text that every `start` and `end` counts in, so that anyone can check `text[start:end]`.

    Both count Unicode code points from 0, as Python does; in JavaScript, index `Array.from(text)`.
    """
    # A route's pattern stops before a line end: without this, "a.txt%0A" would get "a.txt".
    if not request.scope["path"].endswith(f"/{id}"):
        raise DocumentNotFound(f"no indexed document has the id {shown(request.scope['path'])!r}")
    try:
        return responses.DocumentResponse.from_stored(service.document(id))
    except DocumentNotFound:
        cited = id.removesuffix("/verify")
        if cited == id:
            raise
        service.document(cited)
        raise ProblemError(invalid(missing(requests.VerifyParameters))) from None


@router.get(
    "/healthz",
    operation_id="health",
    tags=["operation"],
    summary="Whether the process is up",
    responses=problems(),
)
async def health() -> responses.HealthResponse:
    """Return 200 while the process is up, whether it is ready or not."""
    return responses.HealthResponse()


@router.get(
    "/readyz",
    operation_id="ready",
    tags=["operation"],
    summary="Whether questions can be asked",
    responses=problems(503),
)
async def ready(service: ServiceDep) -> responses.ReadyResponse:
    """Return 200 when a snapshot and its models are loaded, else a problem whose `state` and `detail` say why not."""
    # A coroutine: in the thread pool it would wait behind questions, and a busy server would look like a dead one.
    state = service.state()
    if not state.ready:
        raise ProblemError(not_ready(state.detail, state.status))
    return responses.ReadyResponse.from_state(state)


@router.get("/metrics", include_in_schema=False)
def metrics(deps: Deps) -> Response:
    """Return the metrics in the text format of Prometheus."""
    return Response(deps.monitoring.text(), media_type=MEDIA_TYPE)


async def _ask(asking: Asking, request: Request, query: Query) -> Response:
    found = await asking.ask(query, request)
    request.scope["state"]["timings_ms"] = found.timings_ms
    reply = responses.AskResponse.from_reply(found)
    # Written here, because the framework would validate it again, which takes as long as all the rest.
    return Response(reply.model_dump_json(), media_type="application/json")


def _parse(item: object) -> Query | Problem:
    fields = {"question": item} if isinstance(item, str) else item
    if not isinstance(fields, dict):
        message = "Each of questions must be a string or a JSON object."
        return invalid((FieldError("questions", message, "wrong-type"),))
    try:
        return requests.AskRequest.model_validate(fields).query()
    except ValidationError as error:
        return invalid(explain(error.errors(), list(requests.AskRequest.model_fields)))


def _result(request: Request, outcome: Reply | QAError | Problem) -> responses.BatchSuccess | responses.BatchFailure:
    if isinstance(outcome, Reply):
        return responses.BatchSuccess(ok=True, response=responses.AskResponse.from_reply(outcome))
    problem = service_problem(request, outcome) if isinstance(outcome, QAError) else outcome
    return responses.BatchFailure(ok=False, problem=responses.ProblemDetails.model_validate(problem.members()))
