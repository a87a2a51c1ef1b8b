"""The OpenAPI document: what the framework derives, the problems, and the limits of this service."""

from __future__ import annotations

from collections.abc import Mapping, Set
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from qa.search.query import LEAST_READ_TOKENS
from qa.types import Limits
from qa.web.api.chat_messages import ChatRequest
from qa.web.api.requests import AskRequest, BatchRequest, describe
from qa.web.middleware.access import KeyScope, required_scope
from qa.web.middleware.collections import in_collection
from qa.web.problems import MEDIA_TYPE

DESCRIPTION = """\
Questions over a folder of documents. Each passage that is returned is a span of a document's canonical text, which
`GET /v1/documents/{id}` gives, so that it can be checked: `text[start:end]`, in Unicode code points.

Every error is a problem detail (RFC 9457, `application/problem+json`). Each response has an `X-Request-ID`.
"""

TAGS = [
    {"name": "questions", "description": "Ask, and get the passages that match best."},
    {"name": "documents", "description": "What is indexed, with its canonical text."},
    {"name": "evaluations", "description": "A question file in; progress, measures and a report out."},
    {"name": "operation", "description": "Health, snapshots and the index, for load balancers and operators."},
]

_REASONS = {
    400: "The body is not of its type: no JSON, or no form.",
    401: "A key is needed, or the one that was sent is not known.",
    403: "The key, or the machine that the request comes from, does not allow this.",
    404: "Nothing has this id.",
    408: "The body took too long to arrive.",
    409: "The index is being written, the snapshot cannot be used, or the documents cannot be changed so.",
    412: "The document is another one than the one that `If-Match` names.",
    413: "The body is too large.",
    415: "The body has the wrong media type.",
    429: "Too many requests, or too many evaluations are waiting; try again later.",
    422: "A field is missing, unknown, of the wrong type or out of bounds; `errors` says which.",
    503: "No snapshot and model are loaded yet, or too many questions wait.",
}
_ID = {"id": "$response.body#/id"}


def _ask_links(reply: str) -> dict[str, Any]:
    """Return links from an answer: to the check of its citation, and to the document of the best passage."""
    citation = f"{reply}/answer/citation"
    claim = {name: f"{citation}/{name}" for name in ("start", "end", "sha256")}
    return {
        "GetDocument": {"operationId": "getDocument", "parameters": {"id": f"{reply}/passages/0/document/id"}},
        "VerifyCitation": {"operationId": "verifyCitation", "parameters": {"id": f"{citation}/document", **claim}},
    }


# What the next request takes from a response (OpenAPI's Link Object).
_LINKS: Mapping[tuple[str, str, str], dict[str, Any]] = {
    ("/v1/ask", "post", "200"): _ask_links("$response.body#"),
    ("/v1/ask", "get", "200"): _ask_links("$response.body#"),
    ("/v1/ask/batch", "post", "200"): _ask_links("$response.body#/results/0/response"),
    ("/v1/documents", "get", "200"): {
        "GetDocument": {"operationId": "getDocument", "parameters": {"id": "$response.body#/documents/0/id"}}
    },
    ("/v1/evaluations", "post", "202"): {
        "GetEvaluation": {"operationId": "getEvaluation", "parameters": _ID},
        "GetReport": {"operationId": "getEvaluationReport", "parameters": _ID},
        "CancelEvaluation": {"operationId": "cancelEvaluation", "parameters": _ID},
    },
    ("/v1/collections", "get", "200"): {
        "GetCollection": {
            "operationId": "getCollection",
            "parameters": {"collection": "$response.body#/collections/0/name"},
        }
    },
    ("/v1/snapshots", "get", "200"): {
        "ActivateSnapshot": {
            "operationId": "activateSnapshot",
            "parameters": {"id": "$response.body#/snapshots/0/id"},
        }
    },
    ("/v1/snapshots/{id}/activate", "post", "200"): {"Ready": {"operationId": "ready"}},
    ("/v1/index", "post", "202"): {"GetIndexing": {"operationId": "getIndexing"}},
}
_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of the scope `ask` or `admin`. Without keys, what needs `admin` is answered on the "
        "server's own machine only.",
    }
}
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the responses of an operation that can end in these problems, or in an unexpected one."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": _REASONS[status], "content": _CONTENT} for status in statuses
    }
    if 503 in documented:
        documented[503]["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    documented["default"] = {"description": HTTPStatus.INTERNAL_SERVER_ERROR.phrase + ".", "content": _CONTENT}
    return documented


def complete(
    document: dict[str, Any], limits: Limits, scopes: Set[KeyScope], *, has_several: bool = False
) -> dict[str, Any]:
    """Add to the OpenAPI document the limits of this service, and the scopes that it has keys for.

    Where the service ``has_several`` collections, each path below ``/v1`` is there for a named one too.
    """
    schemas = document["components"]["schemas"]
    # Their routes read the bodies themselves, so that the framework knows nothing of them.
    schemas |= describe(AskRequest) | describe(BatchRequest) | describe(ChatRequest)
    schemas["BatchRequest"]["properties"]["questions"]["items"]["anyOf"][1] = {
        "$ref": "#/components/schemas/AskRequest"
    }
    request = schemas["AskRequest"]["properties"]
    parameters = {p["name"]: p["schema"] for p in document["paths"]["/v1/ask"]["get"]["parameters"]}
    for question in (request["question"], parameters["q"]):
        question.update(minLength=1, maxLength=limits.question_chars)
    counts = [request["top_k"], parameters["top_k"]]
    evaluating = document["paths"].get("/v1/evaluations", {}).get("post", {}).get("parameters", [])
    counts += [p["schema"] for p in evaluating if p["name"] == "top_k"]
    for top_k in counts:
        top_k.update(minimum=1, maximum=limits.top_k)
    _bound_options(schemas, request, parameters, limits)
    schemas["ChatRequest"]["properties"]["read_tokens"]["anyOf"][0].update(request["read_tokens"]["anyOf"][0])
    schemas["BatchRequest"]["properties"]["questions"].update(minItems=1, maxItems=limits.batch)
    document["components"]["securitySchemes"] = _SCHEMES
    for (path, method, status), links in _LINKS.items():
        if (operation := document["paths"].get(path, {}).get(method)) is not None:
            operation["responses"][status]["links"] = links
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (scope := required_scope(method.upper(), path)) is not None:
                # The empty requirement says that a request without a key is answered too.
                needs_key = "ask" in scopes if scope == "ask" else bool(scopes)
                operation["security"] = [{"key": [scope]}, *([] if needs_key else [{}])]
    if has_several:
        document["paths"] |= {
            in_collection(path, "{collection}"): {method: _of_collection(each) for method, each in operations.items()}
            for path, operations in document["paths"].items()
            if path.startswith("/v1/") and not path.startswith("/v1/collections")
        }
    return document


_COLLECTION = {
    "name": "collection",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "As `GET /v1/collections` names it.",
}


def _of_collection(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation as that of a named collection, to which its links stay too."""
    copy = deepcopy(dict(operation))
    copy["operationId"] += "OfCollection"
    copy["parameters"] = [_COLLECTION, *copy.get("parameters", [])]
    # Another collection has nothing at this address, and one that is not there neither.
    copy["responses"].setdefault("404", problems(404)[404])
    for response in copy["responses"].values():
        for link in response.get("links", {}).values():
            if link["operationId"] != "ready":
                link["operationId"] += "OfCollection"
                link["parameters"] = {"collection": "$request.path.collection", **link.get("parameters", {})}
    return copy


def _bound_options(
    schemas: dict[str, Any], request: dict[str, Any], parameters: dict[str, Any], limits: Limits
) -> None:
    """Add the limits of what was asked before, and of what is read."""
    schemas["TurnBody"]["properties"]["question"]["maxLength"] = limits.question_chars
    schemas["TurnBody"]["properties"]["answer"]["maxLength"] = limits.question_chars
    parameters["previous_answer"]["maxLength"] = limits.question_chars
    for previous in (request["previous"], parameters["previous"]):
        previous["maxItems"] = limits.previous
        for text in previous["items"].get("anyOf", [previous["items"]])[:1]:
            text["maxLength"] = limits.question_chars
    for read_tokens in (request["read_tokens"], parameters["read_tokens"]):
        read_tokens["anyOf"][0].update(minimum=LEAST_READ_TOKENS, maximum=limits.read_tokens)


def install(app: FastAPI, limits: Limits, scopes: Set[KeyScope], *, has_several: bool) -> None:
    """Let ``app`` serve the completed document."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(derive(), limits, scopes, has_several=has_several)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
