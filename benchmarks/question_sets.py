"""The question sets beside the project, and the split that tuning and reporting keep to."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qa.types import Document

QUESTION_SETS = Path(__file__).parent.parent.parent / "shared" / "data" / "questions"

Part = Literal["tune", "report"]


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """``relevant`` are ids of documents, ``answers`` short texts that at least one relevant document holds."""

    id: str
    text: str
    relevant: frozenset[str]
    answers: tuple[str, ...]


def part_of(question_id: str) -> Part:
    """Fixed for good: the last bit of the id's MD5 decides, whatever else is in the set."""
    return "tune" if hashlib.md5(question_id.encode(), usedforsecurity=False).digest()[-1] % 2 == 0 else "report"


def load_questions(name: str, part: Part) -> list[JudgedQuestion]:
    relevant = defaultdict(set)
    for line in (QUESTION_SETS / name / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            relevant[query].add(document)
    questions = map(json.loads, (QUESTION_SETS / name / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        JudgedQuestion(q["_id"], q["text"], frozenset(relevant[q["_id"]]), tuple(q.get("answers", ())))
        for q in questions
        if part_of(q["_id"]) == part
    ]


def load_corpus(name: str) -> list[Document]:
    lines = (QUESTION_SETS / name / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [Document(d["_id"], d["title"], d["text"], "", "text/plain", "corpus") for d in map(json.loads, lines)]
