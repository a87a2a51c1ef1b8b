"""The queue of questions: those that arrive together are answered together, in threads beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice

import structlog

from qa.errors import NotReady, Overloaded
from qa.service.service import Held
from qa.types import Query, Reply
from qa.web.monitoring import Monitoring

log = structlog.get_logger(__name__)

# A second worker searches one batch while the first encodes the next; more would only take turns.
WORKERS = 2
# Questions in a batch. Searching 16 together takes half the processor time of one by one. Reading takes twenty times as
# long and gains a tenth, most of it with 4 together, and more would only wait longer.
LARGEST = 16
LARGEST_READ = 4
# Seconds that a worker waits for more questions where several wait already. A single one is answered at once.
GATHERING = 0.002
# The share that the questions of batch requests get while single ones wait too: one in four of a batch of both, and of
# the batches, where some are read and the others are not.
_BULK_SHARE = 4
# Seconds after which a refused client may try again, at least and at most.
_RETRY = (1, 30)

Answered = Reply | Exception


@dataclass(slots=True)
class _Waiting:
    query: Query
    held: Held
    future: asyncio.Future[Answered]
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """A bounded queue of questions in front of a service. Thread-safe.

    Args:
        most_waiting: questions that may wait; more are refused at once.
        largest: the most questions in a batch that is only searched for.
        largest_read: the most questions in a batch whose passages are read, too. The two kinds are never mixed.
    """

    def __init__(
        self,
        monitoring: Monitoring,
        *,
        most_waiting: int,
        workers: int = WORKERS,
        largest: int = LARGEST,
        largest_read: int = LARGEST_READ,
    ) -> None:
        self._monitoring = monitoring
        self.most_waiting = most_waiting
        self._workers = workers
        self._largest = {False: largest, True: largest_read}
        # Two queues, so that a long batch request does not delay single questions.
        self._single: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._working = 0
        self._turn = 0
        self._seconds_each = 0.01
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="answer")

    @property
    def waiting(self) -> int:
        """The number of questions that wait."""
        return len(self._single) + len(self._bulk)

    def is_full(self, *, bulk: bool = False) -> bool:
        """Return whether there is no room for another single question, or with ``bulk`` for another batch request."""
        return len(self._bulk if bulk else self._single) >= self.most_waiting

    def overloaded(self) -> Overloaded:
        """Make the error that refuses a question, with the time that the waiting ones will take."""
        least, most = _RETRY
        seconds = round(self.waiting * self._seconds_each)
        return Overloaded(
            "more questions are waiting than can be answered soon; try again later", min(max(seconds, least), most)
        )

    def submit(self, queries: Sequence[Query], held: Held) -> list[asyncio.Future[Answered]]:
        """Queue questions for ``held``, from the event loop. Each future ends in a reply or an error; cancel drops it.

        Raises:
            Overloaded: there is no room.
        """
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in queries]
        self._put([_Waiting(query, held, future) for query, future in zip(queries, futures, strict=True)])
        return futures

    def close(self) -> None:
        """Answer what waits, and end the threads."""
        self._pool.shutdown()

    def _put(self, items: list[_Waiting]) -> None:
        with self._lock:
            queue = self._single if len(items) == 1 else self._bulk
            # A batch that is larger than the queue is accepted when no other waits; otherwise it never would be.
            if queue and len(queue) + len(items) > self.most_waiting:
                raise self.overloaded()
            queue.extend(items)
            start = min(self._workers - self._working, -(-self.waiting // self._largest[True]))
            self._working += max(start, 0)
        for _ in range(start):
            self._pool.submit(self._work)

    def _work(self) -> None:
        """Answer until nothing waits."""
        while True:
            batch = self._take()
            if len(batch) > 1 and (room := self._largest[batch[0].query.answer] - len(batch)):
                time.sleep(GATHERING)
                batch += self._take_kind(batch[0].query.answer, room)
            if not batch:
                with self._lock:
                    if self.waiting:
                        continue
                    self._working -= 1
                    return
            try:
                self._answer(batch)
            except Exception as error:  # a worker that ended here would never free its place
                log.error("a batch was not delivered", questions=len(batch), exc_info=error)
                _deliver(batch, [error] * len(batch))

    def _take(self) -> list[_Waiting]:
        """Take a batch of the kind of the single question that waits longest, or at times of a batch request's."""
        with self._lock:
            if self._single and self._bulk:
                self._turn = (self._turn + 1) % _BULK_SHARE
                head = self._single[0] if self._turn else self._bulk[0]
            elif self._single or self._bulk:
                head = (self._single or self._bulk)[0]
            else:
                return []
            reads = head.query.answer
        return self._take_kind(reads, self._largest[reads])

    def _take_kind(self, reads: bool, count: int) -> list[_Waiting]:
        with self._lock:
            taken = _pop(self._bulk, reads, count // _BULK_SHARE)
            taken = _pop(self._single, reads, count - len(taken)) + taken
            taken += _pop(self._bulk, reads, count - len(taken))
        # Questions of clients that hung up are dropped.
        return [item for item in taken if not item.future.cancelled()]

    def _answer(self, batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        outcomes = [
            outcome for held, items in _by_held(batch) for outcome in _ask(held, [item.query for item in items])
        ]
        spent = time.perf_counter() - started
        # A moving mean: what a question takes of one worker's time is nearly what it takes of the queue's.
        self._seconds_each += 0.1 * (spent / len(batch) / self._workers - self._seconds_each)
        self._monitoring.batch(len(batch), [started - item.since for item in batch])
        _deliver(batch, outcomes)


def _by_held(batch: list[_Waiting]) -> list[tuple[Held, list[_Waiting]]]:
    """Group a batch by what each question asks, in place; nearly always that is one group."""

    def asked(item: _Waiting) -> tuple[str, str, int]:
        return item.held.index, item.held.snapshot, item.held.revision

    batch.sort(key=asked)
    groups = groupby(batch, key=asked)
    return [(items[0].held, items) for items in (list(group) for _, group in groups)]


def _ask(held: Held, queries: Sequence[Query]) -> Sequence[Answered]:
    try:
        return held.ask_many(queries)
    except NotReady as error:
        return [error] * len(queries)
    except Exception as error:
        if len(queries) == 1:
            return [error]
        # A question that breaks everything must not cost the others their answers.
        log.warning("a batch failed; its questions are asked one by one", questions=len(queries), exc_info=error)
        return [outcome for query in queries for outcome in _ask(held, [query])]


def _pop(items: deque[_Waiting], reads: bool, count: int) -> list[_Waiting]:
    """Remove and return the first ``count`` questions of one kind; the others keep their order."""
    taken = list(islice((item for item in items if item.query.answer == reads), count))
    if len(taken) == len(items):
        items.clear()
    for item in taken if items else ():
        items.remove(item)
    return taken


def _deliver(batch: Sequence[_Waiting], outcomes: Sequence[Answered]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answered], Answered]]] = {}
    for item, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(item.future.get_loop(), []).append((item.future, outcome))
    for loop, pairs in by_loop.items():
        # One call wakes the loop for all of them. Nobody waits in a loop that is closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set, pairs)


def _set(pairs: Sequence[tuple[asyncio.Future[Answered], Answered]]) -> None:
    for future, outcome in pairs:
        if not future.done():
            future.set_result(outcome)
