"""Whether a passage answers a question: what people say of it, kept as judgments that an evaluation takes."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from qa.feedback import FeedbackFile, quoted
from qa.types import Query
from qa.web.ports import AskService
from qa.web.problems import FieldError, ProblemError, invalid
from qa.web.validation import check

PATH = "/feedback"
# A passage is far shorter, and so is an answer.
LONGEST = 20_000

router = APIRouter(include_in_schema=False)


@router.post(PATH)
def judge(
    request: Request,
    q: Annotated[str, Form()],
    document: Annotated[str, Form()],
    start: Annotated[int, Form()],
    end: Annotated[int, Form()],
    verdict: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    """Keep what was said of a span, whose text is the index's and never the client's; then show the question again."""
    service: AskService = request.app.state.service
    errors = check(Query(q), service.limits, "q")
    if end - start > LONGEST:
        message = f"end lies {end - start:,} characters behind start; at most {LONGEST:,} can be judged."
        errors = (*errors, FieldError("end", message))
    if errors:
        raise ProblemError(invalid(errors))
    text = service.document(document).document.text
    file: FeedbackFile = request.app.state.feedback
    file.append(q, quoted(document, text, start, end, relevant=verdict == "yes"))
    # What a person sees next can be loaded anew without judging again.
    return RedirectResponse(f"/?{urlencode({'q': q, 'noted': verdict}, errors='replace')}", 303)
