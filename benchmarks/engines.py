"""The same documents and questions on exact search, approximate search and Milvus, by `qa evaluate` and `qa compare`.

    .venv/bin/python -m benchmarks.engines [--set nq_open_oracle] [--milvus http://127.0.0.1:19530]

Each engine gets an index of its own, with the same embeddings, and the set's questions are asked of each; the runs and
what `qa compare` says of each and the exact one are kept in the folder. Without an address Milvus is left out.
Approximate search is forced, since no set is large enough for it. Prints the comparisons, and one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.evaluation_sets import write_set
from qa.build.embeddings import CACHE_FILE
from qa.build.update import SilentListener, update
from qa.evaluation.comparison import compare_runs
from qa.evaluation.runs import load_run
from qa.index.snapshots import Snapshots
from qa.index.vectors import exact
from qa.settings import Settings

_QA = str(Path(sys.executable).parent / "qa")


def build(documents: Path, name: str, engine: str) -> None:
    """Index the documents; the environment says where, and what the server of Milvus is."""
    if engine == "approximate":
        exact.EXACT_UP_TO = 0
    settings = Settings(name=name)
    update(settings, [documents], SilentListener())
    index = Snapshots.of(settings).open()
    print(json.dumps(dict(index.vectors.describe())))
    index.close()


def evaluate(folder: Path, documents: Path, questions: Path, engine: str, environment: Mapping[str, str]) -> Path:
    """Build an index, ask the questions of it, and return the folder of the run."""
    name = f"engines-{engine}"
    index, first = folder / "indexes" / name, folder / "indexes" / "engines-exact" / CACHE_FILE
    if engine != "exact" and first.exists() and not (index / CACHE_FILE).exists():
        index.mkdir(parents=True)
        shutil.copyfile(first, index / CACHE_FILE)
    step = [sys.executable, "-m", "benchmarks.engines", "--build", str(documents), name, engine]
    described = subprocess.run(step, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    print(f"{engine}: {described.strip().splitlines()[-1]}", flush=True)
    run = folder / "runs" / engine
    command = [_QA, "evaluate", str(questions), "--name", name, "-o", str(run), "--no-answer", "--force"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return run


def compare(exact: Path, run: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Print what `qa compare` says, and return each measure: of exact search, of the other, and the verdict."""
    subprocess.run([_QA, "compare", str(exact), str(run)], check=True, env=environment)
    comparison = compare_runs(load_run(exact), load_run(run))
    return {each.name: [each.baseline, each.candidate, each.verdict] for each in comparison.measures}


def main() -> None:
    """Evaluate each engine and compare it with exact search."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", default="nq_open_oracle")
    parser.add_argument("--milvus", default="")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "engines")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build(Path(given.build[0]), *given.build[1:])
        return
    folder = given.folder.resolve()
    documents, questions = write_set(given.set, folder / "sets")
    environment = os.environ | {"QA_INDEXES": str(folder / "indexes")}
    runs = {name: evaluate(folder, documents, questions, name, environment) for name in ("exact", "approximate")}
    if given.milvus:
        environment["QA_MILVUS"] = given.milvus
        runs["milvus"] = evaluate(folder, documents, questions, "milvus", environment)
    results = {}
    for engine, run in runs.items():
        if engine != "exact":
            print(f"\nexact and {engine}", flush=True)
            results[engine] = compare(runs["exact"], run, environment)
    print(json.dumps({"set": given.set, "compared": results}))


if __name__ == "__main__":
    main()
