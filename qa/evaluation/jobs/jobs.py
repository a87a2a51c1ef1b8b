"""The evaluations of an index on disk, which several servers may share: what each is of, and what became of it.

``<index>/evaluations/<id>/`` is a job as long as its ``request.json`` stands: it is there when the folder appears, and
the first to go. Whoever holds the lock runs a job, and removes what is of none.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import structlog
from filelock import FileLock

from qa.errors import EvaluationNotFound, Fault, QAError, StorageError
from qa.evaluation.runs import read_json
from qa.files import write_atomically

log = structlog.get_logger(__name__)

REQUEST, QUESTIONS = "request.json", "questions"
_ID = re.compile(r"[0-9a-f]{32}")
_STATE = "state.json"
_PARTIAL = ".partial"
# Seconds after which nobody is writing a folder any more that has not appeared under its id.
_PARTIAL_AGE = 3600.0
Status = Literal["queued", "preparing", "asking", "measuring", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """``asked`` of ``questions`` are done; ``faults`` are of the question file, and ``detail`` says why it failed."""

    id: str
    status: Status
    created: str
    name: str
    snapshot: str
    options: Mapping[str, Any]
    questions: int = 0
    asked: int = 0
    detail: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.status in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent: ``name`` is what errors call the file."""

    name: str
    format: str
    options: dict[str, Any]
    keep_going: bool
    snapshot: str
    created: str

    def write(self, folder: Path) -> None:
        write_atomically(folder / REQUEST, json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Request:
        return cls(**read_json(folder / REQUEST))


class Jobs:
    """The jobs below ``folder``, which need not be there yet. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, id: str) -> Path:
        return self._folder / id

    @property
    def exists(self) -> bool:
        return self._folder.is_dir()

    def lock(self) -> FileLock:
        """Held by the one that runs a job; the system frees it when its holder dies."""
        return FileLock(self._folder / "LOCK")

    def add(self, id: str, request: Request, data: bytes) -> None:
        """Raises StorageError; then nothing is left of it."""
        staged = self._folder / f"{id}{_PARTIAL}"
        try:
            staged.mkdir(parents=True)
            write_atomically(staged / QUESTIONS, data)
            request.write(staged)
            staged.rename(self.path(id))
        except (OSError, StorageError) as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise StorageError(f"cannot keep the question file in {self._folder}: {error}") from error

    def read(self, id: str) -> Job:
        """Raises EvaluationNotFound where there is none."""
        job = self._read(id) if _ID.fullmatch(id) else None
        if job is None:
            raise EvaluationNotFound("no evaluation has this id; it may have been cancelled, or be too old")
        return job

    def all(self) -> list[Job]:
        """Oldest first."""
        jobs = [self._read(path.name) for path in self._folder.glob("*") if _ID.fullmatch(path.name)]
        return sorted((job for job in jobs if job is not None), key=lambda job: (job.created, job.id))

    def _read(self, id: str) -> Job | None:
        path = self.path(id)
        try:
            request = Request.read(path)
            job = Job(id, "queued", request.created, request.name, request.snapshot, request.options)
            if not (path / _STATE).exists():
                return job
            state = read_json(path / _STATE)
            faults = tuple(Fault(*fault) for fault in state.pop("faults"))
            return replace(job, **state, faults=faults)
        except (QAError, TypeError, KeyError) as error:
            if (path / REQUEST).exists():
                # A passing fault of the disk, or another version's: it stays where it is.
                log.warning("evaluation cannot be read; leaving it", id=id, reason=str(error))
            return None

    def keep(self, job: Job) -> None:
        """Write down how far a job is. Raises StorageError."""
        values = {"status": job.status, "detail": job.detail, "questions": job.questions, "asked": job.asked}
        faults = [[fault.file, fault.line, fault.field, fault.message] for fault in job.faults]
        write_atomically(self.path(job.id) / _STATE, json.dumps({**values, "faults": faults}))

    def is_wanted(self, id: str) -> bool:
        """Whether it has not been given up, by whichever server."""
        return (self.path(id) / REQUEST).exists()

    def give_up(self, id: str) -> None:
        """From now on it is no job; its folder is removed by whoever holds the lock."""
        with suppress(OSError):
            (self.path(id) / REQUEST).unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """For the holder of the lock."""
        self.give_up(id)
        shutil.rmtree(self.path(id), ignore_errors=True)

    def tidy(self, most_kept: int) -> None:
        """Remove what is of no job, and all but the newest that are over. For the holder of the lock."""
        for path in self._folder.glob("*"):
            if path.name.endswith(_PARTIAL):
                is_left = _age(path) > _PARTIAL_AGE
            else:
                is_left = _ID.fullmatch(path.name) is not None and not (path / REQUEST).exists()
            if is_left:
                shutil.rmtree(path, ignore_errors=True)
        over = [job.id for job in self.all() if job.is_over]
        for id in over[:-most_kept]:
            self.remove(id)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
