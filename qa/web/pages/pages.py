"""Pages for people: whole without JavaScript, and safe whatever a document holds."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from qa.errors import NotReady, Overloaded, QueryError
from qa.types import Query, Reply, State
from qa.web.pages.addresses import read_query, without
from qa.web.pages.feedback_pages import COOKIE, noted
from qa.web.pages.rendering import FOLDER, render
from qa.web.ports import AskService
from qa.web.problems import RETRY_SECONDS, FieldError, Problem

router = APIRouter(include_in_schema=False)


@router.get("/")
async def ask_page(request: Request) -> Response:
    """One field; with a question in the address, its passages below. It takes what ``GET /v1/ask`` takes."""
    service: AskService = request.app.state.service
    state = service.state()
    query, errors = read_query(request.query_params, service.limits)
    if not state.ready:
        return _not_ready(request, state, query)
    if errors:
        return _refused(request, state, query, errors)
    if "q" not in request.query_params:
        return await run_in_threadpool(_empty, request, service, query)
    return await _ask(request, service, query)


async def _ask(request: Request, service: AskService, query: Query) -> Response:
    try:
        reply = await request.app.state.asking.ask(query, request)
    except QueryError as error:
        return _refused(request, service.state(), without(query, [error.field]), (FieldError.of(error),))
    except Overloaded as error:
        return _busy(request, service.state(), query, error)
    except NotReady:
        return _not_ready(request, service.state(), query)
    # Asked again: a snapshot may have been switched meanwhile, and the page names the one that answered.
    return _answered(request, service.state(), query, reply)


@router.get("/favicon.ico")
async def favicon() -> Response:
    """For where a browser looks when it shows something that is no page, such as JSON."""
    return FileResponse(FOLDER.parent / "static" / "icon.svg", media_type="image/svg+xml")


def problem(request: Request, problem: Problem) -> Response:
    """A problem as a page for a person at a browser, and as a problem detail for everybody else."""
    path = request.url.path
    is_for_programs = path.startswith("/v1/") or path in ("/healthz", "/readyz", "/openapi.json")
    if is_for_programs or "text/html" not in request.headers.get("accept", ""):
        return problem.response()
    return render(request, "problem.html", _state_if_any(request), problem.status, problem.headers, problem=problem)


def _state_if_any(request: Request) -> State | None:
    """What ``/readyz`` tells anybody. The service may be what failed, and the page that says so must not fail too."""
    service: AskService = request.app.state.service
    try:
        return service.state()
    except Exception:
        return None


def _answered(request: Request, state: State, query: Query, reply: Reply) -> Response:
    judges = request.app.state.feedback is not None
    said = noted(request, query) if judges else ""
    response = render(request, "ask.html", state, query=query, reply=reply, judges=judges, noted=said)
    if said:
        response.delete_cookie(COOKIE)
    return response


def _empty(request: Request, service: AskService, query: Query) -> Response:
    """Raises NotReady."""
    return render(request, "ask.html", service.state(), query=query, focus=True, examples=service.examples())


def _refused(request: Request, state: State, query: Query, errors: Sequence[FieldError]) -> Response:
    """The question at its field again, with what is wrong with it or with how it was to be asked."""
    message = " ".join(error.message for error in errors)
    wrong = any(error.field in ("q", "question") for error in errors)
    return render(request, "ask.html", state, 422, query=query, error=message, focus=True, wrong=wrong)


def _busy(request: Request, state: State, query: Query, error: Overloaded) -> Response:
    """The question at its field again: it could not be asked for now, and there is nothing wrong with it."""
    headers = {"Retry-After": str(error.retry_after)}
    return render(request, "ask.html", state, 503, headers, query=query, error=str(error), focus=True)


def _not_ready(request: Request, state: State, query: Query) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if state.status == "loading":
        # A header and not a meta element, which would go on reloading in a page that somebody saved.
        headers["Refresh"] = str(RETRY_SECONDS)
    return render(request, "loading.html", state, 503, headers, query=query)
