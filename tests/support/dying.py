"""Work that is killed at the n-th step it takes in a folder, for tests of what a crash leaves behind.

An audit hook (PEP 578) sees every file that a process opens to write, makes, renames or removes. Opening one to read
is no step: killed there, the work leaves what it leaves when it is killed at its next step. Who does the work is forked
by a process that has one thread, and not by that of the tests: a fork takes along whatever locks other threads hold.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from qa.models.languages import detect_language

STEPS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"}
# Imported late by the program, and here once for all who do the work.
_HEAVY = (
    "faiss ir_measures markdown_it pytrec_eval scipy.stats tantivy"
    " qa.build.builder qa.index.lexical qa.evaluation.report"
).split()
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def dying(folder: Path, work: str, *arguments: str) -> Iterator[Callable[[int], int | None]]:
    """Give a function that does ``work`` and kills it at the n-th step that it takes below ``folder``.

    The function returns the signal that ended the work, or ``None`` where the work was done before that step.

    Args:
        work: a ``module:function`` that takes the arguments.
    """
    command = [sys.executable, "-m", "tests.support.dying", str(folder), work, *arguments]
    environment = {**os.environ, **_ONE_THREAD}
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, stdin=-1, stdout=-1, text=True
    ) as forking:
        requests, outcomes = forking.stdin, forking.stdout
        assert requests is not None
        assert outcomes is not None

        def die(at_step: int) -> int | None:
            requests.write(f"{at_step}\n")
            requests.flush()
            code = int(outcomes.readline())
            assert code <= 0, "the work failed by itself"
            return -code or None

        yield die


def main() -> None:
    folder, work, *arguments = sys.argv[1:]
    module, _, name = work.partition(":")
    function = getattr(import_module(module), name)
    for heavy in _HEAVY:
        import_module(heavy)
    detect_language("What tells languages apart is loaded by now.")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(lambda: function(*arguments), folder, int(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _work(work: Callable[[], object], folder: str, at_step: int) -> None:
    steps = 0

    def kill_at_step(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal steps
        if event == "open" and not int(str(arguments[2])) & _WRITING:
            return
        if event in STEPS and folder in str(arguments[0]):
            steps += 1
            if steps == at_step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at_step)
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
