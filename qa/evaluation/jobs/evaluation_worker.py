"""The parts of an evaluation that would keep a server from answering, done in a process of their own.

``python -m qa.evaluation.jobs.evaluation_worker prepare|finish FOLDER`` works on the folder of one job: ``prepare`` finds the
judgments of ``request.json`` in the snapshot and writes ``judged.json``; ``finish`` measures what was asked and writes
the run. ``compare FOLDER BASELINE`` compares the runs of two jobs, and writes into the first one's folder. The server's
settings come in as a JSON object, and are never written down. What is wrong is printed as one JSON object that a client
may see, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from qa.errors import (
    EvaluationError,
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
from qa.evaluation.jobs.evaluation_jobs import QUESTIONS, Request
from qa.evaluation.run_files import read_json, write_atomically
from qa.evaluation.run_values import judged_question, options_of

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
        "qa.evaluation.jobs.evaluation_worker",
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
    from qa.evaluation.evaluating import judge
    from qa.questions.question_files import parse_questions
    from qa.settings import Settings

    request = Request.read(folder)
    data = (folder / QUESTIONS).read_bytes()
    questions = parse_questions(request.name, data, request.format, keep_going=request.keep_going)  # type: ignore[arg-type]
    settings = Settings.model_validate(values)
    judged = judge(settings, questions, options_of(request.options), request.snapshot, keep_going=request.keep_going)
    write_atomically(folder / JUDGED, json.dumps(asdict(judged), ensure_ascii=False))


def read_judged(folder: Path) -> Any:
    """The :class:`qa.evaluation.evaluating.Judged` that ``prepare`` wrote."""
    from qa.evaluation.evaluating import Judged
    from qa.evaluation.evaluation import Inputs

    values = read_json(folder / JUDGED)
    return Judged(
        inputs=Inputs(**{**values["inputs"], "options": options_of(values["inputs"]["options"])}),
        questions=tuple(map(judged_question, values["questions"])),
        faults=tuple(Fault(**fault) for fault in values["faults"]),
    )


def _finish(folder: Path) -> None:
    from qa.evaluation.evaluating import assemble, write
    from qa.evaluation.run_files import RunFolder
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
    from qa.evaluation.comparing import compare
    from qa.evaluation.comparison_report import comparison_page, comparison_values
    from qa.evaluation.run_files import load_run

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
