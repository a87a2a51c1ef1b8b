"""The evaluations behind a server: one runs, the others wait, and what a crash interrupts continues at the next start.

All computing happens in another process (:mod:`qa.evaluation.jobs.worker`) at low priority. Servers of one index share
the queue: each takes question files, and one at a time runs a job.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import structlog
from filelock import Timeout

from qa.errors import EvaluationNotFound, NotReady, QAError, QueueFull, RunError, StorageError
from qa.evaluation.jobs import worker
from qa.evaluation.jobs.jobs import RUN, Compared, Job, Jobs, Request, Status, TaskFailed, comparison_files
from qa.evaluation.runs import REPORT_FILE, SUMMARY_FILE, read_json
from qa.files import why
from qa.types import State

log = structlog.get_logger(__name__)

# Seconds: between two looks whether questions can be asked, or another server's job is over; between two looks at what
# other servers took and left.
_LOOK_EVERY = 0.5
_LOOK_AROUND_EVERY = 10.0
# Seconds for which the end waits for a process that was killed, which takes a tenth of one.
_MOST_STOPPING = 5.0
# Faults of the system that pass: too many open files, too many processes, no memory. They are no fault of a job.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
# Failed comparisons whose reason is kept.
_REMEMBERED = 64


class EvaluationQueue:
    """The evaluations of one index. Thread-safe.

    Args:
        folder: the folder of the index.
        state: returns what the server does, and which snapshot it serves.
        settings: the server's, as JSON values; the other processes get them.
        most_waiting: more evaluations are refused.
        most_kept: how many of those that are over are kept, the newest.
        seconds: the limit for finding the judgments, for measuring, and for a comparison.
        module: the module that works on a job.
        trouble: is given why evaluations cannot run, in a clause for clients, and an empty text when they can again.
        turn: held while one runs; queues of one server share it, so that one of them all runs at a time.
    """

    def __init__(  # noqa: PLR0913 - what a server decides about it
        self,
        folder: Path,
        state: Callable[[], State],
        settings: Mapping[str, Any],
        *,
        most_waiting: int = 8,
        most_kept: int = 50,
        seconds: float = 3600.0,
        module: str = worker.MODULE,
        trouble: Callable[[str], None] = lambda clause: None,
        turn: threading.Lock | None = None,
    ) -> None:
        self._jobs = Jobs(folder / "evaluations")
        self._state = state
        self._most_waiting, self._most_kept = most_waiting, most_kept
        self._runner = _Runner(self._jobs, settings, seconds, module)
        self._comparisons = _Comparisons(self._jobs, settings, seconds)
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._arriving = 0
        self._trouble = trouble
        self._turn = turn or threading.Lock()

    def submit(self, name: str, data: bytes, format: str, options: Mapping[str, Any], keep_going: bool) -> Job:
        """Queue an evaluation of the snapshot that is served now. It stays with that one if another becomes current.

        Raises:
            QueueFull: too many evaluations wait already.
            NotReady: nothing is served.
            StorageError: the file cannot be kept.
        """
        state = self._state()
        if state.snapshot is None:
            raise NotReady(state.detail, state.status)
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        id = hashlib.sha256(f"{created} {len(data)} ".encode() + os.urandom(16) + data).hexdigest()[:32]
        request = Request(name, format, dict(options), keep_going, state.snapshot, created)
        with self._lock:
            if len(self._waiting()) + self._arriving > self._most_waiting:
                raise QueueFull(f"{self._most_waiting} evaluations are waiting already; try again when one is done")
            self._arriving += 1
        try:
            self._jobs.add(id, request, data)
        except StorageError as error:
            log.error("evaluation cannot be kept", reason=str(error))
            raise
        finally:
            with self._lock:
                self._arriving -= 1
        self._woken.set()
        return Job(id, "queued", created, name, state.snapshot, dict(options))

    def listing(self) -> list[Job]:
        """Return all that are kept, newest first."""
        jobs = []
        for job in reversed(self._jobs.all()):
            # It may have been cancelled since.
            with suppress(EvaluationNotFound):
                jobs.append(self.get(job.id))
        return jobs

    def get(self, id: str) -> Job:
        """Return an evaluation and how far it is. Raises EvaluationNotFound."""
        return self._runner.unkept.get(id) or self._jobs.read(id)

    def summary(self, id: str) -> dict[str, Any]:
        """Return the numbers of an evaluation that is done: its ``summary.json``. Raises EvaluationNotFound."""
        path = self._run_folder(id) / SUMMARY_FILE
        try:
            return read_json(path)
        except RunError:
            # Either it was cancelled since, or the disk fails.
            self._jobs.read(id)
            raise

    def report(self, id: str) -> IO[bytes]:
        """Open the report of an evaluation that is done; it can be read to its end. Raises EvaluationNotFound."""
        try:
            return (self._run_folder(id) / REPORT_FILE).open("rb")
        except OSError:
            self._jobs.read(id)
            raise

    def compare(self, baseline: str, candidate: str) -> Compared:
        """Return how far the comparison of two that are done is; the first call begins it.

        Raises:
            EvaluationNotFound: one of them is not there, or not done.
        """
        for id in (baseline, candidate):
            self._run_folder(id)
        return self._comparisons.get(baseline, candidate)

    def comparison_report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Open the page of a comparison. Raises EvaluationNotFound if it is not done."""
        for id in (baseline, candidate):
            self._run_folder(id)
        return self._comparisons.report(baseline, candidate)

    def _run_folder(self, id: str) -> Path:
        if self.get(id).status != "done":
            raise EvaluationNotFound("the evaluation is not done; ask for it by its id to see how far it is")
        return self._jobs.path(id) / RUN

    def cancel(self, id: str) -> None:
        """Stop an evaluation and remove all of it, even if it is over.

        Raises:
            EvaluationNotFound: there is none with this id.
            StorageError: it cannot be removed; nothing has changed.
        """
        self.get(id)
        try:
            self._jobs.give_up(id)
        except StorageError as error:
            log.error("evaluation cannot be removed", reason=str(error))
            raise
        if self._runner.drop(id):
            return
        # If another server is running a job, that server removes the folder.
        with suppress(Timeout, OSError), self._jobs.lock().acquire(timeout=0):
            self._jobs.remove(id)

    def run(self) -> None:
        """Run what is queued, until :meth:`stop`. It needs a thread of its own.

        After an error it goes on, says so meanwhile, and what is queued stays queued.
        """
        turn: Callable[[], float] = self._begin
        while not self._runner.stopped.is_set():
            self._woken.clear()
            try:
                pause = turn()
                turn = self._take_turn
                self._trouble("")
            except Exception as error:  # no matter what fails: the queue must go on
                log.error("evaluations cannot run; trying again", reason=str(error), exc_info=_unforeseen(error))
                reason = why(error) if isinstance(error, OSError) else "the server's log says why"
                self._trouble(f"evaluations cannot run ({reason}); it is tried again")
                pause = _LOOK_AROUND_EVERY
            if pause:
                self._woken.wait(pause)

    def stop(self) -> None:
        """Stop at once; no process of the queue is left then. A job that is half done goes on at the next start."""
        self._runner.stopped.set()
        self._comparisons.stopped.set()
        self._woken.set()
        for working in (self._runner.working, self._comparisons.working):
            if working.acquire(timeout=_MOST_STOPPING):
                working.release()

    def _begin(self) -> float:
        """Clear away what earlier servers left, unless another one runs jobs."""
        with suppress(Timeout):
            if self._jobs.exists:
                with self._jobs.lock().acquire(timeout=0):
                    self._jobs.all()
                    self._jobs.tidy(self._most_kept)
        return 0

    def _take_turn(self) -> float:
        """Run the next job unless another server runs one; return for how many seconds to rest."""
        if not self._waiting() and not self._jobs.are_damaged:
            return _LOOK_AROUND_EVERY
        if not self._state().ready:
            # The server is starting: its own model comes first.
            return _LOOK_EVERY
        if not self._turn.acquire(blocking=False):
            return _LOOK_EVERY
        try:
            with self._jobs.lock().acquire(timeout=0):
                # Another server may have done it by now.
                if waiting := self._waiting():
                    self._runner.run(waiting[0])
                self._jobs.tidy(self._most_kept)
        except Timeout:
            return _LOOK_EVERY
        finally:
            self._turn.release()
        return 0

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs.all() if not job.is_over and job.id not in self._runner.unkept]


class _Stopped(Exception):
    """A job that was given up, or whose server stops."""


class _Runner:
    """The one that runs jobs, one at a time. Thread-safe, except for :meth:`run`, which one thread calls."""

    def __init__(self, jobs: Jobs, settings: Mapping[str, Any], seconds: float, module: str) -> None:
        self._jobs, self._module = jobs, module
        self._settings, self._seconds = dict(settings), seconds
        self._lock = threading.Lock()
        self._running: str | None = None
        self.stopped = threading.Event()
        #: Held while a process may run.
        self.working = threading.Lock()
        # Jobs that failed and could not be written down; the next start takes them up again.
        self.unkept: dict[str, Job] = {}

    def drop(self, id: str) -> bool:
        """Remove a job that was given up, now or as soon as it has stopped; false if nothing runs here."""
        with self._lock:
            self.unkept.pop(id, None)
            if self._running is None:
                return False
            # A job that runs is removed by the thread that waits for its process.
            if self._running != id:
                self._jobs.remove(id)
            return True

    def run(self, job: Job) -> None:
        """Run a job to its end. Only the holder of the jobs' lock may do so."""
        with self._lock:
            self._running = job.id
        try:
            with self.working:
                self._work(job)
        except _Stopped:
            pass
        except Exception as error:  # no matter what fails: the next evaluation must run
            if isinstance(error, OSError) and error.errno in _PASSING:
                raise
            self._fail(job, error)
        finally:
            with self._lock:
                self._running = None
                if not self._jobs.is_wanted(job.id):
                    self._jobs.remove(job.id)

    def _work(self, job: Job) -> None:
        status: Status | None = None
        since = time.monotonic()

        def check() -> None:
            nonlocal status, since
            if self.stopped.is_set() or not self._jobs.is_wanted(job.id):
                raise _Stopped
            now = self._jobs.read(job.id).status
            if now != status:
                status, since = now, time.monotonic()
            # Asking has no limit: it takes as long as there are questions.
            if status != "asking" and time.monotonic() - since > self._seconds:
                raise worker.took_too_long(self._seconds)

        check()
        process = worker.start("evaluate", self._jobs.path(job.id), module=self._module)
        worker.wait_for_end(process, self._settings, check)

    def _fail(self, job: Job, error: Exception) -> None:
        if not self._jobs.is_wanted(job.id):
            return
        if not worker.is_public(error):
            log.error("evaluation failed", id=job.id, reason=str(error), exc_info=_unforeseen(error))
        faults = error.faults if isinstance(error, TaskFailed) else ()
        with suppress(EvaluationNotFound):
            # With as many questions as were asked.
            job = self._jobs.read(job.id)
        failed = replace(job, status="failed", detail=worker.public_reason(error), faults=faults)
        try:
            self._jobs.keep(failed)
        except StorageError as unkept:
            log.error("evaluation's end cannot be kept", id=job.id, reason=str(unkept))
            self.unkept[job.id] = failed


class _Comparisons:
    """Comparisons of two evaluations, each computed once and kept beside the later of the two. Thread-safe.

    One is computed at a time: the others begin when a client asks for them again.
    """

    def __init__(self, jobs: Jobs, settings: Mapping[str, Any], seconds: float) -> None:
        self._jobs, self._settings, self._seconds = jobs, dict(settings), seconds
        self._lock = threading.Lock()
        self._computing: tuple[str, str] | None = None
        self._failed: dict[tuple[str, str], str] = {}
        self.stopped = threading.Event()
        #: Held while a process may run.
        self.working = threading.Lock()

    def get(self, baseline: str, candidate: str) -> Compared:
        """Return how far a comparison of two evaluations that are done is; begin it if nothing is known of it."""
        folder, pair = self._jobs.path(candidate), (baseline, candidate)
        values, _ = comparison_files(folder, baseline)
        if values.exists():
            try:
                return Compared("done", read_json(values))
            except RunError:
                # It was removed just now, with its evaluation.
                raise _gone() from None
        with self._lock:
            if pair in self._failed:
                return Compared("failed", detail=self._failed.pop(pair))
            if self._computing is None and not self.stopped.is_set():
                threading.Thread(target=self._compute, args=pair, daemon=True, name="compare").start()
                self._computing = pair
        return Compared("computing")

    def report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Open the page, which shows both rankings of every question that changed.

        Raises:
            EvaluationNotFound: the comparison is not done.
        """
        _, page = comparison_files(self._jobs.path(candidate), baseline)
        try:
            return page.open("rb")
        except OSError:
            raise _gone() from None

    def _compute(self, baseline: str, candidate: str) -> None:
        began = time.monotonic()

        def check() -> None:
            if self.stopped.is_set():
                raise _Stopped
            if time.monotonic() - began > self._seconds:
                raise worker.took_too_long(self._seconds)

        detail = ""
        try:
            with self.working:
                check()
                process = worker.start("compare", self._jobs.path(candidate), self._jobs.path(baseline))
                worker.wait_for_end(process, self._settings, check)
        except _Stopped:
            pass
        except Exception as error:  # no matter what fails: the next comparison must run
            detail = worker.public_reason(error)
            if not worker.is_public(error):
                log.error("comparison failed", reason=str(error), exc_info=_unforeseen(error))
        with self._lock:
            self._computing = None
            if detail:
                # The next client that asks gets the reason; then it is tried again.
                self._failed[baseline, candidate] = detail
                while len(self._failed) > _REMEMBERED:
                    del self._failed[next(iter(self._failed))]


def _unforeseen(error: Exception) -> Exception | None:
    """Return an error whose place in the code the log should show."""
    return None if isinstance(error, QAError | OSError) else error


def _gone() -> EvaluationNotFound:
    return EvaluationNotFound("these two have not been compared, or one of them has been removed")
