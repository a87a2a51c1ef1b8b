"""The shapes of filters in requests: closed nodes in a JSON body, and conditions as text in an address.

Their bounds, and the fields that there are, are checked by the service, as for every other way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from qa.errors import QueryError
from qa.index.field_writer import KINDS
from qa.search.filters import (
    LONGEST_VALUE,
    MOST_CONDITIONS,
    MOST_VALUES,
    parse_filter,
)
from qa.types import Condition, Eq, In, Range

# For the OpenAPI document only: the service says more than that a value is too long.
_LENGTH: JsonDict = {"minLength": 1, "maxLength": LONGEST_VALUE}
_FIELDS: JsonDict = {"examples": list(KINDS)}

FieldName = Annotated[
    str,
    Field(description="A field, as `GET /v1/facets` lists them.", json_schema_extra=_FIELDS),
]
Value = Annotated[str, Field(json_schema_extra=_LENGTH)]


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EqNode(_Node):
    """What has this value in a field: in any case, a folder with all below it, a date with all that it holds."""

    op: Literal["eq"]
    field: FieldName
    value: Value

    def conditions(self) -> tuple[Condition, ...]:
        """Build the conditions of the query."""
        return (Eq(self.field, self.value),)


class InNode(_Node):
    """What has one of these values in a field."""

    op: Literal["in"]
    field: FieldName
    values: Annotated[list[Value], Field(json_schema_extra={"minItems": 1, "maxItems": MOST_VALUES})]

    def conditions(self) -> tuple[Condition, ...]:
        """Build the conditions of the query."""
        return (In(self.field, tuple(self.values)),)


class RangeNode(_Node):
    """What has a date between these, both of which count; one of them may be left out."""

    op: Literal["range"]
    field: FieldName
    low: Value | None = Field(default=None, description="`2024`, `2024-05`, `2024-05-01` or `2024-05-01T12:00Z`.")
    high: Value | None = Field(default=None, description="The same; `2024` is all of that year.")

    def conditions(self) -> tuple[Condition, ...]:
        """Build the conditions of the query."""
        return (Range(self.field, self.low, self.high),)


class AndNode(_Node):
    """What passes all of these."""

    op: Literal["and"]
    filters: Annotated[
        list[Annotated[EqNode | InNode | RangeNode, Field(discriminator="op")]],
        Field(json_schema_extra={"maxItems": MOST_CONDITIONS}),
    ]

    def conditions(self) -> tuple[Condition, ...]:
        """Build the conditions of the query."""
        return tuple(condition for node in self.filters for condition in node.conditions())


# Flat: a node in a node in a node would say nothing more.
FilterNode = Annotated[
    EqNode | InNode | RangeNode | AndNode,
    Field(
        discriminator="op",
        description="Search only what passes: the folder, type, language, date and what else documents say of "
        "themselves. What says nothing in a field does not pass a condition on it.",
    ),
]


def _check_texts(texts: Sequence[str]) -> Sequence[str]:
    try:
        parse_filter(texts)
    except QueryError as error:
        raise PydanticCustomError("filter", "{reason}", {"reason": str(error)}) from None
    return texts


FilterTexts = Annotated[
    list[Annotated[str, Field(json_schema_extra={"minLength": 3, "maxLength": LONGEST_VALUE})]],
    AfterValidator(_check_texts),
    Field(
        description="Only what passes all of these: `field=value`, `date>=2024`, `date<=2024-06`. Values of one field "
        f"are alternatives. Fields: {', '.join(KINDS)}.",
        examples=[["folder=hr", "date>=2024"]],
        json_schema_extra={"maxItems": MOST_VALUES},
    ),
]
