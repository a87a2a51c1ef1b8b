"""uvicorn around the application: the port is open at once, and snapshot and models load behind it."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial

import structlog
import uvicorn

from qa.errors import QAError
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.collections import Collections, Served
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import require_served
from qa.web.middleware.overload import BoundedProtocol

# For requests that are running when the server is asked to stop.
_SECONDS_TO_FINISH = 10
_SWITCH_SECONDS = 0.0005


def run(settings: Settings, listening: socket.socket, watched: bool = False, names: Sequence[str] = ()) -> None:
    """Serve until a signal, and finish the running requests first.

    Args:
        watched: whether each index follows its files.
        names: of the collections to serve, the default one first; the settings' alone where there are none.
    """
    _configure_logging(settings.log_format)
    options = Options.from_settings(settings)
    # The default of 5 ms is how long the event loop, or the encoder between two batches, waits for a search to pause.
    sys.setswitchinterval(_SWITCH_SECONDS)
    collections = Collections(settings, names or (settings.name,))
    require_served(options.keys, [each.name for each in collections])
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _say(f"Listening on {address}; loading snapshot and model …")
    if not options.keys:
        _note("Without keys whoever reaches this port may ask, and on this machine, by a loopback name, may operate.")
        _note("Behind a proxy, set QA_API_KEYS and use --behind-proxy.")

    def ready(state: State) -> None:
        noun = "passage" if state.passages == 1 else "passages"
        _say(f"Ready: index {state.index}, snapshot {state.snapshot}, {state.passages} {noun}.\n{address}")

    stopped = threading.Event()
    loading = collections.keep_current(stopped, ready)
    for each in collections:
        if not each.maintenance.upkeep.why_fixed():
            _catch_up(each)
            _keep_trying(each, stopped)
        elif watched:
            _watch(each, stopped, collections.turn)
    turn = threading.Lock()
    queues = [_start_queue(each, turn) for each in collections]
    first, *others = [
        Offered(each.service, queue, each.maintenance) for each, queue in zip(collections, queues, strict=True)
    ]
    config = uvicorn.Config(
        create_app(first.service, first.evaluations, options, first.maintenance, others),
        http=BoundedProtocol,
        # Trust X-Forwarded-For only from a proxy on this machine.
        forwarded_allow_ips="127.0.0.1",
        log_config=None,
        # The address of a GET holds the question, and questions are not logged.
        access_log=False,
        server_header=False,
        # A client that never sends the rest of its request must not keep the server from stopping.
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        stopped.set()
        # The process would abort if the interpreter ended while a model is being loaded.
        for thread in loading:
            thread.join(_SECONDS_TO_FINISH)
        for queue in queues:
            queue.stop()


def _catch_up(served: Served) -> None:
    """Index what was uploaded and not indexed before the server was last ended, and say where nothing was."""
    try:
        state = served.maintenance.upkeep.catch_up()
    except QAError as error:  # such as a disk that is only read here
        _note(f"{served.name}: documents are not uploaded here: {error}")
        return
    if state is None:
        _say(f"The collection {served.name} is empty; upload documents.")
        threading.Thread(target=_prepare, args=(served.service,), daemon=True, name=f"prepare-{served.name}").start()


def _keep_trying(served: Served, stopped: threading.Event) -> None:
    name = f"retry-{served.name}"
    threading.Thread(target=served.maintenance.upkeep.keep_trying, args=(stopped,), daemon=True, name=name).start()


def _prepare(service: Service) -> None:
    try:
        service.prepare()
    except QAError as error:  # the first upload says it again, in the state of the index
        _note(str(error))


def _watch(served: Served, stopped: threading.Event, turn: threading.Lock) -> None:
    from qa.build.watch import watch

    # A daemon: stopping does not wait for a build, which loses nothing by being cut short.
    arguments = (served.settings, served.service.encoder, stopped, partial(served.service.note, "watch"), turn)
    threading.Thread(target=watch, args=arguments, daemon=True, name=f"watch-{served.name}").start()


def _start_queue(served: Served, turn: threading.Lock) -> EvaluationQueue:
    """Make the queue of a collection's evaluations, of which one runs at a turn, and begin to work on it."""
    settings, service = served.settings, served.service
    queue = EvaluationQueue(
        settings.indexes / settings.name,
        service.state,
        settings.model_dump(mode="json"),
        seconds=settings.max_evaluation_seconds,
        trouble=partial(service.note, "evaluations"),
        turn=turn,
    )
    threading.Thread(target=queue.run, daemon=True, name=f"evaluate-{served.name}").start()
    return queue


def _configure_logging(format: str) -> None:
    """Log to standard error, one line an event, the events of libraries included."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    # Both escape what a terminal would act on.
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # It warns of every request that is no HTTP, of which a client can send thousands a second.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a person waits for the address


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - for the person who started it, whatever the log's format
