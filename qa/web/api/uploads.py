"""Documents over HTTP: uploaded, replaced and deleted. It needs a key of the scope admin."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from fastapi import Query as FromQuery
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from qa.service.maintenance import Maintenance
from qa.service.upkeep import Outcome
from qa.web.api.openapi import problems
from qa.web.api.upkeep_responses import IndexResponse, UploadResponse, as_text
from qa.web.deps import Dependencies, Deps, MaintenanceDep, UpkeepDep
from qa.web.problems import FieldError, Problem, ProblemError
from qa.web.receiving import MOST_FILES, Form, discard, receive_file, receive_form

PATH = "/v1/documents"
router = APIRouter(tags=["documents"])

_FORM = {
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "into": {"type": "string", "description": "The folder they go into; before the files."},
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "maxItems": MOST_FILES,
                        "description": "Each with its name, which may be a path: `reports/2023.pdf`.",
                    },
                },
            }
        }
    },
    "required": True,
}
_FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
# Faults that a response lists.
_SHOWN = 100

DocumentId = Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")]
IfMatch = Annotated[
    str | None,
    Header(description="The `sha256` of the document that is to be replaced or deleted; 412 where it is another."),
]
Replace = Annotated[bool, FromQuery(description="Whether documents of the same names are replaced.")]


@router.post(
    PATH,
    operation_id="uploadDocuments",
    summary="Upload documents",
    status_code=202,
    response_model=UploadResponse,
    openapi_extra={"requestBody": _FORM},
    responses=problems(400, 401, 403, 409, 413, 415, 422, 503),
)
async def upload(request: Request, deps: Deps, maintenance: MaintenanceDep, replace: Replace = False) -> Response:
    """Add files to a collection that keeps its own documents; each succeeds or fails by itself.

    A file that was accepted is on the server's disk when this returns, and is indexed within seconds: `GET /v1/index`
    says when. If none was accepted, that is a 422 with the reason for each.
    """
    outcomes = await take_form(request, deps, replace=replace)
    if outcomes and all(outcome.status == "refused" for outcome in outcomes):
        raise ProblemError(_refused(outcomes))
    return await respond(outcomes, maintenance, 202)


@router.put(
    f"{PATH}/{{id:path}}",
    operation_id="putDocument",
    summary="Add or replace a document",
    status_code=202,
    response_model=UploadResponse,
    openapi_extra={"requestBody": _FILE},
    responses=problems(400, 401, 403, 404, 409, 412, 413, 422, 503),
)
async def put(
    id: DocumentId,
    request: Request,
    deps: Deps,
    upkeep: UpkeepDep,
    maintenance: MaintenanceDep,
    if_match: IfMatch = None,
) -> Response:
    """Make the body the document of this id. On an error what was there stays, in the folder and in the index."""
    expected = parse_match(if_match)
    with deps.receiving.taken(1):
        received = await receive_file(request, id, upkeep.stage)
        outcome = await deps.upkeep.run(upkeep.put, received, expected)
    return await respond([outcome], maintenance, 202)


@router.delete(
    f"{PATH}/{{id:path}}",
    operation_id="deleteDocument",
    summary="Delete a document",
    status_code=202,
    response_model=IndexResponse,
    responses=problems(401, 403, 404, 409, 412, 422, 503),
)
async def delete(id: DocumentId, deps: Deps, upkeep: UpkeepDep, if_match: IfMatch = None) -> Response:
    """Remove a document's file; it is out of the answers once the index is updated, as `GET /v1/index` says."""
    expected = parse_match(if_match)

    def remove() -> str:
        # Written here, because it lists up to a thousand changes.
        return IndexResponse.from_indexing(upkeep.remove(id, expected)).model_dump_json()

    return Response(await deps.upkeep.run(remove), 202, media_type="application/json")


async def respond(outcomes: list[Outcome], maintenance: Maintenance, status: int) -> Response:
    """Write the response of an upload, in a thread: it may have had a thousand files."""

    def build() -> bytes:
        return UploadResponse.from_outcomes(outcomes, maintenance.indexing()).model_dump_json().encode()

    return Response(await run_in_threadpool(build), status, media_type="application/json")


async def take_form(request: Request, deps: Dependencies, *, replace: bool | None = None) -> list[Outcome]:
    """Receive the files of a form, and make documents of those that can be read.

    Args:
        replace: whether documents of the same names are replaced; ``None`` leaves it to the form's field ``replace``.

    Raises:
        ProblemError, UpkeepError, StorageError, Overloaded: nothing was taken, and nothing is left.
    """
    assert deps.maintenance is not None
    upkeep = deps.maintenance.upkeep
    with deps.receiving.taken(1):
        form: Form = await receive_form(request, upkeep.stage)
        if not form.files:
            await discard(form)
            raise ProblemError(Problem("missing-field", 422, "The form holds no file; choose one or more."))
        replaces = bool(form.fields.get("replace")) if replace is None else replace
        try:
            return await deps.upkeep.run(lambda: upkeep.take(form.files, replace=replaces))
        except BaseException:
            await discard(form)
            raise


def parse_match(header: str | None) -> str | None:
    """Return the SHA-256 of an ``If-Match``; ``None`` where any file will do. Raises ProblemError."""
    if header is None or header.strip() == "*":
        return None
    if found := _SHA256.fullmatch(header.strip().lower()):
        return found[1]
    message = "If-Match must be the document's sha256, in quotes."
    raise ProblemError(Problem("invalid-request", 422, message, (FieldError("If-Match", message),)))


def _refused(outcomes: list[Outcome]) -> Problem:
    errors = tuple(FieldError(as_text(outcome.id), outcome.reason) for outcome in outcomes[:_SHOWN])
    count = "The file was" if len(outcomes) == 1 else f"None of the {len(outcomes):,} files was"
    negation = " not" if len(outcomes) == 1 else ""
    first = outcomes[0]
    detail = f"{count}{negation} accepted; {errors[0].field}: {first.reason}."
    return Problem("upload-refused", 422, detail, errors)
