"""The metrics of all workers together, whichever of them is asked.

Counters and histograms lie in files of the board's folder that ``prometheus_client`` maps into memory, one for each
worker's number: what a worker counted before it died goes on to be counted. What a worker is now it says on the board.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from qa.types import State
from qa.web.workers.board import Board, Place

_KINDS = {"Pss": "proportional", "Private_Dirty": "private"}
# How what Prometheus' own collector says of each process is said of all of them; resident memory is read elsewhere.
_OF_ALL: Mapping[str, Callable[[Sequence[float]], float]] = {
    "process_virtual_memory_bytes": sum,
    "process_start_time_seconds": min,
    "process_open_fds": sum,
    "process_max_fds": min,
}
_CPU = "process_cpu_seconds"


def share_counts(place: Place) -> None:
    """Have every metric that this process makes from now on lie in files that the other workers can read."""
    # The only way by which prometheus_client learns of the folder.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(place.metrics)
    values.ValueClass = values.MultiProcessValue(lambda: place.number)  # type: ignore[no-untyped-call]


class SharedMetrics:
    """What one worker knows of the metrics of all."""

    def __init__(self, place: Place) -> None:
        self._board = place.board
        self.registry = CollectorRegistry()
        MultiProcessCollector(self.registry, str(place.metrics))  # type: ignore[no-untyped-call]
        self.registry.register(_Processes(self._board))

    def states(self) -> list[Sequence[State]]:
        """Return the states of the collections in each worker that accepts connections."""
        accepting = [row for row in self._board.rows() if self._board.connections(row.number) is not None]
        return [row.states for row in accepting]

    def gauges(self) -> dict[str, float]:
        """Return the gauges of all workers together: each is a sum."""
        total: dict[str, float] = {}
        for row in self._board.rows():
            for name, value in row.gauges.items():
                total[name] = total.get(name, 0.0) + value
        return total


class _Processes(Collector):
    """Memory, processor time and connections: of the server, which is the parent and its workers, and of each."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        rows, parent = self._board.rows(), self._board.parent()
        measured = {row.number: (_measure(row.pid), read_memory(row.pid)) for row in rows}
        whole = [*measured.values(), *([(_measure(parent.pid), read_memory(parent.pid))] if parent else [])]
        for name, combine in _OF_ALL.items():
            if found := [process[name] for process, _ in whole if name in process]:
                yield GaugeMetricFamily(name, "Of the server's processes together.", value=combine(found))
        memory = sum(kinds.get("proportional", 0.0) for _, kinds in whole)
        yield GaugeMetricFamily(
            "process_resident_memory_bytes", "Of the server's processes, what they share counted once.", value=memory
        )
        ended = parent.ended_seconds if parent else 0.0
        seconds = sum(process.get(_CPU, 0.0) for process, _ in whole)
        yield CounterMetricFamily(_CPU, "Processor time of the server's processes.", value=ended + seconds)
        yield GaugeMetricFamily(
            "qa_workers", "Worker processes that the server should have.", value=self._board.workers
        )
        replaced = parent.replaced if parent else 0
        yield CounterMetricFamily("qa_workers_replaced", "Workers that ended and were replaced.", value=replaced)
        yield self._connections()
        seconds_of = CounterMetricFamily("qa_worker_cpu_seconds", "Processor time of a worker.", labels=["worker"])
        memory_of = GaugeMetricFamily(
            "qa_worker_memory_bytes", "Its memory: its share of it (proportional), its own.", labels=["worker", "kind"]
        )
        for number, (process, kinds) in measured.items():
            seconds_of.add_metric([str(number)], process.get(_CPU, 0.0))
            for kind, size in kinds.items():
                memory_of.add_metric([str(number), kind], size)
        yield seconds_of
        yield memory_of

    def _connections(self) -> Metric:
        family = GaugeMetricFamily("qa_worker_connections", "Connections open in a worker.", labels=["worker"])
        for number in self._board.numbers():
            if (count := self._board.connections(number)) is not None:
                family.add_metric([str(number)], count)
        return family


def _measure(pid: int) -> Mapping[str, float]:
    """Return what Prometheus' collector says of a process by name; nothing where it has just ended."""
    collector = ProcessCollector(pid=lambda: pid, registry=None)
    return {metric.name: metric.samples[0].value for metric in collector.collect() if metric.samples}


def read_memory(pid: int) -> dict[str, float]:
    """Return the bytes of memory of a process by kind; nothing where the system does not say it (Linux does)."""
    found: dict[str, float] = {}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, rest = line.partition(":")
        if name in _KINDS:
            found[_KINDS[name]] = 1024.0 * int(rest.split()[0])
    return found
