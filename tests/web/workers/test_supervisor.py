"""The parent of workers, with workers that hold no model: it replaces those that die, with a pause and not for ever."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from qa.errors import SettingsError
from qa.web.workers import default
from qa.web.workers.supervisor import Supervisor, seconds_to_look
from tests.conftest import REPOSITORY
from tests.support.waiting import AT_MOST, wait_for

FORKLESS = """
import errno, os, signal, socket
from qa.web.workers import supervisor

def refuse():
    os.kill(os.getpid(), signal.SIGTERM)
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

os.fork = refuse
supervisor.Supervisor(2, socket.create_server(("127.0.0.1", 0)), lambda state: None).run()
"""
SERVING = """
import asyncio, os, signal, socket, sys, time
import uvicorn
from qa.web.middleware.overload import BoundedProtocol
from qa.web.server import _configure_logging, _end_at_hang_up
from qa.web.workers import supervisor
from qa.web.workers.accepting import WorkerServer
from qa.web.workers.board import Row

_configure_logging("text")
_end_at_hang_up()
supervisor._PAUSE = (0.0, 0.05)
supervisor._MOST_ENDING = 3600.0
how = sys.argv[1]
if how.startswith("hangs"):
    supervisor._MOST_STARTING = 5.0

async def app(scope, receive, send):
    if scope["path"] == "/end":
        os._exit(3)
    if scope["path"] == "/hang":
        print("hangs", flush=True)
        await asyncio.sleep(3600)
    body = str(place.number).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": body})

listening = socket.create_server(("127.0.0.1", 0), backlog=100)
print(listening.getsockname()[1], flush=True)
place = supervisor.Supervisor(2, listening, lambda state: None).run()
assert place is not None
if how == "dies":
    sys.exit(5)
if how.startswith("hangs") and place.number in map(int, how.removeprefix("hangs")):
    hung = place.board.folder / f"hung-{place.number}"
    if not hung.exists():
        hung.touch()
        time.sleep(3600)
if how == "cannot":
    sys.exit(supervisor.CANNOT_START)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
place.board.publish(Row(place.number, os.getpid(), (), {}))
loaded_at = place.board.folder / "loaded"
config = uvicorn.Config(app, http=BoundedProtocol, log_config=None, access_log=False, lifespan="off")
is_loaded = lambda: how != "loading" or place.number == 2 or loaded_at.exists()
WorkerServer(config, listening, place, is_loaded).run(sockets=[])
"""


@contextmanager
def running(how: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, how],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give servers a folder for temporary files of their own; its path must be short for the address of a socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def children(pid: int) -> list[str]:
    """Return the processes that a process has started and not buried."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()


def worker(address: str) -> str:
    """Return which worker answers on a new connection."""
    return httpx2.get(address, timeout=AT_MOST).text


@pytest.mark.server
def test_a_second_ctrl_c_does_not_wait_for_what_runs() -> None:
    with running("serves") as (process, address):
        wait_for(lambda: {worker(address) for _ in range(9)} == {"1", "2"})
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=AT_MOST) as connection:
            connection.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
            assert process.stdout is not None
            assert process.stdout.readline() == "hangs\n"
            process.send_signal(signal.SIGINT)
            # The other worker had nothing to wait for.
            wait_for(lambda: len(children(process.pid)) == 1)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(AT_MOST) == -signal.SIGINT


@pytest.mark.server
def test_a_worker_that_dies_is_replaced() -> None:
    with running("serves") as (process, address):
        wait_for(lambda: {worker(address) for _ in range(9)} == {"1", "2"})
        for _ in range(3):
            with pytest.raises(httpx2.RemoteProtocolError):
                httpx2.get(f"{address}/end", timeout=AT_MOST)
            wait_for(lambda: {worker(address) for _ in range(9)} == {"1", "2"})
        process.terminate()
        _, said = process.communicate(timeout=AT_MOST)
    assert said.count("a worker has ended and is replaced") == 3
    assert process.returncode == -signal.SIGTERM


@pytest.mark.server
@pytest.mark.parametrize("hung", ["2", "12"], ids=["beside one that serves", "both"])
def test_a_worker_that_hangs_before_it_serves_is_replaced(hung: str) -> None:
    with running(f"hangs{hung}") as (process, address):
        wait_for(lambda: {worker(address) for _ in range(9)} == {"1", "2"})
        process.terminate()
        _, said = process.communicate(timeout=AT_MOST)
    # On a busy machine another one may take as long as one that hangs.
    ended = said.count("a worker does not begin to serve and is ended")
    assert ended >= len(hung)
    assert said.count("a worker has ended and is replaced") == ended


@pytest.mark.server
def test_one_that_is_loading_takes_no_connection_while_another_does() -> None:
    with running("loading") as (_, address):
        wait_for(lambda: worker(address) == "2")
        assert {worker(address) for _ in range(20)} == {"2"}


@pytest.mark.parametrize("how", ["dies", "cannot"])
def test_a_server_whose_workers_cannot_live_ends(how: str) -> None:
    with running(how) as (process, _):
        _, said = process.communicate(timeout=AT_MOST)
    assert process.returncode == 1
    assert ("workers die one after the other" in said) is (how == "dies")
    assert "Traceback" not in said


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_of_a_server_that_has_ended(temporary: Path, how: signal.Signals) -> None:
    with running("serves") as (process, address):
        wait_for(lambda: worker(address))
        assert [path.name.startswith("qa-workers-") for path in temporary.iterdir()] == [True]
        process.send_signal(how)
        process.communicate(timeout=AT_MOST)
    assert process.returncode == -(signal.SIGTERM if how == signal.SIGHUP else how)
    assert list(temporary.iterdir()) == []


def test_a_server_serves_on_without_its_terminal_where_that_was_wanted() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running("serves") as (process, address):
            wait_for(lambda: worker(address))
            process.send_signal(signal.SIGHUP)
            assert worker(address)
            process.terminate()
            process.communicate(timeout=AT_MOST)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == -signal.SIGTERM


def test_what_a_killed_server_left_is_removed_by_the_next(temporary: Path) -> None:
    with running("serves") as (process, address):
        wait_for(lambda: worker(address))
        process.kill()
        process.communicate(timeout=AT_MOST)
        (left,) = temporary.iterdir()

        def is_removed() -> bool:
            # While workers of it still end it is in use.
            with running("serves") as (other, there):
                wait_for(lambda: worker(there))
                other.terminate()
                other.communicate(timeout=AT_MOST)
            return not left.exists()

        wait_for(is_removed)
    assert list(temporary.iterdir()) == []


def test_a_worker_that_cannot_be_forked_is_tried_again_later(temporary: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKLESS],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    # It ends by the signal that it was sent: it would not if signals stayed blocked.
    assert ended.returncode == -signal.SIGTERM, ended.stderr
    assert ended.stdout.count("a worker cannot be started") == 2
    assert list(temporary.iterdir()) == []


def test_a_folder_with_too_long_a_path_for_sockets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: f"/{'long/' * 20}")
    with socket.socket() as listening, pytest.raises(SettingsError, match="--workers 1"):
        Supervisor(2, listening, lambda state: None)


@pytest.mark.parametrize(
    ("cores", "limits", "expected"),
    [
        (1, {}, 1),
        (2, {}, 2),
        (3, {}, 3),
        (64, {}, 8),
        (64, {"cpu.max": "max 100000", "memory.max": "max"}, 8),
        (64, {"cpu.max": "250000 100000"}, 2),
        (64, {"cpu.max": "50000 100000"}, 1),
        (64, {"memory.max": "3000000000"}, 3),
        (64, {"memory.max": "500000000"}, 1),
    ],
)
def test_the_default_goes_by_cores_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, limits: dict[str, str], expected: int
) -> None:
    for name, text in limits.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="ascii")
    monkeypatch.setattr("qa.machine.CONTROL_GROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(cores))
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 24}[name])
    assert default.default_workers() == expected


def test_temporary_files_that_cannot_be_written_are_said_in_words(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(SettingsError, match=r"No such file or directory.*TMPDIR.*--workers 1"),
    ):
        Supervisor(2, listening, lambda state: None)


def test_where_the_table_of_rates_cannot_be_written_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    def create(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("qa.web.workers.supervisor.create_rates", create)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(SettingsError, match=r"No space left on device.*TMPDIR.*--workers 1"),
    ):
        Supervisor(2, listening, lambda state: None)
    assert list(temporary.iterdir()) == []


def test_the_parent_looks_often_only_while_a_worker_starts() -> None:
    often = seconds_to_look(100.0, [], is_starting=True)
    assert often < seconds_to_look(100.0, [130.0], is_starting=False)
    assert seconds_to_look(100.0, [100.25], is_starting=False) == 0.25
    assert seconds_to_look(100.0, [99.0], is_starting=False) == 0.0
