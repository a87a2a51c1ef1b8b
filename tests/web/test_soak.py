"""The soak: ordinary clients with hostile ones and without, in turns, each for ``SOAK_SECONDS`` altogether.

Every ordinary request is answered or refused in words, memory stays under its bound, and nothing that was acknowledged
is lost. The figures are printed (``pytest -s``); how long an answer takes depends on the machine, and is not asserted.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from qa.settings import Settings
from tests.conftest import REPOSITORY, Build
from tests.support.hostile_clients import NDJSON, WORDS
from tests.support.waiting import AT_MOST, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
# Seconds of one turn.
TURN = 10.0
MOST_MEGABYTES = 1000
WITHOUT, WITH = "without hostile clients", "with hostile clients"


@contextmanager
def running(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a module in a process, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=AT_MOST)


@pytest.fixture
def server(tmp_path: Path, settings: Settings, build: Build, folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Serve two thousand small documents and one of 3 MB in a process; give its port, its id and its feedback file."""
    drawn = random.Random(19)
    for number in range(2000):
        (folder / f"note-{number:04}.txt").write_text(" ".join(drawn.choices(WORDS, k=60)) + ".\n")
    (folder / "long.txt").write_text("\n\n".join(" ".join(drawn.choices(WORDS, k=80)) + "." for _ in range(6000)))
    build()
    feedback = tmp_path / "feedback.jsonl"
    with running("tests.support.soaked_server", settings.indexes, feedback) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid, feedback


def megabytes(pid: int) -> float:
    """Return the most memory that a process has had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


def key(number: int) -> dict[str, str]:
    return {"X-API-Key": f"ordinary-{number}"}


class Ordinary:
    """Four ordinary clients of one server: two that ask, one that judges, and one that evaluates."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.turn = WITHOUT
        self.statuses: dict[str, Counter[int]] = {WITHOUT: Counter(), WITH: Counter()}
        self.seconds: dict[str, list[float]] = {WITHOUT: [], WITH: []}
        self.failures: list[object] = []
        self.judged: list[str] = []
        self.submitted: list[str] = []
        self._stopped = threading.Event()

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Let all act at once until the block ends."""
        acts = [(self.ask, 0.1), (self.ask, 0.1), (self.judge, 0.2), (self.evaluate, 2.0)]
        threads = [threading.Thread(target=self._repeat, args=(n, *each)) for n, each in enumerate(acts)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join(AT_MOST)

    def _repeat(self, number: int, act: Callable[[httpx2.Client], httpx2.Response], pause: float) -> None:
        with httpx2.Client(base_url=self.address, timeout=AT_MOST, headers=key(number)) as client:
            while not self._stopped.is_set():
                turn = self.turn
                try:
                    self.statuses[turn][act(client).status_code] += 1
                except httpx2.TransportError as error:
                    self.failures.append(error)
                self._stopped.wait(pause)

    def ask(self, client: httpx2.Client) -> httpx2.Response:
        question = f"Where are {' '.join(random.choices(WORDS, k=3))}?"
        return self._timed(lambda: client.get("/v1/ask", params={"q": question}))

    def judge(self, client: httpx2.Client) -> httpx2.Response:
        question = f"judged {len(self.judged)} {random.random()}"
        read = self._timed(lambda: client.get("/v1/documents/apples.txt"))
        if read.status_code != 200:
            return read
        shown = hashlib.sha256(read.json()["text"][:21].encode()).hexdigest()
        form = {"q": question, "document": "apples.txt", "start": "0", "end": "21", "shown": shown, "verdict": "yes"}
        found = self._timed(lambda: client.post("/feedback", data=form))
        if found.status_code == 303:
            self.judged.append(question)
        return found

    def evaluate(self, client: httpx2.Client) -> httpx2.Response:
        content = b'{"question": "apples?"}'
        found = self._timed(lambda: client.post("/v1/evaluations?top_k=5", content=content, headers=NDJSON))
        if found.status_code == 202:
            self.submitted.append(found.json()["id"])
        return found

    def _timed(self, send: Callable[[], httpx2.Response]) -> httpx2.Response:
        turn, began = self.turn, time.perf_counter()
        found = send()
        self.seconds[turn].append(time.perf_counter() - began)
        return found

    def figures(self, turn: str) -> str:
        """Return what was measured in the turns of one kind, in a line."""
        ranked = sorted(self.seconds[turn])
        p50, p99 = (1000 * ranked[int(share * (len(ranked) - 1))] for share in (0.5, 0.99))
        return (
            f"{turn}: {len(ranked)} requests, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {1000 * ranked[-1]:.0f} ms, "
            f"{dict(sorted(self.statuses[turn].items()))}\n"
        )


def soak(ordinary: Ordinary, hostile: subprocess.Popen[str]) -> None:
    """Let the ordinary clients act all the time, and the hostile ones in every other turn."""
    assert hostile.stdin is not None
    assert hostile.stdout is not None

    def order(word: str) -> None:
        assert hostile.stdin is not None
        assert hostile.stdout is not None
        hostile.stdin.write(f"{word}\n")
        hostile.stdin.flush()
        assert hostile.stdout.readline()

    turns = max(1, round(SECONDS / TURN))
    with ordinary.acting():
        for _ in range(turns):
            time.sleep(SECONDS / turns)
            ordinary.turn = WITH
            order("attack")
            time.sleep(SECONDS / turns)
            order("rest")
            ordinary.turn = WITHOUT


def test_hostile_clients_cost_ordinary_ones_nothing(server: tuple[int, int, Path]) -> None:
    port, pid, feedback = server
    ordinary = Ordinary(f"http://127.0.0.1:{port}")
    wait_for(lambda: httpx2.get(f"{ordinary.address}/readyz", timeout=AT_MOST).status_code == 200)
    before = megabytes(pid)
    with running("tests.support.hostile_clients", port) as hostile:
        soak(ordinary, hostile)
        statuses = json.loads(hostile.communicate()[0])
    most = megabytes(pid)
    sys.stdout.write(
        f"\n{SECONDS:g} s each, in turns\n{ordinary.figures(WITHOUT)}{ordinary.figures(WITH)}hostile: {statuses}\n"
        f"memory {before:.0f} MB at the start, {most:.0f} MB at most\n"
        f"acknowledged: judgments {len(ordinary.judged)}, evaluations {len(ordinary.submitted)}\n"
    )
    assert ordinary.failures == []
    for turn in (WITHOUT, WITH):
        assert set(ordinary.statuses[turn]) <= {200, 202, 303, 429, 503}
        assert ordinary.statuses[turn][200]
    assert not {"500", "502"} & set(statuses)
    assert most < MOST_MEGABYTES
    kept = [json.loads(line)["question"] for line in feedback.read_text().splitlines()]
    assert set(ordinary.judged) <= set(kept)
    with httpx2.Client(base_url=ordinary.address, timeout=AT_MOST, headers=key(4)) as client:
        assert {client.get(f"/v1/evaluations/{id}").status_code for id in ordinary.submitted} <= {200}
        assert client.get("/v1/ask?q=apples").status_code == 200
