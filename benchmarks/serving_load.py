"""Load on a service from a process of its own: keep-alive connections, each asking one question after the other.

It speaks just enough HTTP/1.1, so that it takes little of the machine that it measures. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit


@dataclass(slots=True)
class Load:
    """Where to ask and until when, and what came back.

    ``gap`` is the number of seconds from one question of a connection to its next; 0 asks as soon as it is answered.
    """

    host: str
    port: int
    path: str
    until: float
    gap: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0


class Client(asyncio.Protocol):
    """One connection.

    A protocol and not streams: at thousands of responses a second streams would take much of the server's processors.
    """

    def __init__(self, load: Load, questions: Iterator[str], first: float) -> None:
        self._load, self._questions = load, questions
        self._due = time.perf_counter() + first
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._started = 0.0
        self._is_done = False
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_done or time.perf_counter() >= self._load.until:
            self._finish()
            return
        self._load.lost += 1
        self._received.clear()
        task = self._loop.create_task(self._loop.create_connection(lambda: self, self._load.host, self._load.port))
        task.add_done_callback(lambda ended: self._finish() if ended.exception() else None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = bytes(self._received[:end]).lower()
        at = head.find(b"content-length:") + 15
        length = int(head[at : head.index(b"\r\n", at)])
        if len(self._received) < end + length:
            return
        self._received.clear()
        code = int(head[9:12])
        self._load.codes[code] += 1
        if code == 200:
            self._load.seconds.append(time.perf_counter() - self._started)
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        if self._load.gap and self._due > now:
            self._loop.call_later(self._due - now, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._due = max(self._due + self._load.gap, self._started)
        if self._started >= self._load.until:
            self._is_done = True
            self._transport.close()
            return
        target = f"{self._load.path}{quote(next(self._questions))}"
        self._transport.write(f"GET {target} HTTP/1.1\r\nHost: {self._load.host}:{self._load.port}\r\n\r\n".encode())

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _run(load: Load, questions: list[str], clients: int) -> None:
    spread = max(len(questions) // clients, 1)
    loop = asyncio.get_running_loop()
    running = []
    for number in range(clients):
        first = number * spread % len(questions)
        client = Client(load, cycle(questions[first:] + questions[:first]), load.gap * number / clients)
        await loop.create_connection(lambda client=client: client, load.host, load.port)  # type: ignore[misc]
        running.append(client.done)
    await asyncio.gather(*running)


def main() -> None:
    """Ask from as many connections as are wanted, and print the counts and percentiles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="up to the question: http://127.0.0.1:8000/v1/ask?q=")
    parser.add_argument("questions", type=Path, help="one a line")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second of all clients; 0: no pause")
    arguments = parser.parse_args()
    parts = urlsplit(arguments.address)
    gap = arguments.clients / arguments.rate if arguments.rate else 0.0
    started = time.perf_counter()
    load = Load(parts.hostname or "", parts.port or 80, f"{parts.path}?{parts.query}", started + arguments.seconds, gap)
    import uvloop

    uvloop.run(_run(load, arguments.questions.read_text(encoding="utf-8").splitlines(), arguments.clients))
    took = time.perf_counter() - started
    ordered = sorted(load.seconds)

    def at(share: float) -> float | None:
        return round(1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3) if ordered else None

    print(
        json.dumps(
            {
                "answered": load.codes[200],
                "refused": load.codes[503],
                "other": sum(n for code, n in load.codes.items() if code not in (200, 503)),
                "lost": load.lost,
                "per_second": round(load.codes[200] / took, 2),
                "p50_ms": at(0.5),
                "p95_ms": at(0.95),
                "p99_ms": at(0.99),
            }
        )
    )


if __name__ == "__main__":
    main()
