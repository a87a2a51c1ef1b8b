"""The evaluations of an index on disk, which several servers may share.

``<index>/evaluations/<id>/`` is a job as long as it holds a ``request.json``, which is there when the folder appears
and is the first file to be removed. ``state.json`` says how far the job is, and ``run/`` is the folder of its run.
Whoever holds the lock runs jobs, and removes folders that are no jobs.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import structlog
from filelock import FileLock

from qa.errors import EvaluationError, EvaluationNotFound, Fault, QAError, StorageError
from qa.evaluation.runs import read_json
from qa.files import write_atomically

log = structlog.get_logger(__name__)

REQUEST, QUESTIONS, RUN = "request.json", "questions", "run"
_ID = re.compile(r"[0-9a-f]{32}")
_STATE = "state.json"
_PARTIAL = ".partial"
# Seconds after which no process can still be writing a folder that has not appeared under its id.
_PARTIAL_AGE = 3600.0
Status = Literal["queued", "preparing", "asking", "measuring", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """An evaluation and how far it is: ``asked`` of ``questions`` were asked.

    ``detail`` says why a job failed; ``faults`` are those of its question file.
    """

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
    """What a client sent. ``name`` is what errors call the question file."""

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


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison of two evaluations and how far it is.

    ``values`` are the numbers of a comparison that is done; ``detail`` says why one failed.
    """

    status: Literal["computing", "done", "failed"]
    values: Mapping[str, Any] | None = None
    detail: str = ""


class TaskFailed(EvaluationError):
    """A task that ended in an error. ``faults`` are those of the question file, if that was wrong."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class Jobs:
    """The jobs below ``folder``, which may not exist yet. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, id: str) -> Path:
        return self._folder / id

    @property
    def exists(self) -> bool:
        return self._folder.is_dir()

    def lock(self) -> FileLock:
        """Return the lock of the server that runs jobs. The system frees it if its holder dies."""
        return FileLock(self._folder / "LOCK")

    def working_lock(self) -> FileLock:
        """Return the lock of the process that works on a job, which may outlive its server for a moment."""
        return FileLock(self._folder / "WORKING")

    def add(self, id: str, request: Request, data: bytes) -> None:
        """Add a job.

        Raises:
            StorageError: it cannot be written; nothing is left of it.
        """
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
        """Read a job. Raises EvaluationNotFound if there is none with this id."""
        job = self._read(id) if _ID.fullmatch(id) else None
        if job is None:
            raise EvaluationNotFound("no evaluation has this id; it may have been cancelled, or be too old")
        return job

    def all(self) -> list[Job]:
        """Read all jobs, oldest first."""
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
                # The disk may fail for a moment, or another version may have written it: it stays where it is.
                log.warning("evaluation cannot be read; leaving it", id=id, reason=str(error))
            return None

    def keep(self, job: Job) -> None:
        """Write down how far a job is. Raises StorageError."""
        values = {"status": job.status, "detail": job.detail, "questions": job.questions, "asked": job.asked}
        faults = [[fault.file, fault.line, fault.field, fault.message] for fault in job.faults]
        write_atomically(self.path(job.id) / _STATE, json.dumps({**values, "faults": faults}))

    def is_wanted(self, id: str) -> bool:
        """Return whether no server has given the job up."""
        return (self.path(id) / REQUEST).exists()

    def give_up(self, id: str) -> None:
        """End a job. Its folder is removed by the holder of the lock."""
        with suppress(OSError):
            (self.path(id) / REQUEST).unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """End a job and remove its folder. Only the holder of the lock may do so."""
        self.give_up(id)
        shutil.rmtree(self.path(id), ignore_errors=True)

    def tidy(self, most_kept: int) -> None:
        """Remove folders that are no jobs, and all but the newest jobs that are over.

        Only the holder of the lock may do so.
        """
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


def comparison_files(folder: Path, baseline: str) -> tuple[Path, Path]:
    """Return where a job's comparison with another is kept: the numbers, which are written last, and the page."""
    return folder / f"compared-{baseline}.json", folder / f"compared-{baseline}.html"


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
