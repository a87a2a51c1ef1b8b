"""Two evaluations side by side: what changed, and whether chance could have done it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from qa.web.api.evaluating import REFRESH_SECONDS, Running, refuse_elsewhere, standing_alone
from qa.web.pages.rendering import render
from qa.web.ports import AskService, Evaluations

PATH = "/evaluate/compare"

router = APIRouter(include_in_schema=False)

Id = Annotated[str, Query(max_length=64)]


@router.get(PATH)
async def compare_page(request: Request, evaluations: Running, a: Id, b: Id) -> Response:
    """The numbers of ``b`` against ``a``; until they are computed, that they are, loaded anew by itself."""
    refuse_elsewhere(
        request, "Evaluations are compared for clients on the server's own machine; elsewhere, qa compare does it."
    )
    return await run_in_threadpool(_page, request, evaluations, a, b)


@router.get(f"{PATH}/report")
def comparison_report(evaluations: Running, a: Id, b: Id) -> Response:
    """Both rankings of each question that changed."""
    return standing_alone(evaluations.comparison_report(a, b))


def _page(request: Request, evaluations: Evaluations, a: str, b: str) -> Response:
    service: AskService = request.app.state.service
    compared = evaluations.compare(a, b)
    headers = {"Refresh": str(REFRESH_SECONDS)} if compared.status == "computing" else None
    return render(
        request,
        "comparison.html",
        service.state(),
        headers=headers,
        compared=compared,
        baseline=evaluations.get(a),
        candidate=evaluations.get(b),
    )
