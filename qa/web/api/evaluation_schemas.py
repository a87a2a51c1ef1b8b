"""The shapes of evaluations over HTTP, at the edge only."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.evaluation.jobs.evaluation_jobs import Job, Status

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
