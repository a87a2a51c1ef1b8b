"""The collections of the server, and whether it is ready, which is a matter of all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi import Query as FromQuery

from qa.types import State
from qa.web.api.openapi import problems
from qa.web.api.operation_responses import CollectionBody, CollectionsResponse, ReadyResponse
from qa.web.deps import collections_of, visible_collections
from qa.web.middleware.collections import asked_path
from qa.web.problems import Problem, ProblemError, not_ready, nothing_at

router = APIRouter()


@router.get(
    "/v1/collections",
    operation_id="listCollections",
    tags=["documents"],
    summary="The collections that can be asked",
    responses=problems(),
)
async def list_collections(request: Request) -> CollectionsResponse:
    """List the collections that the request's key may ask, the default one first, ready or not.

    What is at `/v1/…` for the default collection is at `/v1/collections/{collection}/…` for each.
    """
    return CollectionsResponse.from_states([each.service.state() for each in visible_collections(request)])


@router.get(
    "/v1/collections/{collection}",
    operation_id="getCollection",
    tags=["documents"],
    summary="A collection",
    responses=problems(404),
)
async def get_collection(
    collection: Annotated[str, Path(description="As `GET /v1/collections` names it.")],
    request: Request,
) -> CollectionBody:
    """Return what is served of a collection, and whether it is ready."""
    for place, each in enumerate(visible_collections(request)):
        if each.name == collection:
            return CollectionBody.from_state(each.service.state(), default=place == 0)
    raise ProblemError(nothing_at(asked_path(request.scope)))


@router.get(
    "/readyz",
    operation_id="ready",
    tags=["operation"],
    summary="Whether questions can be asked",
    responses=problems(422, 503),
)
async def ready(
    request: Request,
    any: Annotated[
        bool,
        FromQuery(
            description="Whether one collection that is ready is enough, for a load balancer that should not take the "
            "whole server away where another is broken."
        ),
    ] = False,
) -> ReadyResponse:
    """Return 200 when every collection is ready, else a problem whose `state` and `detail` say why not.

    A collection is ready when a snapshot of it and the models are loaded; beside others that are, an empty one does not
    count. `details` say what is wrong with each, also with one that is still answered from. What needs a key is not
    named without one.
    """
    # A coroutine: in the thread pool it would wait behind questions, and a busy server would look like a dead one.
    states = {name: each.service.state() for name, each in collections_of(request.app).items()}
    seen = [states[each.name] for each in visible_collections(request)]
    serving = [state for state in states.values() if state.ready]
    # One that is empty waits for documents, which must be able to reach it; alone, it has nothing to answer from.
    missing = [state for state in states.values() if not (state.ready or (serving and state.status == "empty"))]
    if missing and not (any and serving):
        raise ProblemError(_not_ready(missing[0], seen, is_alone=len(states) == 1))
    first = seen[0] if seen else State(True, "ready", "serving", index="")
    return ReadyResponse.from_state(first, seen[1:])


def _not_ready(missing: State, seen: list[State], *, is_alone: bool) -> Problem:
    """Build the problem of collections that are not ready, naming those alone that the client may know of."""
    if is_alone and seen:
        return not_ready(missing.detail, missing.status)
    named = [f"{state.index}: {state.detail}" for state in seen if not state.ready]
    problem = not_ready("; ".join(named) or "not all collections are ready", missing.status)
    statuses = {state.index: state.status for state in seen}
    details = {state.index: state.detail for state in seen}
    return replace(problem, extra={**problem.extra, "collections": statuses, "details": details})
