"""``qa models list`` and ``qa models convert``: the encoders that packages carry."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from qa.cli.flags import IndexesFlag, load_settings
from qa.extras import require
from qa.markup import safe_line

if TYPE_CHECKING:
    from qa.models.catalogue import Figures, OfferedModel

models_app = typer.Typer(
    help="List the models that packages carry, and make them usable.", no_args_is_help=True, rich_markup_mode=None
)


@models_app.command("list")
def list_models(indexes: IndexesFlag = None) -> None:
    """List the models that --model takes by a word: languages, licence, quality and cost, and what to type for each.

    * marks the one that is used by default. How they were measured: benchmarks/README.md.
    """
    require("serve", "qa models list")
    from qa.models.catalogue import OFFERED, read_figures
    from qa.models.compiled import MODELS_FOLDER

    folder = load_settings(indexes=indexes).indexes / MODELS_FOLDER
    figures = read_figures()
    for offered in OFFERED:
        for line in _describe(offered, figures.get(offered.name), folder):
            typer.echo(safe_line(line))
        typer.echo("")
    typer.echo("Any other sentence-transformers model: --model FOLDER. Each index is of one model.")


_STATES = {"ready": "ready", "convertible": "installed, not converted", "absent": "not installed"}


def _describe(offered: OfferedModel, figures: Figures | None, folder: Path) -> Iterator[str]:
    from qa.models.catalogue import state_of, what_to_type

    mark = "*" if offered.is_default else " "
    called = offered.name if offered.is_default else f"{offered.word}  {offered.name}"
    yield f"{mark} {called}  {_STATES[state_of(offered, folder)]}"
    languages = "English" if offered.languages == ("en",) else f"{len(offered.languages)} languages"
    yield f"    languages  {languages}"
    yield f"    licence    {offered.licence}, {offered.megabytes:,} MB to download"
    if figures is not None:
        found = ", ".join(f"{fmean(values):.3f} in {languages}" for languages, values in figures.by_languages())
        yield f"    finds      nDCG@10 {found}"
        yield f"    answers    token F1 {fmean(figures.f1.values()):.3f} in English"
        yield (
            f"    costs      {figures.search_ms:.0f} ms a search, {figures.passage_ms:.0f} ms a passage indexed, "
            f"{figures.memory_mb:,.0f} MB of memory"
        )
    for at, command in enumerate(what_to_type(offered, folder)):
        yield f"    {'' if at else 'to use it':9}  {command}"


@models_app.command()
def convert(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="accurate or multilingual.")],
    indexes: IndexesFlag = None,
) -> None:
    """Make a model of its installed packages, into the folder of all indexes, for --model to use.

    The packages' files are checked against known sums. They are not needed afterwards.
    """
    require("serve", "qa models convert")
    from qa.models.compiled import MODELS_FOLDER
    from qa.models.conversion import convert as convert_model

    settings = load_settings(indexes=indexes)
    typer.echo("Converting (some seconds) …", err=True)
    folder = convert_model(model, settings.indexes / MODELS_FOLDER)
    where = "" if indexes is None else f" --indexes {shlex.quote(str(indexes))}"
    typer.echo(safe_line(f"{folder.name} is in {folder}. To use it: qa index PATH... --model {model}{where}"))
