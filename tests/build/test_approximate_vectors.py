"""An index whose vectors are searched approximately, from its files to an answer: built, asked, filtered, updated."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Eq, Query
from tests.conftest import Build, Recorder, hashing_encoder

DOCUMENTS = 600
WORDS = [f"{a}{b}{c}" for a in "bdklmt" for b in "aeiou" for c in ("ra", "no", "li", "sut")]


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.index.vectors.exact.EXACT_UP_TO", 500)


def text_of(number: int) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=12))


def write_corpus(folder: Path, numbers: range) -> None:
    lines = [json.dumps({"_id": f"d{number}", "title": "", "text": text_of(number)}) for number in numbers]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_corpus(folder, range(DOCUMENTS))
    return folder


def asked(settings: Settings, query: Query) -> list[str]:
    """Ask the active snapshot, and return the ids of the documents of its passages."""
    service = Service(settings, make=hashing_encoder)
    service.reload()
    try:
        return [hit.passage.document for hit in service.ask(query).hits]
    finally:
        service.close()


def test_it_is_built_asked_filtered_verified_and_updated_without_training(
    build: Build, settings: Settings, corpus: Path
) -> None:
    first = build(corpus).manifest
    assert first.vectors["engine"] == "approximate"
    assert first.vectors["recall_at_10"] >= 0.97
    snapshots = Snapshots(settings.indexes, settings.name)
    assert snapshots.verify().id == first.id

    query = Query(text_of(70), mode="dense", top_k=5)
    assert asked(settings, query)[0] == "corpus.jsonl/d70"
    within = replace(query, filter=(Eq("title", "d71"),))
    limited = replace(query, documents=("*/d7?",))
    assert asked(settings, limited)[0] == "corpus.jsonl/d70"
    assert set(asked(settings, limited)) <= {f"corpus.jsonl/d7{digit}" for digit in range(10)}
    assert asked(settings, within) in ([], ["corpus.jsonl/d71"])

    write_corpus(corpus, range(15, DOCUMENTS + 15))
    second = build(corpus, rebuild=False).manifest
    assert second.vectors["trained_rows"] == DOCUMENTS
    assert second.vectors["factory"] == first.vectors["factory"]
    assert snapshots.verify().id == second.id
    assert asked(settings, replace(query, question=text_of(DOCUMENTS + 7)))[0] == f"corpus.jsonl/d{DOCUMENTS + 7}"
    assert "corpus.jsonl/d3" not in asked(settings, replace(query, question=text_of(3)))


def test_a_rebuild_trains(build: Build, corpus: Path) -> None:
    build(corpus)
    write_corpus(corpus, range(DOCUMENTS + 1))
    assert build(corpus, rebuild=True).manifest.vectors["trained_rows"] == DOCUMENTS + 1


def test_what_takes_minutes_with_many_vectors_is_said(build: Build, corpus: Path) -> None:
    first, second = Recorder(), Recorder()
    rows = build(corpus, listener=first).manifest.passages
    assert first.stages[-5:-1] == [
        f"Coding {rows} vectors",
        "Training 8 clusters",
        "Filling the clusters",
        "Measuring how many clusters a search needs",
    ]
    write_corpus(corpus, range(1, DOCUMENTS + 1))
    build(corpus, listener=second, rebuild=False)
    assert second.stages[-4:-1] == [first.stages[-5], *first.stages[-3:-1]]
