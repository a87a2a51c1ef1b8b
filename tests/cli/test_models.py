"""`qa models` as a shell sees it: what can be had, what it costs, and what to type."""

from __future__ import annotations

import pytest

from qa.models.catalogue import OFFERED, read_figures
from tests.cli.test_main import run

pytestmark = pytest.mark.slow


def test_the_list_says_of_every_model_what_it_is_and_what_it_costs(tmp_path_factory: pytest.TempPathFactory) -> None:
    indexes = tmp_path_factory.mktemp("indexes")
    shown = run("models", "list", "--indexes", str(indexes)).stdout
    blocks = shown.split("\n\n")
    assert blocks[0].startswith("* all-MiniLM-L6-v2  ready\n    languages  English\n")
    assert [block.split()[:2] for block in blocks[1:3]] == [
        ["accurate", "all-mpnet-base-v2"],
        ["multilingual", "multilingual-e5-small"],
    ]
    for block, offered in zip(blocks, OFFERED, strict=False):
        figures = read_figures()[offered.name]
        assert f"{offered.licence}, {offered.megabytes} MB to download" in block
        assert f"{figures.search_ms:.0f} ms a search" in block
        assert f"{figures.memory_mb:,.0f} MB of memory" in block
        assert "nDCG@10 0." in block
        assert "token F1 0." in block
    for block, word in zip(blocks[1:3], ("accurate", "multilingual"), strict=True):
        assert f"qa models convert {word} --indexes {indexes}" in block


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["models", "convert", "small"], "'small' is no model that is converted; accurate and multilingual are"),
        (["models", "list", "--indexes"], ""),
    ],
)
def test_a_mistake_is_one_line(command: list[str], message: str) -> None:
    shown = run(*command)
    assert shown.returncode in {1, 2}
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_index_asked_for_with_a_model_that_is_not_here_says_what_to_type(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "a.txt").write_text("Apples grow on trees.\n")
    indexes = folder / "indexes"
    shown = run("index", str(folder), "--indexes", str(indexes), "--model", "accurate")
    assert shown.returncode == 1
    assert f"qa models convert accurate --indexes {indexes}" in shown.stderr
