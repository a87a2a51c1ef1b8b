"""The application: routes, pages, errors and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from qa.types import Limits
from qa.web import api, evaluating, handlers, mcp_server, openapi, pages
from qa.web.asking import Asking
from qa.web.batching import Batcher
from qa.web.bodies import BodyLimit, HeadAsGet
from qa.web.caching import ReplyCache
from qa.web.headers import ResponseHeaders
from qa.web.monitoring import Monitoring
from qa.web.options import Options
from qa.web.ports import AskService, Evaluations
from qa.web.shedding import Shedding

STATIC = Path(__file__).parent / "static"
_OPTIONS = Options()


def create_app(
    service: AskService,
    evaluations: Evaluations | None = None,
    options: Options = _OPTIONS,
) -> FastAPI:
    """The web application over ``service``, which may still be loading: it is asked anew for each request.

    Args:
        evaluations: what runs behind the server; without it there is nothing at ``/v1/evaluations``.
    """
    monitoring = Monitoring()
    batcher = Batcher(service.ask_many, monitoring, most_waiting=options.max_waiting)
    cache = ReplyCache(options.cache_bytes, options.cache_seconds)

    asking = Asking(service, monitoring, batcher, cache)
    mcp = mcp_server.Endpoint(lambda: mcp_server.build(service, asking.ask, version_of_qa()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await mcp.close()
        batcher.close()

    app = FastAPI(
        title="qa",
        version=version_of_qa(),
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        # The framework's interactive pages load their script from a CDN.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.monitoring = monitoring
    app.state.asking = asking
    app.include_router(api.router)
    if evaluations is not None:
        app.state.evaluations = evaluations
        app.include_router(evaluating.router)
    app.include_router(pages.router)
    app.router.routes.append(Route(mcp_server.PATH, mcp, include_in_schema=False))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    openapi.install(app, service.limits)
    handlers.install(app, pages.problem)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit,
        limit=options.max_body_bytes or _largest_body(service.limits),
        by_path={evaluating.PATH: options.max_upload_bytes},
    )
    app.add_middleware(Shedding, batcher=batcher, monitoring=monitoring)
    app.add_middleware(handlers.UnexpectedErrors, render=pages.problem)
    app.add_middleware(HeadAsGet)
    app.add_middleware(ResponseHeaders)
    return app


def _largest_body(limits: Limits) -> int:
    """Bytes of a full batch of the longest questions: JSON may write a character as six, ``\\u00e9``."""
    return max(1_000_000, limits.batch * (6 * limits.question_chars + 1024))


def version_of_qa() -> str:
    try:
        return version("qa")
    except PackageNotFoundError:  # Run from a source tree that is not installed.
        return "0"
