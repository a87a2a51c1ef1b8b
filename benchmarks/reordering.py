"""What the reader's logit of relevance is worth as a part of the ranking, by weight and by tokens read.

    .venv/bin/python -m benchmarks.reordering tune seeds covid_faq mtrag_govt xquad-en nq_open_oracle pubmedqa \
        longdoc_faq scifact-train

Reads the indexes that ``make bench-quality`` and ``make bench-seeds`` leave; at most 130 questions of a set. nDCG@10 is
of documents; of the seeds it is how often a passage that holds the evidence comes first. Prints tables, one of them of
what a weight that was chosen without a set does to it, and one JSON line last.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from benchmarks.quality import choose_questions, rank_documents
from benchmarks.question_sets import Part, measure, part_of
from benchmarks.seeds import QUESTIONS as SEEDS
from benchmarks.seeds import holds
from qa.answers.answerer import RELEVANCE_WEIGHT, UNREAD_RELEVANCE
from qa.answers.sentences import DEPTH as READ
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Hit, Query, Reply

QUESTIONS = 130
DEPTH = 60
TOKENS = [100, 300, 500, 1000]
WEIGHTS = [0.0, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.14]
UNREAD = [-5.0, -4.0, -3.0, -2.0]
# Values that a set's questions have in an order of the replies' hits.
Values = Callable[[Sequence[Reply]], float]


def reorder(reply: Reply, weight: float, unread: float) -> Reply:
    """Put the passages of a reply, of which the reader read some, in the order of another weight."""
    by_search = sorted(reply.hits, key=lambda hit: -(hit.scores.fused or 0.0))
    if sum(hit.scores.relevance is not None for hit in reply.hits) < 2:
        return reply
    first = {id(hit) for hit in reply.hits[:READ]}

    def blended(hit: Hit) -> float:
        return (hit.scores.fused or 0.0) + weight * (unread if hit.scores.relevance is None else hit.scores.relevance)

    read = sorted((hit for hit in by_search if id(hit) in first), key=lambda hit: -blended(hit))
    return replace(reply, hits=(*read, *reply.hits[READ:]))


def open_questions(name: str, part: Part) -> tuple[list[str], Values]:
    """Load a set's questions, and what measures replies to them."""
    if name == "seeds":
        seeds = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
        seeds = [each for each in seeds if each["answerable"] and part_of(each["id"]) == part]

        def come_first(replies: Sequence[Reply]) -> float:
            return statistics.fmean(
                bool(reply.hits) and holds(reply.hits[0], each["evidence"])
                for each, reply in zip(seeds, replies, strict=True)
            )

        return [each["question"] for each in seeds], come_first
    questions = choose_questions(name, part)[:QUESTIONS]

    def ndcg(replies: Sequence[Reply]) -> float:
        run = dict(zip((question.id for question in questions), rank_documents(replies), strict=True))
        return statistics.fmean(measure(questions, run, ["nDCG@10"])["nDCG@10"])

    return [question.text for question in questions], ndcg


def ask(name: str, questions: Sequence[str], tokens: int) -> list[Reply]:
    """Ask all questions with an answer for which so many tokens are read."""
    indexes = Path("indexes") if name == "seeds" else Path("indexes") / "benchmarks"
    service = Service(Settings(indexes=indexes, name=name, max_top_k=DEPTH, read_tokens=tokens))
    service.reload()
    replies = [service.ask(Query(question, DEPTH)) for question in questions]
    service.close()
    return replies


def main() -> None:
    """Measure every weight on every set that is named."""
    part, names = cast(Part, sys.argv[1]), sys.argv[2:]
    found: dict[tuple[str, int], dict[tuple[float, float], float]] = {}
    for name in names:
        questions, values = open_questions(name, part)
        for tokens in TOKENS:
            replies = ask(name, questions, tokens)
            found[name, tokens] = {
                (weight, unread): values([reorder(reply, weight, unread) for reply in replies])
                for weight in WEIGHTS
                for unread in UNREAD
            }
        print(f"{name}: {len(questions)} questions", flush=True)
    chosen = (RELEVANCE_WEIGHT, UNREAD_RELEVANCE)
    print("\n| tokens | | " + " | ".join(names) + " | mean |\n" + "|---" * (len(names) + 3) + "|")
    for tokens in TOKENS:
        for label, setting in (("before", (0.0, UNREAD[0])), ("with", chosen)):
            row = [found[name, tokens][setting] for name in names]
            print(f"| {tokens} | {label} | " + " | ".join(f"{v:.3f}" for v in [*row, statistics.fmean(row)]) + " |")
    tokens = Settings().read_tokens
    print(
        f"\n| weight, unread, {tokens} tokens | " + " | ".join(names) + " | mean |\n" + "|---" * (len(names) + 2) + "|"
    )
    gains = {
        setting: [found[name, tokens][setting] - found[name, tokens][0.0, UNREAD[0]] for name in names]
        for setting in found[names[0], tokens]
    }
    for (weight, unread), row in gains.items():
        shown = " | ".join(f"{value:+.3f}" for value in [*row, statistics.fmean(row)])
        print(f"| {weight}, {unread:.0f} | {shown} |")
    print("\n| left out | chosen without it | its gain |\n|---|---|---|")
    for at, name in enumerate(names):
        best = max(gains, key=lambda setting: sum(gains[setting]) - gains[setting][at])
        print(f"| {name} | {best[0]}, {best[1]:.0f} | {gains[best][at]:+.3f} |")
    print(
        json.dumps({f"{name} {tokens}": {str(k): v for k, v in row.items()} for (name, tokens), row in found.items()})
    )


if __name__ == "__main__":
    main()
