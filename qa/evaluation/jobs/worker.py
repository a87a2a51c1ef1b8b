"""The parts of an evaluation that would keep a server from answering, done in a process of their own.

``python -m qa.evaluation.jobs.worker prepare|finish FOLDER`` works on the folder of one job: ``prepare`` finds the
judgments of ``request.json`` in the snapshot and writes ``judged.json``; ``finish`` measures what was asked and writes
the run. ``compare FOLDER BASELINE`` compares the runs of two jobs, and writes into the first one's folder. The server's
settings come in as a JSON object, and are never written down. What is wrong is printed as one JSON object that a client
may see, and the exit code is 1.

Two evaluations of a server compared: computed once, in another process, and kept beside the later of the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen
from typing import IO, Any, Literal, get_args

import structlog

from qa.errors import (
    EvaluationError,
    EvaluationNotFound,
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
from qa.evaluation.jobs.jobs import QUESTIONS, Jobs, Request
from qa.evaluation.runs import judged_question, options_of, read_json
from qa.files import write_atomically

JUDGED, RUN = "judged.json", "run"
Task = Literal["prepare", "finish", "compare"]
UNTOLD = "it could not be computed; the server's log says why"


class TaskFailed(EvaluationError):
    """``faults`` are those of the question file, where that is what was wrong."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


def start(task: Task, *folders: Path) -> subprocess.Popen[str]:
    """Begin a task in another process, which leaves the processor to everybody else."""
    command = [
        sys.executable,
        "-m",
        "qa.evaluation.jobs.worker",
        task,
        *(str(folder.absolute()) for folder in folders),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], settings: Mapping[str, Any], seconds: float) -> None:
    """Tell a task the server's settings (as JSON values), and wait for it at most ``seconds``. Raises TaskFailed."""
    try:
        out, _ = process.communicate(json.dumps(settings), timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise TaskFailed(
            f"it took more than {seconds:g} s to compute; send fewer questions, or have the server's "
            "QA_MAX_EVALUATION_SECONDS raised"
        ) from None
    if process.returncode == 0:
        return
    try:
        told = json.loads(out)
        raise TaskFailed(told["message"], [Fault(**fault) for fault in told["faults"]])
    except (ValueError, KeyError, TypeError):
        raise TaskFailed(UNTOLD) from None


def public_reason(error: Exception) -> str:
    """Why an evaluation failed, for clients, who learn no path of this machine."""
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
            return UNTOLD


def is_told_whole(error: Exception) -> bool:
    """Whether :func:`public_reason` leaves nothing out that the log should have."""
    return public_reason(error) == str(error)


def _prepare(folder: Path, values: Mapping[str, Any]) -> None:
    from qa.evaluation.evaluate import judge
    from qa.questions.formats import parse_questions
    from qa.settings import Settings

    request = Request.read(folder)
    data = (folder / QUESTIONS).read_bytes()
    questions = parse_questions(request.name, data, request.format, keep_going=request.keep_going)  # type: ignore[arg-type]
    settings = Settings.model_validate(values)
    judged = judge(settings, questions, options_of(request.options), request.snapshot, keep_going=request.keep_going)
    write_atomically(folder / JUDGED, json.dumps(asdict(judged), ensure_ascii=False))


def read_judged(folder: Path) -> Any:
    """The :class:`qa.evaluation.evaluate.Judged` that ``prepare`` wrote."""
    from qa.evaluation.evaluate import Judged
    from qa.evaluation.outcomes import Inputs

    values = read_json(folder / JUDGED)
    return Judged(
        inputs=Inputs(**{**values["inputs"], "options": options_of(values["inputs"]["options"])}),
        questions=tuple(map(judged_question, values["questions"])),
        faults=tuple(Fault(**fault) for fault in values["faults"]),
    )


def _finish(folder: Path) -> None:
    from qa.evaluation.evaluate import assemble, write
    from qa.evaluation.runs import RunFolder
    from qa.evaluation.summary import summarise

    judged = read_judged(folder)
    run = RunFolder(folder / RUN, judged.inputs)
    steps = run.done()
    evaluation = assemble(judged, steps, sum(outcome.timings_ms.get("total", 0.0) for outcome, _ in steps) / 1000)
    write(run, evaluation, summarise(evaluation))


def comparison_files(folder: Path, baseline: str) -> tuple[Path, Path]:
    """Of a job's comparison with another: the numbers, and the page. The numbers are written last."""
    return folder / f"compared-{baseline}.json", folder / f"compared-{baseline}.html"


def _compare(folder: Path, baseline: Path) -> None:
    from qa.evaluation.comparison import compare
    from qa.evaluation.report import comparison_page, comparison_values
    from qa.evaluation.runs import load_run

    one, two = load_run(baseline / RUN), load_run(folder / RUN)
    try:
        comparison = compare(one, two)
    except RunError as error:
        raise TaskFailed(str(error)) from error
    values, page = comparison_files(folder, baseline.name)
    write_atomically(page, comparison_page(comparison))
    write_atomically(values, json.dumps(comparison_values(comparison)))


def main() -> None:
    task, folder = sys.argv[1], Path(sys.argv[2])
    if task not in get_args(Task):
        raise SystemExit(f"no task is called {task}")
    os.nice(19)
    values = json.load(sys.stdin)
    try:
        if task == "prepare":
            _prepare(folder, values)
        elif task == "compare":
            _compare(folder, Path(sys.argv[3]))
        else:
            _finish(folder)
    except (QAError, OSError) as error:
        if not is_told_whole(error):
            sys.stderr.write(f"evaluation {folder.name}: {error}\n")
        faults = error.faults if isinstance(error, QuestionFileError) else ()
        told = {"message": public_reason(error), "faults": [asdict(fault) for fault in faults[:100]]}
        sys.stdout.write(json.dumps(told))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()


log = structlog.get_logger(__name__)

_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a comparison is. ``values`` are those of ``compared-….json`` once it is done; ``detail`` says why it
    failed."""

    status: Literal["computing", "done", "failed"]
    values: Mapping[str, Any] | None = None
    detail: str = ""


class Comparisons:
    """Thread-safe. One is computed at a time: the others begin when they are asked for again.

    Args:
        settings, seconds: as of :class:`qa.evaluation.jobs.queue.EvaluationQueue`.
    """

    def __init__(self, jobs: Jobs, settings: Mapping[str, Any], seconds: float) -> None:
        self._jobs, self._settings, self._seconds = jobs, dict(settings), seconds
        self._lock = threading.Lock()
        self._computing: tuple[str, str] | None = None
        self._process: Popen[str] | None = None
        self._is_stopped = False
        self._failed: dict[tuple[str, str], str] = {}

    def get(self, baseline: str, candidate: str) -> Compared:
        """What is known of it; it is begun where nothing is. Both are evaluations that are done."""
        folder, pair = self._jobs.path(candidate), (baseline, candidate)
        values, _ = comparison_files(folder, baseline)
        if values.exists():
            try:
                return Compared("done", read_json(values))
            except RunError:
                # Removed meanwhile, with its evaluation.
                raise _gone() from None
        with self._lock:
            if pair in self._failed:
                return Compared("failed", detail=self._failed.pop(pair))
            if self._computing is None and not self._is_stopped:
                threading.Thread(target=self._compute, args=pair, daemon=True, name="compare").start()
                self._computing = pair
        return Compared("computing")

    def report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Both rankings of every question that changed, as one HTML file. Raises EvaluationNotFound before it is
        done."""
        _, page = comparison_files(self._jobs.path(candidate), baseline)
        try:
            return page.open("rb")
        except OSError:
            raise _gone() from None

    def stop(self) -> None:
        """What is being computed is given up."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _compute(self, baseline: str, candidate: str) -> None:
        detail = ""
        try:
            with self._lock:
                if self._is_stopped:
                    return
                process = start("compare", self._jobs.path(candidate), self._jobs.path(baseline))
                self._process = process
            ended(process, self._settings, self._seconds)
        except Exception as error:  # whatever it is: the next comparison is nobody's fault
            detail = public_reason(error)
            if not is_told_whole(error) and not self._is_stopped:
                unforeseen = None if isinstance(error, QAError) else error
                log.error("comparison failed", reason=str(error), exc_info=unforeseen)
        with self._lock:
            self._computing = self._process = None
            if detail:
                # Told once, to whoever asks next; then it is tried again.
                self._failed[baseline, candidate] = detail
                while len(self._failed) > _REMEMBERED:
                    del self._failed[next(iter(self._failed))]


def _gone() -> EvaluationNotFound:
    return EvaluationNotFound("these two have not been compared, or one of them has been removed")
