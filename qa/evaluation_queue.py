"""Evaluations behind a server: one runs, the others wait, and what a crash interrupts goes on at the next start.

Each has a folder ``<index>/evaluations/<id>/``. Questions are asked one by one in a thread of low priority that pauses
as long as it works; everything that computes is in another process (``qa.evaluation_worker``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

import structlog

from qa import evaluation_worker as worker
from qa.errors import EvaluationNotFound, NotReady, QAError, QueueFull
from qa.evaluation import AskMany, ask_all
from qa.evaluation_jobs import Job, keep, kept
from qa.run_files import REPORT_FILE, SUMMARY_FILE, RunFolder, read_json
from qa.types import State

log = structlog.get_logger(__name__)

# Seconds between two looks whether questions can be asked yet, and the longest pause between two questions.
_LOOK_EVERY = 0.5
_LONGEST_PAUSE = 1.0


class Asked(Protocol):
    """What is asked: a service."""

    def state(self) -> State: ...

    @property
    def ask_many(self) -> AskMany: ...


class EvaluationQueue:
    """Thread-safe. ``folder`` is that of the index; ``settings`` are told to the other processes.

    Args:
        most_waiting: more are refused.
        most_kept: as many that are over are kept, the newest.
    """

    def __init__(
        self, folder: Path, service: Asked, settings: Mapping[str, Any], *, most_waiting: int = 8, most_kept: int = 50
    ) -> None:
        self._folder = folder / "evaluations"
        self._service = service
        self._settings = dict(settings)
        self._most_waiting, self._most_kept = most_waiting, most_kept
        self._changed = threading.Condition()
        self._jobs = kept(self._folder)
        self._running: str | None = None
        self._process: Popen[str] | None = None
        self._stopped = False

    def submit(self, name: str, data: bytes, format: str, options: Mapping[str, Any], keep_going: bool) -> Job:
        """Queue an evaluation of the snapshot that is served now.

        Raises:
            QueueFull: too many wait already.
            NotReady: nothing is served.
        """
        state = self._service.state()
        if state.snapshot is None:
            raise NotReady(state.detail, state.status)
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        id = hashlib.sha256(f"{created} {len(data)} ".encode() + os.urandom(16) + data).hexdigest()[:32]
        request = worker.Request(name, format, dict(options), keep_going, state.snapshot, created, self._settings)
        job = Job(id, "queued", created, name, state.snapshot, dict(options))
        with self._changed:
            if sum(not job.is_over for job in self._jobs.values()) > self._most_waiting:
                raise QueueFull(f"{self._most_waiting} evaluations are waiting already; try again when one is done")
            folder = self._folder / id
            folder.mkdir(parents=True)
            (folder / worker.QUESTIONS).write_bytes(data)
            # Last: a folder without it is what a crash left of a job that nobody was told of.
            request.write(folder)
            self._jobs[id] = job
            self._changed.notify_all()
        return job

    def get(self, id: str) -> Job:
        """Raises EvaluationNotFound."""
        with self._changed:
            if id not in self._jobs:
                raise EvaluationNotFound("no evaluation has this id; it may have been cancelled, or be too old")
            return self._jobs[id]

    def summary(self, id: str) -> dict[str, Any]:
        """The numbers of an evaluation that is done: ``summary.json``. Raises EvaluationNotFound."""
        return read_json(self._file(id, SUMMARY_FILE))

    def report(self, id: str) -> Path:
        """The report's file of an evaluation that is done. Raises EvaluationNotFound."""
        return self._file(id, REPORT_FILE)

    def _file(self, id: str, name: str) -> Path:
        if self.get(id).status != "done":
            raise EvaluationNotFound("the evaluation is not done; ask for it by its id to see how far it is")
        return self._folder / id / worker.RUN / name

    def cancel(self, id: str) -> None:
        """Stop an evaluation, or give up one that is over, and remove all of it. Raises EvaluationNotFound."""
        with self._changed:
            self.get(id)
            del self._jobs[id]
            if id == self._running:
                # The thread removes the folder, which it may be writing into.
                if self._process is not None:
                    self._process.kill()
                return
        self._remove(id)

    def run(self) -> None:
        """Do what is queued, until :meth:`stop`. Runs in a thread of its own."""
        _lower_priority()
        while True:
            with self._changed:
                while not self._stopped and self._next() is None:
                    self._changed.wait()
                if self._stopped:
                    return
                if not self._service.state().ready:
                    # After a start: the snapshot and its model are being loaded.
                    self._changed.wait(_LOOK_EVERY)
                    continue
                id = self._running = self._next()
                assert id is not None
            try:
                self._do(id)
            except (QAError, OSError) as error:
                self._fail(id, error)
            except Exception as error:  # whatever it is: the next evaluation is nobody's fault
                log.error("evaluation failed", id=id, exc_info=error)
                self._fail(id, worker.TaskFailed("the evaluation failed; the server's log says why"))
            finally:
                with self._changed:
                    self._running, is_gone = None, id not in self._jobs
                if is_gone:
                    self._remove(id)
                self._forget_oldest()

    def stop(self) -> None:
        """Stop after the question that is being asked; what is half done goes on at the next start."""
        with self._changed:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()

    def _do(self, id: str) -> None:
        folder = self._folder / id
        if not (folder / worker.JUDGED).exists():
            self._update(id, status="preparing")
            self._task("prepare", id)
        judged = worker.read_judged(folder)
        run = RunFolder(folder / worker.RUN, judged.inputs)
        if run.is_finished:
            # The process before this one ended between the last two lines of this function.
            self._update(id, status="done", questions=len(judged.questions), asked=len(judged.questions))
            return
        done = {outcome.question.id for outcome, _ in run.done()}
        pending = [question for question in judged.questions if question.id not in done]
        self._update(id, status="asking", questions=len(judged.questions), asked=len(done))
        started = time.perf_counter()
        try:
            for step in ask_all(pending, self._service.ask_many, judged.inputs):
                run.append(step)
                self._update(id, asked=self.get(id).asked + 1)
                # As long as it took: whoever asks a question meanwhile finds a processor half the time at least.
                self._pause(time.perf_counter() - started)
                if self._is_cancelled(id):
                    return
                started = time.perf_counter()
        finally:
            run.close()
        self._update(id, status="measuring")
        self._task("finish", id)
        self._update(id, status="done")

    def _task(self, task: worker.Task, id: str) -> None:
        with self._changed:
            if self._is_cancelled(id):
                return
            process = self._process = worker.start(task, self._folder / id)
        try:
            worker.ended(process)
        finally:
            with self._changed:
                self._process = None

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._stopped:
                self._changed.wait(min(seconds, _LONGEST_PAUSE))

    def _is_cancelled(self, id: str) -> bool:
        return self._stopped or id not in self._jobs

    def _next(self) -> str | None:
        return next((job.id for job in self._jobs.values() if not job.is_over), None)

    def _fail(self, id: str, error: Exception) -> None:
        if not self._is_cancelled(id):
            faults = error.faults if isinstance(error, worker.TaskFailed) else ()
            detail = str(error) if isinstance(error, QAError) else "the disk cannot be read or written"
            self._update(id, status="failed", detail=detail, faults=faults)

    def _update(self, id: str, **changes: Any) -> None:
        with self._changed:
            if id not in self._jobs:
                return
            job = replace(self._jobs[id], **changes)
            if job.is_over:
                # Before anybody is told, so that what was told holds after a crash too.
                keep(job, self._folder)
            self._jobs[id] = job

    def _forget_oldest(self) -> None:
        with self._changed:
            over = [job.id for job in self._jobs.values() if job.is_over]
            old = over[: -self._most_kept]
            for id in old:
                del self._jobs[id]
        for id in old:
            self._remove(id)

    def _remove(self, id: str) -> None:
        shutil.rmtree(self._folder / id, ignore_errors=True)


def _lower_priority() -> None:
    """Of this thread alone, which Linux can and others cannot."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
