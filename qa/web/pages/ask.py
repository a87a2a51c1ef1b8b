"""The ask page, and the judgments that people give there: whether a passage answers their question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Form, Request
from pydantic import ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse, Response

from qa.errors import NotReady, Overloaded, QueryError, StorageError
from qa.index.schema import text_sha256
from qa.questions.feedback import make_quote
from qa.search.query import faults
from qa.service.service import Service
from qa.types import Query, Reply, State
from qa.web.api.requests import AskParameters
from qa.web.deps import Dependencies, Deps, of_request
from qa.web.federation import ask_collections
from qa.web.pages.filters import keep, make_form, read_form
from qa.web.pages.rendering import FOLDER, asking_address, read_query, render, without
from qa.web.problems import RETRY_SECONDS, FieldError, Problem, ProblemError, invalid

FEEDBACK_PATH = "/feedback"
# The longest span that can be judged, in characters: passages and answers are shorter.
LONGEST = 5_000
# Names the judgment that was kept, for the page that thanks for it once.
COOKIE = "qa-noted"
THANKED_SECONDS = 60

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)
feedback_router = APIRouter(include_in_schema=False)


@router.get("/")
async def ask_page(request: Request, deps: Deps) -> Response:
    """Show one field and, with a question in the address, its answer. The address takes what ``GET /v1/ask`` takes."""
    service = deps.service
    state = service.state()
    query, errors = read_query(request.query_params, service.limits)
    if not state.ready and not query.collections:
        return _not_ready(request, state, query)
    if errors:
        return await run_in_threadpool(_refused, request, service, query, errors)
    if read_form(request.query_params) is not None:
        # The one address of this question and its filter, which can be shared.
        return RedirectResponse(asking_address(query), 303)
    if "q" not in request.query_params:
        return await run_in_threadpool(_empty, request, service, query)
    return await _ask(request, deps, query)


async def _ask(request: Request, deps: Deps, query: Query) -> Response:
    service = deps.service
    try:
        reply = await ask_collections(request, query)
    except QueryError as error:
        errors = tuple(FieldError.from_fault(fault) for fault in error.faults)
        usable = without(query, [fault.field for fault in error.faults])
        return await run_in_threadpool(_refused, request, service, usable, errors)
    except Overloaded as error:
        return await run_in_threadpool(_busy, request, service, query, error)
    except NotReady:
        return _not_ready(request, service.state(), query)
    # The state is read again, because the snapshot may have been switched, and the page names the one that answered.
    return await run_in_threadpool(_answered, request, service, query, reply)


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Return the icon that browsers look for beside responses that are no pages, such as JSON."""
    return FileResponse(FOLDER.parent / "static" / "icon.svg", media_type="image/svg+xml")


def _answered(request: Request, service: Service, query: Query, reply: Reply) -> Response:
    judges = of_request(request).feedback is not None
    said = read_thanks(request, query) if judges else ""
    response = _render(request, service, query, reply=reply, judges=judges, noted=said)
    if said:
        response.delete_cookie(COOKIE)
    return response


def _empty(request: Request, service: Service, query: Query) -> Response:
    """Render the page without a question. Raises NotReady."""
    return _render(request, service, query, focus=True, examples=service.examples())


def _render(
    request: Request,
    service: Service,
    query: Query,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    """Render the page with its form. It blocks, as the documents are counted for it; a thread must call it."""
    # Documents are counted in one collection, and not in several; nor is the snapshot of one of these named.
    form = keep(query.filter) if query.collections else make_form(service, query.filter)
    state = None if query.collections else service.state()
    return render(request, "ask.html", state, status, headers, query=query, form=form, **values)


def _refused(request: Request, service: Service, query: Query, errors: Sequence[FieldError]) -> Response:
    """Render the question in its field again, with what is wrong with it or with its parameters."""
    message = " ".join(_name_parameter(error) for error in errors)
    wrong = any(error.field in ("q", "question") for error in errors)
    return _render(request, service, query, 422, error=message, focus=True, wrong=wrong)


def _name_parameter(error: FieldError) -> str:
    """Begin a message with a word, where it begins with a parameter's name, which has no capital."""
    return f"The parameter {error.message}" if error.message.startswith(f"{error.field} ") else error.message


def _busy(request: Request, service: Service, query: Query, error: Overloaded) -> Response:
    """Render the question in its field again, because too many are waiting now."""
    headers = {"Retry-After": str(error.retry_after)}
    return _render(request, service, query, 503, headers, error=str(error), focus=True)


def _not_ready(request: Request, state: State, query: Query) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if state.status == "loading":
        # A header, because a meta element would go on reloading in a saved page.
        headers["Refresh"] = str(RETRY_SECONDS)
    return render(request, "loading.html", state, 503, headers, query=query)


class Judgment(AskParameters):
    """The fields of the feedback form, those of the question included.

    ``shown`` is the SHA-256 of the text that the person saw; the document may have changed since.
    """

    model_config = ConfigDict(extra="ignore")

    document: str
    start: int
    end: int
    shown: str
    verdict: Literal["yes", "no"]


@feedback_router.post(FEEDBACK_PATH)
async def judge(request: Request, judgment: Annotated[Judgment, Form()], deps: Deps) -> Response:
    """Append a judgment to the feedback file, with the text of the index, and show the question again."""
    # A quote is compared with the whole text of its document, which may have many megabytes.
    return await deps.whole.run(_judge, request, judgment, deps)


def _judge(request: Request, judgment: Judgment, deps: Dependencies) -> Response:
    assert deps.feedback is not None
    start, end = judgment.start, judgment.end
    query = judgment.query()
    errors = tuple(FieldError.from_fault(fault, "q") for fault in faults(query, deps.service.limits))
    if end - start > LONGEST:
        message = f"end lies {end - start:,} characters behind start; at most {LONGEST:,} can be judged."
        errors = (*errors, FieldError("end", message))
    if errors:
        raise ProblemError(invalid(errors))
    text = deps.service.document(judgment.document).document.text
    quote = make_quote(judgment.document, text, start, end, relevant=judgment.verdict == "yes")
    if text_sha256(text[start:end]) != judgment.shown:
        detail = "The document has changed since it was shown; ask again, and judge what is there now."
        raise ProblemError(Problem("document-changed", 409, detail))
    try:
        deps.feedback.append(judgment.q, quote)
    except StorageError as error:
        log.error("judgment cannot be kept", reason=str(error))
        raise
    if deps.unanswered is not None:
        deps.unanswered.judge(judgment.q, quote)
    # A redirect, so that reloading the next page does not judge again.
    response = RedirectResponse(asking_address(query), 303)
    # A cookie, because a link that is sent on must not thank its receiver.
    said, is_secure = f"{judgment.verdict}-{_hash(query)}", request.url.scheme == "https"
    response.set_cookie(COOKIE, said, THANKED_SECONDS, secure=is_secure, httponly=True, samesite="lax")
    return response


def read_thanks(request: Request, query: Query) -> str:
    """Return the verdict on this question that was just kept, or an empty string."""
    verdict, _, asked = request.cookies.get(COOKIE, "").partition("-")
    return verdict if asked == _hash(query) else ""


def _hash(query: Query) -> str:
    return text_sha256(query.question)[:16]
