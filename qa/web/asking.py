"""How the web asks: from a cache, or through the queue, for as long as the client waits for the answer."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from starlette.requests import Request

from qa.errors import NotReady, Overloaded, QAError
from qa.service.service import Service
from qa.service.switching import Held
from qa.service.unanswered import Unanswered
from qa.types import Query, Reply
from qa.web.admission import HungUp, hanging_up
from qa.web.batching import Answered, Batcher
from qa.web.monitoring import Monitoring

# Bytes of a cache entry beside its values: its places in the map, and the key.
_ENTRY = 1000


# A collection, its snapshot and what was asked.
_CacheKey = tuple[str, str, Query]


class ReplyCache:
    """Replies by collection, snapshot and query, bounded in bytes and age. Thread-safe.

    The least recently used goes first. A passage counts in each reply that shows it, though the replies share it with
    what search keeps: what they take is at most what is counted, also when nothing else keeps their passages any more.

    Args:
        most_bytes: bytes that all entries together may take; 0 keeps none.
        seconds: how old a reply may be; its citation is not compared with the source again.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes = most_bytes
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[_CacheKey, tuple[Reply, int, float]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """The bytes that the entries take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, collection: str, snapshot: str, query: Query) -> Reply | None:
        """Return the reply that is kept, or ``None`` where there is none or it is too old."""
        key = (collection, snapshot, query)
        with self._lock:
            if (entry := self._entries.get(key)) is None:
                return None
            reply, size, until = entry
            if self._clock() >= until:
                del self._entries[key]
                self._bytes -= size
                return None
            self._entries.move_to_end(key)
            return reply

    def put(self, collection: str, query: Query, reply: Reply) -> None:
        """Keep a reply, under the snapshot that it names itself: the current one may be another by now."""
        if not self.most_bytes:
            return
        size = _ENTRY + measure_bytes(reply) + measure_bytes(query)
        if size > self.most_bytes:
            return
        key = (collection, reply.snapshot, query)
        with self._lock:
            self._drop(key)
            self._entries[key] = (reply, size, self._clock() + self._seconds)
            self._bytes += size
            while self._bytes > self.most_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self, collection: str) -> None:
        """Drop every reply of a collection."""
        with self._lock:
            for key in [key for key in self._entries if key[0] == collection]:
                self._drop(key)

    def _drop(self, key: _CacheKey) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= entry[1]


def measure_bytes(value: object) -> int:
    """Return the bytes of a value of :mod:`qa.types` and of all that it holds."""
    size = sys.getsizeof(value)
    if isinstance(value, tuple):
        return size + sum(map(measure_bytes, value))
    if isinstance(value, dict):
        return size + sum(measure_bytes(key) + measure_bytes(item) for key, item in value.items())
    return size + sum(measure_bytes(getattr(value, name)) for name in getattr(value, "__slots__", ()))


class Asking:
    """Single questions and batches to one collection, answered for the event loop.

    Queue and cache may be those of other collections too. ``request`` is watched for a client that hangs up.
    """

    def __init__(
        self,
        service: Service,
        monitoring: Monitoring,
        batcher: Batcher,
        cache: ReplyCache,
        unanswered: Unanswered | None = None,
    ) -> None:
        self.batcher = batcher
        self.cache = cache
        self._service = service
        self._unanswered = unanswered
        self._monitoring = monitoring
        self._name = service.state().index
        self._revision: int | None = None
        monitoring.observe(service.state, self._gauges)

    async def ask(self, query: Query, request: Request | None = None, *, noted: bool = False) -> Reply:
        """Answer one question. Raises QueryError, NotReady, Overloaded, or HungUp.

        Args:
            noted: whether the caller notes it, or it has been: a page asks again what its reader asked.
        """
        (outcome,) = await self._answer_many([query], request)
        if not noted:
            self.note_unanswered(query, outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def ask_many(self, queries: Sequence[Query], request: Request | None = None) -> list[Reply | QAError]:
        """Answer many questions: each gets a reply or its own error, and all replies are of one snapshot.

        Raises:
            NotReady, Overloaded: none of them was answered.
            HungUp: the client went away; what had not begun is dropped.
        """
        outcomes = await self._answer_many(queries, request)
        for query, outcome in zip(queries, outcomes, strict=True):
            self.note_unanswered(query, outcome)
        return outcomes

    def note_unanswered(self, query: Query, outcome: Reply | QAError) -> None:
        """Note a question that was not answered, where that is kept; without blocking.

        One to a part of the collection is not noted: what is missing there may well stand elsewhere.
        """
        is_of_part = bool(query.filter or query.documents or query.sections)
        if self._unanswered is not None and isinstance(outcome, Reply) and not is_of_part:
            # Of two words, such as "and Oslo?", no one learns what is missing.
            leans = bool(query.previous and outcome.searched)
            self._unanswered.note(replace(query, question=outcome.searched) if leans else query, outcome)

    async def _answer_many(self, queries: Sequence[Query], request: Request | None) -> list[Reply | QAError]:
        held = self._service.hold()
        kept = [self._cached(query, held) for query in queries]
        missing = [query for query, reply in zip(queries, kept, strict=True) if reply is None]
        fresh = iter(await self._ask_fresh(missing, held, request) if missing else ())
        return [next(fresh) if reply is None else reply for reply in kept]

    async def _ask_fresh(self, queries: Sequence[Query], held: Held, request: Request | None) -> list[Reply | QAError]:
        try:
            futures = self.batcher.submit(queries, held)
        except Overloaded:
            self._monitoring.refused("overloaded")
            raise
        # Whoever hangs up cancels what is waited for, which takes half the time of waiting for either.
        gone = asyncio.ensure_future(hanging_up(request))
        gone.add_done_callback(lambda ended: None if ended.cancelled() else _cancel(futures))
        try:
            for future in futures:
                await future
        except asyncio.CancelledError:
            if not gone.done() or gone.cancelled():
                raise
            self._monitoring.hung_up()
            raise HungUp from None
        finally:
            gone.cancel()
            _cancel(futures)
        # A reply of the snapshot before still answers this request, but must not be kept for later ones.
        keep = self._service.state().revision == held.revision
        outcomes = [future.result() for future in futures]

        def note_all() -> list[Reply | QAError]:
            return [self._note(query, outcome, keep) for query, outcome in zip(queries, outcomes, strict=True)]

        # To measure what a batch takes in the cache takes as long as to write it.
        return await asyncio.to_thread(note_all) if len(outcomes) > 1 else note_all()

    def _note(self, query: Query, outcome: Answered, keep: bool) -> Reply | QAError:
        if isinstance(outcome, Reply):
            self._monitoring.reply(self._name, outcome)
            if keep:
                self.cache.put(self._name, query, outcome)
            return outcome
        if isinstance(outcome, QAError) and not isinstance(outcome, NotReady):
            return outcome
        raise outcome

    def _cached(self, query: Query, held: Held) -> Reply | None:
        """Return the cached reply, if any, as it was given: nothing in it tells that someone asked before."""
        if not self.cache.most_bytes:
            return None
        if held.revision != self._revision:
            self._revision = held.revision
            self.cache.clear(self._name)
        reply = self.cache.get(self._name, held.snapshot, query)
        self._monitoring.looked_up(self._name, hit=reply is not None)
        if reply is not None:
            self._monitoring.answer(self._name, reply)
        return reply

    def _gauges(self) -> dict[str, float]:
        return {
            "qa_queue_questions": self.batcher.waiting,
            "qa_queue_limit": self.batcher.most_waiting,
            "qa_cache_bytes": self.cache.bytes,
            "qa_cache_limit_bytes": self.cache.most_bytes,
            "qa_cache_entries": len(self.cache),
        }


def _cancel(futures: Sequence[asyncio.Future[Answered]]) -> None:
    for future in futures:
        future.cancel()
