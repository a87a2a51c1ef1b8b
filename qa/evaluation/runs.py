"""An evaluation on disk, complete or half done, and as files for other tools.

``run.json`` holds all of a run and is written last. Until then ``progress.jsonl`` grows by a line for each question.
The files for other tools are those of TREC for trec_eval and its kin, and a table of questions for a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from qa.errors import CalibrationChanged, RunError, StorageError
from qa.evaluation.measures import LEVELS, Level, Qrels, first_ranks, make_qrels, make_quote_topics, make_run
from qa.evaluation.outcomes import (
    AskingOptions,
    Evaluation,
    GivenAnswer,
    Inputs,
    PassageText,
    QuestionOutcome,
    RankedPassage,
)
from qa.evaluation.summary import Summary
from qa.files import write_atomically
from qa.markup import safe_cell
from qa.questions.questions import Evidence, JudgedQuestion
from qa.types import Scores, Span

Step = tuple[QuestionOutcome, Mapping[str, PassageText]]


def dump_outcome(outcome: QuestionOutcome) -> dict[str, Any]:
    """Return an outcome as JSON values."""
    values = asdict(outcome)
    for found in values["found"]:
        found["scores"] = {leg: score for leg, score in found["scores"].items() if score is not None}
    return values


def parse_inputs(values: dict[str, Any]) -> Inputs:
    """Return the inputs that were written as these JSON values."""
    return Inputs(**{**values, "options": parse_options(values["options"])})


def parse_options(values: Mapping[str, Any]) -> AskingOptions:
    """Return the options that were written as these JSON values."""
    return AskingOptions(**values)


def parse_step(values: dict[str, Any]) -> Step:
    """Return the step that was written as these JSON values."""
    return parse_outcome(values["outcome"]), {id: PassageText(**text) for id, text in values["texts"].items()}


def parse_outcome(values: dict[str, Any]) -> QuestionOutcome:
    """Return the outcome that was written as these JSON values."""
    answer = values["answer"]
    return QuestionOutcome(
        question=parse_judged_question(values["question"]),
        found=tuple(RankedPassage(**{**found, "scores": Scores(**found["scores"])}) for found in values["found"]),
        answer=None if answer is None else GivenAnswer(**{**answer, "span": answer["span"] and Span(**answer["span"])}),
        timings_ms=values["timings_ms"],
        error=values["error"],
    )


def parse_judged_question(values: dict[str, Any]) -> JudgedQuestion:
    """Return the question that was written as these JSON values."""
    evidence: Sequence[dict[str, Any]] = values["evidence"]
    return JudgedQuestion(
        **{
            **values,
            "evidence": tuple(Evidence(**{**one, "passages": tuple(one["passages"])}) for one in evidence),
            "answers": tuple(values["answers"]),
            "tags": tuple(values["tags"]),
        }
    )


FORMAT = 2
RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
_PROGRESS = "progress.jsonl"
_OTHER = "a run of other questions, another snapshot, another calibration or other options"
_WHAT_TO_DO = "take another folder, or give --force to replace it"


class RunFolder:
    """The folder of one evaluation, new, half done or finished.

    Args:
        force: drop the run that is in the folder.

    Raises:
        RunError: the folder holds another run; nothing was changed.
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, inputs: Inputs, *, force: bool = False) -> None:
        self.folder = folder
        self._inputs = inputs
        self._appending: IO[str] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
        if force:
            (folder / RUN_FILE).unlink(missing_ok=True)
            (folder / _PROGRESS).unlink(missing_ok=True)
        elif (folder / RUN_FILE).exists() and _header(folder / RUN_FILE) != asdict(inputs):
            raise RunError(f"{folder} holds {_OTHER}; {_WHAT_TO_DO}")

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds the complete run of these inputs."""
        return (self.folder / RUN_FILE).exists()

    def done(self) -> list[Step]:
        """Return the steps of earlier processes, in the order asked. A line that was cut off is dropped.

        Raises:
            CalibrationChanged: the steps have these inputs but for the calibration.
            RunError: the steps have other inputs.
        """
        path = self.folder / _PROGRESS
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        steps: list[Step] = []
        whole: list[str] = []
        for line in lines:
            try:
                value = json.loads(line)
                if whole:
                    steps.append(parse_step(value))
                elif value != asdict(self._inputs):
                    only_calibration = isinstance(value, dict) and _uncalibrated(value) == _uncalibrated(
                        asdict(self._inputs)
                    )
                    kind = CalibrationChanged if only_calibration else RunError
                    raise kind(f"{self.folder} holds half {_OTHER}; {_WHAT_TO_DO}")
            except (ValueError, KeyError, TypeError):
                break
            whole.append(line)
        write_atomically(path, "".join(f"{line}\n" for line in whole))
        return steps

    def append(self, step: Step) -> None:
        """Keep one outcome, in case this process is interrupted before it writes the run."""
        if self._appending is None:
            path = self.folder / _PROGRESS
            is_new = not path.exists() or path.stat().st_size == 0
            self._appending = path.open("a", encoding="utf-8")
            if is_new:
                self._appending.write(f"{_dumps(asdict(self._inputs))}\n")
        outcome, texts = step
        texts_of = {id: asdict(text) for id, text in texts.items()}
        self._appending.write(f"{_dumps({'outcome': dump_outcome(outcome), 'texts': texts_of})}\n")
        self._appending.flush()

    def close(self) -> None:
        """Close the file of steps."""
        if self._appending is not None:
            self._appending.close()
            self._appending = None

    def finish(self, evaluation: Evaluation, files: Mapping[str, str]) -> None:
        """Write ``files`` by name, and ``run.json`` last."""
        self.close()
        for name, content in files.items():
            write_atomically(self.folder / name, content)
        write_atomically(self.folder / RUN_FILE, dump_run(evaluation))
        (self.folder / _PROGRESS).unlink(missing_ok=True)


def dump_summary(summary: Summary) -> str:
    """Return ``summary.json``: the numbers alone. NaN becomes null, because JSON has no NaN."""
    values = asdict(summary)
    del values["values"]
    return json.dumps(_finite(values), ensure_ascii=False, indent=1)


def dump_run(evaluation: Evaluation) -> str:
    """Return ``run.json``: everything that a report, a comparison or a gate needs."""
    return _dumps(
        {
            "format": FORMAT,
            "inputs": asdict(evaluation.inputs),
            "created": evaluation.created,
            "seconds": evaluation.seconds,
            "left_out": list(evaluation.left_out),
            "outcomes": [dump_outcome(outcome) for outcome in evaluation.outcomes],
            "texts": {id: asdict(text) for id, text in evaluation.texts.items()},
        }
    )


def load_run(folder: Path) -> Evaluation:
    """Load the run of a folder, or a ``run.json`` itself.

    Raises:
        RunError: there is no run, or it is damaged or of another version.
    """
    path = folder if folder.is_file() else folder / RUN_FILE
    values = _read_run(path)
    try:
        return Evaluation(
            inputs=parse_inputs(values["inputs"]),
            outcomes=tuple(map(parse_outcome, values["outcomes"])),
            texts={id: PassageText(**text) for id, text in values["texts"].items()},
            left_out=tuple(values["left_out"]),
            created=values["created"],
            seconds=values["seconds"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); evaluate again") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object. Raises RunError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"there is no run in {path.parent}; make one with: qa evaluate FILE -o {path.parent}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); evaluate again") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object; evaluate again")
    return values


def _read_run(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise RunError(f"{path} was written by another version; evaluate again")
    return values


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _uncalibrated(inputs: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in inputs.items() if name != "calibration"}


def _header(path: Path) -> object:
    return _read_run(path).get("inputs")


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_SUFFIX: Mapping[Level, str] = {"passages": "", "documents": "-documents"}
# The names of all files that are written in the folder of a run.
WRITTEN = frozenset(
    {RUN_FILE, SUMMARY_FILE, REPORT_FILE, _PROGRESS, "questions.csv", "qrels-quotes.trec"}
    | {f"{kind}{suffix}.trec" for kind in ("run", "qrels") for suffix in _SUFFIX.values()}
)


def dump_tables(evaluation: Evaluation, values: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Return the contents of the files for other tools, by name.

    ``run.trec`` ranks passages and ``run-documents.trec`` documents, each with its qrels; ``qrels-quotes.trec`` has a
    topic for each quote. Scores are places counted from the end, because trec_eval sorts by score alone.
    """
    files = {"questions.csv": _format_questions(evaluation, values)}
    for level in LEVELS:
        run = make_run(evaluation.outcomes, level)
        files[f"run{_SUFFIX[level]}.trec"] = "".join(
            f"{_token(question)} Q0 {_token(id)} {rank} {score:.0f} qa\n"
            for question, ranked in run.items()
            for rank, (id, score) in enumerate(ranked.items(), start=1)
        )
        files[f"qrels{_SUFFIX[level]}.trec"] = _format_qrels(make_qrels(evaluation.outcomes, level))
    files["qrels-quotes.trec"] = _format_qrels(make_quote_topics(evaluation.outcomes)[0])
    return files


def _format_qrels(qrels: Qrels) -> str:
    return "".join(
        f"{_token(question)} 0 {_token(id)} {grade}\n"
        for question, grades in qrels.items()
        for id, grade in sorted(grades.items())
    )


def _token(id: str) -> str:
    """Escape white space as in a URL, because it separates the columns; ``%`` too, which marks an escape."""
    return "".join(quote(c, errors="replace") if c.isspace() or c == "%" else c for c in id)


def _format_questions(evaluation: Evaluation, values: Sequence[Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for each in values for name in each))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            "id",
            "question",
            "tags",
            "answerable",
            "failures",
            "first_rank",
            "answered",
            "confidence",
            "answer",
            "ms",
            *names,
        ]
    )
    for outcome, each in zip(evaluation.outcomes, values, strict=True):
        writer.writerow([*_cells(outcome), *(f"{each[name]:.6g}" if name in each else "" for name in names)])
    return out.getvalue()


def _cells(outcome: QuestionOutcome) -> Iterator[str]:
    question, answer = outcome.question, outcome.answer
    ranks = [rank for rank in first_ranks(outcome) if rank is not None]
    yield from map(safe_cell, (question.id, question.text, " ".join(question.tags)))
    yield "" if question.answerable is None else str(question.answerable).lower()
    yield "; ".join(outcome.failures)
    yield str(min(ranks)) if ranks else ""
    yield "" if answer is None else str(answer.answerable).lower()
    yield "" if answer is None or answer.confidence is None else f"{answer.confidence:.4f}"
    yield "" if answer is None else safe_cell(answer.text or "")
    yield f"{outcome.timings_ms['total']:.2f}" if "total" in outcome.timings_ms else ""
