"""The soak: hostile and ordinary clients at once, for a minute or as many seconds as ``SOAK_SECONDS`` says.

Every ordinary request is answered or refused in words, memory stays under its bound, and nothing that was acknowledged
is lost. The figures are printed (``pytest -s``); how long an answer takes depends on the machine, and is not asserted.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from qa.settings import Settings
from tests.conftest import REPOSITORY, Build
from tests.support.waiting import AT_MOST, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
MOST_MEGABYTES = 1000
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
WORDS = "apples pears plums trees autumn storage harvest cellar orchard summer winter ladder basket cider".split()


@pytest.fixture
def server(tmp_path: Path, settings: Settings, build: Build, folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Serve two thousand small documents and one of 3 MB in a process; give its port, its id and its feedback file."""
    drawn = random.Random(19)
    for number in range(2000):
        (folder / f"note-{number:04}.txt").write_text(" ".join(drawn.choices(WORDS, k=60)) + ".\n")
    (folder / "long.txt").write_text("\n\n".join(" ".join(drawn.choices(WORDS, k=80)) + "." for _ in range(6000)))
    build()
    feedback = tmp_path / "feedback.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.soaked_server", str(settings.indexes), str(feedback)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield int(process.stdout.readline()), process.pid, feedback
    process.terminate()
    process.communicate(timeout=AT_MOST)


def tool(name: str, **arguments: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def hostile(port: int) -> list[Callable[[httpx2.Client], object]]:
    """Return what hostile clients do, again and again."""
    unknown = json.dumps({f"field {n}": 1 for n in range(150_000)}).encode()
    values = b'{"questions": [' + b"[]," * 1_000_000 + b"[]]}"
    batch = {"questions": [{"question": f"apples {n}", "top_k": 100, "answer": False} for n in range(256)]}
    globs = [f"*{a}?{b}*" for a in WORDS[:10] for b in WORDS[:8]]
    address = "/v1/evaluations?top_k=5"

    def read_slowly(client: httpx2.Client) -> None:
        with client.stream("GET", "/v1/documents/long.txt") as response:
            for _, _ in zip(response.iter_raw(1024), range(20), strict=False):
                time.sleep(0.05)

    def hang_up(client: httpx2.Client) -> None:
        for rest in (b"", b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", b"\0" * 70_000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=AT_MOST) as connection:
                connection.sendall(rest)

    return [
        lambda client: client.post("/mcp", json=tool("list_documents", pattern="*" * 3_200_000), headers=MCP),
        lambda client: client.post("/mcp", json=tool("list_documents", pattern="*e?" * 300), headers=MCP),
        lambda client: client.post("/v1/ask", json={"question": "apples", "documents": globs}),
        lambda client: client.post("/v1/ask/batch", content=unknown, headers=JSON),
        lambda client: client.post("/v1/ask/batch", content=values, headers=JSON),
        lambda client: client.post("/v1/ask/batch", json=batch),
        lambda client: client.post(address, content=b"{}\n" * 6_600_000, headers=NDJSON),
        lambda client: client.post(address, content=b'{"question": "a?"}\n' * 1_000_000, headers=NDJSON),
        lambda client: client.get("/v1/documents"),
        lambda client: client.get("/documents?sort=characters"),
        lambda client: client.get("/documents/long.txt?start=2000000"),
        lambda client: client.get("/v1/ask?q=a" + "&a" * 20_000),
        lambda client: client.get("/v1/ask?q=apples&top_k=100&mode=lexical"),
        read_slowly,
        hang_up,
    ]


def megabytes(pid: int) -> float:
    """Return the most memory that a process has had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


class Soak:
    """What all clients did at one server, and what they were told."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.stopped = threading.Event()
        self.statuses: dict[str, Counter[int]] = {"ordinary": Counter(), "hostile": Counter()}
        self.failures: list[object] = []
        self.seconds: list[float] = []
        self.judged: list[str] = []
        self.submitted: list[str] = []

    def repeat(self, kind: str, act: Callable[[httpx2.Client], object], pause: float) -> None:
        """Act again and again, and count what comes of it."""
        with httpx2.Client(base_url=self.address, timeout=AT_MOST) as client:
            while not self.stopped.is_set():
                try:
                    found = act(client)
                    if isinstance(found, httpx2.Response):
                        self.statuses[kind][found.status_code] += 1
                except httpx2.TransportError as error:
                    # A body that is refused unread ends in a closed connection; nothing else may.
                    if kind == "ordinary":
                        self.failures.append(error)
                self.stopped.wait(pause)

    def ask(self, client: httpx2.Client) -> httpx2.Response:
        question = " ".join(random.choices(WORDS, k=3))
        began = time.perf_counter()
        found = client.get("/v1/ask", params={"q": f"Where are {question}?"})
        self.seconds.append(time.perf_counter() - began)
        return found

    def judge(self, client: httpx2.Client) -> httpx2.Response:
        question = f"judged {len(self.judged)} {random.random()}"
        read = client.get("/v1/documents/apples.txt")
        if read.status_code != 200:
            return read
        shown = hashlib.sha256(read.json()["text"][:21].encode()).hexdigest()
        form = {"q": question, "document": "apples.txt", "start": "0", "end": "21", "shown": shown, "verdict": "yes"}
        found = client.post("/feedback", data=form)
        if found.status_code == 303:
            self.judged.append(question)
        return found

    def evaluate(self, client: httpx2.Client) -> httpx2.Response:
        found = client.post("/v1/evaluations?top_k=5", content=b'{"question": "apples?"}', headers=NDJSON)
        if found.status_code == 202:
            self.submitted.append(found.json()["id"])
        return found

    def run(self, port: int) -> None:
        """Let all clients act at once for ``SECONDS``."""
        acting: list[tuple[str, Callable[[httpx2.Client], object], float]] = [
            *[("hostile", act, 0.0) for act in hostile(port)],
            *[("ordinary", self.ask, 0.1)] * 2,
            ("ordinary", self.judge, 0.2),
            ("ordinary", self.evaluate, 2.0),
        ]
        threads = [threading.Thread(target=self.repeat, args=each) for each in acting]
        for thread in threads:
            thread.start()
        self.stopped.wait(SECONDS)
        self.stopped.set()
        for thread in threads:
            thread.join(AT_MOST)

    def figures(self, before: float, most: float) -> str:
        """Return what was measured, in lines."""
        ranked = sorted(self.seconds)
        p50, p99 = (1000 * ranked[int(share * (len(ranked) - 1))] for share in (0.5, 0.99))
        counts = {kind: dict(sorted(found.items())) for kind, found in self.statuses.items()}
        return (
            f"\n{SECONDS:g} s: ordinary {counts['ordinary']}, hostile {counts['hostile']}\n"
            f"{len(ranked)} questions: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {1000 * ranked[-1]:.0f} ms\n"
            f"memory {before:.0f} MB at the start, {most:.0f} MB at most\n"
            f"acknowledged: judgments {len(self.judged)}, evaluations {len(self.submitted)}\n"
        )


def test_hostile_clients_cost_ordinary_ones_nothing(server: tuple[int, int, Path]) -> None:
    port, pid, feedback = server
    soak = Soak(port)
    wait_for(lambda: httpx2.get(f"{soak.address}/readyz", timeout=AT_MOST).status_code == 200)
    before = megabytes(pid)
    soak.run(port)
    most = megabytes(pid)
    sys.stdout.write(soak.figures(before, most))
    assert soak.failures == []
    assert set(soak.statuses["ordinary"]) <= {200, 202, 303, 429, 503}
    assert soak.statuses["ordinary"][200]
    assert not {500, 502} & set(soak.statuses["hostile"])
    assert most < MOST_MEGABYTES
    kept = [json.loads(line)["question"] for line in feedback.read_text().splitlines()]
    assert set(soak.judged) <= set(kept)
    with httpx2.Client(base_url=soak.address, timeout=AT_MOST) as client:
        assert {client.get(f"/v1/evaluations/{id}").status_code for id in soak.submitted} <= {200}
        assert client.get("/v1/ask?q=apples").status_code == 200
