"""The application: routes, pages, errors and middleware put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import Depends, FastAPI
from limits.storage import MemoryStorage
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from qa.evaluation.jobs.queue import EvaluationQueue
from qa.questions.asked import FILE as UNANSWERED_FILE
from qa.questions.asked import AskedFile
from qa.questions.feedback import FeedbackFile
from qa.search import filters
from qa.service.maintenance import Maintenance
from qa.service.pictures import Pictures
from qa.service.service import Service
from qa.service.unanswered import Unanswered
from qa.text.globs import MOST_CHARACTERS
from qa.types import Limits
from qa.web import deps, handlers
from qa.web.admission import Budget, Lane
from qa.web.api import chat, collections, facets, openapi, pictures, routes, snapshots, unanswered, uploads
from qa.web.api import evaluations as evaluation_routes
from qa.web.api.requests import require_once
from qa.web.asking import Asking, ReplyCache
from qa.web.batching import Batcher, count_workers
from qa.web.deps import Offered, Options
from qa.web.fairness import share_of
from qa.web.mcp import McpEndpoint, McpEndpoints, build_server
from qa.web.middleware.access import Access, Identity
from qa.web.middleware.collections import CollectionAccess, CollectionPaths
from qa.web.middleware.headers import ResponseHeaders
from qa.web.middleware.limits import BodyLimit, HeadAsGet, Hosts, ParameterLimit, Rates
from qa.web.middleware.observing import Observing
from qa.web.middleware.overload import Refusals, Shedding
from qa.web.monitoring import Monitoring
from qa.web.pages import api, ask, document, documents, upkeep
from qa.web.pages import evaluations as evaluation_pages
from qa.web.pages import unanswered as unanswered_page
from qa.web.pages.rendering import render_problem
from qa.web.workers.forwarding import Forwarding, FromWorkers
from qa.web.workers.metrics import SharedMetrics
from qa.web.workers.rates import SharedStorage

STATIC = Path(__file__).parent / "static"
# Bytes of all request bodies, passages of all batches, and parameters of an address.
_MOST_BODY_BYTES = 64_000_000
_MOST_PASSAGES = 50_000
_MOST_PARAMETERS = 500
# Uploads of documents that arrive at once; each is written to the disk as it comes.
_MOST_RECEIVED = 4
_OPTIONS = Options()


def create_app(
    service: Service,
    evaluations: EvaluationQueue | None = None,
    options: Options = _OPTIONS,
    maintenance: Maintenance | None = None,
    others: Sequence[Offered] = (),
) -> FastAPI:
    """Build the web application over ``service``, which may still be loading.

    Args:
        service: of the collection that is asked where none is named.
        evaluations: evaluations that run behind the server; without it there is no ``/v1/evaluations``.
        maintenance: what an operator may do; without it there is no ``/v1/snapshots`` and no ``/v1/index``.
        others: the other collections; each offers the same as the first.
    """
    monitoring = Monitoring(SharedMetrics(options.place) if options.place else None)
    most_waiting = _divide(options.max_waiting, options)
    batcher = Batcher(monitoring, most_waiting=most_waiting, workers=count_workers(options.workers))
    every = _make_parts((Offered(service, evaluations, maintenance), *others), monitoring, batcher, options)
    parts = every[0]
    mcp = McpEndpoints({each.name: _make_tools(each) for each in every})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await mcp.close()
        batcher.close()
        parts.whole.close()
        parts.uploads.close()
        parts.drawing.close()
        parts.upkeep.close()
        for each in every:
            if each.unanswered is not None:
                await asyncio.to_thread(each.unanswered.close)

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
    deps.install(app, every)
    _add_routes(app, parts)
    # GET would open a stream that never ends; without sessions it has nothing to carry.
    app.router.routes.append(Route("/mcp", mcp, methods=["POST"], include_in_schema=False))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    scopes = {key.scope for key in options.keys}
    openapi.install(app, service.limits, scopes, has_several=len(every) > 1)
    handlers.install(app, render_problem)
    _add_middleware(app, every, options)
    return app


def _make_parts(
    offered: Sequence[Offered], monitoring: Monitoring, batcher: Batcher, options: Options
) -> list[deps.Dependencies]:
    """Make the parts of each collection; queue, cache, lanes and budgets are those of all."""
    cache = ReplyCache(options.cache_bytes // options.workers, options.cache_seconds)
    refusals = Refusals(batcher, monitoring)
    whole = Lane("whole", monitoring, running=_divide(2, options), waiting=_divide(64, options))
    drawing = Lane("drawing", monitoring, running=_divide(2, options), waiting=_divide(32, options))
    # Where there are several workers, only the first one takes question files and changes documents.
    uploads = Lane("uploads", monitoring, running=1, waiting=4)
    upkeep = Lane("upkeep", monitoring, running=1, waiting=8)
    passages = Budget(_divide(_MOST_PASSAGES, options), monitoring)
    at_once = f"at most {_MOST_RECEIVED} uploads may arrive at once, {share_of(_MOST_RECEIVED)} of them from one client"
    receiving = Budget(_MOST_RECEIVED, monitoring, f"{at_once}; try again when one of them is done")
    pictures = Pictures(options.pictures) if options.pictures is not None else None
    found: list[deps.Dependencies] = []
    for each in offered:
        name = each.service.state().index
        kept = _make_unanswered(each.service, name, options)
        found.append(
            deps.Dependencies(
                name=name,
                service=each.service,
                asking=Asking(each.service, monitoring, batcher, cache, kept),
                monitoring=monitoring,
                refusals=refusals,
                whole=whole,
                uploads=uploads,
                drawing=drawing,
                passages=passages,
                upkeep=upkeep,
                receiving=receiving,
                evaluations=each.evaluations,
                maintenance=each.maintenance,
                feedback=_feedback_file(options.feedback, name if found else ""),
                originals=options.originals,
                pictures=pictures,
                unanswered=kept,
                needs_key=bool(options.keys),
            )
        )
    return found


def _divide(places: int, options: Options) -> int:
    """Return this worker's part of places that are the whole server's, but at least one."""
    return max(1, places // options.workers)


def _make_unanswered(service: Service, name: str, options: Options) -> Unanswered | None:
    """Make what keeps the questions of a collection that are not answered; where it is off, forget what was kept."""
    if options.unanswered is None:
        return None
    path = options.unanswered / name / UNANSWERED_FILE
    if not options.unanswered_days:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    return Unanswered(AskedFile(path, options.unanswered_days), service.encoder, partial(service.note, "unanswered"))


def _feedback_file(path: Path | None, name: str) -> FeedbackFile | None:
    """Return the file of a collection's judgments, which for all but the default one has its ``name`` in its own."""
    if path is None:
        return None
    return FeedbackFile(path.with_stem(f"{path.stem}-{name}") if name else path)


def _make_tools(parts: deps.Dependencies) -> McpEndpoint:
    return McpEndpoint(lambda: build_server(parts.service, parts.asking.ask, version_of_qa()))


def _add_routes(app: FastAPI, parts: deps.Dependencies) -> None:
    once = [Depends(require_once)]
    app.include_router(routes.questions)
    app.include_router(facets.router, dependencies=once)
    app.include_router(routes.router, dependencies=once)
    app.include_router(chat.router, dependencies=once)
    app.include_router(collections.router, dependencies=once)
    if parts.evaluations is not None:
        app.include_router(evaluation_routes.router, dependencies=once)
        app.include_router(evaluation_pages.router, dependencies=once)
    if parts.maintenance is not None:
        app.include_router(snapshots.router, dependencies=once)
        app.include_router(uploads.router, dependencies=once)
        app.include_router(upkeep.router, dependencies=once)
    if parts.pictures is not None:
        app.include_router(pictures.router, dependencies=once)
    app.include_router(ask.router, dependencies=once)
    app.include_router(api.router, dependencies=once)
    app.include_router(documents.router, dependencies=once)
    app.include_router(document.router, dependencies=once)
    if parts.unanswered is not None:
        app.include_router(unanswered.router, dependencies=once)
        app.include_router(unanswered_page.router, dependencies=once)
    if parts.feedback is not None:
        app.include_router(ask.feedback_router, dependencies=once)
    if parts.originals:
        app.include_router(document.originals_router, dependencies=once)


def _add_middleware(app: FastAPI, every: Sequence[deps.Dependencies], options: Options) -> None:
    parts = every[0]
    # The one added last is the outermost.
    app.add_middleware(
        BodyLimit,
        budget=Budget(_divide(_MOST_BODY_BYTES, options), parts.monitoring),
        limit=(most := options.max_body_bytes or _largest_body(parts.service.limits)),
        # A form puts boundaries around its file.
        by_path={
            "/v1/ask": min(most, single := _largest_question(parts.service.limits)),
            "/mcp": min(most, single),
            evaluation_routes.PATH: options.max_upload_bytes,
            evaluation_pages.PATH: options.max_upload_bytes + 4096,
        },
        to_disk={
            uploads.PATH: options.max_documents_bytes,
            **dict.fromkeys((upkeep.UPLOAD_PATH, upkeep.REPLACE_PATH), options.max_documents_bytes),
        },
        seconds=options.body_seconds,
    )
    app.add_middleware(ParameterLimit, most=_MOST_PARAMETERS)
    app.add_middleware(Shedding, refusals=parts.refusals)
    names = [each.name for each in every]
    app.add_middleware(CollectionAccess, names=names, keys=options.keys, render=render_problem)
    app.add_middleware(Access, keys=options.keys, origins=options.origins, render=render_problem)
    app.add_middleware(
        Rates,
        rate=options.rate,
        local=options.local_rate,
        monitoring=parts.monitoring,
        counts=SharedStorage(options.place.rates) if options.place else MemoryStorage(),
    )
    app.add_middleware(Identity, keys=options.keys)
    app.add_middleware(CollectionPaths)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "X-API-Key", "X-Request-ID"],
            expose_headers=["Location", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Hosts, names=options.allowed_hosts)
    app.add_middleware(handlers.UnexpectedErrors, render=render_problem)
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        Observing,
        monitoring=parts.monitoring,
        tracer=options.tracer,
        log_requests=options.log_requests,
        log_questions=options.log_questions,
    )
    app.add_middleware(ResponseHeaders)
    if options.place is not None and options.place.is_first:
        app.add_middleware(FromWorkers)
    elif options.place is not None:
        app.add_middleware(Forwarding, socket=options.place.first_socket)


def _largest_question(limits: Limits) -> int:
    """Return the bytes of one question, after as many as there may be, with all globs and conditions."""
    return (
        6 * ((1 + 2 * limits.previous) * limits.question_chars + 2 * MOST_CHARACTERS + filters.MOST_CHARACTERS) + 8192
    )


def _largest_body(limits: Limits) -> int:
    """Return the bytes of a full batch of the longest questions: JSON may write a character as six, ``\\u00e9``."""
    return max(1_000_000, limits.batch * (6 * limits.question_chars + 1024))


def version_of_qa() -> str:
    """Return the version of the installed package, or ``0`` in a source tree that is not installed."""
    try:
        return version("qa")
    except PackageNotFoundError:
        return "0"
