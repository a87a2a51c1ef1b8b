"""Metrics for Prometheus. Every name begins with ``qa_``; docs/operating.md says what each one means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from qa.types import Reply, State

if TYPE_CHECKING:
    from qa.web.workers.metrics import SharedMetrics

MEDIA_TYPE = CONTENT_TYPE_LATEST
# Seconds: from a question out of the cache to a client's patience.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32)


class Monitoring:
    """The metrics of one application, in a registry of their own. Thread-safe.

    Where a metric has the label ``collection``, its values are names that the server was started with.

    Args:
        shared: the metrics of all workers, where this process is one of several.
    """

    def __init__(self, shared: SharedMetrics | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shared = shared
        if shared is None:
            ProcessCollector(registry=self.registry)
        at = self.registry
        self._requests = Counter("qa_requests", "Responses sent.", ["route", "method", "status"], registry=at)
        self._request_seconds = Histogram(
            "qa_request_seconds",
            "From a request's headers to its response's end.",
            ["route"],
            buckets=_SECONDS,
            registry=at,
        )
        self._stage_seconds = Histogram(
            "qa_stage_seconds", "Where a question's time went.", ["stage"], buckets=_SECONDS, registry=at
        )
        self._batch = Histogram("qa_batch_questions", "Questions answered together.", buckets=_SIZES, registry=at)
        self._answers = Counter("qa_answers", "Replies, by outcome.", ["collection", "outcome"], registry=at)
        self._refused = Counter("qa_refused", "Requests refused unread.", ["reason"], registry=at)
        self._gone = Counter("qa_hung_up", "Clients that did not wait for their answer.", registry=at)
        self._cache = Counter(
            "qa_cache_lookups", "Questions looked up in the cache.", ["collection", "result"], registry=at
        )
        self._now = _Now(shared)
        at.register(self._now)
        if shared is not None:
            shared.registry.register(self._now)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request and its time."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def batch(self, size: int, waited: Sequence[float]) -> None:
        """Count one batch; ``waited`` are the seconds that each of its questions spent in the queue."""
        self._batch.observe(size)
        for seconds in waited:
            self._stage_seconds.labels("queue").observe(seconds)

    def reply(self, collection: str, reply: Reply) -> None:
        """Count a reply that was computed, with the time of each stage."""
        for stage, milliseconds in reply.timings_ms.items():
            self._stage_seconds.labels(stage).observe(milliseconds / 1000)
        self.answer(collection, reply)

    def answer(self, collection: str, reply: Reply) -> None:
        """Count a reply by its outcome, where it comes from the cache too."""
        self._answers.labels(collection, "passages" if reply.answer is None else reply.answer.outcome).inc()

    def refused(self, reason: str) -> None:
        """Count a request that was refused before it was read."""
        self._refused.labels(reason).inc()

    def hung_up(self) -> None:
        """Count a client that did not wait for its answer."""
        self._gone.inc()

    def looked_up(self, collection: str, *, hit: bool) -> None:
        """Count a question that was looked up in the cache."""
        self._cache.labels(collection, "hit" if hit else "miss").inc()

    def observe(self, state: Callable[[], State], gauges: Callable[[], dict[str, float]]) -> None:
        """Read a collection's ``state``, and the ``gauges`` of the server, each time that the metrics are read."""
        for result in ("hit", "miss"):
            self._cache.labels(state().index, result)
        self._now.observe(state, gauges)

    def text(self, collections: Collection[str]) -> bytes:
        """Write the metrics in the text format of Prometheus, without those of other collections."""
        registry = self.registry if self._shared is None else self._shared.registry
        return generate_latest(_Visible(registry, collections))

    def own_gauges(self) -> dict[str, float]:
        """Return the gauges of this process by name."""
        return self._now.own_gauges()


class _Visible:
    """A registry without the samples of collections that are not named in ``collections``."""

    def __init__(self, registry: CollectorRegistry, collections: Collection[str]) -> None:
        self._registry = registry
        self._collections = collections

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            shown = [s for s in metric.samples if s.labels.get("collection") in (None, *self._collections)]
            if shown or not metric.samples:
                metric.samples = shown
                yield metric


_GAUGES = {
    "qa_queue_questions": "Questions that wait.",
    "qa_queue_limit": "Questions that may wait.",
    "qa_cache_bytes": "Bytes that the cached answers take.",
    "qa_cache_limit_bytes": "Bytes that they may take.",
    "qa_cache_entries": "Answers in the cache.",
}


class _Now(Collector):
    """The gauges whose values are read at each scrape."""

    def __init__(self, shared: SharedMetrics | None) -> None:
        self._shared = shared
        self._states: list[Callable[[], State]] = []
        self._gauges: Callable[[], dict[str, float]] = dict

    def observe(self, state: Callable[[], State], gauges: Callable[[], dict[str, float]]) -> None:
        self._states.append(state)
        self._gauges = gauges

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        gauges = self._gauges() if self._shared is None else self._shared.gauges()
        for name, value in gauges.items():
            yield GaugeMetricFamily(name, _GAUGES[name], value=value)
        of_workers = self._states_of_workers()
        for name, (documentation, read, combine) in _OF_COLLECTION.items():
            family = GaugeMetricFamily(name, documentation, labels=["collection"])
            for states in zip(*of_workers, strict=True):
                if values := [now for state in states if (now := read(state)) is not None]:
                    family.add_metric([states[0].index], combine(values))
            yield family
        snapshots = InfoMetricFamily("qa_snapshot", "What is served.", labels=["collection"])
        # While workers change to another snapshot, there are two.
        for index, snapshot, status in dict.fromkeys(
            (state.index, state.snapshot or "", state.status) for states in of_workers for state in states
        ):
            snapshots.add_metric([index], {"snapshot": snapshot, "status": status})
        yield snapshots

    def own_gauges(self) -> dict[str, float]:
        return self._gauges()

    def _states_of_workers(self) -> Sequence[Sequence[State]]:
        """Return the states of the collections, in the same order, in each worker; at least in this one."""
        own = [state() for state in self._states]
        return [own] if self._shared is None else (self._shared.states() or [own])


def _created(state: State) -> float | None:
    return datetime.fromisoformat(state.created).timestamp() if state.created else None


# What is read of a collection's state, and how the workers' values become one.
_OF_COLLECTION: Mapping[str, tuple[str, Callable[[State], float | None], Callable[[Sequence[float]], float]]] = {
    "qa_ready": ("1 while questions can be asked.", lambda state: state.ready, min),
    "qa_documents": ("Documents in the snapshot that is served.", lambda state: state.documents, max),
    "qa_passages": ("Passages in it.", lambda state: state.passages, max),
    "qa_snapshot_problem": (
        "1 while a newer snapshot cannot be used.",
        lambda state: state.ready and bool(state.problem),
        max,
    ),
    "qa_troubles": ("Parts that cannot work: evaluating, following files.", lambda state: len(state.troubles), max),
    "qa_snapshot_created_timestamp_seconds": ("When it was built.", _created, max),
}
