"""The parent of a server's workers: it starts them, replaces those that die, and ends them.

It has imported what they need and loaded the models, and no thread of it computes, when it forks: memory that nobody
changes stays one for all. It opens no index.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from qa.errors import SettingsError
from qa.types import State
from qa.web.workers.board import Board, ParentRow, Place
from qa.web.workers.rates import create_rates

log = structlog.get_logger(__name__)

# Exit code of a worker that cannot start whatever is tried: its settings are wrong, and it has said so.
CANNOT_START = 78
# Seconds: between two looks at the board, while the server starts and later; that a worker must live to count as sound;
# and before one is replaced, at least and at most.
_LOOK_EVERY = (0.05, 0.5)
_SOUND = 60.0
_PAUSE = (0.0, 30.0)
# Seconds in which a worker must say that it has begun, and in which it must serve while another one does. A model may
# have to be compiled first, but not where another serves.
_MOST_STARTING = 120.0
# Workers that may die one after the other before they are sound. Then the server ends, and whoever started it sees it.
_MOST_DEATHS = 10
# Seconds after which workers that were asked to end are killed. They have ten for the running requests.
_MOST_ENDING = 20.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PREFIX, _LOCK = "qa-workers-", "LOCK"
# Bytes, of the 103 that a socket's address may have where it may have the fewest.
_LONGEST_FOLDER = 68
# What to do where nothing can be shared there.
REMEDY = "set TMPDIR to another, or serve with --workers 1"


def _hold(path: Path) -> int | None:
    """Lock a file until this process and all that it forks have ended; ``None`` where others hold it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _make_folder() -> tuple[Path, tuple[int, int]]:
    """Make the folder that the workers share; return it and its locks, which hold until all of them have ended."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # systemd-tmpfiles leaves a folder alone that is locked, however old its files are.
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_SH)
        # Another server that starts just now may take it for one that was left.
        with suppress(FileNotFoundError):
            if (lock := _hold(folder / _LOCK)) is not None:
                return folder, (held, lock)
        os.close(held)


def _remove_left() -> None:
    """Remove the folders of servers that were killed with all their workers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # One without a lock is just being made; one of another user cannot be opened.
        with suppress(OSError):
            if (folder / _LOCK).exists() and (lock := _hold(folder / _LOCK)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


@dataclass(slots=True)
class _Worker:
    """One place and the process in it, if any; ``due`` is when the next one may be started there.

    ``sound`` is when it last served, or had a reason not to.
    """

    place: Place
    pid: int = 0
    since: float = 0.0
    sound: float = 0.0
    deaths: int = 0
    due: float = 0.0


def seconds_to_look(now: float, dues: Iterable[float], *, is_starting: bool) -> float:
    """Return the seconds after which the parent looks again: more often while a worker starts, and when one is due."""
    return max(0.0, min((_LOOK_EVERY[0 if is_starting else 1], *(due - now for due in dues))))


class Supervisor:
    """The workers of one server, as their parent sees them.

    Args:
        listening: the socket that the workers accept from; it is closed here as soon as the server is asked to end.
        announce: is given the state of a collection when all workers serve another snapshot of it.

    Raises:
        SettingsError: the folder for temporary files cannot be written, or its path is too long for a socket in it.
    """

    def __init__(self, workers: int, listening: socket.socket, announce: Callable[[State], None]) -> None:
        self._listening = listening
        self._announce = announce
        self._announced: dict[str, str | None] = {}
        try:
            self._share(workers)
        except OSError as error:
            raise SettingsError(
                f"what several workers share cannot be kept in a folder for temporary files ({error.strerror or error})"
                f"; {REMEDY}"
            ) from error
        self._workers = [_Worker(Place(number, self._board)) for number in self._board.numbers()]
        self._replaced = 0
        self._failure = 0
        self._signal = 0
        self._is_urgent = False
        # A worker sees that this process has ended when the pipe's other end is closed.
        self._alive = os.pipe()
        self._woken = os.pipe()
        for end in self._woken:
            os.set_blocking(end, False)

    def _share(self, workers: int) -> None:
        """Make the folder that all workers share, with the board and the rates. Raises SettingsError, OSError."""
        temporary = tempfile.gettempdir()
        if len(os.fsencode(temporary)) > _LONGEST_FOLDER:
            raise SettingsError(
                f"the folder for temporary files, {temporary}, has too long a path for sockets of several workers; "
                f"{REMEDY}"
            )
        _remove_left()
        self._folder, self._locks = _make_folder()
        try:
            self._board = Board(self._folder, workers)
            self._board.open_all()
            create_rates(Place(1, self._board).rates)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            for lock in self._locks:
                os.close(lock)
            raise

    def run(self) -> Place | None:
        """Return the place in each worker, a process of its own; in the parent return ``None`` when all have ended.

        Raises:
            SystemExit: a worker cannot start, or they die one after the other.
        """
        # What is there now is never collected, which would write to memory that all share.
        gc.collect()
        gc.freeze()
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        # So that the end of a worker wakes the loop.
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken[1])
        is_parent = True
        try:
            self._publish()
            while not (self._signal or self._failure):
                for worker in self._workers:
                    if not worker.pid and time.monotonic() >= worker.due and (place := self._start(worker)):
                        is_parent = False
                        return place
                self._wait()
                self._reap()
                self._kill_hung()
                self._announce_all()
            self._end()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            if is_parent:
                shutil.rmtree(self._folder, ignore_errors=True)
        if self._failure:
            raise SystemExit(self._failure)
        # It ends by the signal that it was sent, as one process would.
        signal.raise_signal(self._signal)
        return None

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Who asks a second time does not want to wait for what runs.
        self._is_urgent = self._signal != 0
        self._signal = self._signal or number

    def _start(self, worker: _Worker) -> Place | None:
        """Start a worker; return its place in the process that it is."""
        # A signal to the worker waits until it is handled there as a worker's, and not as the parent's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            worker.due = time.monotonic() + _PAUSE[1]
            log.error("a worker cannot be started", worker=worker.place.number, why=str(error), in_seconds=_PAUSE[1])
            return None
        if pid:
            worker.pid = pid
            worker.since = worker.sound = time.monotonic()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return None
        signal.set_wakeup_fd(-1)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # A terminal's Ctrl-C is for the parent, which ends the workers in its own way.
        with suppress(OSError):
            os.setpgid(0, 0)
        os.close(self._alive[1])
        for end in self._woken:
            os.close(end)
        threading.Thread(target=_end_with_parent, args=(self._alive[0],), daemon=True, name="parent").start()
        return worker.place

    def _wait(self) -> None:
        """Wait for a signal, or until it is time to look again."""
        running = [worker for worker in self._workers if worker.pid]
        is_starting = any(self._board.connections(worker.place.number) is None for worker in running)
        # While the server ends no worker is started any more.
        is_ending = self._signal or self._failure
        dues = [] if is_ending else [worker.due for worker in self._workers if not worker.pid]
        with suppress(InterruptedError):
            select.select([self._woken[0]], [], [], seconds_to_look(time.monotonic(), dues, is_starting=is_starting))
        with suppress(BlockingIOError):
            while os.read(self._woken[0], 4096):
                pass

    def _reap(self) -> None:
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        """Take note of a worker that has ended, and decide when it is replaced."""
        lived = time.monotonic() - worker.since
        worker.pid = 0
        self._board.remove(worker.place.number)
        if worker.place.is_first:
            worker.place.first_socket.unlink(missing_ok=True)
        if self._signal or self._failure:
            return
        if code == CANNOT_START:
            self._failure = 1
            return
        worker.deaths = 1 if lived >= _SOUND else worker.deaths + 1
        if worker.deaths >= _MOST_DEATHS:
            log.error("workers die one after the other; the server ends", worker=worker.place.number, code=code)
            self._failure = 1
            return
        least, most = _PAUSE
        pause = min(most, 2.0 ** (worker.deaths - 2)) if worker.deaths > 1 else least
        worker.due = time.monotonic() + pause
        self._replaced += 1
        self._publish()
        log.error("a worker has ended and is replaced", worker=worker.place.number, code=code, in_seconds=pause)

    def _kill_hung(self) -> None:
        """Kill a worker that hangs before it serves, as one may that was forked with a lock held."""
        now = time.monotonic()
        for worker in self._workers:
            number = worker.place.number
            if self._board.connections(number) is not None or (
                self._board.row(number) is not None and not self._board.others_accept(number)
            ):
                worker.sound = now
            elif worker.pid and now - worker.sound > _MOST_STARTING:
                log.error("a worker does not begin to serve and is ended", worker=number, after_seconds=_MOST_STARTING)
                worker.sound = now
                os.kill(worker.pid, signal.SIGKILL)

    def _publish(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._board.publish_parent(ParentRow(os.getpid(), self._replaced, usage.ru_utime + usage.ru_stime))

    def _announce_all(self) -> None:
        """Say once what all workers serve."""
        rows = self._board.rows()
        if len(rows) < self._board.workers:
            return
        for states in zip(*(row.states for row in rows), strict=True):
            state, served = states[0], {each.snapshot for each in states if each.ready}
            is_new = served == {state.snapshot} and all(each.ready for each in states)
            if is_new and self._announced.get(state.index) != state.snapshot:
                self._announced[state.index] = state.snapshot
                self._announce(state)

    def _end(self) -> None:
        """Ask the workers to end, and kill those that do not. Connections that come meanwhile are refused."""
        self._listening.close()
        self._kill(signal.SIGTERM)
        until = time.monotonic() + _MOST_ENDING
        while any(worker.pid for worker in self._workers):
            if self._is_urgent or time.monotonic() >= until:
                self._kill(signal.SIGKILL)
            self._wait()
            self._reap()

    def _kill(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)


def _end_with_parent(pipe: int) -> None:
    """End this process as SIGTERM does when its parent has ended."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
