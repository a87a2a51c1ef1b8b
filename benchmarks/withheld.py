"""Question sets with documents left out of their index: the questions about those have no answer in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.question_sets import QUESTION_SETS, JudgedQuestion, Part, load_questions, write_corpus
from qa.build.update import SilentListener, update
from qa.readers.registry import read_source
from qa.settings import Settings

# Ignored by git, and kept: the larger set takes a minute to index.
INDEXES = Path(__file__).parent.parent / "indexes"
DOCUMENTS = Path(__file__).parent.parent / "runs" / "benchmark-documents"


@dataclass(frozen=True, slots=True)
class WithheldQuestion:
    """A question; ``answerable`` is false where the documents that answer it were left out."""

    judged: JudgedQuestion
    answerable: bool


def _withheld(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The documents to leave out, and the questions that then have no answer."""
    content = json.loads((QUESTION_SETS / name / "withhold.json").read_text(encoding="utf-8"))
    return frozenset(content["withhold_doc_ids"]), frozenset(content["unanswerable_query_ids"])


def document_id(name: str) -> str:
    """What the index calls a document of the set."""
    return f"{name}.txt"


def load_withheld(name: str, part: Part) -> list[WithheldQuestion]:
    """The questions of one half, of which those without answer are a part."""
    _, unanswerable = _withheld(name)
    return [WithheldQuestion(judged, judged.id not in unanswerable) for judged in load_questions(name, part)]


def index_withheld(name: str) -> Settings:
    """Bring the index of the set without its withheld documents up to date; returns the settings that serve it."""
    without, _ = _withheld(name)
    folder = DOCUMENTS / name
    if not folder.exists():
        folder.mkdir(parents=True)
        write_corpus(name, folder)
        for id in without:
            (folder / document_id(id)).unlink()
    settings = Settings(indexes=INDEXES, name=f"bench-{name}-withheld")
    update(settings, [folder], SilentListener(), read=read_source)
    return settings
