"""The queue of questions: those that arrive together are answered together, in threads beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

import structlog

from qa.errors import NotReady, Overloaded
from qa.machine import usable_cores
from qa.service.switching import Held
from qa.types import Query, Reply
from qa.web.fairness import CLIENT, FairQueue, share_of
from qa.web.monitoring import Monitoring

log = structlog.get_logger(__name__)

# A second worker searches one batch while the first encodes the next; more would only take turns.
_MOST_WORKERS = 2
# Questions in a batch. Searching 16 together takes half the processor time of one by one. Reading takes twenty times as
# long and gains a tenth, most of it with 4 together, and more would only wait longer.
LARGEST = 16
LARGEST_READ = 4
# Seconds that a worker waits for more questions where several wait already. A single one is answered at once.
GATHERING = 0.002
# The share that the questions of batch requests get while single ones wait too: one in four of a batch of both, and of
# the batches, where some are read and the others are not.
_BULK_SHARE = 4
# Clients whose batch requests wait at the same time.
_BULK_CLIENTS = 4
# Seconds after a single question in which more are expected. Batch requests then get one worker at most, and few
# questions at a time, so that the next single question finds the other worker free, or the only one soon.
_EXPECTED = 1.0
# Seconds after which a refused client may try again, at least and at most.
_RETRY = (1, 30)

Answered = Reply | Exception


@dataclass(slots=True, eq=False)
class _Waiting:
    client: str
    bulk: bool
    query: Query
    held: Held
    future: asyncio.Future[Answered]
    since: float = field(default_factory=time.perf_counter)


def count_workers(processes: int) -> int:
    """Return how many threads answer in each of several processes: with as many processes as cores, one."""
    return max(1, min(_MOST_WORKERS, int(usable_cores() / processes)))


class Batcher:
    """A bounded queue of questions in front of a service, in which clients take turns. Thread-safe.

    Args:
        most_waiting: questions that may wait; more are refused at once. One client may fill three in four places.
        workers: threads that answer. Beside them there is a spare one, which searches for those who want passages
            alone while all others read: they would wait twenty times as long as their own answer takes. The operating
            system parts the processor.
        largest: the most questions in a batch that is only searched for.
        largest_read: the most questions in a batch whose passages are read, too. The two kinds are never mixed.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        monitoring: Monitoring,
        *,
        most_waiting: int,
        workers: int = _MOST_WORKERS,
        largest: int = LARGEST,
        largest_read: int = LARGEST_READ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monitoring = monitoring
        self.most_waiting = most_waiting
        self._workers = workers
        self._largest = {False: largest, True: largest_read}
        # Two queues, so that a long batch request does not delay single questions.
        self._single: FairQueue[_Waiting] = FairQueue()
        self._bulk: FairQueue[_Waiting] = FairQueue()
        self._lock = threading.Lock()
        self._clock = clock
        self._expected_until = clock()
        # Workers, and those of them that answer nothing but questions of batch requests.
        self._working = 0
        self._in_bulk = 0
        # Workers that read, the spare ones that may still be started, and questions that wait and are not to be read.
        self._reading = 0
        self._spare = 1
        self._searched_for = 0
        self._turn = 0
        self._seconds_each = 0.01
        self._pool = ThreadPoolExecutor(workers + self._spare, thread_name_prefix="answer")

    @property
    def waiting(self) -> int:
        """The number of questions that wait."""
        return len(self._single) + len(self._bulk)

    def is_full(self, *, bulk: bool = False, client: str | None = None) -> bool:
        """Return whether there is no room for another single question, or with ``bulk`` for another batch request.

        The client is that of the request unless one is given; where it is not known, only the whole queue counts.
        """
        return not self._has_room(CLIENT.get() if client is None else client, 1, bulk=bulk)

    def _has_room(self, client: str, count: int, *, bulk: bool) -> bool:
        if not bulk:
            return len(self._single) < self.most_waiting and self._single.count(client) < share_of(self.most_waiting)
        # A batch larger than its share is accepted when no other of its client waits; otherwise it never would be.
        if waiting := self._bulk.count(client):
            return waiting + count <= share_of(self.most_waiting)
        return self._bulk.clients < _BULK_CLIENTS

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
        client, bulk = CLIENT.get(), len(queries) > 1
        self._put([_Waiting(client, bulk, query, held, future) for query, future in zip(queries, futures, strict=True)])
        return futures

    def close(self) -> None:
        """Answer what waits, and end the threads."""
        self._pool.shutdown()

    def _put(self, items: list[_Waiting]) -> None:
        client, bulk = items[0].client, items[0].bulk
        with self._lock:
            if not self._has_room(client, len(items), bulk=bulk):
                raise self.overloaded()
            for item in items:
                (self._bulk if bulk else self._single).put(client, item)
            self._searched_for += sum(not item.query.answer for item in items)
            if not bulk:
                self._expected_until = self._clock() + _EXPECTED
            missing, is_short = self._count_missing(), self._takes_spare()
        self._start(missing, self._work)
        self._start(is_short, self._search)

    def _count_missing(self) -> int:
        """Return how many more workers what waits is enough for, and count them as working. The lock must be held."""
        waiting = len(self._single) + (0 if self._is_bulk_held_back() else len(self._bulk))
        missing = max(0, min(self._workers - self._working, -(-waiting // self._largest[True])))
        self._working += missing
        return missing

    def _takes_spare(self) -> bool:
        """Tell whether a spare worker is to be started, and count it as working. The lock must be held."""
        takes = bool(self._spare and self._searched_for and self._reading >= self._workers)
        self._spare -= takes
        return takes

    def _start(self, workers: int, work: Callable[[], None]) -> None:
        for _ in range(workers):
            self._pool.submit(work)

    def _is_expecting(self) -> bool:
        return self._clock() < self._expected_until

    def _is_bulk_held_back(self) -> bool:
        return self._in_bulk > 0 and self._is_expecting()

    def _work(self) -> None:
        """Answer until nothing waits that this worker may take."""
        while True:
            with self._lock:
                if not (batch := self._take()):
                    self._working -= 1
                    return
                in_bulk, reads = all(item.bulk for item in batch), batch[0].query.answer
                self._in_bulk += in_bulk
                self._reading += reads
                missing, is_short = self._count_missing(), self._takes_spare()
            try:
                # At the end no worker can be started, and those that there are answer what waits.
                with suppress(RuntimeError):
                    self._start(missing, self._work)
                    self._start(is_short, self._search)
                self._answer_gathered(batch)
            finally:
                with self._lock:
                    self._in_bulk -= in_bulk
                    self._reading -= reads

    def _search(self) -> None:
        """Answer what is not to be read, for as long as all workers read."""
        while True:
            with self._lock:
                batch = self._pop(self._single, False, self._largest[False]) if self._reading >= self._workers else []
                if not self._is_expecting():
                    batch += self._pop(self._bulk, False, self._largest[False] - len(batch))
                if not batch:
                    self._spare += 1
                    missing = self._count_missing()
                    break
            self._answer_gathered(batch)
        with suppress(RuntimeError):
            self._start(missing, self._work)

    def _answer_gathered(self, batch: list[_Waiting]) -> None:
        """Answer a batch, after more has come for it where several waited already."""
        try:
            if 1 < len(batch) < self._largest[batch[0].query.answer]:
                time.sleep(GATHERING)
                batch = self._gather(batch)
            # Questions of clients that hung up are dropped.
            if wanted := [item for item in batch if not item.future.cancelled()]:
                self._answer(wanted)
        except Exception as error:  # a worker that ended here would never free its place
            log.error("a batch was not delivered", questions=len(batch), exc_info=error)
            _deliver(batch, [error] * len(batch))

    def _take(self) -> list[_Waiting]:
        """Take a batch of the kind of the single question that is next, or at times of a batch request's.

        The lock must be held.
        """
        takes_bulk = bool(self._bulk) and not self._is_bulk_held_back()
        if self._single and takes_bulk:
            self._turn = (self._turn + 1) % _BULK_SHARE
        elif not self._single and not takes_bulk:
            return []
        by_bulk = takes_bulk and not (self._single and self._turn)
        reads = (self._bulk if by_bulk else self._single).first().query.answer
        largest = self._largest[reads]
        bulk = self._pop(self._bulk, reads, max(largest // _BULK_SHARE, int(by_bulk)) if takes_bulk else 0)
        return self._filled([*self._pop(self._single, reads, largest - len(bulk)), *bulk], reads)

    def _filled(self, batch: list[_Waiting], reads: bool) -> list[_Waiting]:
        """Return a batch with as many questions of batch requests as it may have. The lock must be held."""
        # Each would keep a single question waiting longer.
        if not self._is_expecting():
            batch += self._pop(self._bulk, reads, self._largest[reads] - len(batch))
        return batch

    def _gather(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Return a batch with what has come for it since it was taken."""
        reads = batch[0].query.answer
        with self._lock:
            return self._filled([*batch, *self._pop(self._single, reads, self._largest[reads] - len(batch))], reads)

    def _pop(self, queue: FairQueue[_Waiting], reads: bool, count: int) -> list[_Waiting]:
        taken = queue.take(count, lambda item: item.query.answer == reads)
        if not reads:
            self._searched_for -= len(taken)
        return taken

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
