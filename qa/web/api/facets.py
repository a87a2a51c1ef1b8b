"""``GET /v1/facets``: the fields that documents can be filtered by, and how many documents have each value."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from qa.index.fields import MOST_FACET_VALUES
from qa.search.filters import parse_filter
from qa.web.api.document_responses import FacetsResponse
from qa.web.api.filters import FilterTexts
from qa.web.api.openapi import problems
from qa.web.deps import Deps, ServiceDep

MOST_LISTED_VALUES = 200

router = APIRouter()


class FacetParameters(BaseModel):
    """Which documents to count, and how many values of a field to list."""

    model_config = ConfigDict(extra="forbid")

    filter: FilterTexts = []
    values: int = Field(
        default=MOST_FACET_VALUES, ge=1, le=MOST_LISTED_VALUES, description="How many values of a field at most."
    )


@router.get(
    "/v1/facets",
    operation_id="listFacets",
    tags=["documents"],
    summary="What documents can be filtered by, with counts",
    response_model=FacetsResponse,
    responses=problems(422, 503),
)
async def list_facets(
    parameters: Annotated[FacetParameters, FromQuery()], service: ServiceDep, deps: Deps, request: Request
) -> Response:
    """Count the documents by field and value. Under a `filter` each field shows what else could be chosen in it."""

    def build() -> str:
        found = service.facets(parse_filter(parameters.filter), parameters.values)
        return FacetsResponse.from_facets(found).model_dump_json()

    return Response(await deps.whole.run(build, request=request), media_type="application/json")
