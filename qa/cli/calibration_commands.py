"""``qa calibrate``: what confidence and which error a collection's own questions allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qa.answers.calibration import Calibration, Model


def register(app: typer.Typer) -> None:
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
    from qa.evaluation import calibrating
    from qa.questions.question_files import load_questions
    from qa.settings import load_settings

    settings = load_settings(name=name, indexes=indexes, model=model)
    path, calibration = calibrating.calibrate_index(settings, load_questions(file))
    for line in told(calibration):
        typer.echo(line)
    typer.echo(f"Written: {path}")


def told(calibration: Calibration) -> list[str]:
    """What was measured and what can be promised, for a person."""
    return [line for model in calibration.models for line in _of_model(model)]


def _of_model(model: Model) -> list[str]:
    from qa.statistics.risk_control import least_error

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
