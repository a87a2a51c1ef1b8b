"""Load on a service, from a process of its own: keep-alive connections, each one question after the other.

Speaks just enough HTTP/1.1 to cost the machine little of what is measured. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import quote, urlsplit


@dataclass(slots=True)
class Load:
    """``gap`` is the seconds from one question of a connection to its next, 0 for as soon as it is answered."""

    host: str
    port: int
    path: str
    until: float
    gap: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0


async def _answered(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.find(b"content-length:")
    if at >= 0:
        await reader.readexactly(int(lowered[at + 15 : lowered.index(b"\r\n", at)]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head[9:12])


async def _client(load: Load, questions: list[str], first: int) -> None:
    reader, writer = await asyncio.open_connection(load.host, load.port)
    due = time.perf_counter() + load.gap * (first % 97) / 97
    for question in cycle(questions[first:] + questions[:first]):
        if load.gap:
            await asyncio.sleep(due - time.perf_counter())
            due = max(due + load.gap, time.perf_counter())
        if time.perf_counter() >= load.until:
            break
        started = time.perf_counter()
        target = f"{load.path}{quote(question)}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n\r\n".encode())
        try:
            code = await _answered(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            load.lost += 1
            reader, writer = await asyncio.open_connection(load.host, load.port)
            continue
        load.codes[code] += 1
        if code == 200:
            load.seconds.append(time.perf_counter() - started)
    writer.close()


async def _run(load: Load, questions: list[str], clients: int) -> None:
    spread = max(len(questions) // clients, 1)
    await asyncio.gather(*(_client(load, questions, n * spread % len(questions)) for n in range(clients)))


def main() -> None:
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
