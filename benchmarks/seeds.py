"""How often the seed questions find the passage that holds their evidence. Prints a table, and one JSON line last.

make bench-seeds
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qa.service.service import Service
from qa.settings import load_settings
from qa.types import Hit, Query

QUESTIONS = Path(__file__).parent.parent / "seeds" / "questions.jsonl"
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A question, and the rank from 1 of the first passage that holds one of its quotes whole."""

    question: str
    tags: tuple[str, ...]
    rank: int | None


def holds(hit: Hit, evidence: list[dict[str, str]]) -> bool:
    """Tell whether a passage holds one of the quotes whole."""
    return any(hit.passage.document == e["document"] and e["quote"] in hit.passage.text for e in evidence)


def judge(service: Service) -> list[Judged]:
    """Ask every answerable question."""
    judged = []
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        if question["answerable"]:
            reply = service.ask(Query(question["question"], top_k=DEPTH))
            ranks = [hit.rank for hit in reply.hits if holds(hit, question["evidence"])]
            judged.append(Judged(question["question"], tuple(question["tags"]), min(ranks, default=None)))
    return judged


def count(judged: list[Judged]) -> dict[str, int]:
    """Count the questions, and those whose evidence comes first or among the first."""
    first = sum(j.rank == 1 for j in judged)
    return {"questions": len(judged), "first": first, "first_5": sum(j.rank is not None for j in judged)}


def main() -> None:
    """Ask the index of the seeds."""
    service = Service(load_settings(name="seeds"))
    service.reload()
    judged = judge(service)
    for j in judged:
        if j.rank != 1:
            print(f"{j.rank or '-':>4}  {j.question}")
    print(f"\n| questions | count | evidence first | among the first {DEPTH} |\n|---|---|---|---|")
    parts = {tag: [j for j in judged if tag in j.tags] for tag in ("lexical", "paraphrase")}
    for name, part in {"all answerable": judged, **parts}.items():
        print("| " + " | ".join([name, *(str(value) for value in count(part).values())]) + " |")
    print(json.dumps({**count(judged), "passages": service.state().passages}))


if __name__ == "__main__":
    main()
