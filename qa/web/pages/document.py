"""The files that were indexed, to download: where it is allowed, and as long as they are what was indexed.

A document's canonical text as a page: a span marked in its place, among headings and pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from qa.errors import NotReady, Overloaded, QueryError
from qa.markup import Mark, Piece, pieces
from qa.types import Document, Hit, Span
from qa.types import Query as Asked
from qa.web.pages.rendering import read_query, reading_address, render
from qa.web.ports import AskService

PATH = "/originals"

originals_router = APIRouter(include_in_schema=False)


@originals_router.get(f"{PATH}/{{id:path}}")
def original(id: str, request: Request) -> Response:
    """Never shown by the browser itself: a file may hold whatever it likes, and would do it as ours."""
    service: AskService = request.app.state.service
    found = service.original(id)
    headers = {
        "Content-Disposition": _attachment(id.rpartition("/")[2]),
        "Content-Length": str(found.size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(found.blocks(), media_type="application/octet-stream", headers=headers)


def original_address(document: str) -> str:
    return f"{PATH}/{quote(document, errors='replace')}"


def _attachment(name: str) -> str:
    """RFC 6266, with the name in ASCII for those who do not know RFC 8187."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


# Characters shown at once: a book of many megabytes would stop a browser.
WINDOW = 20_000

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A heading of a level from 1, or, of level 0, what stands under one. ``page`` begins with it, where one does."""

    level: int
    pieces: Sequence[Piece]
    page: int | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another passage found for the same question."""

    rank: int
    address: str


@router.get("/documents/{id:path}")
async def read(
    request: Request,
    id: str,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The text around ``[start, end)``, or from ``start`` on where that is empty or lies outside.

    The other parameters are those of the ask page, for the way back to it and to the passages before and after.
    """
    service: AskService = request.app.state.service
    found = await run_in_threadpool(service.document, id)
    query, errors = read_query(request.query_params, service.limits)
    before, after = (None, None) if errors else await _neighbours(request, id, start, query)
    return await run_in_threadpool(_page, request, found.document, Span(start, end), query, before, after)


def _page(
    request: Request, document: Document, asked: Span, query: Asked, before: Neighbour | None, after: Neighbour | None
) -> Response:
    service: AskService = request.app.state.service
    id, length = document.id, len(document.text)
    shown = window(document, min(asked.start, max(length - 1, 0)))
    return render(
        request,
        "document.html",
        service.state(),
        document=document,
        blocks=blocks(document, shown, asked if asked.start < asked.end <= length else None),
        query=query,
        above=_further(id, max(shown.start - 3 * WINDOW // 4, 0), query) if shown.start else None,
        below=_further(id, shown.end, query) if shown.end < length else None,
        part=shown,
        before=before,
        after=after,
        original=original_address(id) if _has_original(request, service, id) else None,
    )


def _has_original(request: Request, service: AskService, id: str) -> bool:
    return request.app.state.originals and service.source_status(id) == "verified"


def _further(id: str, start: int, query: Asked) -> str:
    return reading_address(id, start, start, query).removesuffix("#span")


def window(document: Document, at: int) -> Span:
    """At most :data:`WINDOW` characters of the text, a quarter of them before ``at``, from the beginning of a line."""
    text = document.text
    if len(text) <= WINDOW:
        return Span(0, len(text))
    start = max(0, min(at - WINDOW // 4, len(text) - WINDOW))
    line = text.rfind("\n", max(start - WINDOW // 8, 0), start + 1) + 1
    start = line if line and start else start
    return Span(start, min(start + WINDOW, len(text)))


def blocks(document: Document, shown: Span, span: Span | None) -> list[Block]:
    """What is shown of the text, in order: it is cut at headings and pages, and nothing of it is left out."""
    headings = {section.start: section for section in document.sections if section.body > section.start}
    pages = {page.start: page.number for page in document.pages}
    bodies = {section.body for section in headings.values()}
    edges = {shown.start, shown.end} | {e for e in (*headings, *bodies, *pages) if shown.start < e < shown.end}
    ordered = sorted(edges)
    marks = [] if span is None else [Mark(span.start, span.end, "span")]
    found: list[Block] = []
    for first, last in itertools.pairwise(ordered):
        text = document.text[first:last]
        cut = [Mark(max(m.start, first) - first, min(m.end, last) - first, m.name) for m in marks]
        inner = [mark for mark in cut if mark.start < mark.end]
        section = headings.get(first)
        found.append(Block(section.level if section else 0, pieces(text, inner, len(text)), pages.get(first)))
    return found


async def _neighbours(request: Request, id: str, start: int, query: Asked) -> tuple[Neighbour | None, Neighbour | None]:
    """The passages ranked before and after the one that holds ``start``, for the same question."""
    if not query.question:
        return None, None
    try:
        reply = await request.app.state.asking.ask(query, request)
    except (QueryError, NotReady, Overloaded):
        return None, None
    holds = [hit.passage.document == id and hit.passage.start <= start < hit.passage.end for hit in reply.hits]
    if True not in holds:
        return None, (_neighbour(reply.hits[0], query) if reply.hits else None)
    at = holds.index(True)
    return (
        _neighbour(reply.hits[at - 1], query) if at else None,
        _neighbour(reply.hits[at + 1], query) if at + 1 < len(reply.hits) else None,
    )


def _neighbour(hit: Hit, query: Asked) -> Neighbour:
    place = hit.highlights[0] if hit.highlights else Span(hit.passage.start, hit.passage.end)
    return Neighbour(hit.rank, reading_address(hit.passage.document, place.start, place.end, query))
