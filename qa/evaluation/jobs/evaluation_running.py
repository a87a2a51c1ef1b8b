"""Running one evaluation behind a server: found, asked, measured, and told of in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from subprocess import Popen
from typing import Any, Protocol

import structlog

from qa.errors import QAError, StorageError
from qa.evaluation.evaluation import AskMany, ask_all
from qa.evaluation.jobs import evaluation_worker as worker
from qa.evaluation.jobs.evaluation_jobs import Job, Jobs
from qa.evaluation.run_files import RunFolder
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
