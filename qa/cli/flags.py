"""The flags that several commands have, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qa.types import Mode

if TYPE_CHECKING:
    from qa.settings import Settings

DEFAULT_MARGIN = 0.02

NameFlag = Annotated[
    str | None, typer.Option("--name", help="The index; 'seeds' if neither this nor QA_NAME is given.")
]
IndexesFlag = Annotated[Path | None, typer.Option("--indexes", help="The folder that holds all indexes.")]
ModelFlag = Annotated[
    str | None, typer.Option("--model", help="accurate or multilingual (qa models list), a folder, or a name on a hub.")
]
ModeFlag = Annotated[Mode, typer.Option("--mode", help="Search by meaning (dense), by words (lexical), or both.")]
RerankFlag = Annotated[
    bool, typer.Option("--rerank", help="Order the passages by the cross-encoder that QA_RERANKER names.")
]


def _check_max_error(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not above 0 and below 1, such as 0.2")
    return value


MaxErrorFlag = Annotated[
    float | None,
    typer.Option(
        "--max-error",
        callback=_check_max_error,
        help="How often an answer may be wrong, such as 0.2; by default what QA_MAX_ERROR says.",
    ),
]
NoAnswerFlag = Annotated[bool, typer.Option("--no-answer", help="Search only: passages, and no answer.")]
MarginFlag = Annotated[float, typer.Option("--margin", help="The largest loss that still passes, from 0 to 1.")]


def load_settings(**flags: Any) -> Settings:
    """Read the settings from the environment; flags that are not ``None`` override them.

    What the process writes from now on is for those who may read it by the settings.

    Raises:
        SettingsError: a variable or a flag is wrong.
    """
    from qa.files import limit_access
    from qa.settings import load_settings as load

    settings = load(**flags)
    limit_access(settings.access)
    return settings
