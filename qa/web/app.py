"""The application: routes, pages, errors and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from qa.questions.feedback import FeedbackFile
from qa.types import Limits
from qa.web import handlers
from qa.web import mcp as mcp_server
from qa.web.api import evaluations as evaluation_routes
from qa.web.api import openapi, operating, routes
from qa.web.asking import Asking, ReplyCache
from qa.web.batching import Batcher
from qa.web.middleware.access import Access
from qa.web.middleware.headers import ResponseHeaders
from qa.web.middleware.limits import BodyLimit, HeadAsGet, Hosts, Rates
from qa.web.middleware.observing import Observing
from qa.web.middleware.overload import Refusals, Shedding
from qa.web.monitoring import Monitoring
from qa.web.options import Options
from qa.web.pages import ask, document, documents
from qa.web.pages import evaluations as evaluation_pages
from qa.web.ports import AskService, Evaluations, Operations

STATIC = Path(__file__).parent / "static"
_OPTIONS = Options()


def create_app(
    service: AskService,
    evaluations: Evaluations | None = None,
    options: Options = _OPTIONS,
    operations: Operations | None = None,
) -> FastAPI:
    """The web application over ``service``, which may still be loading: it is asked anew for each request.

    Args:
        evaluations: what runs behind the server; without it there is nothing at ``/v1/evaluations``.
        operations: what an operator may do; without it there is nothing at ``/v1/snapshots`` and ``/v1/index``.
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
    # The server's protocol asks it too, and saves a full queue all that comes after.
    app.state.refusals = Refusals(batcher, monitoring)
    app.include_router(routes.router)
    app.state.evaluations = evaluations
    if evaluations is not None:
        app.state.needs_key = bool(options.keys)
        app.include_router(evaluation_routes.router)
        # Before the page of one evaluation, whose address it would be.
        app.include_router(evaluation_pages.comparison_router)
        app.include_router(evaluation_pages.router)
    if operations is not None:
        app.state.operations = operations
        app.include_router(operating.router)
    app.include_router(ask.router)
    app.include_router(documents.router)
    app.include_router(document.router)
    app.state.feedback = FeedbackFile(options.feedback) if options.feedback is not None else None
    if options.feedback is not None:
        app.include_router(ask.feedback_router)
    app.state.originals = options.originals
    if options.originals:
        app.include_router(document.originals_router)
    # Without sessions there is nothing that a stream opened by GET could carry, and it would never end.
    app.router.routes.append(Route(mcp_server.PATH, mcp, methods=["POST"], include_in_schema=False))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    openapi.install(app, service.limits, {key.scope for key in options.keys})
    handlers.install(app, ask.problem)
    _protect(app, service.limits, options, monitoring)
    return app


def _protect(app: FastAPI, limits: Limits, options: Options, monitoring: Monitoring) -> None:
    """The middleware. The last one added is the outermost."""
    app.add_middleware(
        BodyLimit,
        limit=options.max_body_bytes or _largest_body(limits),
        # A form's file comes between boundaries.
        by_path={
            evaluation_routes.PATH: options.max_upload_bytes,
            evaluation_pages.PATH: options.max_upload_bytes + 4096,
        },
        seconds=options.body_seconds,
    )
    app.add_middleware(Shedding, refusals=app.state.refusals)
    if options.rate is not None:
        app.add_middleware(Rates, rate=options.rate, monitoring=monitoring)
    app.add_middleware(Access, keys=options.keys, origins=options.origins, render=ask.problem)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Location", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Hosts, names=options.allowed_hosts)
    app.add_middleware(handlers.UnexpectedErrors, render=ask.problem)
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        Observing,
        monitoring=monitoring,
        tracer=options.tracer,
        log_requests=options.log_requests,
        log_questions=options.log_questions,
    )
    app.add_middleware(ResponseHeaders)


def _largest_body(limits: Limits) -> int:
    """Bytes of a full batch of the longest questions: JSON may write a character as six, ``\\u00e9``."""
    return max(1_000_000, limits.batch * (6 * limits.question_chars + 1024))


def version_of_qa() -> str:
    try:
        return version("qa")
    except PackageNotFoundError:  # Run from a source tree that is not installed.
        return "0"
