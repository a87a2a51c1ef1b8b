"""Maintenance over HTTP: snapshots listed and switched, the index updated. It needs a key of the scope admin."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from qa.errors import SnapshotCorrupt
from qa.index.snapshots import SnapshotInfo
from qa.web.api import examples
from qa.web.api.openapi import problems
from qa.web.api.operation_responses import ReadyResponse
from qa.web.api.upkeep_responses import IndexResponse
from qa.web.deps import MaintenanceDep
from qa.web.problems import Problem, ProblemError, shown

log = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])


SnapshotId = Annotated[str, Path(description="As `GET /v1/snapshots` names it.", max_length=64)]


class SnapshotBody(BaseModel):
    """A snapshot on disk. Where `problem` is not empty, the snapshot cannot be read, and the next fields are null."""

    id: str
    active: bool
    bytes: int
    problem: str = Field(description="Why it cannot be used; empty where it can be opened.")
    created: str | None
    encoder: str | None
    documents: int | None
    passages: int | None

    @classmethod
    def from_info(cls, info: SnapshotInfo) -> SnapshotBody:
        manifest = info.manifest
        return cls(
            id=info.id,
            active=info.active,
            bytes=info.size,
            # The error's own message names paths of this machine.
            problem="" if manifest is not None else "it is damaged, or of another version",
            created=manifest.created if manifest else None,
            encoder=manifest.encoder if manifest else None,
            documents=manifest.documents if manifest else None,
            passages=manifest.passages if manifest else None,
        )


class SnapshotsResponse(BaseModel):
    """The snapshots of the index, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SNAPSHOTS]})

    snapshots: list[SnapshotBody]


@router.get(
    "/v1/snapshots",
    operation_id="listSnapshots",
    summary="The snapshots of the index",
    responses=problems(401, 403, 503),
)
def snapshots(maintenance: MaintenanceDep) -> SnapshotsResponse:
    """List the snapshots, newest first; one of them is active."""
    return SnapshotsResponse(snapshots=[SnapshotBody.from_info(info) for info in maintenance.snapshots()])


@router.post(
    "/v1/snapshots/{id}/activate",
    operation_id="activateSnapshot",
    summary="Switch to another snapshot, or back",
    responses=problems(401, 403, 404, 409, 503),
)
def activate(id: SnapshotId, maintenance: MaintenanceDep) -> ReadyResponse:
    """Check a snapshot and serve it. A damaged one, or one of another model, gets 409, and nothing changes."""
    try:
        return ReadyResponse.from_state(maintenance.activate(id))
    except SnapshotCorrupt as error:
        log.error("snapshot not activated", snapshot=shown(id), reason=str(error))
        detail = "The snapshot is damaged; the server's log says where. The present one is still served."
        raise ProblemError(Problem("snapshot-unusable", 409, detail)) from error


@router.post(
    "/v1/index",
    operation_id="updateIndex",
    summary="Update the index from its files",
    status_code=202,
    responses=problems(401, 403, 409, 503),
)
def index(maintenance: MaintenanceDep) -> IndexResponse:
    """Read what has changed below the paths that the index was built from; `GET /v1/index` has the result."""
    return IndexResponse.from_indexing(maintenance.index())


@router.get(
    "/v1/index",
    operation_id="getIndexing",
    summary="The result of the last update",
    responses=problems(401, 403),
)
def indexing(maintenance: MaintenanceDep) -> IndexResponse:
    """Return the state of the last update that was requested over HTTP."""
    return IndexResponse.from_indexing(maintenance.indexing())
