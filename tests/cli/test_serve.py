"""`qa serve` on the seed documents with the real weights: a true answer from the documents, over a real socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qa.build.update import update
from qa.models.files import locate
from qa.settings import DEFAULT_MODEL, Settings
from tests.conftest import REPOSITORY, SEED, Recorder
from tests.support.qa_serve import QA, start
from tests.support.waiting import AT_MOST, wait_for

pytestmark = [pytest.mark.server, pytest.mark.model]


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[str]
    client: httpx2.Client
    settings: Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(indexes=tmp_path_factory.mktemp("indexes"), name="seeds")
    update(settings, [REPOSITORY / "seeds"], Recorder())
    process, address = start(settings)
    # A connection for each request: one that rests for five seconds is closed, maybe while it is used again.
    apart = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(base_url=address, timeout=AT_MOST, limits=apart) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        yield Server(process, client, settings)
    process.terminate()
    process.communicate(timeout=AT_MOST)
    # uvicorn finishes what is under way, and then lets the signal end the process as it would have.
    assert process.returncode == -signal.SIGTERM


def test_it_says_it_is_loading_until_it_is_ready(server: Server) -> None:
    process, address = start(server.settings)
    try:
        # Asked as soon as the port is open; a fast machine may have loaded everything by the time it answers.
        early = httpx2.get(f"{address}/readyz", timeout=AT_MOST)
        said_of_it = (early.status_code, early.headers["content-type"], early.json().get("state"))
        assert said_of_it in ((503, "application/problem+json", "loading"), (200, "application/json", None))
        wait_for(lambda: httpx2.get(f"{address}/readyz", timeout=AT_MOST).status_code == 200)
        assert httpx2.post(f"{address}/v1/ask", json={"question": "x"}, timeout=AT_MOST).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode == 130
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How far is the armored division from Mosul?", "three to four miles"),
        ("How many ISIS militants have been killed?", "At least 50 ISIS militants"),
        ("Who warned the battle could take two months?", "Sirwan Barzani"),
        ("What chemical weapon might be used?", "mustard agent"),
        ("Which village did the families flee from?", "Al-Adla"),
    ],
)
def test_a_question_is_answered_from_the_document(server: Server, question: str, answer: str) -> None:
    reply = server.client.post("/v1/ask", json={"question": question}).raise_for_status().json()
    text = server.client.get(f"/v1/documents/{SEED.name}").raise_for_status().json()["text"]
    assert any(answer in passage["text"] for passage in reply["passages"][:3])
    for passage in reply["passages"]:
        assert text[passage["start"] : passage["end"]] == passage["text"]
    shown = reply["answer"]
    assert shown["confidence"] is not None
    assert shown["answerable"] == (shown["text"] is not None)
    if shown["answerable"]:
        assert text[shown["citation"]["start"] : shown["citation"]["end"]] == shown["text"]
    assert reply["timings_ms"]["total"] > 0


def test_the_canonical_text_is_the_file_that_was_indexed(server: Server) -> None:
    document = server.client.get(f"/v1/documents/{SEED.name}").raise_for_status().json()
    assert document["text"] == SEED.read_text(encoding="utf-8")


def test_the_seed_questions_are_evaluated_over_http(server: Server) -> None:
    asked = server.client.post(
        "/v1/evaluations?mode=dense&name=questions.jsonl",
        content=(REPOSITORY / "seeds" / "questions.jsonl").read_bytes(),
        headers={"Content-Type": "application/x-ndjson"},
    ).raise_for_status()
    address = asked.headers["location"]
    deadline = time.monotonic() + 600
    while (found := server.client.get(address).json())["status"] != "done":
        assert found["status"] != "failed", found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    assert found["asked"] == found["questions"] == 96
    assert found["measures"]["documents.nDCG@10"]["value"] > 0.9
    assert "<!doctype html>" in server.client.get(found["report"]).raise_for_status().text
    assert server.client.delete(address).status_code == 204
    assert server.client.get(address).status_code == 404


def test_a_snapshot_that_is_published_meanwhile_is_picked_up(server: Server, tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_text("The bridge at Qayyarah was repaired in a week.\n")
    published = update(server.settings, [REPOSITORY / "seeds", tmp_path / "news.txt"], Recorder()).manifest.id

    def ask() -> Any:
        return server.client.get("/v1/ask", params={"q": "How long did the bridge take?"}).raise_for_status().json()

    wait_for(lambda: ask()["snapshot"] == published)
    reply = ask()
    assert reply["passages"][0]["document"]["id"] == "news.txt"


@pytest.mark.parametrize("path", ["/v1/documents/../../../etc/passwd", "/v1/documents/..%2F..%2Fetc%2Fpasswd"])
def test_a_path_that_climbs_finds_nothing(server: Server, path: str) -> None:
    raw = httpx2.Request("GET", server.client.base_url.copy_with(raw_path=path.encode()))
    reply = server.client.send(raw)
    assert reply.status_code == 404
    assert "root:" not in reply.text


def test_half_a_request_does_not_keep_it_from_stopping(server: Server) -> None:
    process, address = start(server.settings)
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), AT_MOST) as hanging:
        head = (
            f"POST /v1/ask HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
            "Expect: 100-continue\r\n\r\n"
        )
        hanging.sendall(head.encode())
        # The server waits for the body by then.
        assert hanging.recv(1000).startswith(b"HTTP/1.1 100 ")
        hanging.sendall(b"{")
        process.terminate()
        said, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode == -signal.SIGTERM, said


def test_the_command_line_prints_the_shape_of_the_api(server: Server) -> None:
    shown = subprocess.run(
        [QA, "ask", "How many villages were liberated?", "--json"],
        env={**os.environ, "QA_INDEXES": str(server.settings.indexes)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    asked = server.client.get("/v1/ask", params={"q": "How many villages were liberated?"}).json()
    printed = json.loads(shown.stdout)
    assert printed.keys() == asked.keys()
    assert [p["id"] for p in printed["passages"]] == [p["id"] for p in asked["passages"]]


def test_serving_a_snapshot_of_another_model_is_refused_by_name(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(locate(DEFAULT_MODEL).folder, folder, copy_function=os.symlink)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text('{"hidden_size": 384, "max_position_embeddings": 512}')
    process, address = start(server.settings, QA_MODEL=str(folder))
    try:

        def problem() -> httpx2.Response:
            return httpx2.get(f"{address}/readyz", timeout=AT_MOST)

        wait_for(lambda: "is in use (they differ in architecture" in problem().text)
        assert problem().status_code == 503
    finally:
        process.terminate()
        process.communicate(timeout=AT_MOST)


def test_an_upload_that_was_acknowledged_survives_kill_9(server: Server) -> None:
    """It is answered from after the next start, and of one that was not whole nothing is."""
    own = server.settings.model_copy(update={"name": "kept"})
    process, address = start(own, "--create")
    try:
        wait_for(lambda: httpx2.get(f"{address}/readyz", timeout=AT_MOST).json()["state"] == "empty")
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), AT_MOST) as hanging:
            head = f"PUT /v1/documents/half.txt HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500000\r\n\r\n"
            hanging.sendall(head.encode() + b"x" * 300_000)
            fruit = b"The archive of the harbour lies in Kiel.\n"
            sent = httpx2.put(f"{address}/v1/documents/archive.txt", content=fruit, timeout=AT_MOST)
            assert sent.status_code == 202
            process.kill()
            process.communicate(timeout=AT_MOST)
    finally:
        process.kill()
    process, address = start(own)
    try:
        wait_for(lambda: httpx2.get(f"{address}/readyz", timeout=AT_MOST).status_code == 200)
        wait_for(lambda: httpx2.get(f"{address}/v1/index", timeout=AT_MOST).json()["status"] != "running")
        reply = httpx2.get(f"{address}/v1/ask", params={"q": "Where does the archive lie?"}, timeout=AT_MOST).json()
        assert reply["answer"]["citation"]["status"] == "verified"
        held = httpx2.get(f"{address}/v1/documents", timeout=AT_MOST).json()["documents"]
        assert [document["id"] for document in held] == ["archive.txt"]
    finally:
        # As a terminal does that is closed.
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=AT_MOST)
    assert process.returncode == -signal.SIGTERM
