"""The shapes of what is said of documents that were uploaded or removed, and of the update of the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.web.api import examples

if TYPE_CHECKING:
    # Late: the client reads these shapes without the packages of a server.
    from qa.service.indexing import Indexing
    from qa.service.upkeep import Outcome


class ChangeBody(BaseModel):
    """A document that was uploaded, replaced or deleted, and what has become of that."""

    id: str
    kind: str = Field(description="`added`, `replaced`, `removed`, `unchanged` or `refused`.")
    status: str = Field(
        description="`waiting`, `reading`, then what the new snapshot says of it: `indexed`, `partial`, `skipped`, "
        "`failed`, `removed`; or `unchanged` or `refused`."
    )
    reason: str


class IndexResponse(BaseModel):
    """The last update of the index that was requested over HTTP since the server started."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INDEXING]})

    status: str = Field(description="`none`, `running`, `done`, `unchanged` or `failed`.")
    detail: str
    snapshot: str | None = Field(description="The snapshot that the update made active.")
    started: str | None = Field(description="In ISO 8601.")
    seconds: float | None
    files: int = Field(description="How many files there are, while it runs.")
    done: int = Field(description="How many of them have been gone through.")
    share: float = Field(description="The share of their bytes that has been gone through.")
    changes: list[ChangeBody] = Field(description="The documents that were changed from outside: at most 1,000.")

    @classmethod
    def from_indexing(cls, indexing: Indexing) -> IndexResponse:
        changes = [
            ChangeBody(id=as_text(change.id), kind=change.kind, status=change.status, reason=as_text(change.reason))
            for change in indexing.changes
        ]
        return cls(
            status=indexing.status,
            detail=indexing.detail,
            snapshot=indexing.snapshot,
            started=indexing.started,
            seconds=indexing.seconds,
            files=indexing.files,
            done=indexing.done,
            share=indexing.share,
            changes=changes,
        )


class UploadedFile(BaseModel):
    """What became of a file that was sent. What is not `refused` is on the server's disk, and will be indexed."""

    id: str
    status: Literal["added", "replaced", "unchanged", "refused"]
    reason: str = Field(description="Why it was refused; else empty.")
    bytes: int
    sha256: str = Field(description="Of its bytes; empty where it was refused.")

    @classmethod
    def from_outcome(cls, outcome: Outcome) -> UploadedFile:
        return cls(
            id=as_text(outcome.id),
            status=outcome.status,
            reason=outcome.reason,
            bytes=outcome.size,
            sha256=outcome.sha256,
        )


class UploadResponse(BaseModel):
    """What became of each file, in the order in which they were sent, and of the index."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD]})

    files: list[UploadedFile]
    indexing: IndexResponse

    @classmethod
    def from_outcomes(cls, outcomes: list[Outcome], indexing: Indexing) -> UploadResponse:
        files = [UploadedFile.from_outcome(outcome) for outcome in outcomes]
        return cls(files=files, indexing=IndexResponse.from_indexing(indexing))


def as_text(name: str) -> str:
    """Return a name in valid Unicode: what was refused may have any."""
    return name.encode("utf-8", "replace").decode()
