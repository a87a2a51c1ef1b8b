"""Evaluations behind a server: one at a time, bounded, cancelled, and gone on with after a crash."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from qa.errors import EvaluationNotFound, NotReady, QAError, QueueFull
from qa.evaluation_jobs import Job
from qa.evaluation_queue import EvaluationQueue
from qa.run_files import load_run
from qa.service import Service
from qa.settings import Settings
from qa.types import Query, Reply, State
from tests.test_evaluating import QUOTES

OPTIONS = {"mode": "dense", "top_k": 5, "rerank": False}
DATA = "\n".join(
    json.dumps({"question": f"{quote}?", "evidence": [{"document": document, "quote": quote}]})
    for document, quote in QUOTES.items()
).encode()


class Gated:
    """A service that answers only as often as it is let."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.allowed = threading.Semaphore(0)
        self.asked = 0
        self.current: State | None = None

    def state(self) -> State:
        return self.current or self._service.state()

    def ask_many(self, queries: Sequence[Query]) -> Sequence[Reply | QAError]:
        assert self.allowed.acquire(timeout=300)
        self.asked += 1
        return self._service.ask_many(queries)


@pytest.fixture
def gated(service: Service) -> Gated:
    return Gated(service)


Start = Callable[[], EvaluationQueue]


@pytest.fixture
def start(gated: Gated, settings: Settings) -> Iterator[Start]:
    """Makes a queue and lets it run, as a server's start does."""
    running: list[tuple[EvaluationQueue, threading.Thread]] = []

    def begin() -> EvaluationQueue:
        queue = EvaluationQueue(
            settings.indexes / settings.name, gated, settings.model_dump(mode="json"), most_waiting=2, most_kept=2
        )
        thread = threading.Thread(target=queue.run)
        thread.start()
        running.append((queue, thread))
        return queue

    yield begin
    gated.allowed.release(100)
    for queue, thread in running:
        queue.stop()
        thread.join(30)
        assert not thread.is_alive()


def until(queue: EvaluationQueue, job: Job, reached: Callable[[Job], bool]) -> Job:
    deadline = time.monotonic() + 300
    while not reached(found := queue.get(job.id)):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def submit(queue: EvaluationQueue, data: bytes = DATA) -> Job:
    return queue.submit("q.jsonl", data, "jsonl", OPTIONS, keep_going=False)


def test_an_evaluation_from_upload_to_report(start: Start, gated: Gated) -> None:
    queue = start()
    job = submit(queue)
    gated.allowed.release(1)
    half = until(queue, job, lambda found: found.asked == 1)
    assert (half.status, half.questions) == ("asking", 3)
    with pytest.raises(EvaluationNotFound, match="is not done"):
        queue.report(job.id)
    gated.allowed.release(2)
    assert until(queue, job, lambda found: found.is_over).status == "done"
    assert queue.summary(job.id)["measures"]["passages.R@5"]["value"] == 1.0
    assert "<!doctype html>" in queue.report(job.id).read_text(encoding="utf-8")


def test_one_runs_and_the_rest_wait_and_there_is_an_end_to_waiting(start: Start, gated: Gated) -> None:
    queue = start()
    jobs = [submit(queue) for _ in range(3)]
    until(queue, jobs[0], lambda found: found.status == "asking")
    assert [queue.get(job.id).status for job in jobs[1:]] == ["queued", "queued"]
    with pytest.raises(QueueFull, match="2 evaluations are waiting"):
        submit(queue)
    gated.allowed.release(9)
    for job in jobs[1:]:
        assert until(queue, job, lambda found: found.is_over).status == "done"
    # Two are kept, and the oldest was the first.
    deadline = time.monotonic() + 300
    while True:
        try:
            queue.get(jobs[0].id)
        except EvaluationNotFound:
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("is_running", [True, False])
def test_what_is_cancelled_is_gone(start: Start, gated: Gated, settings: Settings, is_running: bool) -> None:
    queue = start()
    first = submit(queue)
    until(queue, first, lambda found: found.status == "asking")
    job = first if is_running else submit(queue)
    queue.cancel(job.id)
    with pytest.raises(EvaluationNotFound):
        queue.get(job.id)
    gated.allowed.release(3)
    last = submit(queue)
    gated.allowed.release(3)
    assert until(queue, last, lambda found: found.is_over).status == "done"
    assert not (folder_of(settings) / job.id).exists()
    with pytest.raises(EvaluationNotFound):
        queue.cancel("../../CURRENT")


def folder_of(settings: Settings) -> Path:
    return settings.indexes / settings.name / "evaluations"


def test_what_a_stop_interrupts_goes_on_at_the_next_start(start: Start, gated: Gated) -> None:
    queue = start()
    job = submit(queue)
    gated.allowed.release(1)
    until(queue, job, lambda found: found.asked == 1)
    queue.stop()
    # The question that was under way when it was told to stop is finished.
    gated.allowed.release(1)
    deadline = time.monotonic() + 300
    while gated.asked < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    second = start()
    gated.allowed.release(10)
    assert until(second, job, lambda found: found.is_over).status == "done"
    assert gated.asked == 3
    assert start().get(job.id).status == "done"


def test_a_quote_that_is_not_there_fails_with_its_line(start: Start) -> None:
    queue = start()
    job = submit(queue, DATA.replace(b"autumn", b"winter"))
    failed = until(queue, job, lambda found: found.is_over)
    assert (failed.status, failed.faults[0].line, failed.faults[0].field) == ("failed", 2, "evidence[0]")
    assert "the nearest is" in failed.detail
    assert start().get(job.id) == failed


def test_a_snapshot_that_is_switched_meanwhile_fails_it(
    start: Start, gated: Gated, service: Service, build: Callable[[], object]
) -> None:
    queue = start()
    job = submit(queue)
    gated.allowed.release(1)
    until(queue, job, lambda found: found.asked == 1)
    build()
    assert service.reload()
    gated.allowed.release(2)
    failed = until(queue, job, lambda found: found.is_over)
    assert "the index changed while it was measured" in failed.detail


def test_nothing_is_taken_while_nothing_is_served(start: Start, gated: Gated) -> None:
    gated.current = State(False, "loading", "the snapshot is being loaded", "test")
    with pytest.raises(NotReady):
        submit(start())


def test_what_a_crash_left_of_an_upload_is_cleared_away(start: Start, settings: Settings) -> None:
    left = folder_of(settings) / ("0" * 32)
    left.mkdir(parents=True)
    (left / "questions").write_bytes(DATA)
    other = folder_of(settings) / "notes"
    other.mkdir()
    start()
    assert not left.exists()
    assert other.exists()


def test_the_run_is_one_that_can_be_compared(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    gated.allowed.release(3)
    until(queue, job, lambda found: found.is_over)
    run = load_run(folder_of(settings) / job.id / "run")
    assert run.inputs.snapshot == job.snapshot
    assert len(run.outcomes) == 3
