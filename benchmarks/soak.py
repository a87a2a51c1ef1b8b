"""A soak of several workers: many questions over kept connections, with the memory of each worker as it goes on.

Starts ``qa serve`` over an index that is there, asks, and prints one JSON line: what came back, how fast, and for each
worker the memory (proportional set size) at the first and last sample and its slope over the second half, in MB for
10,000 questions. Fifty questions are asked before and after, and must be answered the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.serving_load import Client, Load

_FIRST = 50
# One question in so many was asked before, as people do; the others are new to the cache.
_REPEATED = 5
_SAMPLES = 60
_PATIENCE = 600.0
_OF_WORKER = re.compile(r"^(?P<name>qa_worker_\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


class Questions:
    """So many questions, each made of one of a file and words of the others; the last one ends the load."""

    def __init__(self, questions: list[str], count: int, load: Load) -> None:
        self.asked = 0
        self._questions, self._count, self._load = questions, count, load
        self._words = sorted({word for question in questions for word in re.findall(r"\w{4,}", question)})
        self._drawn = random.Random(22)
        self._recent = list(questions)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.asked += 1
        if self.asked >= self._count:
            self._load.until = 0.0
        if self.asked % _REPEATED == 0:
            return self._drawn.choice(self._recent)
        words = " ".join(self._drawn.choices(self._words, k=2))
        question = f"{self._drawn.choice(self._questions)} {words}"
        self._recent[self.asked % len(self._recent)] = question
        return question


@dataclass(slots=True)
class Samples:
    """Memory in MB by worker, each with the number of questions that had been asked, and the connections of each."""

    asked: list[int] = field(default_factory=list)
    proportional: dict[str, list[float]] = field(default_factory=dict)
    private: dict[str, list[float]] = field(default_factory=dict)
    connections: dict[str, float] = field(default_factory=dict)

    def take(self, address: str, asked: int) -> None:
        """Read the memory of all workers now."""
        text = httpx2.get(f"{address}/metrics", timeout=_PATIENCE).text
        self.asked.append(asked)
        connections = {}
        for found in _OF_WORKER.finditer(text):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found["labels"]))
            value = float(found["value"])
            if found["name"] == "qa_worker_memory_bytes":
                kinds = self.proportional if labels["kind"] == "proportional" else self.private
                kinds.setdefault(labels["worker"], []).append(value / 1e6)
            elif found["name"] == "qa_worker_connections":
                connections[labels["worker"]] = value
        # While all clients are connected.
        self.connections = max(self.connections, connections, key=lambda each: sum(each.values()))

    def figures(self) -> dict[str, dict[str, float]]:
        """Return first, last and slope of the second half by worker."""
        found = {}
        half = len(self.asked) // 2
        for worker, values in sorted(self.proportional.items()):
            slope = float("nan")
            # A worker that was replaced has fewer samples.
            if len(values) == len(self.asked) and len(values) - half > 1:
                slope = 10_000 * float(np.polyfit(self.asked[half:], values[half:], 1)[0])
            found[worker] = {
                "first_mb": round(values[0], 1),
                "last_mb": round(values[-1], 1),
                "slope_mb_for_10000": round(slope, 2),
                "private_mb": round(self.private[worker][-1], 1),
            }
        return found


async def _run(load: Load, questions: Questions, clients: int) -> None:
    loop = asyncio.get_running_loop()
    running = []
    for _ in range(clients):
        client = Client(load, questions, 0.0)
        await loop.create_connection(lambda client=client: client, load.host, load.port)  # type: ignore[misc]
        running.append(client.done)
    await asyncio.gather(*running)


def _reference(address: str, questions: list[str], query: str) -> list[Any]:
    """Ask some questions one by one, and return what was answered without the time that it took."""
    replies = []
    with httpx2.Client(base_url=address, timeout=_PATIENCE) as client:
        for question in questions[:_FIRST]:
            reply = client.get(f"/v1/ask?{query}", params={"q": question}).raise_for_status().json()
            replies.append({name: value for name, value in reply.items() if name != "timings_ms"})
    return replies


def soak(address: str, questions: list[str], count: int, clients: int, reads: bool) -> dict[str, Any]:
    """Ask ``count`` questions of a server, and return the figures."""
    host, _, port = address.removeprefix("http://").partition(":")
    query = f"answer={str(reads).lower()}"
    load = Load(host, int(port), f"/v1/ask?{query}&q=", float("inf"))
    asked, samples, ended = Questions(questions, count, load), Samples(), threading.Event()
    before = _reference(address, questions, query)

    def sample() -> None:
        due = 0
        while not ended.wait(0.2):
            if asked.asked >= due:
                samples.take(address, asked.asked)
                due += max(1, count // _SAMPLES)

    thread = threading.Thread(target=sample)
    thread.start()
    began = time.perf_counter()
    try:
        asyncio.run(_run(load, asked, clients))
    finally:
        ended.set()
        thread.join()
    took = time.perf_counter() - began
    samples.take(address, asked.asked)
    ordered = sorted(load.seconds)
    after = _reference(address, questions, query)
    return {
        "asked": asked.asked,
        "answered": load.codes[200],
        "refused": load.codes[503],
        "other": load.codes.total() - load.codes[200] - load.codes[503],
        "lost": load.lost,
        "same_as_before": sum(one == other for one, other in zip(before, after, strict=True)),
        "of": len(before),
        "per_second": round(load.codes[200] / took, 2),
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
        "p99_ms": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 2),
        "connections": samples.connections,
        "workers": samples.figures(),
    }


def main() -> None:
    """Start a server, soak it, and print the figures; exit with 1 where a question was not answered, or otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="seeds", help="an index that is built")
    parser.add_argument("--questions", type=Path, default=Path("seeds/questions.jsonl"), help="JSON lines")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--read", action=argparse.BooleanOptionalAction, default=True, help="read passages for answers")
    arguments = parser.parse_args()
    lines = arguments.questions.read_text(encoding="utf-8").splitlines()
    questions = list(dict.fromkeys(json.loads(line)["question"] for line in lines if line.strip()))
    command = [sys.executable, "-m", "qa", "serve", "--port", "0", "--name", arguments.name]
    # This machine's clients together have a rate, too.
    environment = {**os.environ, "QA_LOCAL_RATE_LIMIT": ""}
    server = subprocess.Popen(
        [*command, "--workers", str(arguments.workers)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("Listening on ").partition(";")[0]
        # It says so once all workers are ready.
        while not server.stdout.readline().startswith("Ready"):
            pass
        figures = soak(address, questions, arguments.count, arguments.clients, arguments.read)
        ended = re.search(r"^qa_workers_replaced_total (\S+)$", httpx2.get(f"{address}/metrics").text, re.MULTILINE)
        figures["replaced"] = float(ended[1]) if ended else 0.0
    finally:
        server.terminate()
        server.wait()
    print(json.dumps(figures))
    is_whole = figures["answered"] == figures["asked"] and figures["same_as_before"] == figures["of"]
    sys.exit(0 if is_whole and not figures["replaced"] else 1)


if __name__ == "__main__":
    main()
