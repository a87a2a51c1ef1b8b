"""Whether a passage answers a question: what people say of it, kept as judgments that an evaluation takes.

Pages for people: whole without JavaScript, and safe whatever a document holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Form, Request
from pydantic import ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse, Response

from qa.errors import NotReady, Overloaded, QueryError, StorageError
from qa.index.store import text_sha256
from qa.questions.feedback import FeedbackFile, quoted
from qa.types import Query, Reply, State
from qa.web.api.requests import AskParameters
from qa.web.pages.rendering import FOLDER, asking_address, read_query, render, without
from qa.web.ports import AskService
from qa.web.problems import RETRY_SECONDS, FieldError, Problem, ProblemError, check, invalid

PATH = "/feedback"
# A passage is shorter, and so is an answer.
LONGEST = 5_000
# Says once, on the page that follows, what was kept.
COOKIE = "qa-noted"
THANKED_SECONDS = 60

log = structlog.get_logger(__name__)
feedback_router = APIRouter(include_in_schema=False)


class Judgment(AskParameters):
    """The fields of the form, those of the question among them.

    ``shown`` is the SHA-256 of the text that was judged: it may be another by now.
    """

    model_config = ConfigDict(extra="ignore")

    document: str
    start: int
    end: int
    shown: str
    verdict: Literal["yes", "no"]


@feedback_router.post(PATH)
def judge(request: Request, judgment: Annotated[Judgment, Form()]) -> Response:
    """Keep what was said of a span, whose text is the index's and never the client's; then show the question again."""
    service: AskService = request.app.state.service
    start, end = judgment.start, judgment.end
    query = judgment.query()
    errors = check(query, service.limits, "q")
    if end - start > LONGEST:
        message = f"end lies {end - start:,} characters behind start; at most {LONGEST:,} can be judged."
        errors = (*errors, FieldError("end", message))
    if errors:
        raise ProblemError(invalid(errors))
    text = service.document(judgment.document).document.text
    quote = quoted(judgment.document, text, start, end, relevant=judgment.verdict == "yes")
    if text_sha256(text[start:end]) != judgment.shown:
        detail = "The document has changed since it was shown; ask again, and judge what is there now."
        raise ProblemError(Problem("document-changed", 409, detail))
    file: FeedbackFile = request.app.state.feedback
    try:
        file.append(judgment.q, quote)
    except StorageError as error:
        log.error("judgment cannot be kept", reason=str(error))
        raise
    # What a person sees next can be loaded anew without judging again.
    response = RedirectResponse(asking_address(query), 303)
    # And not in its address, by which whoever it was sent to would be thanked too.
    said, is_secure = f"{judgment.verdict}-{_short(query)}", request.url.scheme == "https"
    response.set_cookie(COOKIE, said, THANKED_SECONDS, secure=is_secure, httponly=True, samesite="lax")
    return response


def noted(request: Request, query: Query) -> str:
    """The verdict on a passage of this question that was kept since the page before, or nothing."""
    verdict, _, asked = request.cookies.get(COOKIE, "").partition("-")
    return verdict if asked == _short(query) else ""


def _short(query: Query) -> str:
    return text_sha256(query.question)[:16]


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
