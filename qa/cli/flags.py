"""The flags that several commands have, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qa.settings import Settings

Name = Annotated[str | None, typer.Option("--name", help="The index; 'seeds' if neither this nor QA_NAME is given.")]
Indexes = Annotated[Path | None, typer.Option("--indexes", help="The folder that holds all indexes.")]
Model = Annotated[str | None, typer.Option("--model", help="The model's folder, or its name on a hub.")]


def settings_of(**flags: Any) -> Settings:
    """Settings from the environment, under the flags that were given. Raises SettingsError."""
    from qa.settings import load_settings

    return load_settings(**flags)
