"""What goes wrong behind a server: each fault has a name in /readyz and a line in the log, and costs no answer."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from qa.answers.calibration import CALIBRATION_FILE, FittedOn
from qa.errors import ExtraMissing, ModelNotFound, QAError
from qa.evaluation.calibrate import calibrate
from qa.index.snapshots import Snapshots
from qa.protocols import Encoder
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query, Reply
from qa.web.app import create_app
from qa.web.deps import Options
from tests.answers.test_calibration import drawn
from tests.conftest import REPOSITORY, Build, hashing_encoder
from tests.support.fake_service import FakeService
from tests.support.hashing import HashingEncoder
from tests.support.uvicorn_server import serving
from tests.support.waiting import AT_MOST, wait_for

if TYPE_CHECKING:
    from qa.types import Vectors


def followed(service: Service, until: Callable[[], bool]) -> list[str]:
    """Let the service follow its index until that; returns the logged lines as texts."""
    stopped = threading.Event()
    thread = threading.Thread(target=service.keep_current, args=(stopped, lambda state: None))
    with capture_logs() as logs:
        thread.start()
        try:
            wait_for(until)
        finally:
            stopped.set()
            thread.join()
    return [str(line) for line in logs]


def failing(error: Exception) -> Callable[..., Encoder]:
    def make(settings: Settings, *, threads: int) -> Encoder:
        raise error

    return make


def check(service: Service, state: str, to_do: str) -> None:
    """Check that /readyz and asking name the fault, without a path, and that the log says what to do."""
    lines = followed(service, lambda: service.state().status != "loading")
    client = TestClient(create_app(service))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["state"]) == (503, state)
    assert ready.headers["retry-after"]
    asked = client.get("/v1/ask?q=apples")
    assert (asked.status_code, asked.json()["type"]) == (503, "urn:qa:problem:not-ready")
    assert "/" not in ready.json()["detail"].replace("/readyz", "")
    assert any(to_do in line and f"'state': '{state}'" in line for line in lines)


@pytest.mark.parametrize(
    "error",
    [ModelNotFound("there is no model at /srv/models/x"), ExtraMissing("compiling the model x", "build")],
    ids=["no model", "no torch to compile it"],
)
def test_a_missing_model(settings: Settings, build: Build, error: QAError) -> None:
    build()
    check(Service(settings, make=failing(error)), "no-model", "put the model where QA_MODEL says")


@pytest.mark.parametrize("file", ["vectors.faiss", "documents.sqlite"])
def test_a_corrupted_file(settings: Settings, build: Build, file: str) -> None:
    path = Snapshots(settings.indexes, settings.name).path(build().manifest.id) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    check(Service(settings, make=hashing_encoder), "damaged", "activate another snapshot")


def test_a_missing_file(settings: Settings, build: Build) -> None:
    (Snapshots(settings.indexes, settings.name).path(build().manifest.id) / "vectors.faiss").unlink()
    check(Service(settings, make=hashing_encoder), "damaged", "activate another snapshot")


def test_a_missing_index(settings: Settings) -> None:
    check(Service(settings, make=hashing_encoder), "no-index", "qa index")


def test_a_disk_that_is_full_or_read_only(settings: Settings, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    build()

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(28, "No space left on device", "/tmp/qa-lexical-x")

    monkeypatch.setattr("qa.index.lexical.tempfile.mkdtemp", full)
    check(Service(settings, make=hashing_encoder), "storage", "free space")


def test_what_was_served_is_served_on_while_the_current_one_is_damaged(
    settings: Settings, build: Build, service: Service
) -> None:
    first = service.state().snapshot
    second = build().manifest.id
    (Snapshots(settings.indexes, settings.name).path(second) / "vectors.faiss").write_bytes(b"")
    lines = followed(service, lambda: "damaged" in service.state().detail)
    client = TestClient(create_app(service))
    assert client.get("/readyz").status_code == 200
    assert client.get("/v1/ask?q=apples").json()["snapshot"] == first
    assert any("activate another snapshot" in line for line in lines)
    assert 'qa_snapshot_problem{collection="test"} 1.0' in client.get("/metrics").text


def test_a_current_snapshot_that_is_removed_is_noticed_and_so_is_its_return(
    settings: Settings, service: Service
) -> None:
    client, served = TestClient(create_app(service)), service.state().snapshot
    assert served is not None
    folder = Snapshots(settings.indexes, settings.name).path(served)
    folder.rename(folder.with_name("away"))
    lines = followed(service, lambda: "has been removed" in service.state().detail)
    assert "has been removed" in client.get("/readyz").json()["detail"]
    assert client.get("/v1/ask?q=apples").json()["snapshot"] == served
    assert any("activate another snapshot" in line for line in lines)
    folder.with_name("away").rename(folder)
    followed(service, lambda: service.state().detail == f"serving snapshot {served}")


def test_a_new_calibration_is_taken_while_serving_and_a_damaged_one_is_not(
    settings: Settings, service: Service
) -> None:
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))

    def confidence() -> object:
        return client.get("/v1/ask?q=apples").json()["answer"]["confidence"]

    assert confidence() is None
    path = settings.indexes / settings.name / CALIBRATION_FILE
    calibrate({"hybrid": drawn(300)}, [FittedOn("q", "0" * 64, 300)], service.models_key()).write(path)
    lines = followed(service, lambda: service.state().revision > 1)
    assert any("calibration loaded" in line for line in lines)
    calibrated = confidence()
    assert isinstance(calibrated, float)
    path.write_text("{")
    lines = followed(service, lambda: "calibration" in service.state().detail)
    assert any("'state': 'damaged'" in line and str(path) in line and "qa calibrate" in line for line in lines)
    assert (client.get("/readyz").status_code, confidence()) == (200, calibrated)


@pytest.mark.server
def test_a_switch_under_load_fails_mixes_and_blocks_nothing(
    settings: Settings, build: Build, service: Service, folder: Path
) -> None:
    first = service.state().snapshot
    (folder / "apples.txt").unlink()
    (folder / "figs.txt").write_text("Figs are sweet. They grow on trees.\n")
    second = build(folder).manifest.id
    service.reload()
    # What each snapshot holds, and the other does not.
    own = {first: "apples.txt", second: "figs.txt"}
    operator = Maintenance(settings, service)
    failures: list[object] = []
    seen: Counter[str] = Counter()
    stopped = threading.Event()

    def ask(address: str, batch: bool) -> None:
        with httpx2.Client(base_url=address, timeout=AT_MOST) as client:
            while not stopped.is_set():
                if batch:
                    asked = client.post("/v1/ask/batch", json={"questions": ["trees"] * 8})
                    replies = [result.get("response") for result in asked.json()["results"]]
                else:
                    asked = client.get("/v1/ask?q=trees&top_k=50")
                    replies = [asked.json()]
                snapshots = {reply["snapshot"] for reply in replies}
                found = {passage["document"]["id"] for reply in replies for passage in reply["passages"]}
                (snapshot,) = snapshots
                other = own[second if snapshot == first else first]
                if asked.status_code != 200 or other in found:
                    failures.append((asked.status_code, snapshot, found))
                seen[snapshot] += 1

    app = create_app(service, options=Options(cache_bytes=10**6))
    with serving(app) as (host, port):
        threads = [threading.Thread(target=ask, args=(f"http://{host}:{port}", n % 2 == 0)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            for id in [first, second] * 10:
                assert id is not None
                operator.activate(id)
                # Every one of them is asked before the next.
                before = seen[id]
                wait_for(lambda id=id, before=before: seen[id] > before)  # type: ignore[misc]
        finally:
            stopped.set()
        for thread in threads:
            thread.join(AT_MOST)
            assert not thread.is_alive()
    assert failures == []
    assert set(seen) == {first, second}


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), OSError(28, "No space left on device")])
def test_a_switch_that_cannot_be_written_is_said_and_changes_nothing(
    settings: Settings, build: Build, service: Service, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    first, second = service.state().snapshot, build().manifest.id

    def fails(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("qa.index.snapshots.Snapshots.writing", fails)
    here = ("127.0.0.1", 5000)
    client = TestClient(
        create_app(service, maintenance=Maintenance(settings, service)), "http://localhost", client=here
    )
    with capture_logs() as logs:
        refused = client.post(f"/v1/snapshots/{second}/activate")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:qa:problem:storage-unavailable")
    assert any("qa snapshots activate" in line.get("to_do", "") for line in logs)
    assert client.get("/readyz").json()["snapshot"] == first
    assert client.get("/v1/ask?q=apples").json()["snapshot"] == first


class Breaking(HashingEncoder):
    """Breaks while it is told to."""

    broken = False

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        if self.broken and texts:
            raise RuntimeError("no memory for 3 tensors at /srv/models")
        return super().encode_questions(texts)


def test_an_encoder_that_fails_while_serving_costs_the_questions_of_that_moment(
    settings: Settings, build: Build
) -> None:
    build()
    encoder = Breaking()
    service = Service(settings, make=lambda settings, *, threads: encoder)
    service.reload()
    client = TestClient(create_app(service), raise_server_exceptions=False)
    assert client.get("/v1/ask?q=apples").status_code == 200
    encoder.broken = True
    with capture_logs() as logs:
        failed = client.get("/v1/ask?q=pears")
    assert (failed.status_code, failed.json()["type"]) == (500, "urn:qa:problem:internal-error")
    assert "tensors" not in failed.text
    identity = failed.headers["x-request-id"]
    assert identity in failed.json()["detail"]
    assert any(line["event"] == "request failed" and line["request_id"] == identity for line in logs)
    # Without vectors nobody need do without words.
    assert client.get("/v1/ask?q=pears&mode=lexical").status_code == 200
    assert client.get("/readyz").status_code == 200
    encoder.broken = False
    assert client.get("/v1/ask?q=pears").status_code == 200


class Slow(FakeService):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        self.begun.set()
        assert self.go.wait(AT_MOST)
        return super().ask_many(queries)


@pytest.mark.server
def test_stopping_answers_what_was_asked() -> None:
    service = Slow()
    with ThreadPoolExecutor(2) as pool:
        with serving(create_app(service)) as (host, port):
            address = f"http://{host}:{port}"
            answer = pool.submit(httpx2.get, f"{address}/v1/ask?q=ferry", timeout=AT_MOST)
            assert service.begun.wait(AT_MOST)

            def go_on() -> None:
                wait_for(lambda: refuses(address))
                service.go.set()

            going_on = pool.submit(go_on)
            # The server is told to stop when this block is left, with the question still under way.
        going_on.result()
        assert answer.result().status_code == 200


def refuses(address: str) -> bool:
    """Tell whether a server takes no more connections."""
    try:
        httpx2.get(f"{address}/healthz", timeout=AT_MOST)
    except httpx2.TransportError as error:
        # Another one is of a connection that was made before it stopped listening.
        return isinstance(error, httpx2.ConnectError)
    return False


DRAINING = """
import socket, sys
from pathlib import Path
import uvicorn
from qa.web.app import create_app
from qa.web.middleware.overload import BoundedProtocol
from tests.support.waiting import wait_for
from tests.support.fake_service import FakeService

begun, go = Path(sys.argv[1]), Path(sys.argv[2])

class Waiting(FakeService):
    def ask_many(self, queries):
        begun.touch()
        wait_for(go.exists)
        return super().ask_many(queries)

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(create_app(Waiting()), http=BoundedProtocol, log_config=None, timeout_graceful_shutdown=600)
uvicorn.Server(config).run(sockets=[listening])
"""


@pytest.mark.server
def test_sigterm_drains(tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    command = [sys.executable, "-c", DRAINING, str(begun), str(go)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        answer = pool.submit(httpx2.get, f"{address}/v1/ask?q=ferry", timeout=AT_MOST)
        wait_for(begun.exists)
        server.send_signal(signal.SIGTERM)
        try:
            wait_for(lambda: refuses(address))
            assert not answer.done()
        finally:
            go.touch()
        assert answer.result(AT_MOST).status_code == 200


SWITCHING = """
import os, signal, sys
from pathlib import Path
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from tests.conftest import hashing_encoder

settings = Settings(indexes=Path(sys.argv[1]), name=sys.argv[2])
Maintenance(settings, Service(settings, make=hashing_encoder)).activate(sys.argv[3])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_switch_that_was_acknowledged_survives_kill_9(settings: Settings, build: Build) -> None:
    first, _ = build().manifest.id, build()
    command = [sys.executable, "-c", SWITCHING, str(settings.indexes), settings.name, first]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    restarted = Service(settings, make=hashing_encoder)
    restarted.reload()
    assert restarted.state().snapshot == first


def test_every_fault_that_the_docs_tell_of_is_a_test() -> None:
    told = re.findall(
        r"`(tests/[\w/]+\.py)(?: -k (\w+))?` \|$", (REPOSITORY / "docs/operating.md").read_text(), re.MULTILINE
    )
    assert len(told) > 15
    for file, words in told:
        assert re.search(rf"def test_\w*{words}", (REPOSITORY / file).read_text()), (file, words)
