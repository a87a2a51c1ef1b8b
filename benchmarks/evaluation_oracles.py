"""Every ranking measure of three real sets, compared with ir-measures over trec_eval and with ranx.

Each set is indexed as files and evaluated by what `qa evaluate` calls. The two oracles read nothing but the TREC files
of the run. ranx brings 200 MB of numba, so it runs in an environment of its own. Prints a table, one JSON line last.

    python3.11 -m venv /tmp/ranx && /tmp/ranx/bin/pip install ranx==0.3.21
    .venv/bin/python -m benchmarks.evaluation_oracles --ranx /tmp/ranx/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ir_measures

from benchmarks.evaluation_sets import write_set
from qa.build.update import SilentListener as SilentBuild
from qa.build.update import update
from qa.evaluation.evaluate import evaluate_questions, judge
from qa.evaluation.measures import RANKING
from qa.evaluation.outcomes import AskingOptions, EvaluationListener
from qa.evaluation.summary import compute_values
from qa.questions.formats import load_questions
from qa.settings import load_settings

SETS = ("nq_open_oracle", "pubmedqa", "xquad-en")
# The same measures by ranx's names; its MRR and NDCG are those of trec_eval.
RANX = {
    "nDCG@10": "ndcg@10", "RR@10": "mrr@10", "AP": "map", "R@1": "recall@1", "R@5": "recall@5", "R@10": "recall@10",
    "R@20": "recall@20", "P@1": "precision@1", "P@5": "precision@5", "P@10": "precision@10",
    "Success@5": "hit_rate@5", "Success@10": "hit_rate@10",
}  # fmt: skip
RANX_SCRIPT = """
import json, sys
from ranx import Qrels, Run, evaluate
qrels, run = Qrels.from_file(sys.argv[1], kind="trec"), Run.from_file(sys.argv[2], kind="trec")
evaluate(qrels, run, json.loads(sys.argv[3]), return_mean=False, make_comparable=True)
scores = run.scores
print(json.dumps({name: {q: float(v) for q, v in found.items()} for name, found in scores.items()}))
"""


def greatest_difference(mine: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> float:
    """Compare all measures of all questions; a question that an oracle leaves out counts as 0 there."""
    return max(abs(value - theirs[name].get(id, 0.0)) for name, values in mine.items() for id, value in values.items())


def measure_by_ir_measures(qrels: Path, run: Path) -> dict[str, dict[str, float]]:
    """Return each measure of each question, computed by trec_eval from the two files."""
    measures = {ir_measures.parse_measure(name): name for name in RANKING}
    found: dict[str, dict[str, float]] = {name: {} for name in RANKING}
    judged, ranked = list(ir_measures.read_trec_qrels(str(qrels))), list(ir_measures.read_trec_run(str(run)))
    for metric in ir_measures.iter_calc(list(measures), judged, ranked):
        found[measures[metric.measure]][metric.query_id] = float(metric.value)
    return found


def measure_by_ranx(python: Path, qrels: Path, run: Path) -> dict[str, dict[str, float]]:
    """Return each measure of each question, computed by ranx from the two files."""
    command = [str(python), "-c", RANX_SCRIPT, str(qrels), str(run), json.dumps(list(RANX.values()))]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {name: found[theirs] for name, theirs in RANX.items()}


def main() -> None:
    """Evaluate every set, and compare it with both oracles."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--ranx", type=Path, help="the Python of an environment that has ranx")
    ranx = arguments.parse_args().ranx
    results = {}
    print("| set | questions | nDCG@10 | index, s | evaluate, s | from ir-measures | from ranx |\n" + "|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            documents, questions = write_set(name, Path(folder))
            settings = load_settings(indexes=Path(folder) / "indexes", name=name)
            indexing = update(settings, [documents], SilentBuild()).seconds
            started = time.perf_counter()
            judged = judge(settings, load_questions(questions), AskingOptions(mode="dense"))
            evaluation, summary = evaluate_questions(
                settings, judged, Path(folder) / "run" / name, EvaluationListener()
            )
            seconds = time.perf_counter() - started
            values = compute_values(evaluation)
            outcomes = list(zip(evaluation.outcomes, values, strict=True))
            mine = {
                m: {o.question.id: v[f"documents.{m}"] for o, v in outcomes if f"documents.{m}" in v} for m in RANKING
            }
            qrels, run = (Path(folder) / "run" / name / f"{kind}-documents.trec" for kind in ("qrels", "run"))
            first = greatest_difference(mine, measure_by_ir_measures(qrels, run))
            second = None if ranx is None else greatest_difference(mine, measure_by_ranx(ranx, qrels, run))
            results[name] = {"questions": len(outcomes), "seconds": seconds, "ir_measures": first, "ranx": second}
            best = summary.measures["documents.nDCG@10"].value
            shown = "not run" if second is None else f"{second:.1e}"
            print(
                f"| {name} | {len(outcomes):,} | {best:.4f} | {indexing:.0f} | {seconds:.0f} | {first:.1e} | {shown} |"
            )
            sys.stdout.flush()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
