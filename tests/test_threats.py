"""The table of faults and bounds in ``docs/threats.md``: each names a test that there is, and a place that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from qa.settings import Settings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
_, _, TABLES = PAGE.partition("## Faults and bounds, by test")
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in TABLES.splitlines()
    if line.startswith("| ") and not line.startswith("| what is done")
]
NAMED = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>test_\w+)`")


def named_tests(file: str) -> set[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_are_faults_in_the_table() -> None:
    assert len(ROWS) > 20
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_every_row_is_of_a_table() -> None:
    """A row that stands apart is shown as text with bars in it."""
    blocks = [block for block in TABLES.split("\n\n") if block.lstrip().startswith("|")]
    assert blocks
    assert all(block.lstrip().startswith("| what is done | ") for block in blocks)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_fault_names_its_place_and_its_test(row: list[str]) -> None:
    done, outcome, place, test = row
    assert done
    assert outcome
    set_in = place.strip("`")
    settings = {f"QA_{name.upper()}" for name in Settings.model_fields}
    assert set_in in settings or (ROOT / set_in).is_file()
    named = NAMED.fullmatch(test)
    assert named
    assert named["name"] in named_tests(named["file"])
