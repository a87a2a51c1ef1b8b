"""Ranking quality of the service as it is, against each of its legs, reciprocal rank fusion, and two peers.

    make bench-quality

Each set is written out as files and indexed by ``qa.build.update.update``; the questions go through ``Service.ask``.
Only the reporting half of the questions is asked (``benchmarks/question_sets.py``). Passages roll up to their documents
by the first of each. Peers index the same passages with the same weights (``benchmarks/peers.py``, in an environment of
its own). Prints tables, and one JSON line last.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.question_sets import JudgedQuestion, Part, load_questions, write_corpus
from qa.build.update import SilentListener, update
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Mode, Query, Reply

SETS = ["xquad-en", "nq_open_oracle", "pubmedqa", "scifact-train", "xquad-de", "xquad-zh", "xquad-ar"]
PEERS = ["txtai hybrid", "Haystack hybrid"]
DEPTH = 100
MEASURES = ["nDCG@10", "R@5", "RR@10"]
PEERS_PYTHON = Path(".venv-peers/bin/python")

# Documents, best first, of each question.
Run = Mapping[str, Sequence[str]]
Scores = dict[str, NDArray[np.float64]]


def documents_of(replies: Iterable[Reply]) -> list[list[str]]:
    return [
        list(dict.fromkeys(hit.passage.document.rpartition("/")[2].removesuffix(".txt") for hit in reply.hits))
        for reply in replies
    ]


def reciprocal_ranks(runs: Sequence[Run], k: int = 60) -> Run:
    """Reciprocal rank fusion (Cormack et al., 2009)."""
    fused: dict[str, list[str]] = {}
    for question in runs[0]:
        scores: dict[str, float] = {}
        for run in runs:
            for rank, document in enumerate(run[question], start=1):
                scores[document] = scores.get(document, 0.0) + 1 / (k + rank)
        fused[question] = sorted(scores, key=lambda document: (-scores[document], document))
    return fused


def measure(questions: Sequence[JudgedQuestion], run: Run) -> Scores:
    """Every measure of every question, by trec_eval through ir-measures."""
    import ir_measures

    qrels = [ir_measures.Qrel(q.id, document, 1) for q in questions for document in q.relevant]
    scored = [
        ir_measures.ScoredDoc(q.id, document, float(DEPTH - rank))
        for q in questions
        for rank, document in enumerate(run[q.id][:DEPTH])
    ]
    found = {name: dict.fromkeys((q.id for q in questions), 0.0) for name in MEASURES}
    for metric in ir_measures.iter_calc([ir_measures.parse_measure(name) for name in MEASURES], qrels, scored):
        found[str(metric.measure)][metric.query_id] = float(metric.value)
    return {name: np.array(list(values.values())) for name, values in found.items()}


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the mean: bias-corrected and accelerated bootstrap (Efron, 1987)."""
    from scipy.stats import bootstrap

    if values.min() == values.max():
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, n_resamples=2000, batch=200, rng=7).confidence_interval
    return float(found.low), float(found.high)


def our_runs(name: str, settings: Settings, questions: Sequence[JudgedQuestion]) -> tuple[dict[str, Run], float]:
    """Runs of each mode, and milliseconds a question in the mode that is the default."""
    service = Service(settings)
    service.reload()
    runs: dict[str, Run] = {}
    seconds = 0.0
    for label, mode in (("BM25", "lexical"), ("dense", "dense"), ("qa hybrid", "hybrid")):
        queries = [Query(question.text, DEPTH, mode=cast(Mode, mode)) for question in questions]
        started = time.perf_counter()
        replies = [service.ask(query) for query in queries]
        seconds = time.perf_counter() - started
        runs[label] = dict(zip((question.id for question in questions), documents_of(replies), strict=True))
    runs["RRF of the two"] = reciprocal_ranks([runs["BM25"], runs["dense"]])
    return runs, 1000 * seconds / len(questions)


def peer_runs(settings: Settings, questions: Sequence[JudgedQuestion], folder: Path) -> dict[str, Run]:
    """What the peers find among the same passages; nothing where their environment is not there."""
    if not PEERS_PYTHON.exists():
        return {}
    index = Snapshots(settings.indexes, settings.name).open()
    passages = [
        {"document": p.document.removesuffix(".txt").rpartition("/")[2], "text": p.searched_text}
        for p in index.store.all_passages()
    ]
    index.close()
    given, taken = folder / "given.json", folder / "taken.json"
    given.write_text(json.dumps({"passages": passages, "questions": {q.id: q.text for q in questions}}))
    script = Path(__file__).parent / "peers.py"
    subprocess.run([PEERS_PYTHON, script, given, taken, str(DEPTH)], check=True, stdout=subprocess.DEVNULL)
    runs: dict[str, Run] = json.loads(taken.read_text())
    return runs


def report(name: str, part: Part) -> list[dict[str, object]]:
    questions = load_questions(name, part)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "documents").mkdir()
        write_corpus(name, folder / "documents")
        settings = Settings(indexes=Path("indexes") / "benchmarks", name=name, max_top_k=DEPTH)
        built = update(settings, [folder / "documents"], SilentListener())
        runs, milliseconds = our_runs(name, settings, questions)
        runs |= peer_runs(settings, questions, folder)
    scores = {label: measure(questions, run) for label, run in runs.items()}
    better = max(("BM25", "dense"), key=lambda label: scores[label]["nDCG@10"].mean())
    rows: list[dict[str, object]] = []
    print(
        f"\n{name}: {built.counts.documents} documents, {built.counts.passages} passages, {len(questions)} questions, "
    )
    print(f"{milliseconds:.1f} ms a question\n\n| system | nDCG@10 | Recall@5 | MRR@10 | nDCG@10 less {better} |")
    print("|---|---|---|---|---|", flush=True)
    for label, values in scores.items():
        row: dict[str, object] = {"set": name, "part": part, "system": label, "questions": len(questions)}
        shown = []
        for measure_name in MEASURES:
            mean, (low, high) = float(values[measure_name].mean()), interval(values[measure_name])
            row[measure_name] = [mean, low, high]
            shown.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        difference = values["nDCG@10"] - scores[better]["nDCG@10"]
        low, high = interval(difference)
        row["difference"] = [float(difference.mean()), low, high]
        shown.append(f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        print(f"| {label} | {' | '.join(shown)} |", flush=True)
        rows.append(row)
    return rows


def main() -> None:
    part, names = cast(Part, sys.argv[1]), sys.argv[2:] or SETS
    rows = [row for name in names for row in report(name, part)]
    systems = list(dict.fromkeys(str(row["system"]) for row in rows))
    print("\n| nDCG@10 | " + " | ".join(names) + " |\n|---" * 1 + "|---" * len(names) + "|")
    for system in systems:
        cells = [cast(list[float], row["nDCG@10"])[0] for row in rows if row["system"] == system]
        print(f"| {system} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
