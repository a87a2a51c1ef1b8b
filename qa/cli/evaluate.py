"""The commands ``qa evaluate``, ``qa compare`` and ``qa gate``.

``qa calibrate``: what confidence and which error a collection's own questions allow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from qa.cli.flags import Indexes, Model, Name
from qa.errors import QAError
from qa.types import Mode

if TYPE_CHECKING:
    from qa.answers.calibration import Calibration
    from qa.answers.calibration import Model as FittedModel
    from qa.cli.progress import IndexingProgress
    from qa.evaluation.evaluate import NewSnapshotGate
    from qa.questions.questions import QuestionSet
    from qa.settings import Settings

# As in qa.evaluation.comparison, which is not imported for them: qa --help must answer at once.
_EXIT_ERROR = 3
_MARGIN = 0.02

FileFormat = Annotated[
    Literal["jsonl", "csv", "tsv", "squad", "beir", "trec"] | None,
    typer.Option("--format", help="The format, where the name of the file does not say it."),
]
Measures = Annotated[
    list[str] | None, typer.Option("--measure", help="Judge by this measure, such as passages.RR@10; repeatable.")
]


class GateCommand(TyperCommand):
    """Wrong usage has an exit code of its own here: 2 means that it cannot be told."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except Exception as error:
            if hasattr(error, "exit_code") and error.exit_code == 2:
                error.exit_code = _EXIT_ERROR
            raise


def register_evaluation(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(evaluate)
    app.command()(compare)
    app.command(cls=GateCommand)(gate)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A question file, or a BEIR or TREC folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the run; made if missing.")],
    name: Name = None,
    indexes: Indexes = None,
    model: Model = None,
    snapshot: Annotated[str | None, typer.Option(help="Ask this snapshot and not the active one.")] = None,
    mode: Annotated[Mode, typer.Option(help="Which legs search.")] = "hybrid",
    top_k: Annotated[int, typer.Option(help="How many passages to ask for.")] = 20,
    rerank: Annotated[bool, typer.Option("--rerank", help="Order what was found anew by the cross-encoder.")] = False,
    format: FileFormat = None,
    qrels: Annotated[Path | None, typer.Option(help="Judgments of TREC topics, if they lie elsewhere.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave out what is wrong, and say what.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another run in the folder.")] = False,
) -> None:
    """Ask the questions of a file, measure the replies, and write run.json, run.trec, questions.csv and report.html.

    Interrupted, the same command goes on from where it was.
    """
    from rich.console import Console

    from qa.cli.progress import EvaluationProgress, show_summary
    from qa.evaluation import evaluate as evaluating
    from qa.evaluation.outcomes import Options
    from qa.evaluation.runs import REPORT_FILE
    from qa.questions.formats import load_questions
    from qa.settings import load_settings

    settings = load_settings(name=name, indexes=indexes, model=model)
    questions = load_questions(file, format, qrels=qrels, keep_going=keep_going)
    judged = evaluating.judge(settings, questions, Options(mode, top_k, rerank), snapshot, keep_going=keep_going)
    with EvaluationProgress() as progress:
        evaluation, summary = evaluating.evaluate(settings, judged, output, progress, force=force)
    console = Console(soft_wrap=True)
    show_summary(evaluation, summary, console)
    typer.echo(f"{len(evaluation.outcomes):,} questions in {evaluation.seconds:.1f} s; report: {output / REPORT_FILE}")


def compare(
    baseline: Annotated[Path, typer.Argument(metavar="DIR_A", help="The folder of the run to compare with.")],
    candidate: Annotated[Path, typer.Argument(metavar="DIR_B", help="The folder of the other run.")],
    measure: Annotated[str | None, typer.Option(help="Judge by this measure, such as passages.RR@10.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; compared.html in DIR_B by default.")
    ] = None,
) -> None:
    """Say of each measure whether a run is better, worse, not found to differ, or has too few questions to tell."""
    from rich.console import Console

    from qa.cli.progress import show_comparison
    from qa.evaluation.comparison import compare as compared
    from qa.evaluation.report import comparison_page
    from qa.evaluation.runs import load_run
    from qa.files import write_atomically

    comparison = compared(load_run(baseline), load_run(candidate), measure)
    path = output or (candidate if candidate.is_dir() else candidate.parent) / "compared.html"
    write_atomically(path, comparison_page(comparison))
    show_comparison(comparison, Console(soft_wrap=True))
    typer.echo(f"Both rankings of each: {path}")


def gate(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE_DIR", help="The run that must be held.")],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE_DIR", help="The run that is to replace it.")],
    margin: Annotated[float, typer.Option(help="How much worse is still no worse.")] = _MARGIN,
    measure: Measures = None,
) -> None:
    """Let a change pass if it is not worse, with confidence.

    Exit codes: 0 not worse by the margin or more, 1 worse, 2 it cannot be told, 3 it could not be tried.
    """
    from qa.evaluation.comparison import EXIT_CODES
    from qa.evaluation.comparison import gate as gated
    from qa.evaluation.runs import load_run
    from qa.markup import safe_line

    try:
        result = gated(load_run(baseline), load_run(candidate), margin=margin, measures=measure or ())
    except QAError as error:
        typer.echo(f"qa: error: {safe_line(str(error))}", err=True)
        raise typer.Exit(_EXIT_ERROR) from error
    for note in result.notes:
        typer.echo(safe_line(note))
    for check in result.checks:
        typer.echo(f"{check.outcome}: {check.name} of {check.difference.estimate.n:,} questions: {check.reason}")
    typer.echo(f"Gate: {result.outcome}.")
    raise typer.Exit(EXIT_CODES[result.outcome])


def load_gate_questions(path: Path) -> QuestionSet:
    """The questions of ``qa index --gate``, read before anything is built."""
    from qa.questions.formats import load_questions

    return load_questions(path)


def new_snapshot_gate(
    settings: Settings, questions: QuestionSet | None, progress: IndexingProgress, margin: float
) -> NewSnapshotGate | None:
    """What ``qa index --gate`` asks of a new snapshot; nothing where there are no questions."""
    if questions is None:
        return None
    from qa.evaluation.evaluate import NewSnapshotGate
    from qa.evaluation.outcomes import Options

    return NewSnapshotGate(settings, questions, Options(), progress, margin)


def register_calibration(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(calibrate)


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A question file; some should have no answer.")],
    name: Annotated[str | None, typer.Option("--name", help="The index; 'seeds' by default.")] = None,
    indexes: Annotated[Path | None, typer.Option("--indexes", help="The folder that holds all indexes.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model's folder, or its name on a hub.")] = None,
) -> None:
    """Fit the confidence of answers to judged questions, and say what error can be promised from that many.

    Half of the questions are fitted to; the other half measures and certifies. The result lies beside the index, in
    calibration.json, and a running server takes it within seconds.
    """
    from qa.evaluation import calibrate as calibrating
    from qa.questions.formats import load_questions
    from qa.settings import load_settings

    settings = load_settings(name=name, indexes=indexes, model=model)
    path, calibration = calibrating.calibrate_index(settings, load_questions(file))
    for line in told(calibration):
        typer.echo(line)
    typer.echo(f"Written: {path}")


def told(calibration: Calibration) -> list[str]:
    """What was measured and what can be promised, for a person."""
    return [line for model in calibration.models for line in _of_model(model)]


def _of_model(model: FittedModel) -> list[str]:
    from qa.statistics.risk import least_error

    measured = model.measured
    auroc = "" if measured.auroc is None else f", AUROC {measured.auroc:.3f}"
    lines = [
        f"{model.regime}: fitted to {model.n:,} questions; of {measured.n:,} held out, {measured.accuracy:.0%} are "
        f"answered right{auroc}, calibration error {measured.calibration_error:.3f}"
    ]
    for promise in model.promises:
        lines.append(
            f"  wrong at most {promise.error:.0%} of the time: certified; {promise.answered:,} of {promise.n:,} are "
            f"answered, {promise.wrong:,} of them wrong"
        )
    best = min((promise.error for promise in model.promises), default=None)
    if best is None:
        lines.append(f"  no error can be certified from {measured.n:,} held-out questions")
    else:
        lines.append(f"  an error below {best:.0%} was not certified")
    lines.append(
        f"  with {measured.n:,} held-out questions an error below {least_error(measured.n):.1%} cannot be certified, "
        "even if all were right"
    )
    return lines
