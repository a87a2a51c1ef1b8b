"""What was asked and not answered, for who keeps the documents. It needs a key of the scope admin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from qa.questions.asked import Asked
from qa.service.unanswered import Group, Unanswered, export_lines, export_table
from qa.types import AnswerOutcome
from qa.web.api import examples
from qa.web.api.openapi import problems
from qa.web.deps import Deps

PATH = "/v1/unanswered"
EXPORT = f"{PATH}/export"
_MOST_LISTED = 100
_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

router = APIRouter(tags=["operation"])


class UnansweredParameters(BaseModel):
    """Which part of the groups."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(default=0, ge=0, le=10**6, description="How many groups to leave out from the beginning.")
    limit: int = Field(default=_MOST_LISTED, ge=1, le=_MOST_LISTED, description="How many groups to list at most.")


class ExportParameters(BaseModel):
    """The format of the export."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["jsonl", "csv"] = Field(default="jsonl", description="Of the question file.")


class AskedBody(BaseModel):
    """A question. `outcome` and `confidence` are of the last time; null where it was answered, and judged."""

    question: str
    times: int
    last: str = Field(description="The day when it was last asked or judged, in UTC.")
    outcome: AnswerOutcome | None
    confidence: float | None
    helpful: int = Field(description="How many texts somebody said to answer it.")
    unhelpful: int

    @classmethod
    def from_asked(cls, asked: Asked) -> AskedBody:
        return cls(
            question=asked.question,
            times=asked.times,
            last=asked.last,
            outcome=asked.outcome,  # type: ignore[arg-type]
            confidence=asked.confidence,
            helpful=asked.helpful,
            unhelpful=asked.unhelpful,
        )


class GroupBody(BaseModel):
    """Questions that are alike, the one asked most often first."""

    times: int
    last: str
    questions: list[AskedBody]


class UnansweredResponse(BaseModel):
    """What was not answered in the last `days`, in groups, those asked most often first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UNANSWERED]})

    days: int
    groups: list[GroupBody]
    total: int = Field(description="How many groups there are.")
    next: int | None = Field(description="The `offset` of the next part; null where there is none.")

    @classmethod
    def from_groups(cls, days: int, groups: Sequence[Group], offset: int, limit: int) -> UnansweredResponse:
        end = offset + limit
        return cls(
            days=days,
            groups=[
                GroupBody(times=each.times, last=each.last, questions=[AskedBody.from_asked(a) for a in each.questions])
                for each in groups[offset:end]
            ],
            total=len(groups),
            next=end if end < len(groups) else None,
        )


@router.get(
    PATH,
    operation_id="listUnanswered",
    summary="What was asked and not answered",
    response_model=UnansweredResponse,
    responses=problems(422, 503),
)
async def list_unanswered(
    parameters: Annotated[UnansweredParameters, FromQuery()], deps: Deps, request: Request
) -> Response:
    """List questions that were not answered, or whose answer somebody judged, grouped by likeness.

    Nothing in them tells who asked. The 1,000 that were asked last are compared.
    """
    unanswered = of(deps.unanswered)

    def build() -> bytes:
        groups = unanswered.groups()
        found = UnansweredResponse.from_groups(unanswered.days, groups, parameters.offset, parameters.limit)
        return found.model_dump_json().encode()

    return Response(await deps.whole.run(build, request=request), media_type="application/json")


@router.get(
    EXPORT,
    operation_id="exportUnanswered",
    summary="The same as a question file",
    response_class=Response,
    responses={
        **problems(422, 503),
        200: {"content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in _TYPES.values()}},
    },
)
async def export_unanswered(
    parameters: Annotated[ExportParameters, FromQuery()], deps: Deps, request: Request
) -> Response:
    """Return the questions as a file that `qa evaluate` and `qa calibrate` take, once somebody has added answers.

    What was judged is in it as evidence.
    """
    unanswered = of(deps.unanswered)

    def build() -> bytes:
        groups = unanswered.groups()
        lines: Iterator[str] = export_lines(groups) if parameters.format == "jsonl" else export_table(groups)
        return "".join(lines).encode("utf-8", "replace")

    headers = {"Content-Disposition": f'attachment; filename="unanswered.{parameters.format}"'}
    return Response(await deps.whole.run(build, request=request), media_type=_TYPES[parameters.format], headers=headers)


def of(unanswered: Unanswered | None) -> Unanswered:
    """Return what a collection keeps, in an application that keeps it."""
    assert unanswered is not None
    return unanswered
