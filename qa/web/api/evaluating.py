"""Evaluations over HTTP: a question file in; progress, measures and the report out."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as FromQuery
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response, StreamingResponse

from qa.evaluation.jobs.evaluation_jobs import Job
from qa.questions.questions import QuestionSet
from qa.types import Query
from qa.web.api import evaluation_schemas as schemas
from qa.web.api.openapi import problems
from qa.web.middleware.access import is_on_this_machine
from qa.web.ports import AskService, Evaluations
from qa.web.problems import FieldError, Problem, ProblemError, invalid
from qa.web.validation import check

PATH = "/v1/evaluations"
# Between two looks of a page at what is not done yet.
REFRESH_SECONDS = 2
router = APIRouter()

# Question files by the media type of the body. BEIR and TREC collections are folders.
FORMATS = {
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "squad",
}
# SQuAD is one JSON object; the others are lines.
_SHAPES = {name: {"schema": {"type": "object" if name == "application/json" else "string"}} for name in FORMATS}
_BODY = {"content": _SHAPES, "required": True}
_META_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


async def evaluations_of(request: Request) -> Evaluations:
    evaluations: Evaluations = request.app.state.evaluations
    return evaluations


async def _service(request: Request) -> AskService:
    service: AskService = request.app.state.service
    return service


async def _body(request: Request) -> bytes:
    return await request.body()


def _format(request: Request) -> str:
    """Raises ProblemError: 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in FORMATS:
        names = ", ".join(FORMATS)
        detail = f"Send the question file as the body, with its type in the header Content-Type: one of {names}."
        raise ProblemError(Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": names}))
    return FORMATS[media_type]


Running = Annotated[Evaluations, Depends(evaluations_of)]
Id = Annotated[str, Path(description="As `POST /v1/evaluations` gave it.", max_length=64)]


@router.post(
    PATH,
    operation_id="evaluate",
    tags=["evaluations"],
    summary="Evaluate a question file",
    status_code=202,
    openapi_extra={"requestBody": _BODY},
    responses=problems(401, 403, 413, 415, 422, 429, 503),
)
def submit(
    parameters: Annotated[schemas.EvaluationParameters, FromQuery()],
    data: Annotated[bytes, Depends(_body)],
    format: Annotated[str, Depends(_format)],
    service: Annotated[AskService, Depends(_service)],
    evaluations: Running,
    response: Response,
) -> schemas.EvaluationResponse:
    """Queue the evaluation of the snapshot that is served now. One runs at a time; ask for it at `Location`."""
    if errors := check(Query("?", parameters.top_k), service.limits):
        raise ProblemError(invalid(errors))
    from qa.questions.question_files import parse_questions

    # What is wrong with the file itself is told at once; where its quotes stand is looked up when its turn has come.
    parsed = parse_questions(parameters.name, data, format, keep_going=parameters.keep_going)  # type: ignore[arg-type]
    if error := too_many(parsed):
        raise ProblemError(invalid((FieldError("body", f"{error}."),)))
    job = evaluations.submit(parameters.name, data, format, parameters.options(), parameters.keep_going)
    response.headers["Location"] = f"{PATH}/{job.id}"
    return schemas.EvaluationResponse.of(job, None)


@router.get(
    f"{PATH}/{{id}}",
    operation_id="getEvaluation",
    tags=["evaluations"],
    summary="How far an evaluation is, and its measures",
    responses=problems(404),
)
def get(id: Id, evaluations: Running) -> schemas.EvaluationResponse:
    """`status` goes from `queued` over `preparing`, `asking` and `measuring` to `done`, or ends in `failed`."""
    job = evaluations.get(id)
    return schemas.EvaluationResponse.of(job, _summary(evaluations, job))


@router.get(
    f"{PATH}/{{id}}/report",
    operation_id="getEvaluationReport",
    tags=["evaluations"],
    summary="The report as a page that stands alone",
    response_class=HTMLResponse,
    responses=problems(404),
)
def report(id: Id, evaluations: Running) -> StreamingResponse:
    """One HTML file without anything outside of it. 404 until the evaluation is done."""
    # Open from here on: an evaluation that is removed meanwhile breaks off no report.
    return standing_alone(evaluations.report(id))


def standing_alone(file: IO[bytes]) -> StreamingResponse:
    """A page that holds its own style and script, under the policy that it names."""
    policy = _META_POLICY.search(file.read(4096).decode(errors="replace"))
    headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    if policy is not None:
        # As strict as every other page, but for the style and the script that are in it.
        headers["Content-Security-Policy"] = f"{_plain(policy[1])}; frame-ancestors 'none'"
    return StreamingResponse(_content(file), media_type="text/html; charset=utf-8", headers=headers)


def may_run(request: Request) -> bool:
    """Whether a page may: it can send no key, so only where none is needed, on the server's own machine."""
    return not request.app.state.needs_key and is_on_this_machine(request.scope, Headers(scope=request.scope))


def refuse_elsewhere(request: Request, detail: str) -> None:
    """Raises ProblemError where a page may not."""
    if not may_run(request):
        raise ProblemError(Problem("forbidden", 403, detail))


def too_many(parsed: QuestionSet) -> str:
    """What is wrong with a file of more questions than one evaluation may have; nothing where it is not too long."""
    count, most = len(parsed.questions), schemas.MOST_QUESTIONS
    return f"the file holds {count:,} questions; at most {most:,} are allowed" if count > most else ""


def _content(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(1 << 16):
            yield block


@router.delete(
    f"{PATH}/{{id}}",
    operation_id="cancelEvaluation",
    tags=["evaluations"],
    summary="Cancel an evaluation, or remove one that is over",
    status_code=204,
    responses=problems(401, 403, 404),
)
def cancel(id: Id, evaluations: Running) -> Response:
    """Stops before the next question; nothing of it is kept."""
    evaluations.cancel(id)
    return Response(status_code=204)


def _summary(evaluations: Evaluations, job: Job) -> dict[str, Any] | None:
    return evaluations.summary(job.id) if job.status == "done" else None


def _plain(policy: str) -> str:
    """A header's value: what is not printable ASCII would end it."""
    return "".join(c for c in html.unescape(policy) if " " <= c <= "~")
