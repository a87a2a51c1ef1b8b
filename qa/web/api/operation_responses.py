"""The shapes of operation: whether collections can be asked, and what is wrong with a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.types import State
from qa.web.api import examples


class FieldProblem(BaseModel):
    """A field that is wrong."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """A problem detail (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str = Field(description="A URN for the kind of problem; decide by this, not by the words.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    errors: list[FieldProblem] = Field(default=[], description="What is wrong, field by field.")
    state: str = Field(default="", description="Where the service is not ready: what it is doing, in one word.")
    collections: dict[str, str] = Field(
        default={}, description="Where the service is not ready: the status of each collection by its name."
    )
    details: dict[str, str] = Field(
        default={}, description="Where the service is not ready: what there is to say of each collection, by its name."
    )


class HealthResponse(BaseModel):
    """The process is up."""

    status: Literal["up"] = "up"


class CollectionBody(BaseModel):
    """A collection, and the snapshot of it that is served."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COLLECTION]})

    name: str
    default: bool = Field(description="Whether it is asked where an address names no collection.")
    ready: bool = Field(description="Whether it can be asked.")
    status: str = Field(description="What it is doing, in one word.")
    detail: str
    snapshot: str | None
    documents: int
    passages: int
    created: str | None = Field(description="When the snapshot was built, in ISO 8601.")
    calibration: str = Field(
        description="Whose questions confidence was fitted to, `this collection` or `other collections`; empty where "
        "it was to none, so that there is no confidence."
    )

    @classmethod
    def from_state(cls, state: State, *, default: bool) -> CollectionBody:
        names = cls.model_fields.keys() - {"name", "default"}
        return cls(name=state.index, default=default, **{name: getattr(state, name) for name in names})


class CollectionsResponse(BaseModel):
    """The collections that the request's key may ask, the default one first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"collections": [examples.COLLECTION]}]})

    collections: list[CollectionBody]

    @classmethod
    def from_states(cls, states: Sequence[State]) -> CollectionsResponse:
        bodies = [CollectionBody.from_state(state, default=state is states[0]) for state in states]
        return cls(collections=bodies)


class ReadyResponse(BaseModel):
    """The snapshot that is served, of the default collection."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.READY]})

    status: str
    detail: str
    index: str
    snapshot: str | None
    documents: int
    passages: int
    created: str | None = Field(description="When the snapshot was built, in ISO 8601.")
    collections: dict[str, str] = Field(default={}, description="The status of each collection by its name.")
    details: dict[str, str] = Field(
        default={}, description="What is served of each collection, and what is wrong with it, by its name."
    )

    @classmethod
    def from_state(cls, state: State, others: Sequence[State] = ()) -> ReadyResponse:
        values = {name: getattr(state, name) for name in cls.model_fields.keys() - {"collections", "details"}}
        named = [each for each in (state, *others) if each.index]
        statuses, details = {each.index: each.status for each in named}, {each.index: each.detail for each in named}
        return cls(**values, collections=statuses, details=details)
