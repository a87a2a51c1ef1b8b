"""What the offered encoders find, and what they cost: the table of benchmarks/README.md and of `qa models list`.

.venv/bin/python -m benchmarks.models                     all models and sets that are not measured yet
.venv/bin/python -m benchmarks.models accurate covid_faq  one model on one set

The models are converted before (`qa models convert`). Each set is written out as files and indexed as a user would, and
the first 300 questions of its reporting half are searched (``benchmarks/question_sets.py``); token F1 is that of the
best guess for the first 100. Every model and set is asked in a process of its own; times are of the
processor, since other programs run beside. Results are kept in ``runs/models``, and ``qa/models/figures.json`` is
written from all of them.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality import rank_documents
from benchmarks.question_sets import JudgedQuestion, load_questions, mean, measure, write_corpus
from qa.build.update import SilentListener, update
from qa.errors import QueryError
from qa.evaluation.measures import f1
from qa.models.catalogue import MEASURED, OFFERED, Figures, read_figures
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "runs" / "models"
FIGURES = ROOT / "qa" / "models" / "figures.json"
ENGLISH, OTHERS = MEASURED.values()
# The set that has gold answers, in English, which is what the answer reader reads. It is that of memory too.
ANSWERS = "xquad-en"
# Questions of each set that are searched, and of these that are answered.
ASKED, ANSWERED = 300, 100
DEPTH = 100


def sets_of(word: str) -> tuple[str, ...]:
    """Return the sets that a model is measured on: none in other languages where it knows one alone."""
    return ENGLISH if word == "accurate" else (*ENGLISH, *OTHERS)


def settings_of(word: str, name: str) -> Settings:
    return Settings(indexes=ROOT / "indexes", name=f"models-{word}-{name}", model=word, max_top_k=DEPTH, threads=1)


def index(word: str, name: str) -> None:
    """Index a set, and keep how many milliseconds of the processor a new passage takes."""
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(name, Path(folder))
        # The model is compiled and loaded before the clock starts.
        Service(settings_of(word, name)).encoder().load()
        started = time.process_time()
        built = update(settings_of(word, name), [Path(folder)], SilentListener(), rebuild=True)
        seconds = time.process_time() - started
    path = RESULTS / f"{word}-{name}-built.json"
    if built.counts.encoded == built.counts.passages or not path.exists():
        path.write_text(json.dumps({"passages": built.counts.passages, "ms": 1000 * seconds / built.counts.passages}))


def ask(word: str, name: str) -> dict[str, object]:
    """Search with the questions of a set, and answer some of them."""
    service = Service(settings_of(word, name), is_calibrated=False)
    service.reload()
    questions = load_questions(name, "report")[:ASKED]
    runs = {}
    times = []
    for mode in ("dense", "hybrid"):
        replies = []
        for question in questions:
            started = time.process_time()
            replies.append(service.ask(Query(question.text, DEPTH, mode=mode, answer=False)))
            times.append(1000 * (time.process_time() - started) if mode == "hybrid" else 0.0)
        run = dict(zip((question.id for question in questions), rank_documents(replies), strict=True))
        runs[mode] = measure(questions, run, ["nDCG@10"])["nDCG@10"]
    found: dict[str, object] = {
        "questions": len(questions),
        "dense": mean(runs["dense"]),
        "hybrid": mean(runs["hybrid"]),
        "ms": statistics.median(times[len(questions) :]),
    }
    if name == ANSWERS:
        found["f1"] = answer(service, questions[:ANSWERED])
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def answer(service: Service, questions: Sequence[JudgedQuestion]) -> tuple[float, float, float]:
    """Return the mean token F1 of the best guesses, and the ends of its interval; no guess counts as 0."""
    values = []
    for question in questions:
        (guess,) = service.guess_many([Query(question.text)])
        given = None if isinstance(guess, QueryError) else guess.reply.answer
        values.append(f1(given.text, question.answers) if given is not None and given.text else 0.0)
    return mean(values)


def measure_one(word: str, name: str) -> None:
    """Index and ask in processes of their own, so that memory is that of asking alone."""
    for step in ("index", "ask"):
        subprocess.run([sys.executable, "-m", "benchmarks.models", word, name, step], check=True, cwd=ROOT)


def figures_of(word: str) -> dict[str, object]:
    """Gather what was measured of a model."""
    asked = {
        name: json.loads(path.read_text())
        for name in sets_of(word)
        if (path := RESULTS / f"{word}-{name}.json").exists()
    }
    built = [
        json.loads(path.read_text())
        for name in sets_of(word)
        if (path := RESULTS / f"{word}-{name}-built.json").exists()
    ]
    return {
        "ndcg": {name: round(values["hybrid"][0], 3) for name, values in asked.items()},
        "dense": {name: round(values["dense"][0], 3) for name, values in asked.items()},
        "f1": {name: round(values["f1"][0], 3) for name, values in asked.items() if "f1" in values},
        "search_ms": round(statistics.median(values["ms"] for values in asked.values()), 1),
        "passage_ms": round(sum(b["ms"] * b["passages"] for b in built) / sum(b["passages"] for b in built), 1),
        "memory_mb": round(asked[ANSWERS]["memory"]),
    }


def table(figures: dict[str, Figures]) -> str:
    """Write the table of benchmarks/README.md."""
    rows = [["", *figures]]
    for name in (*ENGLISH, *OTHERS):
        cells = [f"{f.dense[name]:.3f}, {f.ndcg[name]:.3f}" if name in f.ndcg else "" for f in figures.values()]
        rows.append([f"{name}: dense, hybrid", *cells])
    rows.append([f"{ANSWERS}: F1", *(f"{f.f1[ANSWERS]:.3f}" for f in figures.values())])
    rows.append(["search, ms a question", *(f"{f.search_ms:.0f}" for f in figures.values())])
    rows.append(["indexing, ms a passage", *(f"{f.passage_ms:.0f}" for f in figures.values())])
    rows.append(["memory, MB", *(f"{f.memory_mb:,.0f}" for f in figures.values())])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> None:
    """Measure what was not measured yet, write the figures and print their table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    match sys.argv[1:]:
        case [word, name, "index"]:
            index(word, name)
        case [word, name, "ask"]:
            found = ask(word, name)
            (RESULTS / f"{word}-{name}.json").write_text(json.dumps(found))
            print(word, name, json.dumps(found), flush=True)
        case [word, name]:
            measure_one(word, name)
        case _:
            for offered in OFFERED:
                for name in sets_of(offered.word):
                    if not (RESULTS / f"{offered.word}-{name}.json").exists():
                        measure_one(offered.word, name)
            content = {"models": {offered.name: figures_of(offered.word) for offered in OFFERED}}
            FIGURES.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            print(table(read_figures()))


if __name__ == "__main__":
    main()
