"""Operating over HTTP: snapshots listed and switched, the index brought up to date. Needs a key of the scope admin."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from qa.errors import SnapshotCorrupt
from qa.index.snapshots import SnapshotInfo
from qa.service.operator import Indexing
from qa.web.api import examples
from qa.web.api import responses as schemas
from qa.web.api.openapi import problems
from qa.web.ports import Operations
from qa.web.problems import Problem, ProblemError, shown

log = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])


async def _operations(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


Operating = Annotated[Operations, Depends(_operations)]
Id = Annotated[str, Path(description="As `GET /v1/snapshots` names it.", max_length=64)]


class SnapshotBody(BaseModel):
    """A snapshot on disk. Where `problem` is not empty, it cannot be read, and the fields below it are null."""

    id: str
    active: bool
    bytes: int
    problem: str = Field(description="Why it cannot be used; empty where it can be opened.")
    created: str | None
    encoder: str | None
    documents: int | None
    passages: int | None

    @classmethod
    def of(cls, info: SnapshotInfo) -> SnapshotBody:
        manifest = info.manifest
        return cls(
            id=info.id,
            active=info.active,
            bytes=info.size,
            # Without the message, which names paths of this machine.
            problem="" if manifest is not None else "it is damaged, or of another version",
            created=manifest.created if manifest else None,
            encoder=manifest.encoder if manifest else None,
            documents=manifest.documents if manifest else None,
            passages=manifest.passages if manifest else None,
        )


class SnapshotsResponse(BaseModel):
    """Newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SNAPSHOTS]})

    snapshots: list[SnapshotBody]


class IndexResponse(BaseModel):
    """The last update of the index that was asked for over HTTP since the server started."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INDEXING]})

    status: str = Field(description="`none`, `running`, `done`, `unchanged` or `failed`.")
    detail: str
    snapshot: str | None = Field(description="The snapshot that is active since.")
    started: str | None = Field(description="In ISO 8601.")
    seconds: float | None

    @classmethod
    def of(cls, indexing: Indexing) -> IndexResponse:
        return cls.model_validate(indexing, from_attributes=True)


@router.get(
    "/v1/snapshots",
    operation_id="listSnapshots",
    summary="The snapshots of the index",
    responses=problems(401, 403, 503),
)
def snapshots(operations: Operating) -> SnapshotsResponse:
    """Newest first; one is active."""
    return SnapshotsResponse(snapshots=[SnapshotBody.of(info) for info in operations.snapshots()])


@router.post(
    "/v1/snapshots/{id}/activate",
    operation_id="activateSnapshot",
    summary="Switch to another snapshot, or back",
    responses=problems(401, 403, 404, 409, 503),
)
def activate(id: Id, operations: Operating) -> schemas.ReadyResponse:
    """It is checked first; where it is damaged or another model's, 409, and what was served is served on."""
    try:
        return schemas.ReadyResponse.of(operations.activate(id))
    except SnapshotCorrupt as error:
        log.error("snapshot not activated", snapshot=shown(id), reason=str(error))
        detail = "The snapshot is damaged; the server's log says where. What was served is served on."
        raise ProblemError(Problem("snapshot-unusable", 409, detail)) from error


@router.post(
    "/v1/index",
    operation_id="updateIndex",
    summary="Bring the index up to date with its files",
    status_code=202,
    responses=problems(401, 403, 409, 503),
)
def index(operations: Operating) -> IndexResponse:
    """Reads what has changed below the paths that the index was made of. Ask `GET /v1/index` what came of it."""
    return IndexResponse.of(operations.index())


@router.get(
    "/v1/index",
    operation_id="getIndexing",
    summary="What came of the last update",
    responses=problems(401, 403),
)
def indexing(operations: Operating) -> IndexResponse:
    """Of those that were asked for over HTTP."""
    return IndexResponse.of(operations.indexing())
