"""The evaluations of an index on disk, which several servers may share.

``<index>/evaluations/<id>/`` is a job as long as it holds a ``request.json``, which is there when the folder appears
and is the first file to be removed. ``state.json`` says how far the job is, and ``run/`` is the folder of its run.
Whoever holds the lock runs jobs, removes folders that are no jobs, and sets those aside whose request is damaged: then
``<id>.damaged/`` holds what is left of them.
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
from typing import Any, Literal, get_args

import structlog
from filelock import FileLock

from qa.errors import EvaluationError, EvaluationNotFound, Fault, QAError, RunError, StorageError
from qa.files import write_atomically

log = structlog.get_logger(__name__)

REQUEST, QUESTIONS, RUN = "request.json", "questions", "run"
_ID = re.compile(r"[0-9a-f]{32}")
_STATE = "state.json"
_PARTIAL, DAMAGED = ".partial", ".damaged"
# Seconds after which no process can still be writing a folder that has not appeared under its id.
_PARTIAL_AGE = 3600.0
Status = Literal["queued", "preparing", "asking", "measuring", "done", "failed"]
_STATE_TYPES = {"status": str, "detail": str, "questions": int, "asked": int, "faults": list}


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
        """Read the request of a job.

        Raises:
            DamagedRequest: it is no request.
            RunError: it cannot be read now, or is of another version of the program.
        """
        path = folder / REQUEST
        try:
            values = json.loads(path.read_bytes())
            wrong = [name for name, kind in _REQUEST_TYPES.items() if not isinstance(values[name], kind)]
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedRequest(f"{path} is no request ({error!r})") from error
        if wrong:
            raise DamagedRequest(f"{path} is no request: {', '.join(wrong)} are of a wrong type")
        if unknown := sorted(values.keys() - _REQUEST_TYPES):
            raise RunError(f"{path} was written by another version: it has {', '.join(unknown)}")
        return cls(**values)


_REQUEST_TYPES = {
    "name": str,
    "format": str,
    "options": dict,
    "keep_going": bool,
    "snapshot": str,
    "created": str,
}


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison of two evaluations and how far it is.

    ``values`` are the numbers of a comparison that is done; ``detail`` says why one failed.
    """

    status: Literal["computing", "done", "failed"]
    values: Mapping[str, Any] | None = None
    detail: str = ""


class DamagedRequest(EvaluationError):
    """A job whose request cannot have been written by any version of the program."""


class TaskFailed(EvaluationError):
    """A task that ended in an error. ``faults`` are those of the question file, if that was wrong."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class Jobs:
    """The jobs below ``folder``, which may not exist yet. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Jobs that could not be read, each logged once; and those that are to be set aside.
        self._unread: set[str] = set()
        self._damaged: set[str] = set()

    @property
    def are_damaged(self) -> bool:
        """Whether jobs were found that are to be set aside by the holder of the lock."""
        return bool(self._damaged)

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
            return self._with_state(job, path / _STATE)
        except DamagedRequest:
            self._damaged.add(id)
        except QAError as error:
            if (path / REQUEST).exists() and id not in self._unread:
                # The disk may fail for a moment, or another version may have written it: it stays where it is.
                self._unread.add(id)
                log.warning("evaluation cannot be read; leaving it", id=id, reason=str(error))
        return None

    def _with_state(self, job: Job, path: Path) -> Job:
        """Return a job with what its state file says; as it was queued if that is damaged: then it runs again.

        Raises:
            RunError: the file cannot be read now.
        """
        try:
            state = json.loads(path.read_bytes())
            if any(not isinstance(state[name], kind) for name, kind in _STATE_TYPES.items()):
                raise TypeError("a value of a wrong type")
            if state["status"] not in get_args(Status):
                raise ValueError(f"no status is called {state['status']}")
            faults = tuple(Fault(*fault) for fault in state["faults"])
        except FileNotFoundError:
            return job
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if job.id not in self._unread:
                self._unread.add(job.id)
                log.warning("state of an evaluation is damaged; running it again", id=job.id, reason=str(error))
            return job
        values = {name: state[name] for name in _STATE_TYPES}
        return replace(job, **{**values, "faults": faults})

    def keep(self, job: Job) -> None:
        """Write down how far a job is. Raises StorageError."""
        values = {"status": job.status, "detail": job.detail, "questions": job.questions, "asked": job.asked}
        faults = [[fault.file, fault.line, fault.field, fault.message] for fault in job.faults]
        write_atomically(self.path(job.id) / _STATE, json.dumps({**values, "faults": faults}))

    def is_wanted(self, id: str) -> bool:
        """Return whether no server has given the job up."""
        return (self.path(id) / REQUEST).exists()

    def give_up(self, id: str) -> None:
        """End a job. Its folder is removed by the holder of the lock.

        Raises:
            StorageError: the folder cannot be written, so that the job goes on.
        """
        try:
            (self.path(id) / REQUEST).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove the evaluation in {self.path(id)}: {error}") from error

    def remove(self, id: str) -> None:
        """End a job and remove its folder. Only the holder of the lock may do so."""
        with suppress(StorageError):
            self.give_up(id)
        shutil.rmtree(self.path(id), ignore_errors=True)

    def _set_damaged_aside(self) -> None:
        while self._damaged:
            id = self._damaged.pop()
            with suppress(FileNotFoundError):
                self.path(id).rename(self._folder / f"{id}{DAMAGED}")
                log.error("request of an evaluation is damaged; set aside", id=id, folder=f"{id}{DAMAGED}")

    def tidy(self, most_kept: int) -> None:
        """Set damaged jobs aside, remove folders that are no jobs, and all but the newest jobs that are over.

        Only the holder of the lock may do so.
        """
        self._set_damaged_aside()
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
