"""The page of one document: its canonical text with a span marked in its place, the picture of the page that it stands
on beside it, and the original file to download.

A picture may take seconds to draw. The text is sent before it, so that nobody waits for a picture to read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from qa.errors import NotReady, Overloaded, QAError, QueryError
from qa.markup import Mark, Piece, pieces
from qa.service.pictures import Marks, PagePicture, has_pictures, mark, page_at
from qa.types import Hit, Page, Query, Section, Span
from qa.web.admission import HungUp
from qa.web.api.document_responses import whole_metadata
from qa.web.api.pictures import Width, draw_page, picture_address
from qa.web.deps import Dependencies, Deps, ServiceDep
from qa.web.middleware.collections import in_collection
from qa.web.pages.rendering import (
    facts,
    fill,
    page_address,
    passage_address,
    read_query,
    reading_address,
    render,
    render_around,
    span_sum,
)

# Characters that a page shows at most: a book of many megabytes would stop a browser.
WINDOW = 20_000
_SHOWN_ATTACHMENTS = 50

ORIGINALS_PATH = "/originals"

router = APIRouter(include_in_schema=False)
originals_router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, with ``level`` from 1, or text below one, with level 0. ``page`` is the page that starts here."""

    level: int
    pieces: Sequence[Piece]
    page: Page | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The passage before or after in the ranking for the same question."""

    rank: int
    address: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of the document as a picture. Where ``shown`` is ``None``, ``note`` says why in a sentence.

    ``sources`` are the addresses of the picture, by its width. ``before`` and ``after`` lead to the pages beside it,
    and ``other`` to it alone in large, or back from there.
    """

    number: int
    shown: PagePicture | None
    marks: Marks
    note: str
    sources: dict[Width, str]
    is_large: bool
    other: str
    before: str | None
    after: str | None


class Place(BaseModel):
    """What of a document is asked for: a span, and a page as a picture, which ``large`` shows alone.

    ``sum`` is that of the span's text when the address was made, if it is known.
    """

    start: int = Field(0, ge=0)
    end: int = Field(0, ge=0)
    page: int = Field(0, ge=0)
    large: bool = False
    sum: str = Field("", max_length=64)

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The passages before and after in the ranking."""

    before: Neighbour | None = None
    after: Neighbour | None = None


@router.get("/documents/{id:path}")
async def read(request: Request, deps: Deps, id: str, place: Annotated[Place, FromQuery()]) -> Response:
    """Show the text around ``[start, end)``, or from ``start`` on where that span is empty or outside of the text.

    Nothing is marked where the span's text is not what it was when the address was made. Beside the text is the picture
    of a ``page``, by default of the one that the span starts on. The other parameters are those of the ask page; they
    lead back to it, and to the passages before and after.
    """
    query, errors = read_query(request.query_params, deps.service.limits)
    # Before a question is asked for a document that there is not.
    await run_in_threadpool(deps.service.stream, id)
    beside = Neighbours() if errors else await _find_neighbours(request, deps, id, place.start, query)
    return await deps.whole.run(_page, request, deps, id, place, query, beside, request=request)


def _page(request: Request, deps: Dependencies, id: str, place: Place, query: Query, beside: Neighbours) -> Response:
    # In parts: the text may have many megabytes, of which few are shown.
    stored = deps.service.stream(id)
    length, asked, pages = stored.characters, place.span, tuple(stored.pages)
    if asked.start >= asked.end and 0 < place.page <= len(pages):
        asked = Span(pages[place.page - 1].start, 0)
    has_original = deps.originals and deps.service.source_status(id) == "verified"
    document = stored.head
    is_drawn = deps.pictures is not None and pages and has_pictures(document.media_type)
    at = min(asked.start, max(length - 1, 0))
    near = reach(length, at)
    text = stored.cut(near.start, max(near.end, min(asked.end, length) if place.sum else 0))
    said = text[asked.start - near.start : asked.end - near.start]
    has_changed = place.sum not in {"", span_sum(said)}
    if has_changed:
        place = place.model_copy(update={"end": 0})
        asked = place.span
    shown = window(text, length, at)
    found = blocks(
        text[shown.start - near.start : shown.end - near.start],
        shown,
        stored.sections,
        pages,
        asked if asked.start < asked.end <= length else None,
    )
    sheet_number = 0
    if is_drawn and (place.page or asked.start < asked.end):
        sheet_number = place.page or page_at(pages, place.start).number
    values: dict[str, object] = {
        "document": document,
        "has_changed": has_changed,
        "characters": length,
        "pages": len(pages),
        "blocks": found,
        "query": query,
        "above": _further(id, max(shown.start - 3 * WINDOW // 4, 0), query) if shown.start else None,
        "below": _further(id, shown.end, query) if shown.end < length else None,
        "part": shown,
        "sheet_number": sheet_number,
        "is_large": place.large,
        "first_page": _page_address(id, 1, query) if is_drawn else None,
        "before": beside.before,
        "after": beside.after,
        "original": original_address(id) if has_original else None,
        "facts": facts(whole_metadata(document.metadata, length)),
        "attachments": [(other, page_address(other)) for other in document.attachments[:_SHOWN_ATTACHMENTS]],
        "container": page_address(document.container),
    }
    if not sheet_number:
        return render(request, "document.html", deps.service.state(), 200, None, **values)
    later = partial(_draw_sheet, request, deps, id, place, query, sheet_number)
    return render_around(request, "document.html", deps.service.state(), later, **values)


async def _draw_sheet(request: Request, deps: Dependencies, id: str, place: Place, query: Query, number: int) -> str:
    """Return the HTML of a page as a picture, or of the sentence that says why it is not drawn.

    Nothing that a user can cause is raised: the text above it has been sent.
    """

    def draw() -> str:
        return fill("sheet.html", sheet=_find_sheet(deps, id, place, query, number))

    try:
        return await deps.drawing.run(draw, request=request)
    except HungUp:
        return ""
    except Overloaded:
        note = "Too many pictures are being drawn for others now; load this page again."
    except QAError as error:
        note = f"There is no picture of page {number:,}: {error}."
    return fill("sheet.html", sheet=_no_sheet(number, note))


def _find_sheet(deps: Dependencies, id: str, place: Place, query: Query, number: int) -> Sheet:
    """Draw a page of a document. Raises PictureUnavailable, OriginalUnavailable, DocumentNotFound, NotReady."""
    document = deps.service.document(id).document
    span = place.span if place.start < place.end <= len(document.text) else None
    width, large = (Width.LARGE, True) if place.large else (Width.SCREEN, False)
    shown = draw_page(deps, document, number, width)
    marks = mark(document, shown, span) if span is not None else Marks(())
    return Sheet(
        number,
        shown,
        marks,
        marks.note,
        {each: picture_address(document, number, each) for each in Width},
        large,
        _page_address(id, number, query, span, large=not large),
        _page_address(id, number - 1, query, span, large=large) if number > 1 else None,
        _page_address(id, number + 1, query, span, large=large) if number < len(document.pages) else None,
    )


def _no_sheet(number: int, note: str) -> Sheet:
    return Sheet(number, None, Marks(()), note, {}, is_large=False, other="", before=None, after=None)


def _page_address(id: str, page: int, query: Query, span: Span | None = None, *, large: bool = False) -> str:
    """Return the address at which a page of a document is shown as a picture."""
    place = span or Span(0, 0)
    path, _, asked = reading_address(id, place.start, place.end, query).removesuffix("#span").partition("?")
    return f"{path}?page={page}{'&large=true' if large else ''}&{asked}#sheet"


def _further(id: str, start: int, query: Query) -> str:
    return reading_address(id, start, start, query).removesuffix("#span")


def reach(length: int, at: int) -> Span:
    """Return which part of a text of ``length`` characters :func:`window` needs: what it may show for ``at``."""
    start = max(0, min(at - WINDOW // 4, length - WINDOW))
    return Span(max(start - WINDOW // 8, 0), min(start + WINDOW, length))


def window(text: str, length: int, at: int) -> Span:
    """Return the part to show: at most :data:`WINDOW` characters from the start of a line, a quarter before ``at``.

    Args:
        text: the part of the whole text that :func:`reach` names.
        length: of the whole text, in characters.
    """
    if length <= WINDOW:
        return Span(0, length)
    begins = reach(length, at).start
    start = max(0, min(at - WINDOW // 4, length - WINDOW))
    line = text.rfind("\n", 0, start + 1 - begins) + 1
    start = begins + line if line and start else start
    return Span(start, min(start + WINDOW, length))


def blocks(
    text: str, shown: Span, sections: Iterable[Section], pages: Iterable[Page], span: Span | None
) -> list[Block]:
    """Cut ``text``, the ``shown`` part of a document, at headings and pages; the blocks together hold all of it."""
    near = [each for each in sections if each.start <= shown.end and each.body >= shown.start]
    headings = {section.start: section for section in near if section.body > section.start}
    starts = {page.start: page for page in pages if shown.start <= page.start < shown.end}
    bodies = {section.body for section in headings.values()}
    edges = {shown.start, shown.end} | {e for e in (*headings, *bodies, *starts) if shown.start < e < shown.end}
    ordered = sorted(edges)
    marks = [] if span is None else [Mark(span.start, span.end, "span")]
    found: list[Block] = []
    for first, last in itertools.pairwise(ordered):
        part = text[first - shown.start : last - shown.start]
        cut = [Mark(max(m.start, first) - first, min(m.end, last) - first, m.name) for m in marks]
        inner = [mark for mark in cut if mark.start < mark.end]
        section = headings.get(first)
        found.append(Block(section.level if section else 0, pieces(part, inner, len(part)), starts.get(first)))
    return found


async def _find_neighbours(request: Request, deps: Dependencies, id: str, start: int, query: Query) -> Neighbours:
    """Find the passages that are ranked before and after the one that holds ``start``."""
    if not query.question:
        return Neighbours()
    try:
        # Of several collections those of this one, which this page's addresses are of.
        reply = await deps.asking.ask(replace(query, collections=()), request, noted=True)
    except (QueryError, NotReady, Overloaded):
        return Neighbours()
    holds = [hit.passage.document == id and hit.passage.start <= start < hit.passage.end for hit in reply.hits]
    if True not in holds:
        return Neighbours(after=_neighbour(reply.hits[0], query) if reply.hits else None)
    at = holds.index(True)
    return Neighbours(
        _neighbour(reply.hits[at - 1], query) if at else None,
        _neighbour(reply.hits[at + 1], query) if at + 1 < len(reply.hits) else None,
    )


def _neighbour(hit: Hit, query: Query) -> Neighbour:
    return Neighbour(hit.rank, passage_address(hit, query))


@originals_router.get(f"{ORIGINALS_PATH}/{{id:path}}")
def original(id: str, service: ServiceDep) -> Response:
    """Return the original file as a download: shown by the browser, its content would run as a page of this server.

    Of what is attached to a mail it is the mail.
    """
    found = service.original(id)
    headers = {
        "Content-Disposition": _attachment(found.name),
        "Content-Length": str(found.size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(found.blocks(), media_type="application/octet-stream", headers=headers)


def original_address(document: str) -> str:
    """Return the address of a document's original file."""
    return in_collection(f"{ORIGINALS_PATH}/{quote(document, errors='replace')}")


def _attachment(name: str) -> str:
    """Return a Content-Disposition (RFC 6266), with an ASCII name for clients that do not know RFC 8187."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
