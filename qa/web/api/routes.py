"""The JSON API. What blocks runs in the thread pool, and questions in the queue's threads; never on the event loop."""

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
from qa.web.api import requests
from qa.web.api import responses as schemas
from qa.web.api.openapi import problems
from qa.web.api.responses import DocumentResponse, DocumentsResponse
from qa.web.asking import Asking
from qa.web.handlers import of_service
from qa.web.monitoring import MEDIA_TYPE, Monitoring
from qa.web.ports import AskService
from qa.web.problems import (
    FieldError,
    Problem,
    ProblemError,
    check,
    check_batch,
    explain,
    invalid,
    missing,
    not_ready,
    shown,
)

router = APIRouter()


async def _service(request: Request) -> AskService:
    service: AskService = request.app.state.service
    return service


async def _json_only(request: Request) -> None:
    """Refuses a body in anything but JSON, in words that say so.

    Raises:
        ProblemError: 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and media_type != "application/json":
        detail = "Send the request body as JSON, with the header Content-Type: application/json."
        raise ProblemError(Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": "application/json"}))


async def _asking(request: Request) -> Asking:
    asking: Asking = request.app.state.asking
    return asking


Service = Annotated[AskService, Depends(_service)]
Asked = Annotated[Asking, Depends(_asking)]


@router.post(
    "/v1/ask",
    operation_id="ask",
    tags=["questions"],
    summary="Ask one question",
    dependencies=[Depends(_json_only)],
    response_model=schemas.AskResponse,
    responses=problems(400, 413, 415, 422, 503),
)
async def ask(body: requests.AskRequest, asking: Asked, service: Service, request: Request) -> Response:
    """The passages that match a question best, each with the span of its document that it is."""
    return await _ask(asking, service, request, body.query())


@router.get(
    "/v1/ask",
    operation_id="askByAddress",
    tags=["questions"],
    summary="Ask one question by an address",
    response_model=schemas.AskResponse,
    responses=problems(422, 503),
)
async def ask_by_address(
    parameters: Annotated[requests.AskParameters, FromQuery()], asking: Asked, service: Service, request: Request
) -> Response:
    """The same as `POST /v1/ask`, for a browser or a link. `documents` may be repeated."""
    return await _ask(asking, service, request, parameters.query(), "q")


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
    body: requests.BatchRequest, asking: Asked, service: Service, request: Request
) -> schemas.BatchResponse:
    """Each question succeeds or fails by itself: the results come in the order of the questions, and `ok` says which.

    A question that is wrong is a result with its problem; only a batch that is wrong as a whole is refused.
    """
    if errors := check_batch(len(body.questions), service.limits):
        raise ProblemError(invalid(errors))
    parsed = [_parse(item, service) for item in body.questions]
    queries = [item for item in parsed if isinstance(item, Query)]
    replies = iter(await asking.ask_many(queries, request) if queries else [])
    outcomes = (next(replies) if isinstance(item, Query) else item for item in parsed)
    return schemas.BatchResponse(results=[_result(request, outcome) for outcome in outcomes])


@router.get(
    "/v1/documents",
    operation_id="listDocuments",
    tags=["documents"],
    summary="What is indexed, and the ingestion report",
    responses=problems(503),
)
def list_documents(service: Service) -> DocumentsResponse:
    """Every indexed document, and what became of every file: read, partly read, skipped or failed, and why."""
    return DocumentsResponse.of(service.collection())


def verify_citation(
    id: Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")],
    parameters: Annotated[requests.VerifyParameters, FromQuery()],
    service: Service,
) -> schemas.VerifyResponse:
    """Whether a citation still holds: against the source as it is now, and the text of a snapshot.

    It has drifted, too, where the snapshot holds another version of the document than the one cited. The source is
    looked for where it was when it was indexed.
    """
    return schemas.VerifyResponse.of(service.check_citation(parameters.claim(id), parameters.snapshot))


class _OnlyWithQuery(APIRoute):
    """Leaves an address without parameters to the next route: a document may be called ``verify``."""

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
    service: Service,
    request: Request,
) -> DocumentResponse:
    """The text that every `start` and `end` counts in, so that anyone can check `text[start:end]`.

    They count Unicode code points from 0, as Python does; in JavaScript, index `Array.from(text)`.
    """
    # A route's pattern stops before a line end: without this "a.txt%0A" would be answered with "a.txt".
    if not request.scope["path"].endswith(f"/{id}"):
        raise DocumentNotFound(f"no indexed document has the id {shown(request.scope['path'])!r}")
    try:
        return DocumentResponse.of(service.document(id))
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
async def health() -> schemas.HealthResponse:
    """Always 200 while the process is up, whether it is ready or not."""
    return schemas.HealthResponse()


@router.get(
    "/readyz",
    operation_id="ready",
    tags=["operation"],
    summary="Whether questions can be asked",
    responses=problems(503),
)
async def ready(service: Service) -> schemas.ReadyResponse:
    # Not in the thread pool, where it would wait behind questions and a busy server would look like a dead one.
    """200 when a snapshot and its model are loaded; until then a problem whose `state` and `detail` say why not."""
    state = service.state()
    if not state.ready:
        raise ProblemError(not_ready(state.detail, state.status))
    return schemas.ReadyResponse.of(state)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """In the text format of Prometheus."""
    monitoring: Monitoring = request.app.state.monitoring
    return Response(monitoring.text(), media_type=MEDIA_TYPE)


async def _ask(asking: Asking, service: AskService, request: Request, query: Query, name: str = "question") -> Response:
    if errors := check(query, service.limits, name):
        raise ProblemError(invalid(errors))
    found = await asking.ask(query, request)
    request.scope["state"]["timings_ms"] = found.timings_ms
    reply = schemas.AskResponse.of(found)
    # Written here: the framework would validate it once more, which takes as long as all the rest.
    return Response(reply.model_dump_json(), media_type="application/json")


def _parse(item: object, service: AskService) -> Query | Problem:
    fields = {"question": item} if isinstance(item, str) else item
    if not isinstance(fields, dict):
        message = "Each of questions must be a string or a JSON object."
        return invalid((FieldError("questions", message, "wrong-type"),))
    try:
        body = requests.AskRequest.model_validate(fields)
    except ValidationError as error:
        return invalid(explain(error.errors(), list(requests.AskRequest.model_fields)))
    query = body.query()
    errors = check(query, service.limits)
    return invalid(errors) if errors else query


def _result(request: Request, outcome: Reply | QAError | Problem) -> schemas.BatchSuccess | schemas.BatchFailure:
    if isinstance(outcome, Reply):
        return schemas.BatchSuccess(ok=True, response=schemas.AskResponse.of(outcome))
    problem = of_service(request, outcome) if isinstance(outcome, QAError) else outcome
    return schemas.BatchFailure(ok=False, problem=schemas.ProblemDetails.model_validate(problem.members()))
