"""The collection as a page: what became of every file, filtered, sorted and paged by the address alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, get_args
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from qa.types import Collection, FileReport, FileStatus
from qa.web.pages.rendering import render
from qa.web.ports import AskService
from qa.web.problems import FieldError, ProblemError, invalid

PATH = "/documents"
FILES_ON_A_PAGE = 100

router = APIRouter(include_in_schema=False)

# Worst first: what somebody opens the report for.
STATUSES: dict[FileStatus, str] = {
    "failed": "failed",
    "skipped": "skipped",
    "partial": "partly read",
    "read": "read",
}
_BY_STATUS = {status: place for place, status in enumerate(STATUSES)}


@dataclass(frozen=True, slots=True)
class Row:
    """One file. ``has_document`` is true where something of it is indexed, be it of an earlier version."""

    file: FileReport
    title: str
    has_document: bool

    def address(self) -> str:
        """Of the page with the document's text."""
        return f"{PATH}/{quote(self.file.id, errors='replace')}"


@dataclass(frozen=True, slots=True)
class Column:
    """``descends`` at the first click: of numbers the largest are looked for."""

    name: str
    label: str
    key: Callable[[Row], Any]
    descends: bool = False


COLUMNS = (
    Column("file", "File", lambda row: row.file.id),
    Column("status", "Status", lambda row: _BY_STATUS[row.file.status]),
    Column("characters", "Characters", lambda row: row.file.characters, descends=True),
    Column("pages", "Pages", lambda row: row.file.pages, descends=True),
    Column("passages", "Passages", lambda row: row.file.passages, descends=True),
)
_COLUMNS = {column.name: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class View:
    """What of the report is shown, and in which order; ``page`` counts from 1."""

    status: FileStatus | None = None
    sort: str = "file"
    descending: bool = False
    page: int = 1

    def address(self) -> str:
        """Of this view: what is as usual is left out, so that a view has one address."""
        parts: dict[str, str] = {}
        if self.status is not None:
            parts["status"] = self.status
        if self.sort != "file":
            parts["sort"] = self.sort
        if self.descending != _COLUMNS[self.sort].descends:
            parts["order"] = "desc" if self.descending else "asc"
        if self.page > 1:
            parts["page"] = str(self.page)
        return f"{PATH}?{urlencode(parts)}" if parts else PATH

    def sorted_by(self, column: Column) -> View:
        """The view that a click on the column's head leads to: a second click turns the order round."""
        descending = not self.descending if column.name == self.sort else column.descends
        return View(self.status, column.name, descending)

    def only(self, status: FileStatus | None) -> View:
        return View(status, self.sort, self.descending)

    def at(self, page: int) -> View:
        return View(self.status, self.sort, self.descending, page)


@router.get(PATH)
async def documents_page(
    request: Request, status: str = "", sort: str = "file", order: str = "", page: str = "1"
) -> Response:
    """A page of the ingestion report. The parameters are told by the page's own links."""
    service: AskService = request.app.state.service
    view = parse(status, sort, order, page)
    return await run_in_threadpool(_render, request, service, view)


def _render(request: Request, service: AskService, view: View) -> Response:
    collection = service.collection()
    rows = rows_of(collection)
    counts = Counter(row.file.status for row in rows)
    chosen = [row for row in rows if view.status is None or row.file.status == view.status]
    last = max(1, ceil(len(chosen) / FILES_ON_A_PAGE))
    # A link of yesterday may point beyond the end of a collection that has shrunk.
    view = view.at(min(view.page, last))
    first = (view.page - 1) * FILES_ON_A_PAGE
    return render(
        request,
        "documents.html",
        service.state(),
        view=view,
        rows=ordered(chosen, view)[first : first + FILES_ON_A_PAGE],
        first=first,
        found=len(chosen),
        last=last,
        counts=counts,
        files=len(rows),
        totals=totals(chosen),
        columns=COLUMNS,
        statuses=STATUSES,
    )


def parse(status: str, sort: str, order: str, page: str) -> View:
    """The view that an address asks for.

    Raises:
        ProblemError: 422, naming each parameter that is wrong and what it may be.
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
    if errors:
        raise ProblemError(invalid(tuple(errors)))
    descending = order == "desc" if order else _COLUMNS[sort].descends
    return View(status or None, sort, descending, int(page))  # type: ignore[arg-type]


def rows_of(collection: Collection) -> list[Row]:
    titles = {document.id: document.title for document in collection.documents}
    return [Row(file, titles.get(file.id, ""), file.id in titles) for file in collection.report]


def ordered(rows: Sequence[Row], view: View) -> list[Row]:
    """By the view's column; equal ones by the file's name, upwards either way."""
    by_name = sorted(rows, key=_COLUMNS["file"].key)
    return sorted(by_name, key=_COLUMNS[view.sort].key, reverse=view.descending)


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """Sums of the columns of numbers."""
    return {column.name: sum(column.key(row) for row in rows) for column in COLUMNS if column.descends}
