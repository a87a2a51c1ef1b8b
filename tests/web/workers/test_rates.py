"""One count for all workers: it decides as limits' own storage does, and several processes share it exactly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from limits import RateLimitItemPerDay, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from qa.web.workers.rates import SharedStorage, create_rates
from tests.conftest import REPOSITORY
from tests.support.waiting import AT_MOST


@pytest.fixture
def table(tmp_path: Path) -> Path:
    create_rates(tmp_path / "rates")
    return tmp_path / "rates"


def test_it_decides_as_the_storage_of_one_process_does(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    rate = RateLimitItemPerSecond(7, 2)
    shared, alone = (SlidingWindowCounterRateLimiter(each) for each in (SharedStorage(table), MemoryStorage()))
    for step in range(400):
        now += (step * 7 % 11) / 20
        client = f"client {step % 3}"
        assert shared.hit(rate, client) == alone.hit(rate, client)
        assert shared.get_window_stats(rate, client) == alone.get_window_stats(rate, client)


def test_two_who_opened_it_count_together(table: Path) -> None:
    one, other = (SlidingWindowCounterRateLimiter(SharedStorage(table)) for _ in range(2))
    rate = RateLimitItemPerDay(5)
    assert [each.hit(rate, "a") for each in (one, other) * 4] == [True] * 5 + [False] * 3
    assert other.hit(rate, "b")


HITTING = """
import sys
from pathlib import Path
from limits import RateLimitItemPerDay
from limits.strategies import SlidingWindowCounterRateLimiter
from qa.web.workers.rates import SharedStorage

counts = SlidingWindowCounterRateLimiter(SharedStorage(Path(sys.argv[1])))
sys.stdin.read()
print(sum(counts.hit(RateLimitItemPerDay(1000), "a") for _ in range(600)))
"""


def test_processes_that_count_at_the_same_time_lose_nothing(table: Path) -> None:
    command = [sys.executable, "-c", HITTING, str(table)]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert sum(int(process.communicate(timeout=AT_MOST)[0]) for process in processes) == 1000


DYING = """
import os, signal, sys
from pathlib import Path
from qa.web.workers.rates import SharedStorage

with SharedStorage(Path(sys.argv[1]))._locked():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_that_is_killed_while_it_counts_keeps_nobody_waiting(table: Path) -> None:
    subprocess.run([sys.executable, "-c", DYING, str(table)], cwd=REPOSITORY, check=False, timeout=AT_MOST)
    assert SlidingWindowCounterRateLimiter(SharedStorage(table)).hit(RateLimitItemPerDay(1), "a")


def test_where_there_is_no_room_the_count_that_ends_first_is_forgotten(tmp_path: Path) -> None:
    create_rates(tmp_path / "rates", slots=16)
    storage = SharedStorage(tmp_path / "rates")
    for number in range(40):
        assert storage.incr(f"client {number}", 100 + number) == 1
    assert [storage.get(f"client {number}") for number in (0, 39)] == [0, 1]


def test_a_count_can_be_cleared_alone_and_all_together(table: Path) -> None:
    storage = SharedStorage(table)
    assert [storage.incr(key, 60) for key in ("a", "b", "b")] == [1, 1, 2]
    storage.clear("a")
    assert [storage.get(key) for key in "ab"] == [0, 2]
    storage.reset()
    assert storage.get("b") == 0
    assert storage.check()


def test_only_the_server_s_user_may_read_it(table: Path) -> None:
    assert table.stat().st_mode & 0o777 == 0o600
