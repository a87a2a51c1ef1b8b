"""What the routes of one application work with: one frozen value, which FastAPI's ``Depends`` hands to them.

The application's options, read from the settings, are part of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from limits import RateLimitItem, parse

from qa.errors import SettingsError
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.questions.feedback import FeedbackFile
from qa.service.maintenance import Maintenance
from qa.service.pictures import Pictures
from qa.service.service import Service
from qa.service.unanswered import Unanswered
from qa.service.upkeep import Upkeep
from qa.settings import Settings
from qa.web.admission import Budget, Lane
from qa.web.asking import Asking
from qa.web.middleware.access import Key, parse_keys
from qa.web.middleware.limits import own_names
from qa.web.middleware.observing import Tracer, make_exporting_tracer
from qa.web.middleware.overload import Refusals
from qa.web.monitoring import Monitoring
from qa.web.workers.board import Place


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one application. ``max_body_bytes`` is by default what the service's limits can fill.

    ``max_upload_bytes`` are those of a question file, ``max_documents_bytes`` of one upload of documents.
    ``pictures`` is the folder of all indexes, below which pictures of pages are kept; so is ``unanswered``, below which
    questions that were not answered are kept for ``unanswered_days``, in the folder of each collection.
    ``place`` is that of this process among several workers, ``None`` where it serves alone.
    """

    max_body_bytes: int | None = None
    max_upload_bytes: int = 20_000_000
    max_documents_bytes: int = 1_000_000_000
    max_waiting: int = 128
    cache_bytes: int = 0
    cache_seconds: float = 60.0
    keys: tuple[Key, ...] = ()
    allowed_hosts: tuple[str, ...] = ("*",)
    origins: tuple[str, ...] = ()
    rate: RateLimitItem | None = None
    local_rate: RateLimitItem | None = None
    body_seconds: float = 30.0
    feedback: Path | None = None
    originals: bool = False
    pictures: Path | None = None
    unanswered: Path | None = None
    unanswered_days: int = 0
    log_requests: bool = False
    log_questions: bool = False
    tracer: Tracer | None = None
    place: Place | None = None

    @property
    def workers(self) -> int:
        """How many processes serve together; bounds of the whole server are divided among them."""
        return 1 if self.place is None else self.place.board.workers

    @classmethod
    def from_settings(cls, settings: Settings, place: Place | None = None) -> Options:
        """Read the options from the settings. Raises SettingsError."""
        return cls(
            max_documents_bytes=settings.max_upload_mb * 10**6,
            cache_bytes=settings.cache_mb * 10**6,
            keys=_parse_keys(settings),
            allowed_hosts=(*own_names(settings.host), *_parse_list(settings.allowed_hosts.lower())),
            origins=_parse_list(settings.cors_origins),
            rate=_parse_rate("QA_RATE_LIMIT", settings.rate_limit),
            local_rate=_parse_rate("QA_LOCAL_RATE_LIMIT", settings.local_rate_limit),
            feedback=_check_feedback(settings.feedback),
            originals=settings.originals,
            pictures=settings.indexes if settings.pictures else None,
            unanswered=settings.indexes,
            unanswered_days=settings.unanswered_days,
            log_requests=settings.log_requests,
            log_questions=settings.log_questions,
            tracer=make_exporting_tracer() if settings.tracing else None,
            place=place,
        )


def _parse_keys(settings: Settings) -> tuple[Key, ...]:
    """Return the keys. Raises SettingsError where they are wrong, or where there are none and some are expected."""
    keys = parse_keys(settings.api_keys.get_secret_value())
    if not keys and (settings.behind_proxy or settings.require_keys):
        why = "--behind-proxy (QA_BEHIND_PROXY)" if settings.behind_proxy else "QA_REQUIRE_KEYS"
        raise SettingsError(f"{why} needs QA_API_KEYS, which is empty: everyone could ask; make a key with: qa keys")
    return keys


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _check_feedback(text: str) -> Path | None:
    """Return the feedback file. Raises SettingsError where it cannot be written, so that no judgment is lost."""
    if not text.strip():
        return None
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise SettingsError(f"QA_FEEDBACK is {text!r}, which {what}; name a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SettingsError(
            f"QA_FEEDBACK is {text!r}, which cannot be written; name another file, or change its permissions"
        )
    return path


def _parse_rate(setting: str, text: str) -> RateLimitItem | None:
    """Parse a rate limit; ``None`` where it is empty. Raises SettingsError."""
    if not text.strip():
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(
            f"{setting} is {text!r}; write it as 20/second or 1200/minute, or leave it empty"
        ) from error


@dataclass(frozen=True, slots=True)
class Offered:
    """A collection, and what the server offers of it beside questions and documents."""

    service: Service
    evaluations: EvaluationQueue | None = None
    maintenance: Maintenance | None = None


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts of one application, as a request to one collection sees them.

    ``None`` stands for a part that this server does not offer. ``name`` is the collection's, and ``service``,
    ``asking``, ``evaluations``, ``maintenance``, ``feedback`` and ``unanswered`` are its own; the others are shared by
    all collections.

    ``whole`` is the lane of what looks through a whole document or collection, ``uploads`` that of question files,
    ``drawing`` that of pictures, ``upkeep`` that of changes of documents; ``passages`` is what batches may hold until
    they have been sent, and ``receiving`` how many uploads may arrive at once.
    """

    name: str
    service: Service
    asking: Asking
    monitoring: Monitoring
    refusals: Refusals
    whole: Lane
    uploads: Lane
    drawing: Lane
    passages: Budget
    upkeep: Lane
    receiving: Budget
    evaluations: EvaluationQueue | None = None
    maintenance: Maintenance | None = None
    feedback: FeedbackFile | None = None
    originals: bool = False
    pictures: Pictures | None = None
    unanswered: Unanswered | None = None
    needs_key: bool = False


def install(app: FastAPI, collections: Sequence[Dependencies]) -> None:
    """Give ``app`` the parts that its routes work with: those of each collection, the default one first."""
    app.state.dependencies = collections[0]
    app.state.collections = {each.name: each for each in collections}


def collections_of(app: FastAPI) -> Mapping[str, Dependencies]:
    """Return the parts of each collection by its name, the default one first."""
    found: Mapping[str, Dependencies] = app.state.collections
    return found


async def dependencies(request: Request) -> Dependencies:
    """Return the parts that ``request`` works with: those of the collection that it is for."""
    return of_request(request)


def of_request(request: Request) -> Dependencies:
    """Return the parts of the collection that ``request`` is for; :class:`CollectionAccess` has found out which."""
    return collections_of(request.app)[request.scope["state"]["collection"]]


def visible_collections(request: Request) -> list[Dependencies]:
    """Return the parts of each collection that ``request`` may ask, the default one first."""
    collections = collections_of(request.app)
    return [collections[name] for name in request.scope["state"]["collections"]]


Deps = Annotated[Dependencies, Depends(dependencies)]


# Coroutines, because FastAPI runs a plain function in the thread pool, behind the requests that block there.
async def _service(deps: Deps) -> Service:
    return deps.service


async def _asking(deps: Deps) -> Asking:
    return deps.asking


async def _evaluations(deps: Deps) -> EvaluationQueue:
    assert deps.evaluations is not None
    return deps.evaluations


async def _maintenance(deps: Deps) -> Maintenance:
    assert deps.maintenance is not None
    return deps.maintenance


async def _upkeep(deps: Deps) -> Upkeep:
    assert deps.maintenance is not None
    return deps.maintenance.upkeep


ServiceDep = Annotated[Service, Depends(_service)]
AskingDep = Annotated[Asking, Depends(_asking)]
EvaluationsDep = Annotated[EvaluationQueue, Depends(_evaluations)]
MaintenanceDep = Annotated[Maintenance, Depends(_maintenance)]
UpkeepDep = Annotated[Upkeep, Depends(_upkeep)]
