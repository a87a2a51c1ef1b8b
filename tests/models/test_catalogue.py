"""The offered models' figures are those of the benchmarks' table."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.models.catalogue import OFFERED, OfferedModel, read_figures

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: offered.name)
def test_every_offered_model_has_the_figures_of_the_benchmarks_table(offered: OfferedModel) -> None:
    table = README.read_text(encoding="utf-8").split("\n## Models\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    header, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    cells = {row[0]: row[header.index(offered.name)] for row in rows}
    figures = read_figures()[offered.name]
    assert set(figures.ndcg) == set(figures.dense) >= {"xquad-en", "covid_faq"}
    for name, ndcg in figures.ndcg.items():
        assert cells[f"{name}: dense, hybrid"] == f"{figures.dense[name]:.3f}, {ndcg:.3f}"
    for name, f1 in figures.f1.items():
        assert cells[f"{name}: F1"] == f"{f1:.3f}"
    assert cells["search, ms a question"] == f"{figures.search_ms:.0f}"
    assert cells["indexing, ms a passage"] == f"{figures.passage_ms:.0f}"
    assert cells["memory, MB"] == f"{figures.memory_mb:,.0f}"
