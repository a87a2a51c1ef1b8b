"""The description of the HTTP API as a page of this server, made of the OpenAPI document, without a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from qa.web.pages.rendering import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of an address or a field of a body, in words."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method does at one path. ``responses`` are statuses with their meaning."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    responses: tuple[tuple[str, str], ...]


@router.get("/docs")
def api_page(request: Request) -> Response:
    """Show every operation by its tag."""
    document = request.app.openapi()
    tags = [(tag["name"], tag["description"], list(_operations(document, tag["name"]))) for tag in document["tags"]]
    return render(request, "api.html", None, tags=[tag for tag in tags if tag[2]])


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[Operation]:
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation.get("tags", ()):
                parameters = (
                    Field(each["name"], _kind(each["schema"]), each.get("required", False), each.get("description", ""))
                    for each in operation.get("parameters", ())
                )
                yield Operation(
                    f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
                    method.upper(),
                    path,
                    operation["summary"],
                    operation["description"],
                    tuple(parameters),
                    tuple(_body(operation.get("requestBody", {}), schemas)),
                    tuple((status, each["description"]) for status, each in operation["responses"].items()),
                )


def _body(body: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Field]:
    for content in body.get("content", {}).values():
        schema = content.get("schema", {})
        schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        required = schema.get("required", ())
        for name, each in schema.get("properties", {}).items():
            yield Field(name, _kind(each), name in required, each.get("description", ""))
        return


def _kind(schema: Mapping[str, Any]) -> str:
    """Say in words what a schema takes."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", schema.get("const", "any")))
