"""Running one evaluation behind a server: found, asked, measured, and told of in the end.

Evaluations behind a server: one runs, the others wait, and what a crash interrupts goes on at the next start.

Questions are asked one by one in a thread of low priority that pauses as long as it works; everything that computes is
in another process (``qa.evaluation.jobs.worker``). Servers of one index share the queue: each takes a job's file, one
at a time runs a job.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import IO, Any, Protocol

import structlog
from filelock import Timeout

from qa.errors import EvaluationNotFound, NotReady, QAError, QueueFull, RunError, StorageError
from qa.evaluation.jobs import worker
from qa.evaluation.jobs.jobs import Job, Jobs, Request
from qa.evaluation.jobs.worker import Compared, Comparisons
from qa.evaluation.outcomes import AskMany, ask_all
from qa.evaluation.runs import REPORT_FILE, SUMMARY_FILE, RunFolder, read_json
from qa.types import State

log = structlog.get_logger(__name__)

# Seconds: the longest pause between two questions, and between two notes of how far a job is.
_LONGEST_PAUSE = 1.0
_KEEP_EVERY = 2.0


class Asked(Protocol):
    @property
    def ask_many(self) -> AskMany: ...


class Service(Protocol):
    """What is asked."""

    def state(self) -> State: ...

    def pinned(self, snapshot: str) -> AbstractContextManager[Asked]:
        """What asks one snapshot, whichever is current. Raises QAError where it cannot be used."""


class Runner:
    """Runs one job at a time. Thread-safe, but for :meth:`run`, which one thread calls.

    Args:
        settings: are told to the other processes.
        seconds: that one task of an evaluation may compute.
    """

    def __init__(self, jobs: Jobs, service: Service, settings: Mapping[str, Any], seconds: float) -> None:
        self._jobs, self._service = jobs, service
        self._settings, self._seconds = dict(settings), seconds
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._running: Job | None = None
        self._kept_at = 0.0
        self._process: Popen[str] | None = None
        # Jobs that ended in this process and could not be written down; the next one takes them up again.
        self.unkept: dict[str, Job] = {}

    @property
    def running(self) -> Job | None:
        return self._running

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """After the question that is being asked."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.kill()

    def drop(self, id: str) -> bool:
        """Stop a job that was given up, or remove it while another runs; false where none runs here."""
        with self._lock:
            self.unkept.pop(id, None)
            running = self._running
            if running is None:
                return False
            # What runs is removed by the thread that may be writing into it.
            if running.id != id:
                self._jobs.remove(id)
            elif self._process is not None:
                self._process.kill()
            return True

    def run(self, job: Job) -> None:
        """To its end, or as far as it gets; by the holder of the jobs' lock."""
        with self._lock:
            self._running = replace(job, status="queued", asked=0)
        try:
            self._do(job)
        except Exception as error:  # whatever it is: the next evaluation is nobody's fault
            self._fail(error)
        finally:
            with self._lock:
                self._running = None
                if not self._jobs.is_wanted(job.id):
                    self._jobs.remove(job.id)

    def _do(self, job: Job) -> None:
        folder = self._jobs.path(job.id)
        if not (folder / worker.JUDGED).exists():
            self._update(status="preparing")
            self._task("prepare", job.id)
        if self._is_given_up(job.id):
            return
        judged = worker.read_judged(folder)
        run = RunFolder(folder / worker.RUN, judged.inputs)
        if run.is_finished:
            # The process before this one ended between the last two lines of this function.
            self._update(status="done", questions=len(judged.questions), asked=len(judged.questions))
            return
        done = {outcome.question.id for outcome, _ in run.done()}
        pending = [question for question in judged.questions if question.id not in done]
        self._update(status="asking", questions=len(judged.questions), asked=len(done))
        started = time.perf_counter()
        try:
            with self._service.pinned(job.snapshot) as service:
                for asked, step in enumerate(ask_all(pending, service.ask_many, judged.inputs), start=len(done) + 1):
                    run.append(step)
                    self._update(asked=asked)
                    # As long as it took: whoever asks a question meanwhile finds a processor half the time at least.
                    self._stopped.wait(min(time.perf_counter() - started, _LONGEST_PAUSE))
                    if self._is_given_up(job.id):
                        return
                    started = time.perf_counter()
        finally:
            run.close()
        self._update(status="measuring")
        self._task("finish", job.id)
        self._update(status="done")

    def _task(self, task: worker.Task, id: str) -> None:
        with self._lock:
            if self._is_given_up(id):
                return
            process = self._process = worker.start(task, self._jobs.path(id))
        try:
            worker.ended(process, self._settings, self._seconds)
        finally:
            with self._lock:
                self._process = None

    def _is_given_up(self, id: str) -> bool:
        return self._stopped.is_set() or not self._jobs.is_wanted(id)

    def _fail(self, error: Exception) -> None:
        job = self._running
        if job is None or self._is_given_up(job.id):
            return
        if not worker.is_told_whole(error):
            unforeseen = None if isinstance(error, QAError) else error
            log.error("evaluation failed", id=job.id, reason=str(error), exc_info=unforeseen)
        faults = error.faults if isinstance(error, worker.TaskFailed) else ()
        failed = replace(job, status="failed", detail=worker.public_reason(error), faults=faults)
        try:
            self._jobs.keep(failed)
        except StorageError as unkept:
            log.error("evaluation's end cannot be kept", id=job.id, reason=str(unkept))
            self.unkept[job.id] = failed
        self._running = failed

    def _update(self, **changes: Any) -> None:
        """Of the job that runs. Raises StorageError."""
        before = self._running
        if before is None or not self._jobs.is_wanted(before.id):
            return
        job = replace(before, **changes)
        if job.status != before.status or time.monotonic() - self._kept_at > _KEEP_EVERY:
            # Before anybody is told, so that what was told holds after a crash too, and for other servers.
            self._jobs.keep(job)
            self._kept_at = time.monotonic()
        self._running = job


# Seconds: between two looks whether questions can be asked, or another server's job is over; between two looks at what
# other servers took and left.
_LOOK_EVERY = 0.5
_LOOK_AROUND_EVERY = 10.0


class EvaluationQueue:
    """Thread-safe. ``folder`` is that of the index; ``settings`` are told to the other processes.

    Args:
        most_waiting: more are refused.
        most_kept: as many that are over are kept, the newest.
        seconds: that one task of an evaluation may compute.
    """

    def __init__(
        self,
        folder: Path,
        service: Service,
        settings: Mapping[str, Any],
        *,
        most_waiting: int = 8,
        most_kept: int = 50,
        seconds: float = 3600.0,
    ) -> None:
        self._jobs = Jobs(folder / "evaluations")
        self._service = service
        self._most_waiting, self._most_kept = most_waiting, most_kept
        self._runner = Runner(self._jobs, service, settings, seconds)
        self._comparisons = Comparisons(self._jobs, settings, seconds)
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._arriving = 0

    def submit(self, name: str, data: bytes, format: str, options: Mapping[str, Any], keep_going: bool) -> Job:
        """Queue an evaluation of the snapshot that is served now; it stays with that one, whichever becomes current.

        Raises:
            QueueFull: too many wait already.
            NotReady: nothing is served.
            StorageError: the file cannot be kept.
        """
        state = self._service.state()
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
        """Newest first: what waits, what runs, and as many that are over as are kept."""
        jobs = []
        for job in reversed(self._jobs.all()):
            # Cancelled between two looks.
            with suppress(EvaluationNotFound):
                jobs.append(self.get(job.id))
        return jobs

    def get(self, id: str) -> Job:
        """Raises EvaluationNotFound."""
        running = self._runner.running
        if running is not None and running.id == id and self._jobs.is_wanted(id):
            return running
        return self._runner.unkept.get(id) or self._jobs.read(id)

    def summary(self, id: str) -> dict[str, Any]:
        """The numbers of an evaluation that is done: ``summary.json``. Raises EvaluationNotFound."""
        path = self._run_of(id) / SUMMARY_FILE
        try:
            return read_json(path)
        except RunError:
            # Cancelled since, or it is a fault of the disk's.
            self._jobs.read(id)
            raise

    def report(self, id: str) -> IO[bytes]:
        """The report of an evaluation that is done, open: it can be read to its end. Raises EvaluationNotFound."""
        try:
            return (self._run_of(id) / REPORT_FILE).open("rb")
        except OSError:
            self._jobs.read(id)
            raise

    def compare(self, baseline: str, candidate: str) -> Compared:
        """How far the comparison of two that are done is; begun by the first call. Raises EvaluationNotFound."""
        for id in (baseline, candidate):
            self._run_of(id)
        return self._comparisons.get(baseline, candidate)

    def comparison_report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Its page, open. Raises EvaluationNotFound where it is not done."""
        for id in (baseline, candidate):
            self._run_of(id)
        return self._comparisons.report(baseline, candidate)

    def _run_of(self, id: str) -> Path:
        if self.get(id).status != "done":
            raise EvaluationNotFound("the evaluation is not done; ask for it by its id to see how far it is")
        return self._jobs.path(id) / worker.RUN

    def cancel(self, id: str) -> None:
        """Stop an evaluation, or give up one that is over, and remove all of it. Raises EvaluationNotFound."""
        self.get(id)
        self._jobs.give_up(id)
        if self._runner.drop(id):
            return
        # Where another server is running one, that one removes it.
        with suppress(Timeout, OSError), self._jobs.lock().acquire(timeout=0):
            self._jobs.remove(id)

    def run(self) -> None:
        """Do what is queued, until :meth:`stop`. Runs in a thread of its own."""
        _lower_priority()
        with suppress(Timeout, OSError):
            if self._jobs.exists:
                with self._jobs.lock().acquire(timeout=0):
                    self._jobs.tidy(self._most_kept)
        while not self._runner.is_stopped:
            self._woken.clear()
            if pause := self._turn():
                self._woken.wait(pause)

    def stop(self) -> None:
        """Stop after the question that is being asked; what is half done goes on at the next start."""
        self._runner.stop()
        self._comparisons.stop()
        self._woken.set()

    def _turn(self) -> float:
        """Run the next job, if there is one and nobody is running one; returns for how many seconds to rest."""
        if not self._waiting():
            return _LOOK_AROUND_EVERY
        if not self._service.state().ready:
            # After a start: the snapshot and its model are being loaded.
            return _LOOK_EVERY
        try:
            with self._jobs.lock().acquire(timeout=0):
                # Another server may have done it by now.
                if waiting := self._waiting():
                    self._runner.run(waiting[0])
                self._jobs.tidy(self._most_kept)
        except Timeout:
            return _LOOK_EVERY
        except OSError as error:
            log.error("evaluations cannot run", reason=str(error))
            return _LOOK_AROUND_EVERY
        return 0

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs.all() if not job.is_over and job.id not in self._runner.unkept]


def _lower_priority() -> None:
    """Of this thread alone, which Linux can and others cannot."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
