"""``qa serve --workers 2`` with the real weights: two processes that answer as one, also when one of them is killed."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qa.build.update import update
from qa.build.uploads import DocumentFolder
from qa.index.snapshots import Snapshots
from qa.settings import Settings
from tests.conftest import REPOSITORY, Recorder
from tests.support.qa_serve import QA, start
from tests.support.waiting import AT_MOST, wait_for

pytestmark = [pytest.mark.server, pytest.mark.model]

# Of a day, at whose end the test would count in two windows.
RATE = 40
ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}
LINES = (REPOSITORY / "seeds" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
QUESTIONS = list(dict.fromkeys(json.loads(line)["question"] for line in LINES))[:50]


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[str]
    address: str
    settings: Settings

    def metrics(self, name: str, client: httpx2.Client | None = None) -> dict[str, float]:
        """Return the values of a metric by its labels, as text."""
        text = (client or httpx2).get(f"{self.address}/metrics", timeout=AT_MOST).text
        found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def ask(self, client: httpx2.Client, question: str) -> dict[str, Any]:
        """Return what is answered, without the time that it took."""
        reply = client.get("/v1/ask", params={"q": question, "top_k": 10}).raise_for_status().json()
        del reply["timings_ms"]
        return dict(reply)

    @contextmanager
    def clients(self, **more: Any) -> Iterator[list[httpx2.Client]]:
        """Give clients whose connections reach both workers; use them at once, before they rest for five seconds."""
        with ExitStack() as stack:
            clients: list[httpx2.Client] = []
            while not clients or min(self.metrics("qa_worker_connections", clients[0]).values()) == 0:
                client = stack.enter_context(httpx2.Client(base_url=self.address, timeout=AT_MOST, **more))
                client.get("/healthz")
                clients.append(client)
            yield clients


@contextmanager
def running(settings: Settings, *flags: str, workers: int = 2, **environment: str) -> Iterator[Server]:
    process, address = start(settings, "--workers", str(workers), *flags, **environment)
    server = Server(process, address, settings)
    try:
        wait_for(lambda: get(address, "/readyz").status_code == 200)
        wait_for(lambda: workers == 1 or len(server.metrics("qa_worker_connections")) == workers)
        yield server
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode == -signal.SIGTERM, said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(indexes=tmp_path_factory.mktemp("indexes"), name="seeds")
    update(settings, [REPOSITORY / "seeds"], Recorder())
    DocumentFolder(settings.indexes / "own", settings.upload_limits).create()
    return settings


@pytest.fixture(scope="module")
def snapshots(built: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Build a second snapshot, and return the ids of both."""
    news = tmp_path_factory.mktemp("documents") / "news.txt"
    news.write_text("The bridge at Qayyarah was repaired in a week.\n", encoding="utf-8")
    first = Snapshots(built.indexes, "seeds").current()
    return first, update(built, [REPOSITORY / "seeds", news], Recorder()).manifest.id


@pytest.fixture(scope="module")
def server(built: Settings) -> Iterator[Server]:
    rate = f"{RATE}/day"
    names = ("--name", "seeds", "--name", "own")
    with running(built, *names, QA_RATE_LIMIT=rate, QA_CACHE_MB="0", QA_UNANSWERED_DAYS="9") as server:
        yield server


def post(address: str, path: str, **more: Any) -> httpx2.Response:
    return httpx2.post(f"{address}{path}", timeout=AT_MOST, **more)


def get(address: str, path: str) -> httpx2.Response:
    return httpx2.get(f"{address}{path}", timeout=AT_MOST)


def test_answers_are_the_same_to_the_bit_whichever_worker_and_however_many_ask(server: Server) -> None:
    with httpx2.Client(base_url=server.address, timeout=AT_MOST) as client:
        alone = [server.ask(client, question) for question in QUESTIONS]
    with httpx2.Client(base_url=server.address, timeout=AT_MOST) as client, ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda question: server.ask(client, question), QUESTIONS))
    assert len(QUESTIONS) == 50
    assert together == alone


def test_a_client_has_one_rate_whichever_worker_it_reaches(server: Server) -> None:
    with server.clients(headers=ELSEWHERE) as clients:
        replies = [client.get("/v1/documents") for client, _ in zip(itertools.cycle(clients), range(60), strict=False)]
    counted = Counter(reply.status_code for reply in replies)
    # To look for both workers costs nothing: what never needs a key is not counted, and /metrics was asked from here.
    assert counted[200] <= RATE
    assert counted == {200: counted[200], 429: 60 - counted[200]}
    assert [reply.status_code for reply in replies] == sorted(reply.status_code for reply in replies)


def _counts(server: Server, client: httpx2.Client, labels: str, expected: float) -> bool:
    return server.metrics("qa_requests_total", client)[labels] == expected


def test_the_metrics_are_those_of_both_whichever_is_asked(server: Server) -> None:
    labels = 'method="GET",route="/v1/facets",status="200"'
    before = server.metrics("qa_requests_total").get(labels, 0)
    with server.clients() as clients:
        for client in clients:
            client.get("/v1/facets").raise_for_status()
        # A response is counted right behind its end.
        for client in clients:
            wait_for(partial(_counts, server, client, labels, before + len(clients)))
    assert server.metrics("qa_ready")['collection="seeds"'] == 1
    assert server.metrics("qa_queue_limit") == {"": 128}
    assert server.metrics("qa_workers") == {"": 2}
    assert set(server.metrics("qa_worker_memory_bytes")) == {
        f'kind="{kind}",worker="{number}"' for kind in ("private", "proportional") for number in (1, 2)
    }


def _is_over(server: Server, id: str) -> bool:
    return get(server.address, f"/v1/evaluations/{id}").json()["status"] in ("done", "failed")


def test_an_evaluation_is_run_once_and_seen_by_both(server: Server) -> None:
    with server.clients() as clients:
        sent = clients[-1].post(
            "/v1/evaluations", content=LINES[0].encode(), headers={"Content-Type": "application/x-ndjson"}
        )
        id = sent.raise_for_status().json()["id"]
        assert [client.get(f"/v1/evaluations/{id}").json()["id"] for client in clients] == [id] * len(clients)
    wait_for(partial(_is_over, server, id))
    with server.clients() as clients:
        found = [client.get(f"/v1/evaluations/{id}").json() for client in clients]
    assert [(each["status"], each["asked"]) for each in found] == [("done", 1)] * len(clients)


def test_workers_share_the_models_that_their_parent_loaded(server: Server) -> None:
    with server.clients() as clients:
        for question, client in zip(QUESTIONS, itertools.cycle(clients), strict=False):
            server.ask(client, question)
    own = server.metrics("qa_worker_memory_bytes")
    # With models of its own each has 180 MB.
    assert max(own[f'kind="private",worker="{number}"'] for number in (1, 2)) < 150e6


def test_a_switch_is_over_in_both_when_it_is_answered(server: Server, snapshots: tuple[str, str]) -> None:
    # The second one was published while both served: each may be loading it now.
    for snapshot in (*snapshots, snapshots[0]):
        post(server.address, f"/v1/snapshots/{snapshot}/activate").raise_for_status()
        with server.clients() as clients:
            assert {client.get("/v1/ask?q=Mosul").json()["snapshot"] for client in clients} == {snapshot}
    for number in (1, 2):
        maps = Path(f"/proc/{child(server, number)}/maps")
        wait_for(lambda: snapshots[1] not in maps.read_text(encoding="utf-8"))  # noqa: B023


def test_what_is_uploaded_is_answered_by_both(server: Server) -> None:
    own = f"{server.address}/v1/collections/own"
    empty = httpx2.get(f"{own}/ask?q=bridge", timeout=AT_MOST)
    assert (empty.status_code, empty.json()["state"]) == (503, "empty")
    with server.clients() as clients:
        for number, client in enumerate(clients):
            data = f"The bridge number {number} was repaired in week {number + 20}.\n".encode()
            reply = client.put(f"/v1/collections/own/documents/bridge-{number}.txt", content=data)
            assert reply.status_code in (200, 201, 202), reply.text
    wait_for(lambda: httpx2.get(f"{own}/index", timeout=AT_MOST).json()["status"] in ("done", "unchanged"))
    with server.clients() as clients:
        for client in clients:
            passages = client.get("/v1/collections/own/ask?q=bridge number 0").raise_for_status().json()["passages"]
            assert "bridge-0.txt" in {passage["document"]["id"] for passage in passages}
            assert client.get("/v1/collections/own/index").json()["status"] in ("done", "unchanged")
    for number in range(len(clients)):
        httpx2.delete(f"{own}/documents/bridge-{number}.txt", timeout=AT_MOST).raise_for_status()
    wait_for(lambda: httpx2.get(f"{own}/index", timeout=AT_MOST).json()["status"] != "running")
    with server.clients() as clients:
        assert {client.get("/v1/collections/own/ask?q=bridge").status_code for client in clients} == {503}


def test_what_is_not_answered_is_kept_by_both(server: Server) -> None:
    with server.clients() as clients:
        for number, client in enumerate(clients):
            client.get(f"/v1/ask?q=Who sang the {'low ' * number}aria in the opera?").raise_for_status()

    def kept() -> int:
        found = get(server.address, "/v1/unanswered/export").text
        return len(set(re.findall(r"Who sang the [a-z ]*aria", found)))

    wait_for(lambda: kept() == len(clients))


def test_two_servers_of_one_index_follow_each_other(server: Server, snapshots: tuple[str, str]) -> None:
    with running(server.settings, "--name", "seeds", workers=1) as other:
        for asked, follower in ((other, server), (server, other)):
            for snapshot in snapshots:
                post(asked.address, f"/v1/snapshots/{snapshot}/activate").raise_for_status()
                wait_for(lambda: get(follower.address, "/readyz").json()["snapshot"] == snapshot)  # noqa: B023


def test_a_worker_that_is_killed_under_load_costs_no_wrong_answer(built: Settings) -> None:
    with running(built) as server, ThreadPoolExecutor(4) as pool:
        with httpx2.Client(base_url=server.address, timeout=AT_MOST) as client:
            right = {question: server.ask(client, question) for question in QUESTIONS[:10]}
        stopped = threading.Event()

        def keep_asking(_: int) -> tuple[int, int]:
            """Return how many questions were answered, and how many broke off."""
            answered = failed = 0
            with httpx2.Client(base_url=server.address, timeout=AT_MOST) as client:
                while not stopped.is_set():
                    for question, expected in right.items():
                        try:
                            assert server.ask(client, question) == expected
                            answered += 1
                        except httpx2.TransportError:
                            failed += 1
            return answered, failed

        asking = pool.map(keep_asking, range(4))
        before = sum(server.metrics("qa_requests_total").values())
        for number in (2, 1):
            wait_for(lambda: min(server.metrics("qa_worker_connections").values()) > 0)
            os.kill(child(server, number), signal.SIGKILL)
            wait_for(lambda: server.metrics("qa_workers_replaced_total") == {"": 3 - number})  # noqa: B023
            wait_for(lambda: len(server.metrics("qa_worker_connections")) == 2)
        stopped.set()
        counts = list(asking)
        # Each client has one question under way when its worker is killed.
        assert sum(failed for _, failed in counts) <= 8
        assert all(answered for answered, _ in counts)
        assert sum(server.metrics("qa_requests_total").values()) > before
        # The first worker takes up again what only it does.
        wait_for(lambda: get(server.address, "/v1/index").status_code == 200)


def child(server: Server, number: int) -> int:
    """Return the process of a worker: the parent has started them in order, and a later one last."""
    folder = next(Path(folder) for folder in map(Path, Path("/tmp").glob("qa-workers-*")) if _is_of(server, folder))
    return int(json.loads((folder / f"worker-{number}.json").read_bytes())["pid"])


def _is_of(server: Server, folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "parent.json").read_bytes())["pid"] == server.process.pid)
    except OSError:
        return False


def test_sigterm_finishes_what_both_are_answering(built: Settings) -> None:
    with running(built) as server, ExitStack() as stack:
        host, port = server.address.removeprefix("http://").split(":")
        body = json.dumps({"question": QUESTIONS[0], "answer": False}).encode()
        head = (
            f"POST /v1/ask HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        begun: list[socket.socket] = []
        while not begun or min(server.metrics("qa_worker_connections").values()) == 0:
            connection = stack.enter_context(socket.create_connection((host, int(port)), AT_MOST))
            connection.sendall(head.encode())
            # The server waits for the body by then.
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            begun.append(connection)
        server.process.terminate()
        wait_for(lambda: refuses(host, int(port)))
        for connection in begun:
            connection.sendall(body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), AT_MOST).close()
    except ConnectionRefusedError:
        return True
    return False


def test_workers_end_with_a_parent_that_is_killed(built: Settings) -> None:
    process, address = start(built, "--workers", "2")
    server = Server(process, address, built)
    wait_for(lambda: len(server.metrics("qa_worker_connections")) == 2)
    host, port = address.removeprefix("http://").split(":")
    process.kill()
    process.communicate(timeout=AT_MOST)
    wait_for(lambda: refuses(host, int(port)))


def test_settings_that_are_wrong_end_the_server_in_one_line(built: Settings) -> None:
    command = [str(QA), "serve", "--port", "0", "--workers", "2"]
    environment = {**os.environ, "QA_INDEXES": str(built.indexes), "QA_NAME": "seeds", "QA_RATE_LIMIT": "often"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=AT_MOST, check=False)
    assert done.returncode == 1
    assert done.stderr.count("qa: error: QA_RATE_LIMIT is 'often'") == 1
