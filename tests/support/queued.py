"""What tests of a queue of evaluations share: a gate before its workers, and what is asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qa.evaluation.jobs.jobs import Compared, Job
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from tests.evaluation.test_evaluate import QUOTES
from tests.support.gated_worker import Gate
from tests.support.waiting import wait_for

OPTIONS = {"mode": "dense", "top_k": 5, "rerank": False}
DATA = "\n".join(
    json.dumps({"question": f"{quote}?", "evidence": [{"document": document, "quote": quote}]})
    for document, quote in QUOTES.items()
).encode()


Start = Callable[..., EvaluationQueue]


class Gated(Gate):
    """The state of a service, and a gate before every question of the workers."""

    def __init__(self, service: Service, indexes: Path) -> None:
        super().__init__(indexes)
        self._service = service
        self.current: State | None = None
        self.looks = 0

    def state(self) -> State:
        self.looks += 1
        return self.current or self._service.state()


def until(queue: EvaluationQueue, job: Job, reached: Callable[[Job], bool]) -> Job:
    found: list[Job] = []

    def is_reached() -> bool:
        found.append(queue.get(job.id))
        return reached(found[-1])

    wait_for(is_reached)
    return found[-1]


def report_of(queue: EvaluationQueue, job: Job) -> str:
    with queue.report(job.id) as file:
        return file.read().decode()


def submit(queue: EvaluationQueue, data: bytes = DATA) -> Job:
    return queue.submit("q.jsonl", data, "jsonl", OPTIONS, keep_going=False)


def folder_of(settings: Settings) -> Path:
    return settings.indexes / settings.name / "evaluations"


def evaluated(queue: EvaluationQueue, gated: Gated, data: bytes = DATA, **options: object) -> Job:
    job = queue.submit("q.jsonl", data, "jsonl", {**OPTIONS, **options}, keep_going=False)
    gated.release(3)
    return until(queue, job, lambda found: found.is_over)


def compared(queue: EvaluationQueue, baseline: Job, candidate: Job) -> Compared:
    """Wait for the end of a comparison, and return it."""
    found: list[Compared] = []

    def is_over() -> bool:
        found.append(queue.compare(baseline.id, candidate.id))
        return found[-1].status != "computing"

    wait_for(is_over)
    return found[-1]
