"""The question sets beside the project, the split that tuning and reporting keep to, and how rankings are measured."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qa.evaluation.measures import calculate
from qa.statistics.significance import difference, estimate_mean
from qa.types import Document

QUESTION_SETS = Path(__file__).parent.parent.parent / "shared" / "data" / "questions"

Part = Literal["tune", "report"]
# The documents found for each question, best first.
Run = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question of a set.

    ``relevant`` are ids of documents, ``answers`` short texts of which some relevant document holds one.
    """

    id: str
    text: str
    relevant: frozenset[str]
    answers: tuple[str, ...]


def part_of(question_id: str) -> Part:
    """Return the half that a question belongs to: the last bit of its id's MD5 decides, and never changes."""
    return "tune" if hashlib.md5(question_id.encode(), usedforsecurity=False).digest()[-1] % 2 == 0 else "report"


def read_lines(path: Path) -> list[str]:
    """Read the lines of a file, compressed or not.

    Only ``\\n`` ends a line: texts hold other line separators, at which ``splitlines`` would cut.
    """
    packed = path.with_name(f"{path.name}.gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return content.decode().removesuffix("\n").split("\n")


def load_questions(name: str, part: Part) -> list[JudgedQuestion]:
    """Load the questions of one half of a set, with the documents that are relevant to each."""
    relevant = defaultdict(set)
    for line in read_lines(QUESTION_SETS / name / "qrels.tsv")[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            relevant[query].add(document)
    questions = map(json.loads, read_lines(QUESTION_SETS / name / "queries.jsonl"))
    return [
        JudgedQuestion(q["_id"], q["text"], frozenset(relevant[q["_id"]]), tuple(q.get("answers", ())))
        for q in questions
        if part_of(q["_id"]) == part
    ]


def load_corpus(name: str) -> list[Document]:
    """Load the documents of a set."""
    lines = read_lines(QUESTION_SETS / name / "corpus.jsonl")
    return [Document(d["_id"], d["title"], d["text"], "", "text/plain", "corpus") for d in map(json.loads, lines)]


def write_corpus(name: str, folder: Path, without: Collection[str] = ()) -> None:
    """Write a set's documents, but for some ids, as files ``<id>.txt``, each with its title, if any, in front."""
    for document in load_corpus(name):
        if document.id in without:
            continue
        title = f"{document.title}\n\n" if document.title else ""
        (folder / f"{document.id}.txt").write_text(title + document.text, encoding="utf-8")


def measure(questions: Sequence[JudgedQuestion], run: Run, names: Sequence[str]) -> dict[str, list[float]]:
    """Return, for each measure, its value of each question, by trec_eval through ir-measures."""
    qrels = {question.id: dict.fromkeys(question.relevant, 1) for question in questions}
    # trec_eval sorts by score: ranks become scores that fall by one.
    scores = {id: {document: -float(rank) for rank, document in enumerate(found)} for id, found in run.items()}
    found = calculate(names, qrels, scores)
    return {name: [values[question.id] for question in questions] for name, values in found.items()}


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % interval."""
    found = estimate_mean(values)
    return found.value, _end(found.low, found.value), _end(found.high, found.value)


def mean_difference(baseline: Sequence[float], candidate: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of the paired differences and the ends of its 95 % interval."""
    found = difference(baseline, candidate).estimate
    return found.value, _end(found.low, found.value), _end(found.high, found.value)


def _end(end: float | None, value: float) -> float:
    return value if end is None else end
