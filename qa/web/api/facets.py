"""``GET /v1/facets``: the fields that documents can be filtered by, and how many documents have each value."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from qa.index.fields import MOST_FACET_VALUES, Facets, FieldKind
from qa.search.filters import parse_filter
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


class FacetValueBody(BaseModel):
    """A value as a filter takes it, or the year of dates."""

    value: str
    documents: int = Field(description="How many documents have it.")


class FacetBody(BaseModel):
    """A field, counted over the documents that pass the filter's conditions on the other fields."""

    field: str
    kind: FieldKind = Field(
        description="`folder`: a value passes with all below it. `date`: can be compared by `>=` and `<=`. `value`: "
        "passes as it is, in any case."
    )
    documents: int = Field(description="How many documents have a value in it.")
    distinct: int = Field(description="How many values there are, of dates how many years.")
    values: list[FacetValueBody] = Field(description="What most documents have comes first, of dates the latest year.")


class FacetsResponse(BaseModel):
    """The fields in which a document says something. A filter may name others, which nothing passes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "snapshot": "20260401T120000.000Z-5a7b4a42",
                    "documents": 2,
                    "fields": [
                        {
                            "field": "folder",
                            "kind": "folder",
                            "documents": 2,
                            "distinct": 1,
                            "values": [{"value": "timetables", "documents": 2}],
                        }
                    ],
                }
            ]
        }
    )

    snapshot: str
    documents: int = Field(description="How many documents pass the whole filter.")
    fields: list[FacetBody]

    @classmethod
    def from_facets(cls, facets: Facets) -> FacetsResponse:
        return cls.model_validate(facets, from_attributes=True)


@router.get(
    "/v1/facets",
    operation_id="listFacets",
    tags=["documents"],
    summary="What documents can be filtered by, with counts",
    response_model=FacetsResponse,
    responses=problems(422, 503),
)
async def list_facets(parameters: Annotated[FacetParameters, FromQuery()], service: ServiceDep, deps: Deps) -> Response:
    """Count the documents by field and value. Under a `filter` each field shows what else could be chosen in it."""

    def build() -> str:
        found = service.facets(parse_filter(parameters.filter), parameters.values)
        return FacetsResponse.from_facets(found).model_dump_json()

    return Response(await deps.whole.run(build), media_type="application/json")
