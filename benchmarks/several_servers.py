"""Three servers and a Milvus on this machine, asked in turns while one server and then Milvus are killed.

    .venv/bin/python -m benchmarks.several_servers [--seconds 20]

The seeds are indexed twice, into their folder and into Milvus, and the questions of ``seeds/questions.jsonl`` are asked
of a server of each. Every answer that comes while something is killed is compared with the one of the exact engine. It
is counted how many were the same, how many another, and how many requests failed and in which way; a request that could
not be sent, or came to a server that is loading, goes to the next server once, much as behind
``deploy/scaling/haproxy.cfg``. Needs the wheel ``milvus``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from tests.support.milvus_server import MilvusServer, free_ports, unpack_server

ROOT = Path(__file__).parent.parent
SERVERS = 3
_CLIENTS = 4
_PATIENCE = 120.0


def read_questions() -> list[str]:
    lines = (ROOT / "seeds" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


@dataclass
class QaServer:
    """A process of ``qa serve`` on a port of its own."""

    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "qa", "serve", "--name", "seeds", "--port", str(self.port), "--workers", "1"]
        log = Path(self.environment["QA_INDEXES"]).parent / f"serve-{self.port}.log"
        with log.open("ab") as lines:
            self.process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=lines, stderr=lines)

    def wait_until_ready(self, snapshot: str = "") -> float:
        """Return the seconds until the server is ready with a snapshot, or with any."""
        started = time.monotonic()
        while time.monotonic() < started + _PATIENCE:
            try:
                state = httpx2.get(f"{self.url}/readyz", timeout=5)
                if state.status_code == 200 and snapshot in {"", state.json()["snapshot"]}:
                    return time.monotonic() - started
            except httpx2.HTTPError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{self.url} is not ready")

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def ask(client: httpx2.Client, url: str, question: str) -> httpx2.Response:
    return client.post(f"{url}/v1/ask", json={"question": question}, timeout=60)


def answer_of(response: httpx2.Response) -> object:
    """Return of a reply what must not depend on where the vectors are: the answer, and passages with their cosines."""
    reply = response.json()
    answer = {name: reply["answer"].get(name) for name in ("outcome", "text", "guess")}
    passages = [(each["id"], each["scores"]["dense"]) for each in reply["passages"]]
    return json.dumps([answer, passages], sort_keys=True)


@dataclass
class Load:
    """Clients that ask in turns of all servers until they are stopped; ``seen`` counts by phase and outcome."""

    servers: Sequence[QaServer]
    questions: Sequence[str]
    expected: Sequence[object]
    phase: str = ""
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)
    turns: Iterator[int] = field(default_factory=count)

    def run(self) -> None:
        with httpx2.Client() as client:
            while not self.stopped.is_set():
                turn, phase = next(self.turns), self.phase
                self.seen[phase, self._outcome(client, turn)] += 1

    def _outcome(self, client: httpx2.Client, turn: int) -> str:
        at = turn % len(self.questions)
        for attempt in range(2):
            url = self.servers[(turn + attempt) % len(self.servers)].url
            try:
                response = ask(client, url, self.questions[at])
            except httpx2.ConnectError:
                continue
            except httpx2.HTTPError:
                return "failed: the connection was lost"
            if response.status_code == 503 and response.json()["type"].endswith(":not-ready"):
                continue
            if response.status_code != 200:
                return f"failed: {response.status_code} {response.json().get('type', '').rpartition(':')[2]}"
            return "right" if answer_of(response) == self.expected[at] else "wrong"
        return "failed: no server took it"


@contextmanager
def loaded(load: Load) -> Iterator[None]:
    threads = [threading.Thread(target=load.run) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.stopped.set()
        for thread in threads:
            thread.join()


def run_qa(environment: dict[str, str], *arguments: str) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "qa", *arguments], env=environment, cwd=ROOT, check=True, stdout=-3)
    return time.monotonic() - started


def main() -> None:
    """Build, serve, kill and count; prints a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each phase takes")
    seconds = parser.parse_args().seconds
    questions = read_questions()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="qa-several-")))
        (folder / "milvus").mkdir()
        milvus = MilvusServer(unpack_server(folder / "programs"), folder / "milvus")
        stack.callback(milvus.kill)
        milvus.start()
        local = {**os.environ, "QA_INDEXES": str(folder / "local"), "QA_CACHE_MB": "0", "OMP_NUM_THREADS": "1"}
        shared = {**local, "QA_INDEXES": str(folder / "shared"), "QA_MILVUS": milvus.uri, "QA_MILVUS_SECONDS": "5"}
        print(f"indexed into its folder in {run_qa(local, 'index', 'seeds', '--name', 'seeds'):.1f} s")
        print(f"indexed into Milvus in {run_qa(shared, 'index', 'seeds', '--name', 'seeds'):.1f} s")
        alone, *servers = (
            QaServer(environment, port)
            for environment, port in zip([local, *[shared] * SERVERS], free_ports(SERVERS + 1), strict=True)
        )
        for server in (alone, *servers):
            stack.callback(server.kill)
            server.start()
        for server in (alone, *servers):
            server.wait_until_ready()
        with httpx2.Client() as client:
            expected = [answer_of(ask(client, alone.url, question)) for question in questions]
        alone.kill()
        load = Load(servers, questions, expected, phase="all run")
        with loaded(load):
            time.sleep(seconds)
            load.phase = "one server killed"
            servers[1].kill()
            time.sleep(seconds)
            load.phase = "started again"
            servers[1].start()
            servers[1].wait_until_ready()
            time.sleep(seconds)
            load.phase = "Milvus killed"
            milvus.kill()
            time.sleep(seconds)
            load.phase = "Milvus starts"
            milvus.start()
            with httpx2.Client() as client:
                while any(ask(client, server.url, questions[0]).status_code != 200 for server in servers):
                    time.sleep(0.1)
            load.phase = "all run again"
            time.sleep(seconds)
            load.phase = "a new snapshot"
            run_qa(shared, "index", "seeds", "--name", "seeds", "--rebuild")
            snapshot = (folder / "shared" / "seeds" / "CURRENT").read_text(encoding="utf-8").strip()
            switched = [server.wait_until_ready(snapshot) for server in servers]
        print(f"a new snapshot was served by all {SERVERS} servers {max(switched):.1f} s after it was published\n")
        show(load.seen)


def show(seen: Counter[tuple[str, str]]) -> None:
    """Print how many requests of each phase ended how, as a table."""
    phases = list(dict.fromkeys(phase for phase, _ in seen))
    print("| while | right | wrong | failed |\n|---|---|---|---|")
    for phase in phases:
        failures = {out.removeprefix("failed: "): n for (at, out), n in seen.items() if at == phase and "failed" in out}
        shown = ", ".join(f"{number} {how}" for how, number in failures.items()) or "0"
        print(f"| {phase} | {seen[phase, 'right']} | {seen[phase, 'wrong']} | {shown} |")


if __name__ == "__main__":
    main()
