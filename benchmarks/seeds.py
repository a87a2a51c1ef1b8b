"""How often the seed questions find the passage that holds their evidence. Prints a table, and one JSON line last.

make index && .venv/bin/python -m benchmarks.seeds
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qa.service import Service
from qa.settings import load_settings
from qa.types import Hit, Query, Reply

QUESTIONS = Path(__file__).parent.parent / "seeds" / "questions.jsonl"
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A question, and the rank from 1 of the first passage that holds one of its quotes whole."""

    question: str
    rank: int | None
    reply: Reply


def holds(hit: Hit, evidence: list[dict[str, str]]) -> bool:
    return any(hit.passage.document == e["document"] and e["quote"] in hit.passage.text for e in evidence)


def judge(service: Service) -> list[Judged]:
    judged = []
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        if question["answerable"]:
            reply = service.ask(Query(question["question"], top_k=DEPTH))
            ranks = [hit.rank for hit in reply.hits if holds(hit, question["evidence"])]
            judged.append(Judged(question["question"], min(ranks, default=None), reply))
    return judged


def main() -> None:
    service = Service(load_settings(name="seeds"))
    service.reload()
    judged = judge(service)
    first = sum(j.rank == 1 for j in judged)
    found = sum(j.rank is not None for j in judged)
    for j in judged:
        if j.rank != 1:
            print(f"{j.rank or '-':>4}  {j.question}")
    print(f"{len(judged)} answerable questions: evidence first {first}, among the first {DEPTH} {found}")
    state = service.state()
    print(json.dumps({"questions": len(judged), "first": first, "first_5": found, "passages": state.passages}))


if __name__ == "__main__":
    main()
