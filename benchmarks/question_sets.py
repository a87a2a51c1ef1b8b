"""The question sets beside the project, and the split that tuning and reporting keep to."""

from __future__ import annotations

import gzip
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


def _lines(path: Path) -> list[str]:
    """Of a file, packed or not. Not ``splitlines``: texts hold line separators that end no line of a file."""
    packed = path.with_name(f"{path.name}.gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return content.decode().removesuffix("\n").split("\n")


def load_questions(name: str, part: Part) -> list[JudgedQuestion]:
    relevant = defaultdict(set)
    for line in _lines(QUESTION_SETS / name / "qrels.tsv")[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            relevant[query].add(document)
    questions = map(json.loads, _lines(QUESTION_SETS / name / "queries.jsonl"))
    return [
        JudgedQuestion(q["_id"], q["text"], frozenset(relevant[q["_id"]]), tuple(q.get("answers", ())))
        for q in questions
        if part_of(q["_id"]) == part
    ]


def load_corpus(name: str) -> list[Document]:
    lines = _lines(QUESTION_SETS / name / "corpus.jsonl")
    return [Document(d["_id"], d["title"], d["text"], "", "text/plain", "corpus") for d in map(json.loads, lines)]


def write_corpus(name: str, folder: Path) -> None:
    """The set as a folder of text files, ``<id>.txt``, each with its title, where it has one, in front."""
    for document in load_corpus(name):
        title = f"{document.title}\n\n" if document.title else ""
        (folder / f"{document.id}.txt").write_text(title + document.text, encoding="utf-8")
