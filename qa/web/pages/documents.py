"""The page of all files: whether each was read, filtered, sorted and paged by the address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from qa.errors import QueryError
from qa.search.filters import parse_filter, write_filter
from qa.types import Condition, DocumentSummary, FileChoice, FileOrder, FileReport, FileStatus, FileTotals
from qa.web.deps import Dependencies, Deps
from qa.web.middleware.collections import in_collection
from qa.web.pages.filters import Form, make_form, read_form
from qa.web.pages.rendering import facts, page_address, render
from qa.web.pages.upkeep import SENDING, look_at_keeping
from qa.web.problems import FieldError, ProblemError, invalid

PATH = "/documents"
FILES_ON_A_PAGE = 100

router = APIRouter(include_in_schema=False)

# The worst first, because people open this page to find them.
STATUSES: dict[FileStatus, str] = {
    "failed": "failed",
    "skipped": "skipped",
    "partial": "partly read",
    "read": "read",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One file. ``has_document`` is true where a version of it is indexed, even an earlier one."""

    file: FileReport
    title: str
    has_document: bool
    facts: Sequence[str] = ()

    def address(self) -> str:
        """Return the address of the page with the document's text."""
        return page_address(self.file.id)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. ``descends`` says that the first click sorts downwards, as for numbers."""

    name: FileOrder
    label: str
    key: Callable[[Row], Any]
    descends: bool = False


COLUMNS = (
    Column("file", "File", lambda row: row.file.id),
    Column("status", "Status", lambda row: row.file.status),
    Column("characters", "Characters", lambda row: row.file.characters, descends=True),
    Column("pages", "Pages", lambda row: row.file.pages, descends=True),
    Column("passages", "Passages", lambda row: row.file.passages, descends=True),
)
_COLUMNS: dict[str, Column] = {column.name: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class View:
    """Which files are shown, and in which order; ``page`` counts from 1."""

    status: FileStatus | None = None
    sort: FileOrder = "file"
    descending: bool = False
    page: int = 1
    filter: tuple[Condition, ...] = ()

    def parameters(self) -> list[tuple[str, str]]:
        """List the parameters of this view that differ from the defaults, without its filter and its page."""
        parts: list[tuple[str, str]] = []
        if self.status is not None:
            parts.append(("status", self.status))
        if self.sort != "file":
            parts.append(("sort", self.sort))
        if self.descending != _COLUMNS[self.sort].descends:
            parts.append(("order", "desc" if self.descending else "asc"))
        return parts

    def address(self) -> str:
        """Return the one address of this view, without the defaults."""
        parts = self.parameters() + [("filter", text) for text in write_filter(self.filter)]
        if self.page > 1:
            parts.append(("page", str(self.page)))
        return in_collection(f"{PATH}?{urlencode(parts, errors='replace')}" if parts else PATH)

    def sorted_by(self, column: Column) -> View:
        """Return the view after a click on the column's head; a second click reverses the order."""
        descending = not self.descending if column.name == self.sort else column.descends
        return replace(self, sort=column.name, descending=descending, page=1)

    def only(self, status: FileStatus | None) -> View:
        """Return the view of the files with one status, or with any."""
        return replace(self, status=status, page=1)

    def filtered_by(self, filter: tuple[Condition, ...]) -> View:
        """Return the view of the documents that pass a filter."""
        return replace(self, filter=filter, page=1)

    def at(self, page: int) -> View:
        """Return the view of another page."""
        return replace(self, page=page)


@router.get(PATH)
async def documents_page(
    request: Request, deps: Deps, status: str = "", sort: str = "file", order: str = "", page: str = "1"
) -> Response:
    """Show a page of the ingestion report. The page's own links set the parameters."""
    own = read_form(request.query_params)
    view = parse_view(status, sort, order, page, [*request.query_params.getlist("filter"), *(own or ())])
    if own is not None:
        return RedirectResponse(view.address(), 303)
    return await deps.whole.run(_render, request, deps, view, request=request)


def _render(request: Request, deps: Dependencies, view: View) -> Response:
    service, state = deps.service, deps.service.state()
    keeping = look_at_keeping(request, deps)
    # An empty collection has a page, for its first documents.
    is_empty = keeping is not None and state.status == "empty"
    counted = {} if is_empty else service.file_totals(view.filter)
    counts = {status: counted.get(status, FileTotals()).files for status in STATUSES}
    chosen = list(counted.values()) if view.status is None else [counted.get(view.status, FileTotals())]
    found = sum(totals.files for totals in chosen)
    last = max(1, ceil(found / FILES_ON_A_PAGE))
    # A link of yesterday may point beyond the end of a collection that has shrunk.
    view = view.at(min(view.page, last))
    first = (view.page - 1) * FILES_ON_A_PAGE
    files = FileChoice(view.status, view.sort, view.descending, view.filter)
    listed = () if is_empty else service.list_files(files, first, FILES_ON_A_PAGE)
    return render(
        request,
        "documents.html",
        state,
        headers=SENDING if keeping is not None and keeping.is_open else None,
        keeping=keeping,
        view=view,
        rows=[Row(file, *_shown_of(document)) for file, document in listed],
        first=first,
        found=found,
        last=last,
        counts=counts,
        files=sum(counts.values()),
        totals={each.name: sum(getattr(totals, each.name) for totals in chosen) for each in COLUMNS if each.descends},
        columns=COLUMNS,
        statuses=STATUSES,
        form=Form() if is_empty else make_form(service, view.filter),
    )


def _shown_of(document: DocumentSummary | None) -> tuple[str, bool, Sequence[str]]:
    """Return the title of a file's document, whether there is one, and what it says of itself."""
    return ("", False, ()) if document is None else (document.title, True, facts(document.metadata))


def parse_view(status: str, sort: str, order: str, page: str, texts: Sequence[str] = ()) -> View:
    """Parse the parameters of an address.

    Raises:
        ProblemError: 422; it names each wrong parameter and what it may be.
    """
    errors = []
    if status and status not in get_args(FileStatus):
        errors.append(FieldError("status", f"The parameter status must be one of {', '.join(STATUSES)}."))
    if sort not in _COLUMNS:
        errors.append(FieldError("sort", f"The parameter sort must be one of {', '.join(_COLUMNS)}."))
    if order not in ("", "asc", "desc"):
        errors.append(FieldError("order", "The parameter order must be asc or desc."))
    if not (page.isascii() and page.isdigit() and len(page) <= 9 and int(page) > 0):
        errors.append(FieldError("page", "The parameter page must be a whole number from 1."))
    filter: tuple[Condition, ...] = ()
    try:
        filter = parse_filter(texts)
    except QueryError as error:
        errors.append(FieldError.from_fault(error))
    if errors:
        raise ProblemError(invalid(tuple(errors)))
    descending = order == "desc" if order else _COLUMNS[sort].descends
    return View(status or None, sort, descending, int(page), filter)  # type: ignore[arg-type]
