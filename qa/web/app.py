"""The application: routes, pages, errors and middleware put together."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from qa.types import Limits
from qa.web import api, evaluating, handlers, openapi, pages
from qa.web.bodies import BodyLimit, HeadAsGet
from qa.web.headers import ResponseHeaders
from qa.web.ports import AskService, Evaluations

STATIC = Path(__file__).parent / "static"


def create_app(
    service: AskService,
    evaluations: Evaluations | None = None,
    *,
    max_body_bytes: int | None = None,
    max_upload_bytes: int = 20_000_000,
) -> FastAPI:
    """The web application over ``service``, which may still be loading: it is asked anew for each request.

    Args:
        max_body_bytes: a request with a larger body is refused with 413; by default as much as the limits of the
            service can fill.
        evaluations: what runs behind the server; without it there is nothing at ``/v1/evaluations``.
        max_upload_bytes: the same bound for a question file.
    """
    app = FastAPI(
        title="qa",
        version=_version(),
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        # The framework's interactive pages load their script from a CDN.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(api.router)
    if evaluations is not None:
        app.state.evaluations = evaluations
        app.include_router(evaluating.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    openapi.install(app, service.limits)
    handlers.install(app, pages.problem)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit, limit=max_body_bytes or _largest_body(service.limits), by_path={evaluating.PATH: max_upload_bytes}
    )
    app.add_middleware(handlers.UnexpectedErrors, render=pages.problem)
    app.add_middleware(HeadAsGet)
    app.add_middleware(ResponseHeaders)
    return app


def _largest_body(limits: Limits) -> int:
    """Bytes of a full batch of the longest questions: JSON may write a character as six, ``\\u00e9``."""
    return max(1_000_000, limits.batch * (6 * limits.question_chars + 1024))


def _version() -> str:
    try:
        return version("qa")
    except PackageNotFoundError:  # Run from a source tree that is not installed.
        return "0"
