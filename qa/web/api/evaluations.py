"""Evaluations over HTTP: a question file in; progress, measures and the report out.

The shapes of evaluations over HTTP, at the edge only.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response, StreamingResponse

from qa.evaluation.jobs.jobs import Job, Status
from qa.questions.questions import QuestionSet
from qa.types import Query
from qa.web.api.openapi import problems
from qa.web.middleware.access import is_on_this_machine
from qa.web.ports import AskService, Evaluations
from qa.web.problems import FieldError, Problem, ProblemError, check, invalid

MOST_QUESTIONS = 20_000
_EXAMPLE_ID = "5a7b4a42f4a1f1bb0f3dbbcd8d4f4ff4"


class AskingParameters(BaseModel):
    """How the questions are asked."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["hybrid", "dense", "lexical"] = Field(default="hybrid", description="Which legs search.")
    top_k: int = Field(default=20, description="How many passages to ask for.")
    rerank: bool = Field(default=False, description="Whether a cross-encoder orders the passages anew.")

    def options(self) -> dict[str, Any]:
        return {"mode": self.mode, "top_k": self.top_k, "rerank": self.rerank}


class EvaluationParameters(AskingParameters):
    """How the questions are asked, and how their file is read."""

    name: str = Field(
        default="questions", max_length=100, pattern=r"^[\w .()-]+$", description="What errors call the file."
    )
    keep_going: bool = Field(default=False, description="Leave out what is wrong in the file, and say what.")


class EstimateBody(BaseModel):
    """A mean with its 95 % interval; null where nothing can be said."""

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(description="How many questions it is of.")
    method: str = Field(description="How the interval was found.")


class LatencyBody(BaseModel):
    """Milliseconds that a question took."""

    n: int
    p50: float
    p95: float
    p99: float


class FaultBody(BaseModel):
    line: int | None = Field(description="In the question file, from 1.")
    field: str
    message: str


class EvaluationResponse(BaseModel):
    """How far an evaluation is and, once it is done, its measures."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _EXAMPLE_ID,
                    "status": "asking",
                    "created": "2026-04-01T12:00:00+00:00",
                    "snapshot": "20260401T120000.000Z-5a7b4a42",
                    "questions": 96,
                    "asked": 41,
                    "report": None,
                    "detail": "",
                    "faults": [],
                    "measures": None,
                    "failures": None,
                    "latency_ms": None,
                    "notes": [],
                }
            ]
        }
    )

    id: str
    status: Status
    created: str = Field(description="ISO 8601.")
    snapshot: str = Field(description="The snapshot that is asked: the one that was served when the file came.")
    questions: int = Field(description="How many are asked; 0 until their judgments have been found.")
    asked: int = Field(description="How many have been asked.")
    report: str | None = Field(description="The address of the report, once it is done.")
    detail: str = Field(description="Why it failed, if it did.")
    faults: list[FaultBody] = Field(description="What was wrong with the question file, if that is why.")
    measures: dict[str, EstimateBody] | None = Field(description="By level and name, such as `passages.nDCG@10`.")
    failures: dict[str, int] | None = Field(description="Questions that failed, by reason.")
    latency_ms: LatencyBody | None
    notes: list[str] = Field(description="What was not measured, and what could not have been seen.")

    @classmethod
    def of(cls, job: Job, summary: dict[str, Any] | None) -> EvaluationResponse:
        numbers = summary or {}
        return cls(
            id=job.id,
            status=job.status,
            created=job.created,
            snapshot=job.snapshot,
            questions=job.questions,
            asked=job.asked,
            report=f"/v1/evaluations/{job.id}/report" if job.status == "done" else None,
            detail=job.detail,
            faults=[FaultBody.model_validate(fault, from_attributes=True) for fault in job.faults],
            measures=numbers.get("measures"),
            failures=numbers.get("failures"),
            latency_ms=numbers.get("latency"),
            notes=numbers.get("notes", []),
        )


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
    parameters: Annotated[EvaluationParameters, FromQuery()],
    data: Annotated[bytes, Depends(_body)],
    format: Annotated[str, Depends(_format)],
    service: Annotated[AskService, Depends(_service)],
    evaluations: Running,
    response: Response,
) -> EvaluationResponse:
    """Queue the evaluation of the snapshot that is served now. One runs at a time; ask for it at `Location`."""
    if errors := check(Query("?", parameters.top_k), service.limits):
        raise ProblemError(invalid(errors))
    from qa.questions.formats import parse_questions

    # What is wrong with the file itself is told at once; where its quotes stand is looked up when its turn has come.
    parsed = parse_questions(parameters.name, data, format, keep_going=parameters.keep_going)  # type: ignore[arg-type]
    if error := too_many(parsed):
        raise ProblemError(invalid((FieldError("body", f"{error}."),)))
    job = evaluations.submit(parameters.name, data, format, parameters.options(), parameters.keep_going)
    response.headers["Location"] = f"{PATH}/{job.id}"
    return EvaluationResponse.of(job, None)


@router.get(
    f"{PATH}/{{id}}",
    operation_id="getEvaluation",
    tags=["evaluations"],
    summary="How far an evaluation is, and its measures",
    responses=problems(404),
)
def get(id: Id, evaluations: Running) -> EvaluationResponse:
    """`status` goes from `queued` over `preparing`, `asking` and `measuring` to `done`, or ends in `failed`."""
    job = evaluations.get(id)
    return EvaluationResponse.of(job, _summary(evaluations, job))


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
    count, most = len(parsed.questions), MOST_QUESTIONS
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
