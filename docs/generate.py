"""Generator of docs/settings.md and docs/commands.md from the code; ``--check`` only says whether they are current."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer.main
from pydantic_core import PydanticUndefined

from qa.cli.main import app
from qa.settings import Settings

DOCS = Path(__file__).parent


def settings_page() -> str:
    """Write the table of all settings."""
    lines = [
        "# Settings",
        "",
        "Environment variables; where a command has a flag of the same name, the flag wins. An unknown `QA_*` variable "
        "or a wrong value is an error that names it. Made by `make docs` from `qa/settings.py`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "see there" if field.default is PydanticUndefined else f"`{field.default}`"
        bounds = [f"{_sign(bound)} {_value(bound)}" for bound in field.metadata if _sign(bound)]
        meaning = (field.description or "") + (f" ({', '.join(bounds)})" if bounds else "")
        lines.append(f"| `QA_{name.upper()}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _sign(bound: object) -> str:
    return {"Ge": "at least", "Le": "at most"}.get(type(bound).__name__, "")


def _value(bound: Any) -> object:
    return getattr(bound, "ge", None) if hasattr(bound, "ge") else bound.le


def commands_page() -> str:
    """Write the help of every command."""
    lines = [
        "# Commands",
        "",
        "Made by `make docs` from `qa/cli/main.py`. Exit codes: 0 done, 1 an error, said in one line,",
    ]
    lines += ["2 wrong usage, 130 interrupted, 143 ended by SIGTERM. `qa gate` has its own, see there.", ""]
    command = typer.main.get_command(app)
    with typer.Context(command, info_name="qa", terminal_width=80, **command.context_settings) as context:
        lines += _help(command, context)
    return "\n".join(lines) + "\n"


def _help(command: Any, context: Any) -> list[str]:
    lines = [f"## {context.command_path}", "", "```", command.get_help(context), "```", ""]
    for name in getattr(command, "commands", {}):
        sub = command.commands[name]
        with typer.Context(sub, info_name=name, parent=context) as inner:
            lines += _help(sub, inner)
    return lines


PAGES = {"settings.md": settings_page, "commands.md": commands_page}


def main() -> int:
    """Write the pages, or compare them; return 1 where one is not current."""
    stale = []
    for name, make in PAGES.items():
        path, content = DOCS / name, make()
        if "--check" not in sys.argv:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            stale.append(name)
    if stale:
        print(f"docs/{', docs/'.join(stale)} are not what the code says; run: make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
