"""The page of what was asked and not answered, so that a keeper of documents sees what is missing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Query as FromQuery
from starlette.responses import Response

from qa.service.unanswered import MOST_GROUPED
from qa.web.api.unanswered import EXPORT, of
from qa.web.deps import Deps
from qa.web.middleware.collections import in_collection
from qa.web.pages.rendering import render

PATH = "/unanswered"
# Groups on a page, and questions of a group.
_ROWS, _MOST_SHOWN = 50, 50

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def unanswered_page(
    request: Request, deps: Deps, page: Annotated[int, FromQuery(ge=1, le=1_000_000)] = 1
) -> Response:
    """List groups of questions that are alike, those asked most often first."""
    unanswered = of(deps.unanswered)

    def build() -> Response:
        groups = unanswered.groups()
        pages = max(-(-len(groups) // _ROWS), 1)
        number = min(page, pages)
        return render(
            request,
            "unanswered.html",
            deps.service.state(),
            days=unanswered.days,
            groups=groups[(number - 1) * _ROWS : number * _ROWS],
            total=len(groups),
            questions=sum(len(each.questions) for each in groups),
            most=MOST_GROUPED,
            shown=_MOST_SHOWN,
            before=_address(number - 1) if number > 1 else None,
            after=_address(number + 1) if number < pages else None,
            export=in_collection(EXPORT),
        )

    return await deps.whole.run(build, request=request)


def _address(page: int) -> str:
    return in_collection(f"{PATH}?page={page}")
