"""The commands ``qa evaluate``, ``qa compare``, ``qa gate`` and ``qa calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from qa.cli.flags import (
    DEFAULT_MARGIN,
    IndexesFlag,
    MarginFlag,
    MaxErrorFlag,
    ModeFlag,
    ModelFlag,
    NameFlag,
    NoAnswerFlag,
    RerankFlag,
    load_settings,
)
from qa.errors import QAError, SettingsError
from qa.extras import require
from qa.markup import safe_line

if TYPE_CHECKING:
    from qa.answers.calibration import Calibration
    from qa.answers.calibration import Model as FittedModel
    from qa.build.update import UpdateGate
    from qa.cli.progress import IndexingProgress
    from qa.questions.questions import QuestionSet
    from qa.settings import Settings

GATE_EXIT_CODES = {"passed": 0, "worse": 1, "cannot tell": 2}
# Wrong usage, or folders without runs that can be compared.
GATE_EXIT_ERROR = 3

FormatFlag = Annotated[
    Literal["jsonl", "csv", "tsv", "squad", "beir", "trec"] | None,
    typer.Option("--format", help="The file's format, if its name does not say."),
]
MeasuresFlag = Annotated[
    list[str] | None, typer.Option("--measure", help="Judge by this measure, such as passages.RR@10; repeatable.")
]


class GateCommand(TyperCommand):
    """A command that ends with a code of its own on wrong usage, because 2 means that the gate cannot tell."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except Exception as error:
            if hasattr(error, "exit_code") and error.exit_code == 2:
                error.exit_code = GATE_EXIT_ERROR
            raise


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(evaluate)
    app.command()(compare)
    app.command(cls=GateCommand)(gate)
    app.command()(calibrate)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A question file, or a BEIR or TREC folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the run; it is made if missing.")],
    name: NameFlag = None,
    indexes: IndexesFlag = None,
    model: ModelFlag = None,
    snapshot: Annotated[str | None, typer.Option(help="Ask this snapshot instead of the active one.")] = None,
    mode: ModeFlag = "hybrid",
    top_k: Annotated[int, typer.Option(help="How many passages to ask for.")] = 20,
    rerank: RerankFlag = False,
    max_error: MaxErrorFlag = None,
    no_answer: NoAnswerFlag = False,
    format: FormatFlag = None,
    qrels: Annotated[Path | None, typer.Option(help="The judgments of TREC topics, if they lie elsewhere.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave out faulty records, and list them.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another run in the folder.")] = False,
) -> None:
    """Ask the questions of a file, measure the replies, and write run.json, run.trec, questions.csv and report.html.

    After an interruption the same command continues where it was.
    """
    require("serve", "qa evaluate")
    from rich.console import Console

    from qa.cli.progress import EvaluationProgress, counted, show_summary
    from qa.evaluation.evaluate import evaluate_questions, judge
    from qa.evaluation.outcomes import AskingOptions
    from qa.evaluation.runs import REPORT_FILE, WRITTEN
    from qa.files import is_same_file
    from qa.questions.formats import load_questions

    settings = load_settings(name=name, indexes=indexes, model=model)
    for given in filter(None, (file, qrels)):
        if any(is_same_file(given, output / written) for written in WRITTEN):
            raise SettingsError(f"the run in {output} would replace {given}; give --output another folder")
    questions = load_questions(file, format, qrels=qrels, keep_going=keep_going)
    options = AskingOptions(mode, top_k, rerank, not no_answer, max_error)
    judged = judge(settings, questions, options, snapshot, keep_going=keep_going)
    with EvaluationProgress() as progress:
        evaluation, summary = evaluate_questions(settings, judged, output, progress, force=force)
    console = Console(soft_wrap=True)
    show_summary(evaluation, summary, console)
    asked = counted(len(evaluation.outcomes), "question")
    typer.echo(f"{asked} in {evaluation.seconds:.1f} s; report: {output / REPORT_FILE}")


def compare(
    baseline: Annotated[Path, typer.Argument(metavar="DIR_A", help="The folder of the run to compare with.")],
    candidate: Annotated[Path, typer.Argument(metavar="DIR_B", help="The folder of the other run.")],
    measure: Annotated[str | None, typer.Option(help="Judge by this measure, such as passages.RR@10.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; compared.html in DIR_B by default.")
    ] = None,
) -> None:
    """Say for each measure whether a run is better, worse, not found to differ, or has too few questions to tell."""
    require("serve", "qa compare")
    from rich.console import Console

    from qa.cli.progress import show_comparison
    from qa.evaluation.comparison import compare_runs
    from qa.evaluation.report import comparison_page
    from qa.evaluation.runs import RUN_FILE, load_run
    from qa.files import is_same_file, write_atomically

    for folder in (baseline, candidate):
        if output and any(is_same_file(output, path) for path in (folder, folder / RUN_FILE)):
            raise SettingsError(f"--output {output} is one of the runs; give the page another name")
    comparison = compare_runs(load_run(baseline), load_run(candidate), measure)
    path = output or (candidate if candidate.is_dir() else candidate.parent) / "compared.html"
    write_atomically(path, comparison_page(comparison))
    show_comparison(comparison, Console(soft_wrap=True))
    typer.echo(f"Both rankings of each question: {path}")


def gate(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE_DIR", help="The run to be held to.")],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE_DIR", help="The run that would replace it.")],
    margin: MarginFlag = DEFAULT_MARGIN,
    measure: MeasuresFlag = None,
) -> None:
    """Pass if the candidate loses less than the margin, with confidence.

    Exit codes: 0 passed, 1 worse, 2 the questions cannot tell, 3 the runs cannot be compared.
    """
    require("serve", "qa gate")
    from qa.cli.progress import counted
    from qa.evaluation.comparison import check_gate
    from qa.evaluation.runs import load_run

    try:
        result = check_gate(load_run(baseline), load_run(candidate), margin=margin, measures=measure or ())
    except QAError as error:
        typer.echo(safe_line(f"qa: error: {error}"), err=True)
        raise typer.Exit(GATE_EXIT_ERROR) from error
    for note in result.notes:
        typer.echo(safe_line(note))
    for check in result.checks:
        questions = counted(check.difference.estimate.n, "question")
        typer.echo(safe_line(f"{check.outcome}: {check.name} of {questions}: {check.reason}"))
    typer.echo(f"Gate: {result.outcome}.")
    raise typer.Exit(GATE_EXIT_CODES[result.outcome])


def load_gate_questions(path: Path) -> QuestionSet:
    """Load the questions of ``qa index --gate``, before anything is built."""
    from qa.questions.formats import load_questions

    return load_questions(path)


def make_snapshot_gate(
    settings: Settings, questions: QuestionSet | None, progress: IndexingProgress, margin: float
) -> UpdateGate | None:
    """Make the gate of ``qa index --gate``; ``None`` if there are no questions."""
    if questions is None:
        return None
    from qa.evaluation.evaluate import NewSnapshotGate
    from qa.evaluation.outcomes import AskingOptions

    return NewSnapshotGate(settings, questions, AskingOptions(), progress.stage, margin)


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A question file; some should have no answer.")],
    name: NameFlag = None,
    indexes: IndexesFlag = None,
    model: ModelFlag = None,
) -> None:
    """Fit the confidence of answers to judged questions, and say which error can be promised.

    Half of the questions are fitted to; the other half measures and certifies. The result lies beside the index, in
    calibration.json, and a running server takes it within seconds.
    """
    require("serve", "qa calibrate")
    from qa.evaluation.calibrate import calibrate_index
    from qa.questions.formats import load_questions

    settings = load_settings(name=name, indexes=indexes, model=model)
    questions = load_questions(file)
    path, calibration = calibrate_index(settings, questions)
    has_refusals = any(question.answerable is False for question in questions.questions)
    for line in describe_calibration(calibration, has_refusals=has_refusals):
        typer.echo(safe_line(line))
    typer.echo(f"Written: {path}")
    for line in describe_way_back(calibration, path):
        typer.echo(safe_line(line), err=True)


def describe_way_back(calibration: Calibration, path: Path) -> list[str]:
    """Say in lines how to return to the calibration that ships, and warn of one that was measured on few questions."""
    from qa.answers.calibration import LEAST_MEASURED

    held_out = min(model.measured.n for model in calibration.models)
    lines = [f"To go back to the calibration that ships, remove {path}."]
    if held_out < LEAST_MEASURED:
        lines.insert(
            0,
            f"Warning: only {held_out} questions were held out, so confidence rests on little and hardly any error can "
            f"be promised; {2 * LEAST_MEASURED} questions or more would measure it.",
        )
    return lines


def describe_calibration(calibration: Calibration, *, has_refusals: bool = True) -> list[str]:
    """Say in lines for a person what was measured and what can be promised.

    Args:
        has_refusals: whether some of the questions have no answer; without them nothing is certified.
    """
    lines = [
        line
        for model in calibration.models
        for line in (_describe_measured(model), *(_describe_promises(model) if has_refusals else ()))
    ]
    if has_refusals:
        return lines
    return [
        *lines,
        "Nothing is certified of refusals: no question of the file is said to have no answer. Which questions are "
        'refused stays as it was. Add some with "answerable": false to measure and certify it.',
    ]


def _describe_measured(model: FittedModel) -> str:
    measured = model.measured
    auroc = "" if measured.auroc is None else f", AUROC {measured.auroc:.3f}"
    return (
        f"{model.regime}: fitted to {model.n:,} questions; of {measured.n:,} held out, {measured.accuracy:.0%} are "
        f"answered right{auroc}, calibration error {measured.calibration_error:.3f}"
    )


def _describe_promises(model: FittedModel) -> list[str]:
    from qa.statistics.risk import least_error

    lines, measured = [], model.measured
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
        "even if all answers were right"
    )
    return lines
