"""A queue of evaluations, with a gate before every question of its workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.service import Service
from qa.settings import Settings
from tests.support.gated_worker import MODULE
from tests.support.queued import Gated, Start
from tests.support.waiting import AT_MOST


@pytest.fixture
def gated(service: Service, settings: Settings) -> Gated:
    return Gated(service, settings.indexes)


@pytest.fixture
def start(gated: Gated, settings: Settings) -> Iterator[Start]:
    """Make a queue and let it run, as a server's start does."""
    running: list[tuple[EvaluationQueue, threading.Thread]] = []

    def begin(
        seconds: float = 300.0,
        trouble: Callable[[str], None] = lambda clause: None,
        turn: threading.Lock | None = None,
    ) -> EvaluationQueue:
        queue = EvaluationQueue(
            settings.indexes / settings.name,
            gated.state,
            settings.model_dump(mode="json"),
            most_waiting=2,
            most_kept=2,
            seconds=seconds,
            module=MODULE,
            trouble=trouble,
            turn=turn,
        )
        thread = threading.Thread(target=queue.run)
        thread.start()
        running.append((queue, thread))
        return queue

    yield begin
    gated.release(100)
    for queue, thread in running:
        queue.stop()
        thread.join(AT_MOST)
        assert not thread.is_alive()
