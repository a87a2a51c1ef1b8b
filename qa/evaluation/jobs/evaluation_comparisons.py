"""Two evaluations of a server compared: computed once, in another process, and kept beside the later of the two."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import Popen
from typing import IO, Any, Literal

import structlog

from qa.errors import EvaluationNotFound, QAError, RunError
from qa.evaluation.jobs import evaluation_worker as worker
from qa.evaluation.jobs.evaluation_jobs import Jobs
from qa.evaluation.run_files import read_json

log = structlog.get_logger(__name__)

_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a comparison is. ``values`` are those of ``compared-….json`` once it is done; ``detail`` says why it
    failed."""

    status: Literal["computing", "done", "failed"]
    values: Mapping[str, Any] | None = None
    detail: str = ""


class Comparisons:
    """Thread-safe. One is computed at a time: the others begin when they are asked for again.

    Args:
        settings, seconds: as of :class:`qa.evaluation.jobs.evaluation_queue.EvaluationQueue`.
    """

    def __init__(self, jobs: Jobs, settings: Mapping[str, Any], seconds: float) -> None:
        self._jobs, self._settings, self._seconds = jobs, dict(settings), seconds
        self._lock = threading.Lock()
        self._computing: tuple[str, str] | None = None
        self._process: Popen[str] | None = None
        self._is_stopped = False
        self._failed: dict[tuple[str, str], str] = {}

    def get(self, baseline: str, candidate: str) -> Compared:
        """What is known of it; it is begun where nothing is. Both are evaluations that are done."""
        folder, pair = self._jobs.path(candidate), (baseline, candidate)
        values, _ = worker.comparison_files(folder, baseline)
        if values.exists():
            try:
                return Compared("done", read_json(values))
            except RunError:
                # Removed meanwhile, with its evaluation.
                raise _gone() from None
        with self._lock:
            if pair in self._failed:
                return Compared("failed", detail=self._failed.pop(pair))
            if self._computing is None and not self._is_stopped:
                threading.Thread(target=self._compute, args=pair, daemon=True, name="compare").start()
                self._computing = pair
        return Compared("computing")

    def report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Both rankings of every question that changed, as one HTML file. Raises EvaluationNotFound before it is
        done."""
        _, page = worker.comparison_files(self._jobs.path(candidate), baseline)
        try:
            return page.open("rb")
        except OSError:
            raise _gone() from None

    def stop(self) -> None:
        """What is being computed is given up."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _compute(self, baseline: str, candidate: str) -> None:
        detail = ""
        try:
            with self._lock:
                if self._is_stopped:
                    return
                process = worker.start("compare", self._jobs.path(candidate), self._jobs.path(baseline))
                self._process = process
            worker.ended(process, self._settings, self._seconds)
        except Exception as error:  # whatever it is: the next comparison is nobody's fault
            detail = worker.public_reason(error)
            if not worker.is_told_whole(error) and not self._is_stopped:
                unforeseen = None if isinstance(error, QAError) else error
                log.error("comparison failed", reason=str(error), exc_info=unforeseen)
        with self._lock:
            self._computing = self._process = None
            if detail:
                # Told once, to whoever asks next; then it is tried again.
                self._failed[baseline, candidate] = detail
                while len(self._failed) > _REMEMBERED:
                    del self._failed[next(iter(self._failed))]


def _gone() -> EvaluationNotFound:
    return EvaluationNotFound("these two have not been compared, or one of them has been removed")
