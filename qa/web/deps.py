"""What the routes of one application work with: one frozen value, which FastAPI's ``Depends`` hands to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from qa.evaluation.jobs.queue import EvaluationQueue
from qa.questions.feedback import FeedbackFile
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.web.asking import Asking
from qa.web.middleware.overload import Refusals
from qa.web.monitoring import Monitoring


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts of one application. ``None`` stands for a part that this server does not offer."""

    service: Service
    asking: Asking
    monitoring: Monitoring
    refusals: Refusals
    evaluations: EvaluationQueue | None = None
    maintenance: Maintenance | None = None
    feedback: FeedbackFile | None = None
    originals: bool = False
    needs_key: bool = False


def install(app: FastAPI, dependencies: Dependencies) -> None:
    """Give ``app`` the parts that its routes work with."""
    app.state.dependencies = dependencies


async def dependencies(request: Request) -> Dependencies:
    """Return the parts of the application that answers ``request``."""
    return of_app(request.app)


def of_app(app: FastAPI) -> Dependencies:
    """Return the parts that :func:`install` gave to ``app``."""
    found: Dependencies = app.state.dependencies
    return found


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


ServiceDep = Annotated[Service, Depends(_service)]
AskingDep = Annotated[Asking, Depends(_asking)]
EvaluationsDep = Annotated[EvaluationQueue, Depends(_evaluations)]
MaintenanceDep = Annotated[Maintenance, Depends(_maintenance)]
