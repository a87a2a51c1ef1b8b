"""Pages that change documents: upload, replace, delete, and how far the index is. They work without JavaScript.

They need the scope admin: without keys, this machine; with keys, a browser's own dialogue sends one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi import Query as FromQuery
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response

from qa.build.uploads import Kept
from qa.errors import DocumentNotFound, NotReady, UpdateRunning, UpkeepError
from qa.service.indexing import Indexing
from qa.service.upkeep import Received
from qa.types import UploadLimits
from qa.web.api.uploads import parse_match, respond, take_form
from qa.web.deps import Dependencies, Deps, MaintenanceDep, UpkeepDep
from qa.web.middleware.access import Key, may_operate
from qa.web.middleware.collections import in_collection
from qa.web.middleware.headers import HEADERS
from qa.web.pages.rendering import render
from qa.web.problems import Problem, ProblemError
from qa.web.receiving import discard, receive_form

PATH = "/upkeep"
UPLOAD_PATH = f"{PATH}/upload"
REPLACE_PATH = f"{PATH}/replace"
CHANGES_PATH = f"{PATH}/changes"
DOCUMENTS_PATH = "/documents"
# Seconds between two reloads of the page of changes while the index is updated.
REFRESH_SECONDS = 2
_POLICY = "Content-Security-Policy"
# The script that shows the progress of an upload sends it itself.
SENDING = {_POLICY: f"{HEADERS[_POLICY]}; connect-src 'self'"}

DocumentId = Annotated[str, FromQuery(alias="document", max_length=4_096)]
Sum = Annotated[str, Form(max_length=64)]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the page of documents offers to whoever asks for it.

    ``fixed`` is why the documents cannot be changed, empty where they can. ``may_sign_in`` is true where a key would
    allow it. ``kept`` and ``indexing`` are shown to who may change something.
    """

    may_change: bool
    may_sign_in: bool
    fixed: str
    limits: UploadLimits
    kept: Kept | None = None
    indexing: Indexing | None = None

    @property
    def is_open(self) -> bool:
        """Whether documents can be changed, and whoever asks may do it."""
        return self.may_change and not self.fixed


def may_keep(request: Request, deps: Dependencies) -> bool:
    """Return whether a page may change documents: its browser sends a key that may, or none is needed here."""
    key: Key | None = request.scope["state"]["key"]
    if deps.needs_key:
        return key is not None and key.allows("admin")
    return may_operate(request.scope, Headers(scope=request.scope))


def look_at_keeping(request: Request, deps: Dependencies) -> Keeping | None:
    """Find out what may be changed; ``None`` where this server changes nothing. It blocks."""
    if deps.maintenance is None:
        return None
    upkeep, may_change = deps.maintenance.upkeep, may_keep(request, deps)
    fixed = upkeep.why_fixed()
    may_sign_in = deps.needs_key and not may_change and not fixed
    if not may_change:
        return Keeping(False, may_sign_in, fixed, upkeep.limits)
    kept = None if fixed else upkeep.kept()
    return Keeping(True, False, fixed, upkeep.limits, kept, deps.maintenance.indexing())


@router.get(PATH)
async def sign_in() -> Response:
    """Go to the documents. Whoever comes here is asked for a key first, which the browser then sends there too."""
    return RedirectResponse(in_collection(DOCUMENTS_PATH), 303)


@router.post(UPLOAD_PATH)
async def upload(request: Request, deps: Deps, maintenance: MaintenanceDep) -> Response:
    """Take the files of the form, and show what becomes of them; the page's script gets that as JSON."""
    outcomes = await take_form(request, deps)
    if "application/json" in request.headers.get("accept", ""):
        return await respond(outcomes, maintenance, 200)
    return RedirectResponse(in_collection(CHANGES_PATH), 303)


@router.get(CHANGES_PATH)
async def changes(request: Request, deps: Deps, maintenance: MaintenanceDep) -> Response:
    """Show the last changes, and how far the index is with them; the page reloads itself until it is done."""
    indexing = await run_in_threadpool(maintenance.indexing)
    # A header, because a meta element would go on reloading in a saved page.
    headers = {"Refresh": str(REFRESH_SECONDS)} if indexing.status == "running" else None
    return await run_in_threadpool(
        render, request, "changes.html", deps.service.state(), 200, headers, indexing=indexing
    )


@router.get(REPLACE_PATH)
async def replace_page(id: DocumentId, request: Request, deps: Deps) -> Response:
    """Ask for the file that replaces a document."""
    return await run_in_threadpool(_ask_about, "replace.html", id, request, deps)


@router.post(REPLACE_PATH)
async def replace(id: DocumentId, request: Request, deps: Deps, upkeep: UpkeepDep) -> Response:
    """Replace a document by the form's file, whatever its name, or show the form again with what is wrong."""
    with deps.receiving.taken(1):
        form = await receive_form(request, upkeep.stage)
        try:
            if len(form.files) != 1:
                raise ProblemError(Problem("missing-field", 422, "Choose the one file that replaces the document."))
            (file,) = form.files
            if file.staged is None:
                return await run_in_threadpool(_ask_about, "replace.html", id, request, deps, file.refused)
            expected = parse_match(form.fields.get("sha256") or None)
            await deps.upkeep.run(upkeep.put, Received(id, file.staged), expected)
        except UpkeepError as error:
            return await run_in_threadpool(_ask_about, "replace.html", id, request, deps, str(error))
        finally:
            await discard(form)
    return RedirectResponse(in_collection(CHANGES_PATH), 303)


@router.get(f"{PATH}/delete")
async def delete_page(id: DocumentId, request: Request, deps: Deps) -> Response:
    """Ask whether to delete a document."""
    return await run_in_threadpool(_ask_about, "delete.html", id, request, deps)


@router.post(f"{PATH}/delete")
async def delete(id: DocumentId, deps: Deps, upkeep: UpkeepDep, sha256: Sum = "") -> Response:
    """Delete a document, if it is the one that was shown."""
    await deps.upkeep.run(upkeep.remove, id, parse_match(sha256 or None))
    return RedirectResponse(in_collection(CHANGES_PATH), 303)


@router.post(f"{PATH}/index")
def index(maintenance: MaintenanceDep) -> Response:
    """Bring the index up to date with its files, unless that is being done."""
    with suppress(UpdateRunning):
        maintenance.index()
    return RedirectResponse(in_collection(CHANGES_PATH), 303)


def _ask_about(template: str, id: str, request: Request, deps: Dependencies, error: str = "") -> Response:
    """Show a page that asks about one document. Raises CollectionFixed, DocumentNotFound."""
    assert deps.maintenance is not None
    upkeep = deps.maintenance.upkeep
    upkeep.require_changeable()
    sha256 = upkeep.sha256(id)
    try:
        title = deps.service.stream(id).head.title
    except (DocumentNotFound, NotReady):  # it is not indexed, or not yet
        title = ""
    return render(
        request,
        template,
        deps.service.state(),
        422 if error else 200,
        id=id,
        title=title,
        sha256=sha256,
        error=error,
        limits=upkeep.limits,
    )
