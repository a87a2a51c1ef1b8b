"""Exact and approximate search of ten thousand to ten million passages' vectors. Prints tables, one JSON line last.

    .venv/bin/python -m benchmarks.scale --rows 10000 100000 1000000 [--exact-up-to 1000000] [--caches FILE ...]

The vectors are made up of real ones: `benchmarks/scale_vectors.py`. Nothing holds all of them, and what is nearest is
found block by block while they are written. Each step runs in a process of its own, in one thread, and times are of
its processor: the machines are shared. Needs ``../shared/data`` and embedding caches of 20,000 passages or more, by
default those below ``indexes``. Ten million rows take about 25 GB of disk and two hours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.building import Peak
from benchmarks.scale_vectors import BLOCK, COLUMN, DIMENSION, GROUPS, RANK, Nearest, Pool, blocks, groups, ids_of
from qa.index.vectors.engines import FaissVectors, open_vectors
from qa.index.vectors.exact import EXACT_UP_TO
from qa.protocols import VectorRows
from qa.types import Eq

if TYPE_CHECKING:
    from qa.protocols import VectorIndex
    from qa.types import Ids, Vectors

QUESTIONS = 500
# Questions that are asked where each costs an exact search, or is asked with a filter.
_FEW = 100
_CHANGED = 100
_ENGINES = ("exact", "approximate")
_PLOT = Path(__file__).parent / "scale.png"
_ROOT = Path(__file__).parent.parent

Result = dict[str, Any]


class Truth:
    """What the nearest rows of each question are, among all rows and among those of each group."""

    def __init__(self, questions: Vectors) -> None:
        self._nearest = {"": Nearest(questions)} | {name: Nearest(questions[:_FEW]) for name in GROUPS}

    def watch(self, rows: Iterator[tuple[int, Vectors]]) -> Iterator[tuple[int, Vectors]]:
        """Pass blocks of rows on, and look at them."""
        for first, vectors in rows:
            values = np.array(groups(first, len(vectors)))
            for name, found in self._nearest.items():
                found.add(first, vectors, values == name if name else None)
            yield first, vectors

    def save(self, path: Path) -> None:
        """Write the numbers of the rows."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name or "all": found.ids for name, found in self._nearest.items()})


def build(folder: Path, engine: str, rows: int) -> Result:
    """Write an index; times are without those of making the vectors."""
    pool = Pool.open(folder / "pool.npz")
    place = folder / f"{engine}-{rows}"
    truth = Truth(pool.questions)
    known = folder / f"truth-{rows}.npz"
    written = blocks(pool, rows) if known.exists() else truth.watch(blocks(pool, rows))
    index, spooled = _spool(folder / f"{place.name}-build", engine, written)
    if not known.exists():
        truth.save(known)
    place.mkdir()
    saved = _save(index, place)
    _write_description(place, index)
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return {"spool_cpu_s": spooled, **saved, "bytes_a_row": size / rows, **index.describe()}


def _save(index: FaissVectors, place: Path) -> Result:
    """Write an index; return the seconds of the processor, and by how many MB the process's own memory grew for it."""
    before = time.process_time()
    with Peak() as peak:
        index.save(place)
    return {"save_cpu_s": time.process_time() - before, "save_own_mb": peak.most - peak.before}


def update(folder: Path, engine: str, rows: int) -> Result:
    """Write an index again in which one row of a hundred is another; times as in :func:`build`."""
    pool = Pool.open(folder / "pool.npz")
    earlier = _open(folder / f"{engine}-{rows}")
    place = folder / f"{engine}-{rows}-updated"
    index, spooled = _spool(folder / f"{place.name}-build", engine, _changed(pool, rows), earlier)
    place.mkdir()
    saved = _save(index, place)
    shutil.rmtree(place)
    return {"spool_cpu_s": spooled, **saved, **index.describe()}


def _changed(pool: Pool, rows: int) -> Iterator[tuple[int, Vectors]]:
    for first, vectors in blocks(pool, rows):
        at = np.arange(0, len(vectors), _CHANGED)
        vectors[at] = pool.block(first // BLOCK, len(vectors), seed=1)[at]
        yield first, vectors


def _spool(
    folder: Path, engine: str, rows: Iterator[tuple[int, Vectors]], earlier: VectorIndex | None = None
) -> tuple[FaissVectors, float]:
    """Give rows to a new index; return it, and the seconds of the processor that it took them."""
    folder.mkdir()
    exact_up_to = sys.maxsize if engine == "exact" else 0
    index = FaissVectors(folder, DIMENSION, [COLUMN], earlier, exact_up_to=exact_up_to)
    seconds = 0.0
    for first, vectors in rows:
        ids = ids_of(np.arange(first, first + len(vectors)))
        values = groups(first, len(vectors))
        before = time.process_time()
        index.upsert(VectorRows(ids, vectors, {COLUMN: values}))
        seconds += time.process_time() - before
        _say(f"{first + len(vectors):,} rows written")
    return index, seconds


def search(folder: Path, engine: str, rows: int) -> Result:
    """Open an index and ask it all questions, one at a time, and some of them with each filter."""
    questions = Pool.open(folder / "pool.npz").questions
    with np.load(folder / f"truth-{rows}.npz", allow_pickle=False) as arrays:
        truth = {name: ids_of(nearest) for name, nearest in arrays.items()}
    _open(folder / f"{engine}-{rows}").close()  # what is imported is not the index's memory, nor its time
    memory = _memory()
    before = time.perf_counter()
    index = _open(folder / f"{engine}-{rows}")
    opened = time.perf_counter() - before
    after_opening = _memory()
    cold = _ask(index, questions[:_FEW], truth["all"])
    asked = questions[: _FEW if engine == "exact" and rows > BLOCK else len(questions)]
    result = {
        "open_ms": 1000 * opened,
        "first": cold,
        **_ask(index, asked, truth["all"]),
        "filters": {name: _ask(index, questions[:_FEW], truth[name], name) for name in GROUPS},
    }
    after = _memory()
    for name, now in (("opened", after_opening), ("asked", after)):
        result[f"{name}_mb"] = {kind: now[kind] - memory[kind] for kind in now}
    return result


def _ask(index: VectorIndex, questions: Vectors, truth: Ids, group: str = "") -> Result:
    """Return recall@10 and milliseconds of the processor for each of questions that are asked one at a time."""
    condition = Eq(COLUMN, group) if group else None
    found, times = [], []
    for at in range(len(questions)):
        before = time.thread_time()
        ids, _ = index.search(questions[at : at + 1], RANK, condition)
        times.append(1000 * (time.thread_time() - before))
        found.append(np.isin(truth[at], ids[0]).mean())
    p50, p99 = np.percentile(times, [50, 99])
    return {"recall": float(np.mean(found)), "ms": float(np.mean(times)), "p50_ms": float(p50), "p99_ms": float(p99)}


def _write_description(place: Path, index: VectorIndex) -> None:
    place.with_suffix(".json").write_text(json.dumps(index.describe()), encoding="utf-8")


def _open(place: Path) -> VectorIndex:
    return open_vectors(place, json.loads(place.with_suffix(".json").read_text(encoding="utf-8")))


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def _memory() -> dict[str, float]:
    """Return the resident megabytes of the process: its own, and pages of files, which the system may take back."""
    return {"own": _status("RssAnon"), "files": _status("RssFile")}


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def _run_apart(folder: Path, step: str, *arguments: str) -> Result:
    """Run a step in a process of its own, so that its memory and caches are not another's."""
    command = [sys.executable, "-m", "benchmarks.scale", "--folder", str(folder), "--step", step, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    before = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=_ROOT, env=environment)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    result["wall_s"] = time.perf_counter() - before
    _say(f"{step} {' '.join(arguments)}: {json.dumps(result)}")
    return result


def measure(folder: Path, rows: int, engines: Sequence[str]) -> dict[str, Result]:
    """Build, ask and update an index of each engine; the folders of the indexes are removed again."""
    results = {}
    for engine in engines:
        of = (engine, str(rows))
        result = {"build": _run_apart(folder, "build", *of), "search": _run_apart(folder, "search", *of)}
        if engine == "approximate":
            result["update"] = _run_apart(folder, "update", *of)
        results[engine] = result
        shutil.rmtree(folder / f"{engine}-{rows}")
    return results


def print_tables(results: Mapping[int, Mapping[str, Result]]) -> None:
    """Print what was measured, in Markdown."""
    print(
        "| rows | engine | recall@10 | ms a query, p50 / p99 | bytes a row | open, ms | own MB opened / asked |", end=""
    )
    print(" MB of files asked | build, s, own MB | 1 % changed, s, own MB |\n|---|---|---|---|---|---|---|---|---|---|")
    for rows, of_engine in results.items():
        for engine, result in of_engine.items():
            built, asked = result["build"], result["search"]
            costs = [
                f"{step['spool_cpu_s'] + step['save_cpu_s']:.0f} s, {step['save_own_mb']:.0f}"
                for step in (built, result.get("update"))
                if step is not None
            ]
            print(
                f"| {rows:,} | {engine} | {asked['recall']:.3f} | {asked['p50_ms']:.2f} / {asked['p99_ms']:.2f} | "
                f"{built['bytes_a_row']:.0f} | {asked['open_ms']:.0f} | {asked['opened_mb']['own']:.0f} / "
                f"{asked['asked_mb']['own']:.0f} | {asked['asked_mb']['files']:.0f} | "
                f"{costs[0]} | {costs[1] if len(costs) > 1 else ''} |"
            )
    print("\n| rows | engine |", *(f"{share:.1%} pass |" for share in GROUPS.values()))
    print("|---|---|" + "---|" * len(GROUPS))
    for rows, of_engine in results.items():
        for engine, result in of_engine.items():
            cells = (result["search"]["filters"][name] for name in GROUPS)
            print(f"| {rows:,} | {engine} |", *(f"{cell['recall']:.3f}, {cell['ms']:.2f} ms |" for cell in cells))


def plot(results: Mapping[int, Mapping[str, Result]]) -> None:
    """Draw the time of a question, and the memory, over the number of rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(10, 4))
    for engine, style in zip(_ENGINES, ("s--", "o-"), strict=True):
        of = {rows: result[engine]["search"] for rows, result in results.items() if engine in result}
        times.loglog([*of], [each["p50_ms"] for each in of.values()], style, label=engine)
        own = [max(1.0, each["asked_mb"]["own"]) for each in of.values()]
        memory.loglog([*of], own, style, label=f"{engine}, its own")
        files = [max(1.0, each["asked_mb"]["files"]) for each in of.values()]
        memory.loglog([*of], files, style, alpha=0.4, label=f"{engine}, pages of files")
    for axes, label in ((times, "milliseconds of the processor a question"), (memory, "MB resident after questions")):
        axes.set_xlabel("rows")
        axes.set_ylabel(label)
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    figure.savefig(_PLOT, dpi=120, bbox_inches="tight")


def main() -> None:
    """Measure all sizes, or do one step of one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 300_000])
    parser.add_argument("--exact-up-to", type=int, default=1_000_000, help="no exact index of more rows is built")
    parser.add_argument("--caches", nargs="+", type=Path, default=sorted(Path("indexes").glob("*/embeddings.sqlite")))
    parser.add_argument("--plot", action="store_true", help=f"draw {_PLOT.name}")
    parser.add_argument("--folder", type=Path, help="where the indexes are written")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step, *arguments = given.step
        engine, rows = arguments
        run = {"build": build, "search": search, "update": update}[step]
        print(json.dumps(run(given.folder, engine, int(rows))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        Pool.make(given.caches, QUESTIONS).save(folder / "pool.npz")
        _say("the pool of vectors is made")
        results = {}
        for rows in given.rows:
            engines = _ENGINES if rows <= given.exact_up_to else _ENGINES[1:]
            results[rows] = measure(folder, rows, engines)
    print_tables(results)
    if given.plot:
        plot(results)
    print(json.dumps({"exact_up_to": EXACT_UP_TO, "rows": results}))


if __name__ == "__main__":
    main()
