"""What the workers of one server know of each other: states, open connections, and what they measure.

It lies in a folder of the server's own, which only its user may read. A worker writes what is its own and reads the
rest, so that one that is killed at any moment leaves nothing that keeps the others waiting.
"""

from __future__ import annotations

import json
import mmap
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from qa.types import State

log = structlog.get_logger(__name__)

# Seconds between two looks at what has changed, of a worker that publishes and of one that waits for the others.
_PUBLISH_EVERY = 0.1
_LOOK_EVERY = 0.02
# Seconds for which a switch to another snapshot waits for the other workers. Each looks once a second whether it has
# changed, and loads it in about one.
_MOST_WAITING = 20.0
# In the machine's own form, which is written as one: another process never reads half of a count.
_COUNT = struct.Struct("q")
_NOT_ACCEPTING = -1


@dataclass(frozen=True, slots=True)
class Row:
    """What one worker says of itself: its process, the state of each collection, and its gauges by name."""

    number: int
    pid: int
    states: tuple[State, ...]
    gauges: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ParentRow:
    """What the parent says: its process, the workers that it has replaced, and what ended ones took of a processor."""

    pid: int
    replaced: int = 0
    ended_seconds: float = 0.0


class Board:
    """The board of a server with ``workers`` workers, numbered from 1.

    Args:
        folder: an empty folder, the same in each of the processes.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers = workers
        path = folder / "connections"
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            file.truncate(_COUNT.size * workers)
            self._counts = mmap.mmap(file.fileno(), 0)

    def numbers(self) -> range:
        """Return the numbers of all workers."""
        return range(1, self.workers + 1)

    def open_all(self) -> None:
        """Note that no worker accepts connections yet; the parent does this, before there are any."""
        for number in self.numbers():
            self.set_connections(number, None)

    def set_connections(self, number: int, count: int | None) -> None:
        """Note how many connections a worker has open; ``None`` where it accepts none, or is still loading."""
        _COUNT.pack_into(self._counts, _COUNT.size * (number - 1), _NOT_ACCEPTING if count is None else count)

    def connections(self, number: int) -> int | None:
        """Return how many connections a worker has open, ``None`` where it accepts none."""
        (count,) = _COUNT.unpack_from(self._counts, _COUNT.size * (number - 1))
        return None if count < 0 else int(count)

    def others_accept(self, number: int) -> bool:
        """Return whether a worker beside this one accepts connections."""
        return any(self.connections(other) is not None for other in self.numbers() if other != number)

    def has_most(self, number: int) -> bool:
        """Return whether another worker that accepts connections has fewer open than this one."""
        own = self.connections(number) or 0
        counts = (self.connections(other) for other in self.numbers() if other != number)
        return any(count is not None and count < own for count in counts)

    def publish(self, row: Row) -> None:
        """Replace what a worker says of itself."""
        states = [asdict(state) for state in row.states]
        self._write(self._path(row.number), {"pid": row.pid, "states": states, "gauges": dict(row.gauges)})

    def publish_parent(self, row: ParentRow) -> None:
        """Replace what the parent says."""
        self._write(self.folder / "parent.json", asdict(row))

    def parent(self) -> ParentRow | None:
        """Return what the parent says; ``None`` where it has said nothing yet."""
        values = _read(self.folder / "parent.json")
        return None if values is None else ParentRow(**values)

    def row(self, number: int) -> Row | None:
        """Return what a worker says of itself, ``None`` where it does not run or has said nothing yet."""
        values = _read(self._path(number))
        if values is None:
            return None
        states = tuple(State(**{**state, "troubles": tuple(state["troubles"])}) for state in values["states"])
        return Row(number, values["pid"], states, values["gauges"])

    def rows(self) -> list[Row]:
        """Return what each worker that runs says of itself."""
        return [row for number in self.numbers() if (row := self.row(number)) is not None]

    def remove(self, number: int) -> None:
        """Forget a worker that has ended."""
        self.set_connections(number, None)
        self._path(number).unlink(missing_ok=True)

    def wait_for_snapshot(self, index: str, snapshot: str | None, seconds: float = _MOST_WAITING) -> None:
        """Return when every worker serves a snapshot of an index, or after some seconds.

        One that is still loading is waited for where it accepts connections, or is about to serve another snapshot.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            states = [(row, state) for row in self.rows() for state in row.states if state.index == index]
            if all(
                state.snapshot == snapshot or (state.snapshot is None and self.connections(row.number) is None)
                for row, state in states
            ):
                return
            time.sleep(_LOOK_EVERY)

    def _path(self, number: int) -> Path:
        return self.folder / f"worker-{number}.json"

    def _write(self, path: Path, values: object) -> None:
        # Not as files that last are written: what is here ends with the server, and is written often.
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(values), encoding="utf-8")
        fresh.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return values


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one worker: its number and the board.

    The first worker does what one process alone must do: evaluations, updates of indexes, and what belongs to them.
    """

    number: int
    board: Board

    @property
    def is_first(self) -> bool:
        return self.number == 1

    @property
    def first_socket(self) -> Path:
        """The address at which the first worker takes requests of the others."""
        return self.board.folder / "first.socket"

    @property
    def metrics(self) -> Path:
        """The folder of what all workers count."""
        return self.board.folder

    @property
    def rates(self) -> Path:
        """The file of how often each client has asked."""
        return self.board.folder / "rates"


class Publisher:
    """What keeps a worker's row right, in a thread of its own.

    Args:
        states: returns the state of each collection.
        hear: is given the first worker's row at each look, in every worker but that one.
    """

    def __init__(
        self,
        place: Place,
        pid: int,
        states: Callable[[], Sequence[State]],
        hear: Callable[[Row], None],
    ) -> None:
        self._place = place
        self._pid = pid
        self._states = states
        self._gauges: Callable[[], Mapping[str, float]] = dict
        self._hear = hear
        self._last: Row | None = None
        # A row that was read earlier must not replace one that was read later.
        self._turning = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="board")

    def start(self) -> None:
        """Publish now, and from now on."""
        self._turn()
        self._thread.start()

    def measure(self, gauges: Callable[[], Mapping[str, float]]) -> None:
        """Publish now, and from now on, what ``gauges`` returns as well: the worker's gauges by name."""
        self._gauges = gauges
        self.publish()

    def publish(self) -> None:
        """Publish now what has changed; where the disk is full, it is published later."""
        with suppress(OSError):
            self._turn()

    def stop(self) -> None:
        """Publish nothing any more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_PUBLISH_EVERY):
            # A disk that is full for a moment must not keep the others from what comes later.
            try:
                self._turn()
            except OSError:
                pass
            except Exception:
                # Others would wait for a row that stays as it is, and nobody would know why.
                log.exception("a worker's state could not be published")

    def _turn(self) -> None:
        with self._turning:
            row = Row(self._place.number, self._pid, tuple(self._states()), dict(self._gauges()))
            if row != self._last:
                self._place.board.publish(row)
                self._last = row
        if not self._place.is_first and (first := self._place.board.row(1)) is not None:
            self._hear(first)
