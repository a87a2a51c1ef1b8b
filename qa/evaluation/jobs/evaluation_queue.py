"""Evaluations behind a server: one runs, the others wait, and what a crash interrupts goes on at the next start.

Questions are asked one by one in a thread of low priority that pauses as long as it works; everything that computes is
in another process (``qa.evaluation.jobs.evaluation_worker``). Servers of one index share the queue: each takes a job's file, one at a
time runs a job.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import structlog
from filelock import Timeout

from qa.errors import EvaluationNotFound, NotReady, QueueFull, RunError, StorageError
from qa.evaluation.jobs import evaluation_worker as worker
from qa.evaluation.jobs.evaluation_comparisons import Compared, Comparisons
from qa.evaluation.jobs.evaluation_jobs import Job, Jobs, Request
from qa.evaluation.jobs.evaluation_running import Runner, Service
from qa.evaluation.run_files import REPORT_FILE, SUMMARY_FILE, read_json

log = structlog.get_logger(__name__)

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
