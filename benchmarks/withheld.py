"""Question sets with documents left out of their index: the questions about those have no answer in it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.question_sets import QUESTION_SETS, JudgedQuestion, Part, load_corpus, load_questions
from qa.indexing import SilentListener, update
from qa.readers.registry import read_source
from qa.settings import Settings

INDEXES = Path(tempfile.gettempdir()) / "qa-benchmarks"


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
    folder = INDEXES / "documents" / name
    folder.mkdir(parents=True, exist_ok=True)
    for document in load_corpus(name):
        path = folder / document_id(document.id)
        if document.id not in without and not path.exists():
            path.write_text(f"{document.text}\n", encoding="utf-8")
    settings = Settings(indexes=INDEXES / "indexes", name=f"{name}-withheld")
    update(settings, [folder], SilentListener(), read=read_source)
    return settings
