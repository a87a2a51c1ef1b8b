"""Whether a passage answers a question: what people say of it, kept as judgments that an evaluation takes."""

from __future__ import annotations

from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Form, Request
from pydantic import ConfigDict
from starlette.responses import RedirectResponse, Response

from qa.errors import StorageError
from qa.index.store_schema import text_sha256
from qa.questions.feedback import FeedbackFile, quoted
from qa.types import Query
from qa.web.api.requests import AskParameters
from qa.web.pages.addresses import asking_address
from qa.web.ports import AskService
from qa.web.problems import FieldError, Problem, ProblemError, invalid
from qa.web.validation import check

PATH = "/feedback"
# A passage is shorter, and so is an answer.
LONGEST = 5_000
# Says once, on the page that follows, what was kept.
COOKIE = "qa-noted"
THANKED_SECONDS = 60

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)


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


@router.post(PATH)
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
