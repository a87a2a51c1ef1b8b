"""Pages for people: whole without JavaScript, and safe whatever a document holds."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from qa.errors import NotReady, Overloaded, QueryError
from qa.types import Query, State
from qa.web.ports import AskService
from qa.web.problems import RETRY_SECONDS, Problem
from qa.web.rendering import FOLDER, render
from qa.web.validation import check

router = APIRouter(include_in_schema=False)


@router.get("/")
async def ask_page(request: Request, q: str | None = None, noted: str = "") -> Response:
    """One field; with a question in the address, its passages below. ``noted`` is what was just said of one."""
    service: AskService = request.app.state.service
    state = service.state()
    if not state.ready:
        return _not_ready(state, q)
    if q is None:
        return await run_in_threadpool(_empty, service)
    query = Query(q)
    if errors := check(query, service.limits):
        return _refused(state, q, " ".join(error.message for error in errors))
    try:
        reply = await request.app.state.asking.ask(query, request)
    except (QueryError, Overloaded) as error:
        return _refused(state, q, str(error), error.retry_after if isinstance(error, Overloaded) else None)
    except NotReady:
        return _not_ready(service.state(), q)
    # Asked again: a snapshot may have been switched meanwhile, and the page names the one that answered.
    judges = request.app.state.feedback is not None
    return render("ask.html", service.state(), question=q, reply=reply, judges=judges, noted=noted if judges else "")


@router.get("/favicon.ico")
async def favicon() -> Response:
    """For where a browser looks when it shows something that is no page, such as JSON."""
    return FileResponse(FOLDER / "static" / "icon.svg", media_type="image/svg+xml")


def problem(request: Request, problem: Problem) -> Response:
    """A problem as a page for a person at a browser, and as a problem detail for everybody else."""
    path = request.url.path
    is_for_programs = path.startswith("/v1/") or path in ("/healthz", "/readyz", "/openapi.json")
    if is_for_programs or "text/html" not in request.headers.get("accept", ""):
        return problem.response()
    # Without the service's state: the service may be what failed.
    return render("problem.html", None, problem.status, problem.headers, problem=problem)


def _empty(service: AskService) -> Response:
    """Raises NotReady."""
    return render("ask.html", service.state(), question="", focus=True, examples=service.examples())


def _refused(state: State, question: str, message: str, retry_after: int | None = None) -> Response:
    """The question at its field again, with what is wrong with it, or that it could not be asked for now."""
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    status = 422 if retry_after is None else 503
    busy = retry_after is not None
    return render("ask.html", state, status, headers, question=question, error=message, focus=True, busy=busy)


def _not_ready(state: State, question: str | None) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if state.status == "loading":
        # A header and not a meta element, which would go on reloading in a page that somebody saved.
        headers["Refresh"] = str(RETRY_SECONDS)
    return render("loading.html", state, 503, headers, question=question or "")
