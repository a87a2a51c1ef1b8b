"""Three servers of one folder with the real weights: behind a proxy, one of them killed, and at a new snapshot."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from qa.build.update import update
from qa.settings import Settings
from tests.conftest import REPOSITORY, Recorder
from tests.support.milvus_server import free_ports
from tests.support.qa_serve import start
from tests.support.waiting import AT_MOST, wait_for

pytestmark = [pytest.mark.server, pytest.mark.model, pytest.mark.slow]

SERVERS = CLIENTS = 3
LINES = (REPOSITORY / "seeds" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
QUESTIONS = list(dict.fromkeys(json.loads(line)["question"] for line in LINES))[:10]


@dataclass
class Servers:
    """Servers of one index, of which any may be killed and started again."""

    settings: Settings
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def begin(self) -> None:
        process, address = start(self.settings, QA_CACHE_MB="0")
        self.processes.append(process)
        self.addresses.append(address)

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].communicate(timeout=AT_MOST)

    def serve(self, number: int, snapshot: str) -> bool:
        state = httpx2.get(f"{self.addresses[number]}/readyz", timeout=AT_MOST)
        return state.status_code == 200 and state.json()["snapshot"] == snapshot


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    settings = Settings(indexes=tmp_path_factory.mktemp("indexes"), name="seeds")
    first = update(settings, [REPOSITORY / "seeds"], Recorder()).manifest.id
    servers = Servers(settings)
    try:
        for _ in range(SERVERS):
            servers.begin()
        for number in range(SERVERS):
            wait_for(lambda: servers.serve(number, first))  # noqa: B023
        yield servers
    finally:
        for number in range(len(servers.processes)):
            servers.kill(number)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
def test_the_proxy_finds_them_ready_and_passes_questions_on(servers: Servers, tmp_path: Path) -> None:
    text = (REPOSITORY / "deploy" / "scaling" / "haproxy.cfg").read_text(encoding="utf-8")
    (port,) = free_ports(1)
    # Each server by its address, without the names of a network of containers; and what its checks find is logged.
    lines = [f"    server qa{at} {each.removeprefix('http://')} check" for at, each in enumerate(servers.addresses)]
    text = re.sub(r"^resolvers.*?\n\n", "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("resolvers names init-addr none", "").replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = re.sub(r"^ *server-template .*$", "\n".join(lines), text, flags=re.MULTILINE)
    text = text.replace("global\n", "global\n    log stdout format raw daemon\n")
    text = text.replace("defaults\n", "defaults\n    log global\n    option log-health-checks\n")
    (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")
    log = tmp_path / "haproxy.log"
    with log.open("wb") as written:
        proxy = subprocess.Popen(["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stdout=written, stderr=written)
    try:
        for at in range(SERVERS):
            wait_for(lambda: f"Health check for server servers/qa{at} succeeded" in log.read_text())  # noqa: B023
        for question in QUESTIONS[: 2 * SERVERS]:
            reply = httpx2.get(f"http://127.0.0.1:{port}/v1/ask", params={"q": question}, timeout=AT_MOST)
            assert reply.status_code == 200
    finally:
        proxy.kill()
        proxy.wait()


@dataclass
class Load:
    """Clients that ask the servers in turns; one to which nothing could be sent is passed over, as a proxy does it."""

    addresses: list[str]
    replies: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    answered: int = 0
    lost: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, first: int) -> None:
        turns = itertools.count(first)
        with httpx2.Client(timeout=AT_MOST) as client:
            while not self.stopped.is_set():
                turn = next(turns)
                question = QUESTIONS[turn % len(QUESTIONS)]
                try:
                    reply = client.get(f"{self.addresses[turn % SERVERS]}/v1/ask", params={"q": question})
                except httpx2.ConnectError:
                    continue
                except httpx2.TransportError:
                    with self.lock:
                        self.lost += 1
                    continue
                said = reply.raise_for_status().json()
                del said["timings_ms"]
                with self.lock:
                    self.replies.setdefault((said["snapshot"], question), set()).add(json.dumps(said))
                    self.answered += 1

    def wait_for_more(self, number: int = SERVERS * CLIENTS) -> None:
        until = self.answered + number
        wait_for(lambda: self.answered >= until)


def test_one_that_is_killed_costs_no_wrong_answer_and_all_follow_the_pointer(servers: Servers, tmp_path: Path) -> None:
    load = Load(servers.addresses[:SERVERS])
    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(load.run, number) for number in range(CLIENTS)]
        try:
            load.wait_for_more()
            servers.kill(1)
            load.wait_for_more()
            news = tmp_path / "news.txt"
            news.write_text("The bridge at Qayyarah was repaired in a week.\n", encoding="utf-8")
            second = update(servers.settings, [REPOSITORY / "seeds", news], Recorder()).manifest.id
            servers.begin()
            for number in (0, 2, SERVERS):
                wait_for(lambda: servers.serve(number, second))  # noqa: B023
            load.wait_for_more()
        finally:
            load.stopped.set()
        for each in asking:
            each.result()
    assert {snapshot for snapshot, _ in load.replies} >= {second}
    # Of a question there is one reply in each snapshot, whichever server gave it.
    assert [len(replies) for replies in load.replies.values()] == [1] * len(load.replies)
    # A client has one question under way when its server is killed.
    assert load.lost <= CLIENTS
