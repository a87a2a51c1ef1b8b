"""How a worker ends: with the exit code that its parent decides by, and with what Python's modules do at the end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.waiting import AT_MOST

# Forks a worker for each argument, a number and how its serving ends, and prints their exit codes.
WORKERS = """
import atexit, os, signal, sys
from pathlib import Path
from qa.errors import SettingsError
from qa.web.server import _serve_as_worker
from qa.web.workers.board import Board, Place

class Process:
    def serve(self):
        print("serving", end="")
        exec(how)

folder = Path(sys.argv[1])
board = Board(folder, 2)
for at, ending in enumerate(sys.argv[2:]):
    number, how = ending.split(" ", 1)
    if not os.fork():
        for file, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / f"{at}.{name}", os.O_CREAT | os.O_WRONLY), file)
        atexit.register(print, ", at the end")
        _serve_as_worker(Place(int(number), board), Process())
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
ENDINGS = [
    ("1 pass", 0, ""),
    ("1 sys.exit()", 0, ""),
    ("1 sys.exit(3)", 3, ""),
    ("1 sys.exit('it cannot be')", 1, "it cannot be\n"),
    ("1 raise SettingsError('QA_X is wrong')", 78, "qa: error: QA_X is wrong\n"),
    # What is wrong is said once.
    ("2 raise SettingsError('QA_X is wrong')", 78, ""),
    ("1 os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM, ""),
    ("1 raise RuntimeError('broken')", 1, "Traceback … RuntimeError: broken\n"),
    ("1 raise KeyboardInterrupt('broken')", 1, "Traceback … KeyboardInterrupt: broken\n"),
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, str]]:
    """Return of each ending the exit code, and what the worker said and reported."""
    folder = tmp_path_factory.mktemp("ended")
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(folder), *(how for how, _, _ in ENDINGS)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=AT_MOST,
        check=True,
    )
    codes = map(int, done.stdout.split())
    return [(code, _read(folder / f"{at}.out"), _read(folder / f"{at}.err")) for at, code in enumerate(codes)]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("at", "code", "said"), [(at, code, said) for at, (_, code, said) in enumerate(ENDINGS)])
def test_a_worker_ends_with_its_exit_code_and_says_why(
    ended: list[tuple[int, str, str]], at: int, code: int, said: str
) -> None:
    begins, _, ends = said.rpartition(" … ")
    assert ended[at][:2] == (code, "serving, at the end\n")
    assert ended[at][2].startswith(begins)
    assert ended[at][2].endswith(ends)
    assert begins or ended[at][2] == said
