"""The README's commands print what it says: they are run, in order, on a copy of the seeds."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def examples() -> list[tuple[str, list[str]]]:
    """Return the README's `qa` commands, each with the lines that it is said to print."""
    blocks = re.findall(r"^    \$ \.venv/bin/qa .*\n(?:    .*\n|\n(?=    ))*", _readme(), re.MULTILINE)
    commands = "".join(blocks).split("    $ .venv/bin/qa ")[1:]
    parsed = [[line.removeprefix("    ") for line in command.splitlines()] for command in commands]
    return [(lines[0], [line for line in lines[1:] if line.strip(" …")]) for lines in parsed]


def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def settled(line: str) -> str:
    """Return a line without figures, which differ with machine and calibration; the spans of citations stay."""
    line = re.sub(r"\d{8}T[\w.-]+", "ID", line)
    if "characters" not in line:
        line = re.sub(r"\d+([.,]\d+)*", "N", line)
    return " ".join(line.split())


@pytest.mark.model
@pytest.mark.slow
def test_each_command_prints_the_lines_that_the_readme_shows_in_their_order(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    assert [command.split()[0] for command, _ in examples()] == ["index", "ask", "evaluate"]
    for command, shown in examples():
        program = [str(Path(sys.executable).parent / "qa"), *shlex.split(command)]
        ran = subprocess.run(program, cwd=tmp_path, stdout=-1, stderr=subprocess.STDOUT, text=True, check=True)
        printed = iter(settled(line) for line in ran.stdout.splitlines())
        assert shown
        for line in shown:
            assert settled(line) in printed, (
                f"qa {command} does not print {line!r} after the lines before:\n{ran.stdout}"
            )
