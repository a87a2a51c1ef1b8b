"""``qa mcp``: the tools of ``qa.web.mcp_server`` over standard input and output, for a client on the same machine."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence

import structlog

from qa.errors import QAError
from qa.service.service import Service
from qa.settings import Settings
from qa.types import CheckedCitation, CitationClaim, Collection, Limits, Query, Reply, SnapshotDocument, State
from qa.web import mcp_server

# Seconds that a question waits for the snapshot and its model, and between two looks; and for what is being loaded at
# the end.
_PATIENCE = 120.0
_LOOK_EVERY = 0.05
_SECONDS_TO_FINISH = 10.0


class Patient:
    """A service that is loading: what is asked waits, since a client asks at once. Otherwise the service itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def limits(self) -> Limits:
        return self._service.limits

    def state(self) -> State:
        return self._service.state()

    def ask(self, query: Query) -> Reply:
        self._wait()
        return self._service.ask(query)

    def ask_many(self, queries: Sequence[Query]) -> Sequence[Reply | QAError]:
        self._wait()
        return self._service.ask_many(queries)

    def collection(self) -> Collection:
        self._wait()
        return self._service.collection()

    def document(self, id: str) -> SnapshotDocument:
        self._wait()
        return self._service.document(id)

    def check_citation(self, claim: CitationClaim, snapshot: str | None = None) -> CheckedCitation:
        self._wait()
        return self._service.check_citation(claim, snapshot)

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self._service.state().status == "loading" and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)


def run(settings: Settings, version: str) -> None:
    """Until the client closes standard input. Nothing but the protocol goes to standard output."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    service = Service(settings)
    stopped = threading.Event()
    following = threading.Thread(target=service.follow, args=(stopped, lambda state: None), daemon=True, name="follow")
    following.start()
    patient = Patient(service)

    async def ask(query: Query) -> Reply:
        return await asyncio.to_thread(patient.ask, query)

    try:
        mcp_server.build(patient, ask, version).run("stdio")
    finally:
        stopped.set()
        # A model that is being loaded while the interpreter ends would abort the process.
        following.join(_SECONDS_TO_FINISH)
