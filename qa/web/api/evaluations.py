"""Evaluations over HTTP: a question file in; progress, measures and the report out."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response, StreamingResponse

from qa.evaluation.jobs.check import check_file
from qa.evaluation.jobs.jobs import Job, Status
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.search.query import top_k_fault
from qa.types import Mode
from qa.web.api.openapi import problems
from qa.web.deps import Deps, EvaluationsDep, of_request
from qa.web.middleware.access import may_operate
from qa.web.middleware.collections import in_collection
from qa.web.problems import Problem, ProblemError

PATH = "/v1/evaluations"
# Seconds between two reloads of a page that waits for an evaluation.
REFRESH_SECONDS = 2
# Formats of question files, by the media type of the body. BEIR and TREC collections are folders, so they cannot come.
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
_EXAMPLE_ID = "5a7b4a42f4a1f1bb0f3dbbcd8d4f4ff4"

router = APIRouter(tags=["evaluations"])


class AskingParameters(BaseModel):
    """How the questions are asked."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(default="hybrid", description="Which legs search.")
    top_k: int = Field(default=20, description="How many passages to ask for.")
    rerank: bool = Field(default=False, description="Whether a cross-encoder re-orders the passages.")

    def options(self) -> dict[str, Any]:
        """Return the values that an evaluation keeps and asks with."""
        return {"mode": self.mode, "top_k": self.top_k, "rerank": self.rerank}


class EvaluationParameters(AskingParameters):
    """How the questions are asked, and how their file is read."""

    name: str = Field(
        default="questions", max_length=100, pattern=r"^[\w .()-]+$", description="The name that errors give the file."
    )
    keep_going: bool = Field(default=False, description="Leave out the wrong records, and report them.")


class EstimateBody(BaseModel):
    """A mean with its 95 % interval; null where there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(description="How many questions it is the mean of.")
    method: str = Field(description="How the interval was found.")


class LatencyBody(BaseModel):
    """Milliseconds that a question took."""

    n: int
    p50: float
    p95: float
    p99: float


class FaultBody(BaseModel):
    """A record of the question file that cannot be used."""

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
                    "reading_ms": None,
                    "notes": [],
                }
            ]
        }
    )

    id: str
    status: Status
    created: str = Field(description="ISO 8601.")
    snapshot: str = Field(description="The snapshot that is asked: the one that was served when the file arrived.")
    questions: int = Field(description="How many are asked; 0 until their judgments have been found.")
    asked: int = Field(description="How many have been asked.")
    report: str | None = Field(description="The address of the report, once it is done.")
    detail: str = Field(description="Why it failed, if it did.")
    faults: list[FaultBody] = Field(description="What was wrong with the question file, if that is why.")
    measures: dict[str, EstimateBody] | None = Field(
        description="The means by name, such as `answers.right` (what a person gets) and `passages.nDCG@10`."
    )
    failures: dict[str, int] | None = Field(description="Questions that failed, by reason.")
    latency_ms: LatencyBody | None
    reading_ms: LatencyBody | None = Field(description="The part of the latency in which answers were read.")
    notes: list[str] = Field(description="What was not measured, and how small a change would go unseen.")

    @classmethod
    def from_job(cls, job: Job, summary: dict[str, Any] | None) -> EvaluationResponse:
        numbers = summary or {}
        return cls(
            id=job.id,
            status=job.status,
            created=job.created,
            snapshot=job.snapshot,
            questions=job.questions,
            asked=job.asked,
            report=in_collection(f"{PATH}/{job.id}/report") if job.status == "done" else None,
            detail=job.detail,
            faults=[FaultBody.model_validate(fault, from_attributes=True) for fault in job.faults],
            measures=numbers.get("measures"),
            failures=numbers.get("failures"),
            latency_ms=numbers.get("latency"),
            reading_ms=numbers.get("reading"),
            notes=numbers.get("notes", []),
        )


def _format(request: Request) -> str:
    """Return the format of the body's question file. Raises ProblemError, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in FORMATS:
        names = ", ".join(FORMATS)
        detail = f"Send the question file as the body, with its type in the header Content-Type: one of {names}."
        raise ProblemError(Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": names}))
    return FORMATS[media_type]


EvaluationId = Annotated[str, Path(description="As `POST /v1/evaluations` gave it.", max_length=64)]


@router.post(
    PATH,
    operation_id="evaluate",
    summary="Evaluate a question file",
    status_code=202,
    openapi_extra={"requestBody": _BODY},
    responses=problems(401, 403, 413, 415, 422, 429, 503),
)
async def submit(
    parameters: Annotated[EvaluationParameters, FromQuery()],
    format: Annotated[str, Depends(_format)],
    deps: Deps,
    evaluations: EvaluationsDep,
    request: Request,
    response: Response,
) -> EvaluationResponse:
    """Queue an evaluation of the snapshot that is served now. One runs at a time; `Location` says where it is."""
    if fault := top_k_fault(parameters.top_k, deps.service.limits):
        raise fault
    data = await request.body()

    def queue(check: Callable[[], None]) -> Job:
        # Faults of the file itself are refused at once; its quotes are looked up in the documents when its turn comes.
        check_file(parameters.name, data, format, keep_going=parameters.keep_going, check=check)
        return evaluations.submit(parameters.name, data, format, parameters.options(), parameters.keep_going)

    job = await deps.uploads.run_watched(queue, request)
    response.headers["Location"] = in_collection(f"{PATH}/{job.id}")
    return EvaluationResponse.from_job(job, None)


@router.get(
    f"{PATH}/{{id}}",
    operation_id="getEvaluation",
    summary="How far an evaluation is, and its measures",
    responses=problems(404),
)
def get(id: EvaluationId, evaluations: EvaluationsDep) -> EvaluationResponse:
    """Report progress: `status` goes from `queued` to `done`, or ends in `failed`."""
    job = evaluations.get(id)
    return EvaluationResponse.from_job(job, _load_summary(evaluations, job))


@router.get(
    f"{PATH}/{{id}}/report",
    operation_id="getEvaluationReport",
    summary="The report as a page that stands alone",
    response_class=HTMLResponse,
    responses=problems(404),
)
def report(id: EvaluationId, evaluations: EvaluationsDep) -> StreamingResponse:
    """Return the report as one self-contained HTML file; 404 until the evaluation is done."""
    return stream_page(evaluations.report(id))


@router.delete(
    f"{PATH}/{{id}}",
    operation_id="cancelEvaluation",
    summary="Cancel an evaluation, or remove one that is over",
    status_code=204,
    responses=problems(401, 403, 404, 503),
)
def cancel(id: EvaluationId, evaluations: EvaluationsDep) -> Response:
    """Stop an evaluation before its next question, and remove all of it."""
    evaluations.cancel(id)
    return Response(status_code=204)


def stream_page(file: IO[bytes]) -> StreamingResponse:
    """Stream a self-contained page, under the policy that it names, from an open file that may be removed meanwhile."""
    policy = _META_POLICY.search(file.read(4096).decode(errors="replace"))
    headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    if policy is not None:
        # As strict as that of every other page, except for the style and the script in it.
        headers["Content-Security-Policy"] = f"{_printable_ascii(policy[1])}; frame-ancestors 'none'"
    return StreamingResponse(_read_blocks(file), media_type="text/html; charset=utf-8", headers=headers)


def may_run(request: Request) -> bool:
    """Return whether a page may start evaluations: it can send no key, so it must need none, and be on this machine."""
    return not of_request(request).needs_key and may_operate(request.scope, Headers(scope=request.scope))


def refuse_elsewhere(request: Request, detail: str) -> None:
    """Raise ProblemError, 403, where a page may not start evaluations."""
    if not may_run(request):
        raise ProblemError(Problem("forbidden", 403, detail))


def _read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(1 << 16):
            yield block


def _load_summary(evaluations: EvaluationQueue, job: Job) -> dict[str, Any] | None:
    return evaluations.summary(job.id) if job.status == "done" else None


def _printable_ascii(policy: str) -> str:
    """Drop all other characters, which would end a header's value."""
    return "".join(c for c in html.unescape(policy) if " " <= c <= "~")
