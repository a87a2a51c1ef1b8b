"""Question sets with documents left out of their index: the questions about those have no answer in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.question_sets import QUESTION_SETS, JudgedQuestion, Part, load_corpus, load_questions, write_corpus
from qa.build.update import SilentListener, update
from qa.readers.registry import read_source
from qa.settings import Settings

# Ignored by git, and kept: the larger set takes a minute to index.
INDEXES = Path(__file__).parent.parent / "indexes"
DOCUMENTS = Path(__file__).parent.parent / "runs" / "benchmark-documents"
# Of a set that names none, every so many documents are left out.
_EVERY = 6
# Its questions without an answer were asked by people, and its passages overlap: leaving some out proves nothing.
_WHOLE = frozenset({"mtrag_govt"})


@dataclass(frozen=True, slots=True)
class WithheldQuestion:
    """A question; ``answerable`` is false where the documents that answer it were left out, or none ever did."""

    judged: JudgedQuestion
    answerable: bool


def _withheld(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """Find the documents to leave out, and the questions that then have no answer."""
    named = QUESTION_SETS / name / "withhold.json"
    if named.exists():
        content = json.loads(named.read_text(encoding="utf-8"))
        return frozenset(content["withhold_doc_ids"]), frozenset(content["unanswerable_query_ids"])
    without = frozenset[str]() if name in _WHOLE else frozenset(d.id for d in load_corpus(name) if _is_left_out(d.id))
    questions = [each for part in ("tune", "report") for each in load_questions(name, part)]
    return without, frozenset(each.id for each in questions if each.relevant <= without)


def _is_left_out(id: str) -> bool:
    return hashlib.md5(f"withhold{id}".encode(), usedforsecurity=False).digest()[0] % _EVERY == 0


def document_id(name: str) -> str:
    """Return the id that a document of the set has in the index."""
    return f"{name}.txt"


def load_withheld(name: str, part: Part) -> list[WithheldQuestion]:
    """Load the questions of one half, of which those without answer are a part."""
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
