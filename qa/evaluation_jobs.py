"""The evaluations of a server on disk: what became of each, for the process after this one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import structlog

from qa.errors import Fault, QAError
from qa.evaluation_worker import REQUEST, Request
from qa.run_files import read_json, write_atomically

log = structlog.get_logger(__name__)

_ID = re.compile(r"[0-9a-f]{32}")
_STATE = "state.json"
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


def keep(job: Job, folder: Path) -> None:
    """Write down that a job is over, in its folder below ``folder``."""
    values = {"status": job.status, "detail": job.detail, "questions": job.questions, "asked": job.asked}
    faults = [[fault.file, fault.line, fault.field, fault.message] for fault in job.faults]
    write_atomically(folder / job.id / _STATE, json.dumps({**values, "faults": faults}))


def kept(folder: Path) -> dict[str, Job]:
    """The jobs of the processes before this one by id, oldest first; those that were not over are queued again."""
    jobs = []
    for path in folder.glob("*"):
        if not _ID.fullmatch(path.name):
            continue
        if not (path / REQUEST).exists():
            # What a crash left of a job that nobody was told of.
            shutil.rmtree(path, ignore_errors=True)
            continue
        try:
            request = Request.read(path)
            job = Job(path.name, "queued", request.created, request.name, request.snapshot, request.options)
            if (path / _STATE).exists():
                state = read_json(path / _STATE)
                faults = tuple(Fault(*fault) for fault in state.pop("faults"))
                job = replace(job, **state, faults=faults)
            jobs.append(job)
        except (QAError, TypeError, KeyError) as error:
            # A passing fault of the disk, or another version's: it stays where it is.
            log.warning("evaluation cannot be read; leaving it", id=path.name, reason=str(error))
    return {job.id: job for job in sorted(jobs, key=lambda job: job.created)}
