"""Ranking quality of the service against each of its legs, reciprocal rank fusion and two peers.

    make bench-quality

Each set is written out as files and indexed by ``qa.build.update.update``; the questions go through ``Service.ask``.
Only the reporting half of the questions is asked (``benchmarks/question_sets.py``), at most 300 of a set. A document
ranks where its first passage does. Peers index the same passages with the same embeddings (``benchmarks/peers.py``, in
an environment of its own). Measures and intervals are the product's own. Prints tables, and one JSON line last.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.question_sets import (
    JudgedQuestion,
    Part,
    Run,
    load_questions,
    mean,
    mean_difference,
    measure,
    write_corpus,
)
from qa.build.update import SilentListener, update
from qa.index.snapshots import Snapshots
from qa.models.loading import make_encoder
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Mode, Query, Reply

SETS = [
    *("xquad-en", "nq_open_oracle", "pubmedqa", "scifact-train", "covid_faq", "longdoc_faq", "mtrag_govt"),
    *("xquad-de", "xquad-zh", "xquad-ar"),
]
DEPTH = 50
QUESTIONS = 300
TIMED = 60
MEASURES = ["nDCG@10", "R@5", "RR@10"]
PEERS_PYTHON = Path(".venv-peers/bin/python")


def rank_documents(replies: Iterable[Reply]) -> list[list[str]]:
    """Return the documents of each reply, in the order of their first passages."""
    return [
        list(dict.fromkeys(hit.passage.document.rpartition("/")[2].removesuffix(".txt") for hit in reply.hits))
        for reply in replies
    ]


def fuse_by_rank(runs: Sequence[Run], k: int = 60) -> Run:
    """Fuse runs by reciprocal ranks (Cormack et al., 2009)."""
    fused: dict[str, list[str]] = {}
    for question in runs[0]:
        scores: dict[str, float] = {}
        for run in runs:
            for rank, document in enumerate(run[question], start=1):
                scores[document] = scores.get(document, 0.0) + 1 / (k + rank)
        fused[question] = sorted(scores, key=lambda document: (-scores[document], document))
    return fused


@dataclass(frozen=True, slots=True)
class Asked:
    """A set's questions, asked: ``runs`` by system, and of how many questions the embeddings were left out.

    ``milliseconds`` are the median of the processor's for a search that shows five passages and reads none.
    """

    runs: dict[str, Run]
    milliseconds: float
    left_out: int


def ask_service(settings: Settings, questions: Sequence[JudgedQuestion]) -> Asked:
    """Ask all questions by each leg, by both, and by both with an answer, which re-orders what it read."""
    service = Service(settings)
    service.reload()
    runs: dict[str, Run] = {}
    left_out = 0
    for label, mode, answer in (
        ("BM25", "lexical", False),
        ("dense", "dense", False),
        ("qa hybrid", "hybrid", False),
        ("qa hybrid, read", "hybrid", True),
    ):
        queries = [Query(question.text, DEPTH, mode=cast(Mode, mode), answer=answer) for question in questions]
        replies = [service.ask(query) for query in queries]
        runs[label] = dict(zip((question.id for question in questions), rank_documents(replies), strict=True))
        if label == "qa hybrid":
            left_out = sum(leg.name == "dense" and not leg.used for reply in replies for leg in reply.legs)
    runs["RRF of the two"] = fuse_by_rank([runs["BM25"], runs["dense"]])
    spent = [_milliseconds(service, Query(question.text, answer=False)) for question in questions[:TIMED]]
    service.close()
    return Asked(runs, statistics.median(spent), left_out)


def _milliseconds(service: Service, query: Query) -> float:
    started = time.process_time()
    service.ask(query)
    return 1000 * (time.process_time() - started)


def ask_peers(settings: Settings, questions: Sequence[JudgedQuestion], folder: Path) -> dict[str, Run]:
    """Return the peers' runs over the same passages; none where their environment is missing."""
    if not PEERS_PYTHON.exists():
        return {}
    index = Snapshots(settings.indexes, settings.name).open()
    passages = [
        {"document": p.document.removesuffix(".txt").rpartition("/")[2], "text": p.searched_text}
        for p in index.store.all_passages()
    ]
    index.close()
    given, taken, vectors = folder / "given.json", folder / "taken.json", folder / "vectors.npz"
    given.write_text(json.dumps({"passages": passages, "questions": {q.id: q.text for q in questions}}))
    # The service's encoder agrees with that of sentence-transformers (docs/decisions/0005), and is faster.
    encoder = make_encoder(settings, threads=2)
    encoded = {
        "passages": encoder.encode_passages([passage["text"] for passage in passages]),
        "questions": encoder.encode_questions([question.text for question in questions]),
    }
    np.savez(vectors, allow_pickle=False, **encoded)
    script = Path(__file__).parent / "peers.py"
    command = [*map(str, (PEERS_PYTHON, script, given, vectors, taken, DEPTH))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    runs: dict[str, Run] = json.loads(taken.read_text())
    return runs


def choose_questions(name: str, part: Part) -> list[JudgedQuestion]:
    """Load a half's questions, at most so many, and the same every time."""
    questions = load_questions(name, part)
    return sorted(questions, key=lambda q: hashlib.md5(q.id.encode(), usedforsecurity=False).digest())[:QUESTIONS]


def report(name: str, part: Part) -> list[dict[str, object]]:
    """Index a set, ask every system, print their table and return its rows."""
    questions = choose_questions(name, part)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "documents").mkdir()
        write_corpus(name, folder / "documents")
        settings = Settings(indexes=Path("indexes") / "benchmarks", name=name, max_top_k=DEPTH)
        built = update(settings, [folder / "documents"], SilentListener(), read=read_source)
        asked = ask_service(settings, questions)
        runs = asked.runs | ask_peers(settings, questions, folder)
    scores = {label: measure(questions, run, MEASURES) for label, run in runs.items()}
    better = max(("BM25", "dense"), key=lambda label: sum(scores[label]["nDCG@10"]))
    counts = f"{built.counts.documents:,} documents, {built.counts.passages:,} passages, {len(questions)} questions"
    print(f"\n{name}: {counts}; {asked.milliseconds:.1f} ms of the processor; words alone: {asked.left_out} questions")
    print(f"\n| system | nDCG@10 | Recall@5 | MRR@10 | nDCG@10 less {better} |\n|---|---|---|---|---|", flush=True)
    rows: list[dict[str, object]] = []
    for label, values in scores.items():
        found = {measure_name: mean(values[measure_name]) for measure_name in MEASURES}
        change = mean_difference(scores[better]["nDCG@10"], values["nDCG@10"])
        shown = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in found.values()]
        shown.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*change))
        print(f"| {label} | {' | '.join(shown)} |", flush=True)
        described = {"set": name, "part": part, "system": label, "questions": len(questions)}
        rows.append({**described, **found, "difference": change, "ms": asked.milliseconds, "left out": asked.left_out})
    return rows


def main() -> None:
    """Report on every set, and print the one table of all of them."""
    part, names = cast(Part, sys.argv[1]), sys.argv[2:] or SETS
    rows = [row for name in names for row in report(name, part)]
    systems = list(dict.fromkeys(str(row["system"]) for row in rows))
    print(
        "\n| nDCG@10 | "
        + " | ".join(names)
        + " | mean | mean less the better leg |\n"
        + "|---" * (len(names) + 3)
        + "|"
    )
    for system in systems:
        mine = [row for row in rows if row["system"] == system]
        cells = [cast(tuple[float, ...], row["nDCG@10"])[0] for row in mine]
        gain = statistics.fmean(cast(tuple[float, ...], row["difference"])[0] for row in mine)
        shown = " | ".join(f"{cell:.3f}" for cell in [*cells, statistics.fmean(cells)])
        print(f"| {system} | {shown} | {gain:+.3f} |")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
