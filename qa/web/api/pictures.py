"""Pages as pictures, and where a span stands on one."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from fastapi import Query as FromQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from qa.errors import OriginalUnavailable
from qa.service.pictures import Marks, PagePicture, mark, page_at
from qa.types import Document, Span
from qa.web.api import examples
from qa.web.api.openapi import problems
from qa.web.api.requests import Sha256
from qa.web.deps import Dependencies, Deps
from qa.web.middleware.collections import in_collection
from qa.web.problems import FieldError, ProblemError, invalid

router = APIRouter(tags=["documents"])
# An address that names the bytes that are drawn always gives the same picture.
_LASTING = "private, max-age=86400, immutable"
_BINARY = {"type": "string", "format": "binary"}
_MOST_PAGES = 1_000_000
_MOST_CHARACTERS = 10**9

Id = Annotated[str, Path(description="The document's id: a path with `/`, written as it is.")]
PageNumber = Annotated[int, Field(ge=1, le=_MOST_PAGES, description="The page, from 1.")]


class Width(IntEnum):
    """Pixels across a picture: for a screen, and for a sharp one or a large view."""

    SCREEN = 800
    LARGE = 1600


class PictureParameters(BaseModel):
    """Which page, and how large."""

    model_config = ConfigDict(extra="forbid")

    page: PageNumber = 1
    width: Width = Field(default=Width.SCREEN, description="Pixels across; a very long page has fewer.")
    sha256: Sha256 | None = Field(
        default=None, description="The document's `source_sha256`. Where it has another by now, this is a 409."
    )


class MarksParameters(BaseModel):
    """A span, as an answer cites it, and the page to look at."""

    model_config = ConfigDict(extra="forbid")

    start: int = Field(
        ge=0,
        le=_MOST_CHARACTERS,
        description="Where the span starts, in Unicode code points of the canonical text, from 0.",
    )
    end: int = Field(ge=1, le=_MOST_CHARACTERS, description="Where it ends, exclusive.")
    page: PageNumber | None = Field(default=None, description="By default the one that the span starts on.")


class RectangleBody(BaseModel):
    """A part of a page, in hundredths of its width and height from its top left corner."""

    left: float
    top: float
    width: float
    height: float


class MarksResponse(BaseModel):
    """Where a span stands on the picture of a page."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MARKS]})

    page: int
    pages: int
    picture: str = Field(description="The picture's address.")
    width: int = Field(description="The picture's, in pixels.")
    height: int
    rectangles: list[RectangleBody]
    note: str = Field(description="Why not all of it is marked; empty where it is.")
    continues: bool = Field(description="Whether the end of the span stands on the next page.")

    @classmethod
    def from_marks(cls, pages: int, address: str, shown: PagePicture, marks: Marks) -> MarksResponse:
        return cls(
            page=shown.page.number,
            pages=pages,
            picture=address,
            width=shown.picture.width,
            height=shown.picture.height,
            rectangles=[
                RectangleBody(left=each.left, top=each.top, width=each.width, height=each.height)
                for each in marks.rectangles
            ],
            note=marks.note,
            continues=marks.continues,
        )


@router.get(
    "/v1/pictures/{id:path}",
    operation_id="getPicture",
    summary="A page as a picture",
    response_class=Response,
    responses={**problems(404, 409, 422, 503), 200: {"content": {"image/png": {"schema": _BINARY}}}},
)
async def get_picture(
    id: Id, parameters: Annotated[PictureParameters, FromQuery()], deps: Deps, request: Request
) -> Response:
    """Draw a page of a PDF or an image, as long as its file is what was indexed. Other documents have no pictures.

    A page that was recognised lying on its side is drawn upright.
    """

    def draw() -> bytes:
        document = deps.service.document(id).document
        if parameters.sha256 not in (None, document.source_sha256):
            raise OriginalUnavailable("the document has another sha256 by now")
        return draw_page(deps, document, parameters.page, parameters.width).picture.png

    cache = {"Cache-Control": _LASTING} if parameters.sha256 is not None else None
    return Response(await deps.drawing.run(draw, request=request), media_type="image/png", headers=cache)


@router.get(
    "/v1/marks/{id:path}",
    operation_id="getMarks",
    summary="Where a span stands on the picture of a page",
    response_model=MarksResponse,
    responses=problems(404, 409, 422, 503),
)
async def get_marks(
    id: Id, parameters: Annotated[MarksParameters, FromQuery()], deps: Deps, request: Request
) -> Response:
    """Find the characters of a span on the picture of a page, and return rectangles that hold them.

    Nothing is marked where the text on the page is not what was indexed; `note` says so.
    """

    def look() -> bytes:
        document = deps.service.document(id).document
        span = Span(parameters.start, parameters.end)
        if not span.start < span.end <= len(document.text):
            message = f"end must be greater than start, and at most {len(document.text):,}."
            raise ProblemError(invalid((FieldError("end", message),)))
        number = parameters.page or (page_at(document.pages, span.start).number if document.pages else 1)
        shown = draw_page(deps, document, number, Width.SCREEN)
        address = picture_address(document, number)
        found = MarksResponse.from_marks(len(document.pages), address, shown, mark(document, shown, span))
        return found.model_dump_json().encode()

    return Response(await deps.drawing.run(look, request=request), media_type="application/json")


def draw_page(deps: Dependencies, document: Document, number: int, width: int) -> PagePicture:
    """Return the picture of a page. Raises PictureUnavailable, OriginalUnavailable."""
    assert deps.pictures is not None
    return deps.pictures.of(document, number, lambda: deps.service.original(document.id), width)


def picture_address(document: Document, page: int, width: int = Width.SCREEN) -> str:
    """Return the address of a page's picture, which names the bytes that it is drawn from."""
    path = f"/v1/pictures/{quote(document.id, errors='replace')}"
    return in_collection(f"{path}?page={page}&width={int(width)}&sha256={document.source_sha256}")
