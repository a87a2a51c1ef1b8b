"""uvicorn around the app: the port is open already, snapshot and model load behind it."""

from __future__ import annotations

import logging
import socket
import sys
import threading

import structlog
import uvicorn

from qa.build.watch import watch
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.operator import Operator
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.app import create_app
from qa.web.middleware.overload import BoundedProtocol
from qa.web.options import Options

# For requests that are under way when the server is told to stop.
_SECONDS_TO_FINISH = 10
_SWITCH_SECONDS = 0.0005


def run(settings: Settings, listening: socket.socket, watched: bool = False) -> None:
    """Serve until a signal; requests that are under way are finished first. With ``watched`` the index follows its
    files."""
    _configure_logging(settings.log_format)
    options = Options.of(settings)
    # By default a thread that needs the interpreter waits 5 ms for one that computes: the event loop, or the encoder
    # between two batches, for a search.
    sys.setswitchinterval(_SWITCH_SECONDS)
    service = Service(settings)
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _say(f"Listening on {address}; loading snapshot and model …")

    def ready(state: State) -> None:
        noun = "passage" if state.passages == 1 else "passages"
        _say(f"Ready: index {state.index}, snapshot {state.snapshot}, {state.passages} {noun}.\n{address}")

    stopped = threading.Event()
    following = threading.Thread(target=service.follow, args=(stopped, ready), daemon=True, name="follow")
    following.start()
    if watched:
        # A daemon: stopping does not wait for a build, which loses nothing by being cut off.
        arguments = (settings, service.encoder, stopped)
        threading.Thread(target=watch, args=arguments, daemon=True, name="watch").start()
    # No access log: a GET's address holds the question, and questions are not logged.
    evaluations = EvaluationQueue(
        settings.indexes / settings.name,
        service,
        settings.model_dump(mode="json"),
        most_waiting=settings.max_evaluations,
        most_kept=settings.keep_evaluations,
        seconds=settings.max_evaluation_seconds,
    )
    threading.Thread(target=evaluations.run, daemon=True, name="evaluate").start()
    config = uvicorn.Config(
        create_app(service, evaluations, options, Operator(settings, service)),
        http=BoundedProtocol,
        # Of proxies on this machine alone is it believed whom they ask for.
        forwarded_allow_ips="127.0.0.1",
        log_config=None,
        access_log=False,
        server_header=False,
        # A client that never sends the rest of its request must not keep the server from stopping.
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        stopped.set()
        # A model that is being loaded while the interpreter ends would abort the process.
        following.join(_SECONDS_TO_FINISH)
        evaluations.stop()


def _configure_logging(format: str) -> None:
    """Standard error, one line an event; a program's start is the one place where logging is set up."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if format == "json"
            else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the address is what a person is waiting for
