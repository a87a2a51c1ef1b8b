"""The process that works on an evaluation behind a server, or compares two, so that the server can go on answering.

``python -m qa.evaluation.jobs.worker evaluate FOLDER`` does for the folder of one job what ``qa evaluate`` does, and
keeps how far it is in the job's ``state.json``; ``compare FOLDER BASELINE`` compares the runs of two jobs, and writes
into the first one's folder. The server's settings come in as a JSON object, and are never written down. An error is
printed as one JSON object that a client may see, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, AnyStr, Literal

import structlog

from qa.errors import (
    CalibrationChanged,
    Fault,
    QAError,
    QueryError,
    QuestionFileError,
    RunError,
    SnapshotError,
    SnapshotIncompatible,
    SnapshotNotFound,
    StorageError,
)
from qa.evaluation.jobs.jobs import QUESTIONS, RUN, Jobs, Request, TaskFailed, comparison_files
from qa.evaluation.outcomes import EvaluationListener
from qa.evaluation.runs import load_run, parse_options
from qa.files import write_atomically
from qa.models.loading import EncoderFactory, make_encoder

MODULE = "qa.evaluation.jobs.worker"
Task = Literal["evaluate", "compare"]
_UNKNOWN = "it could not be computed; the server's log says why"
# Seconds: between two looks whether a task is over, between two notes of how far a job is, and for a worker whose
# server has died to notice that.
_CHECK_EVERY = 0.1
_KEEP_EVERY = 0.5
_WAIT_FOR_OTHER = 60.0


def start(task: Task, *folders: Path, module: str = MODULE) -> subprocess.Popen[str]:
    """Start a task in a process of low priority."""
    command = [sys.executable, "-m", module, task, *(str(folder.absolute()) for folder in folders)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def wait_for_end(process: subprocess.Popen[str], settings: Mapping[str, Any], check: Callable[[], None]) -> None:
    """Give a task the server's settings (as JSON values), and wait for its end.

    Args:
        check: called several times a second; what it raises ends the task.

    Raises:
        TaskFailed: the task ended in an error.
    """
    out = communicate(process, json.dumps(settings), check)
    if process.returncode == 0:
        return
    try:
        failure = json.loads(out.splitlines()[-1])
        raise TaskFailed(failure["message"], [Fault(**fault) for fault in failure["faults"]])
    except (ValueError, LookupError, TypeError):
        raise TaskFailed(_UNKNOWN) from None


def communicate(process: subprocess.Popen[AnyStr], sent: AnyStr, check: Callable[[], None]) -> AnyStr:
    """Send a process its standard input, and return its standard output once it has ended.

    Args:
        check: called several times a second; what it raises ends the process.
    """
    assert process.stdin is not None
    pipe, process.stdin = process.stdin, None

    def send() -> None:
        # A process that ends before it has read all is none that hangs.
        with suppress(OSError), pipe:
            pipe.write(sent)

    # In a thread: after a timeout, Popen.communicate sends nothing more of what does not fit into the pipe.
    sending = threading.Thread(target=send, daemon=True, name="send")
    sending.start()
    try:
        while True:
            try:
                return process.communicate(timeout=_CHECK_EVERY)[0]
            except subprocess.TimeoutExpired:  # what it has read before is not lost
                check()
    except BaseException:
        process.kill()
        with process:  # It closes the pipe, and waits.
            raise
    finally:
        sending.join()


def took_too_long(seconds: float) -> TaskFailed:
    """Return the error of a task that has computed for more than ``seconds``."""
    return TaskFailed(
        f"it took more than {seconds:g} s to compute; send fewer questions, or have the server's "
        "QA_MAX_EVALUATION_SECONDS raised"
    )


def public_reason(error: Exception) -> str:
    """Return why an evaluation failed in words for clients, which name no path of this machine."""
    match error:
        case TaskFailed() | QuestionFileError() | QueryError() | SnapshotIncompatible():
            return str(error)
        case SnapshotNotFound():
            return "the snapshot that it was submitted for has been removed since; submit it again"
        case SnapshotError():
            return "the snapshot that it was submitted for cannot be used; the server's log says why"
        case StorageError() | OSError():
            return "the server's disk is full, or cannot be read or written; the server's log says more"
        case _:
            return _UNKNOWN


def is_public(error: Exception) -> bool:
    """Return whether :func:`public_reason` says everything that the log should say."""
    return public_reason(error) == str(error)


class JobListener(EvaluationListener):
    """A listener that keeps in its folder how far a job is, and ends the process if its server has died."""

    keep_every = _KEEP_EVERY

    def __init__(self, folder: Path) -> None:
        self._jobs = Jobs(folder.parent)
        self._job = replace(self._jobs.read(folder.name), status="preparing", detail="", faults=())
        self._kept_at = 0.0
        self._server = os.getppid()
        self._keep()

    def started(self, questions: int, done: int) -> None:
        self._job = replace(self._job, status="asking", questions=questions, asked=done)
        self._keep()

    def asked(self) -> None:
        self._job = replace(self._job, asked=self._job.asked + 1)
        if os.getppid() != self._server:
            raise SystemExit("the server that started this has ended")
        if time.monotonic() - self._kept_at >= self.keep_every:
            self._keep()

    def measuring(self) -> None:
        self._job = replace(self._job, status="measuring", asked=self._job.questions)
        self._keep()

    def done(self) -> None:
        """Note that the run is complete."""
        self._job = replace(self._job, status="done")
        self._keep()

    def _keep(self) -> None:
        self._jobs.keep(self._job)
        self._kept_at = time.monotonic()


def _evaluate(folder: Path, values: Mapping[str, Any], make: EncoderFactory, listener: type[JobListener]) -> None:
    from qa.evaluation.evaluate import evaluate_questions, judge
    from qa.questions.formats import parse_format, parse_questions
    from qa.settings import Settings

    with Jobs(folder.parent).working_lock().acquire(timeout=_WAIT_FOR_OTHER):
        progress = listener(folder)
        request = Request.read(folder)
        questions = parse_questions(
            request.name,
            (folder / QUESTIONS).read_bytes(),
            parse_format(request.name, request.format),
            keep_going=request.keep_going,
        )
        settings = Settings.model_validate(values)
        options = parse_options(request.options)
        judged = judge(settings, questions, options, request.snapshot, keep_going=request.keep_going)
        try:
            evaluate_questions(settings, judged, folder / RUN, progress, make=make)
        except CalibrationChanged:
            # The index was calibrated after the job was interrupted: half of it would be of each calibration.
            evaluate_questions(settings, judged, folder / RUN, progress, force=True, make=make)
        progress.done()


def _compare(folder: Path, baseline: Path) -> None:
    from qa.evaluation.comparison import compare_runs
    from qa.evaluation.report import comparison_page, comparison_values

    one, two = load_run(baseline / RUN), load_run(folder / RUN)
    try:
        comparison = compare_runs(one, two)
    except RunError as error:
        raise TaskFailed(str(error)) from error
    values, page = comparison_files(folder, baseline.name)
    write_atomically(page, comparison_page(comparison))
    write_atomically(values, json.dumps(comparison_values(comparison)))


def main(make: EncoderFactory = make_encoder, listener: type[JobListener] = JobListener) -> None:
    """Do the task that the command line names."""
    task, folder = sys.argv[1], Path(sys.argv[2])
    os.nice(19)
    # Standard output is for the error alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    values = json.load(sys.stdin)
    try:
        if task == "evaluate":
            _evaluate(folder, values, make, listener)
        elif task == "compare":
            _compare(folder, Path(sys.argv[3]))
        else:
            raise SystemExit(f"no task is called {task}")
    except (QAError, OSError) as error:
        if not is_public(error):
            sys.stderr.write(f"evaluation {folder.name}: {error}\n")
        faults = error.faults if isinstance(error, QuestionFileError) else ()
        failure = {"message": public_reason(error), "faults": [asdict(fault) for fault in faults[:100]]}
        sys.stdout.write(f"{json.dumps(failure)}\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
