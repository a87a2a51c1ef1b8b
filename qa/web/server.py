"""uvicorn around the application: the port is open at once, and snapshot and models load behind it."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn

from qa.answers.notation import compile_patterns
from qa.errors import QAError, SettingsError
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.index.snapshots import Snapshots
from qa.index.vectors.engines import is_in_milvus
from qa.machine import release_free_memory
from qa.markup import safe_lines
from qa.models.loading import EncoderFactory, Models, make_encoder
from qa.service.collections import Collections, Served
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import require_served
from qa.web.middleware.overload import BoundedProtocol
from qa.web.workers.accepting import WorkerServer
from qa.web.workers.board import Place, Publisher, Row
from qa.web.workers.default import default_workers
from qa.web.workers.metrics import share_counts
from qa.web.workers.supervisor import CANNOT_START, REMEDY, Supervisor

log = structlog.get_logger(__name__)

# For requests that are running when the server is asked to stop.
_SECONDS_TO_FINISH = 10
_SWITCH_SECONDS = 0.0005
# Seconds: between two looks of a worker that is still loading, and after which it serves all the same where no other
# worker does.
_LOOK_EVERY = 0.05
_SECONDS_ALONE = 5.0
# What a worker says of a collection that it holds as empty, when the first one answers from its first documents.
_LOADED_BY_FIRST = "the documents are indexed and being loaded; questions are answered when that is done"
# Of mallopt(3).
_M_ARENA_MAX = -8
_ARENAS = 2


def run(
    settings: Settings,
    listening: socket.socket,
    watched: bool = False,
    names: Sequence[str] = (),
    *,
    make: EncoderFactory = make_encoder,
) -> None:
    """Serve until a signal, and finish the running requests first.

    Args:
        watched: whether each index follows its files.
        names: of the collections to serve, the default one first; the settings' alone where there are none.
    """
    _configure_logging(settings.log_format)
    _end_at_hang_up()
    names = list(dict.fromkeys(names or (settings.name,)))
    # Also where other processes read them again: what is wrong is said once, before there are any.
    keys = Options.from_settings(settings.model_copy(update={"tracing": False})).keys
    require_served(keys, names)
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _say(f"Listening on {address}; loading snapshot and model …")
    if not keys:
        _note("Without keys whoever reaches this port may ask, and on this machine, by a loopback name, may operate.")
        _note("Behind a proxy, set QA_API_KEYS and use --behind-proxy.")

    def ready(state: State) -> None:
        noun = "passage" if state.passages == 1 else "passages"
        _say(f"Ready: index {state.index}, snapshot {state.snapshot}, {state.passages} {noun}.\n{address}")

    # The default of 5 ms is how long the event loop, or the encoder between two batches, waits for a search to pause.
    sys.setswitchinterval(_SWITCH_SECONDS)
    workers = settings.workers or default_workers()
    # Models and queues divide the cores by it.
    settings = settings.model_copy(update={"workers": workers})
    models = Models(settings, make, forks=workers > 1)
    if workers > 1:
        # Before there are several: they share what was compiled and loaded.
        compile_patterns()
        models.load_before_fork()
        release_free_memory()
    if workers == 1:
        _Process(settings, listening, watched, names, ready, models).serve()
    elif (place := Supervisor(workers, listening, ready).run()) is not None:
        _serve_as_worker(place, _Process(settings, listening, watched, names, _give_back, models, place))


def _end_at_hang_up() -> None:
    """Take the end of the terminal for SIGTERM, unless who started this process had it ignored, as nohup does."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def _serve_as_worker(place: Place, process: _Process) -> NoReturn:
    """Serve in one of several processes, until SIGTERM, and end it."""
    # Not by the signal itself: what this process has in temporary folders is removed when it ends.
    signal.signal(signal.SIGTERM, _exit_once)
    structlog.contextvars.bind_contextvars(worker=place.number)
    _bound_arenas()
    code = 0
    try:
        process.serve()
    except QAError as error:
        if place.is_first:
            _note(f"qa: error: {safe_lines(str(error))}")
        code = CANNOT_START
    except SystemExit as ended:
        code = _exit_code(ended)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    _leave(code)


def _exit_code(ended: SystemExit) -> int:
    """Return the exit code of a process that ends so, and say what the interpreter would."""
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code
    _note(str(ended.code))
    return 1


def _exit_once(number: int, frame: FrameType | None) -> NoReturn:
    """Exit as by a signal; another one must not break off what is done at the end."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _leave(code: int) -> NoReturn:
    """End a forked process without what libraries do last: OpenVINO waits for threads that were not forked with it.

    What Python's modules do at the end is done, as multiprocessing does it in the processes that it forks; threads are
    not waited for.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _bound_arenas() -> None:
    """Let the threads of this process share two areas of free memory, where the C library is GNU's.

    By itself it makes eight for each core, of which each keeps what it was once given: 14 to 30 MB of a worker.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _give_back(state: State) -> None:
    """Give the system back what loading a snapshot needed for a moment."""
    release_free_memory()


@dataclass(frozen=True, slots=True)
class _Process:
    """One process that serves: alone, or as one of several workers.

    What changes indexes, and evaluations, are of the first worker alone.
    """

    settings: Settings
    listening: socket.socket
    watched: bool
    names: Sequence[str]
    ready: Callable[[State], None]
    models: Models
    place: Place | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> None:
        """Serve until a signal. Raises SettingsError."""
        options = Options.from_settings(self.settings, self.place)
        if self.place is not None:
            share_counts(self.place)
        collections = Collections(self.settings, self.names, self.models)
        is_first = self.place is None or self.place.is_first
        # Before anything is loaded, so that no switch is over while a worker that nobody sees serves what was before.
        publisher = None if self.place is None else _publish(self.place, collections)
        loading = collections.keep_current(self.stopped, partial(self._say_served, publisher))
        if is_first:
            self._keep_indexes(collections)
        turn = threading.Lock()
        queues = [_make_queue(each, turn, runs=is_first) for each in collections]
        first, *others = [
            Offered(each.service, queue, each.maintenance) for each, queue in zip(collections, queues, strict=True)
        ]
        app = create_app(first.service, first.evaluations, options, first.maintenance, others)
        config = uvicorn.Config(
            app,
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
            if self.place is None or publisher is None:
                uvicorn.Server(config).run(sockets=[self.listening])
            else:
                publisher.measure(app.state.dependencies.monitoring.own_gauges)
                self._serve_in_place(self.place, config, collections, publisher)
        finally:
            self.stopped.set()
            # The process would abort if the interpreter ended while a model is being loaded.
            for thread in loading:
                thread.join(_SECONDS_TO_FINISH)
            for queue in queues:
                queue.stop()

    def _say_served(self, publisher: Publisher | None, state: State) -> None:
        """Say what is served from now on, and where its vectors lie in files though a server was named for them."""
        if publisher is not None:
            publisher.publish()
        if self.place is None or self.place.is_first:
            warn_of_files(self.settings, state)
        self.ready(state)

    def _keep_indexes(self, collections: Collections) -> None:
        for each in collections:
            if not each.maintenance.upkeep.why_fixed():
                _catch_up(each)
                _keep_trying(each, self.stopped)
            elif self.watched:
                _watch(each, self.stopped, collections.turn)

    def _serve_in_place(
        self, place: Place, config: uvicorn.Config, collections: Collections, publisher: Publisher
    ) -> None:
        """Serve as one of several workers, from when it is ready or no other one serves."""
        services = [each.service for each in collections]
        if place.is_first:
            for each in collections:
                each.service.follow_with(partial(place.board.wait_for_snapshot, each.name))
        sockets = [_listen_to_workers(place)] if place.is_first else []
        try:
            is_loaded = partial(_is_loaded, services)
            _wait_until_needed(place, is_loaded)
            WorkerServer(config, self.listening, place, is_loaded).run(sockets=sockets)
        finally:
            publisher.stop()


def _publish(place: Place, collections: Collections) -> Publisher:
    """Publish from now on what this worker says of the collections, and what it is about to serve before it does."""
    services = {each.name: each.service for each in collections}
    publisher = Publisher(
        place,
        os.getpid(),
        lambda: [_state_on_board(service) for service in services.values()],
        lambda row: _hear(row, services),
    )
    publisher.start()
    for service in services.values():
        service.announce_with(publisher.publish)
    return publisher


def warn_of_files(settings: Settings, state: State) -> None:
    """Log that vectors are searched in files where the settings name a Milvus server: the snapshot is from before."""
    if settings.milvus_address is None or state.snapshot is None:
        return
    with suppress(QAError):
        manifest = Snapshots(settings.indexes, state.index).manifest(state.snapshot)
        if not is_in_milvus(manifest.vectors):
            log.warning(
                "QA_MILVUS is set, and the vectors of the served snapshot lie in files; index again to have them there",
                index=state.index,
                snapshot=state.snapshot,
            )


def _listen_to_workers(place: Place) -> socket.socket:
    """Listen for the requests that other workers pass on. Raises SettingsError."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        place.first_socket.unlink(missing_ok=True)
        listening.bind(str(place.first_socket))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {place.first_socket} for the other workers ({error.strerror or error}); {REMEDY}"
        ) from error
    return listening


def _state_on_board(service: Service) -> State:
    """Return what a worker says of a collection: the snapshot that it is about to serve stands for the present one."""
    # In this order: what is about to be served when this is read is served, or is still to be, when the state is.
    coming = service.switching_to
    state = service.state()
    return state if coming is None else replace(state, snapshot=coming)


def _is_loaded(services: Iterable[Service]) -> bool:
    return all(service.state().status != "loading" for service in services)


def _wait_until_needed(place: Place, is_loaded: Callable[[], bool]) -> None:
    """Return when all is loaded, or when no other worker serves: then this one says that the server is loading.

    When a server starts, that is the first worker.
    """
    alone_since = time.monotonic()
    while not is_loaded():
        if place.board.others_accept(place.number):
            alone_since = time.monotonic()
        elif place.is_first or time.monotonic() - alone_since > _SECONDS_ALONE:
            return
        time.sleep(_LOOK_EVERY)


def _hear(first: Row, services: Mapping[str, Service]) -> None:
    """Say in this worker, too, what the first one cannot do, and what an empty collection waits for."""
    for state in first.states:
        if (service := services.get(state.index)) is not None:
            service.note("first worker", "; ".join(state.troubles))
            detail = state.detail if state.status == "empty" else _LOADED_BY_FIRST if state.ready else ""
            service.explain_empty(lambda detail=detail: detail)  # type: ignore[misc]


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


def _make_queue(served: Served, turn: threading.Lock, *, runs: bool) -> EvaluationQueue:
    """Make the queue of a collection's evaluations, of which one runs at a turn; where it ``runs``, begin with it."""
    settings, service = served.settings, served.service
    queue = EvaluationQueue(
        settings.indexes / settings.name,
        service.state,
        settings.model_dump(mode="json"),
        seconds=settings.max_evaluation_seconds,
        trouble=partial(service.note, "evaluations"),
        turn=turn,
    )
    if runs:
        threading.Thread(target=queue.run, daemon=True, name=f"evaluate-{served.name}").start()
    return queue


def _configure_logging(format: str) -> None:
    """Log to standard error, one line an event, the events of libraries included."""
    shared: list[structlog.typing.Processor] = [
        # The number of the worker, where there are several.
        structlog.contextvars.merge_contextvars,
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
    # What still ran when the server had to end is said in one line; where each of it was is of no use.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not _is_of_cancelled(record))
    # It warns of every request that is no HTTP, of which a client can send thousands a second.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _is_of_cancelled(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a person waits for the address


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - for the person who started it, whatever the log's format
