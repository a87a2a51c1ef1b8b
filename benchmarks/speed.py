"""How fast encoding, starting and building are, each against a baseline of the same run. One JSON line last.

    .venv/bin/python -m benchmarks.speed [encoding query loading starting building beside memory] [--sizes 1000 10000]

Needs ``../shared/data``. Everything is interleaved and repeated, and medians are shown: the machines are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.question_sets import load_corpus, load_questions, mean, measure
from qa.build.update import SilentListener, update
from qa.models.choice import Runtime, choose_encoder
from qa.models.compiled import CompiledEncoder
from qa.models.files import locate
from qa.models.loading import make_encoder
from qa.models.openvino import Precision
from qa.protocols import Encoder
from qa.settings import DEFAULT_MODEL, Settings

if TYPE_CHECKING:
    from qa.types import Vectors

ROUNDS = 3
PASSAGES = 400
QUERIES = 40
# Texts given to the encoder at once where nothing but encoding is measured.
LARGE = 4096
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8", "int8-static")
# On the tune half, and no set that is reported on elsewhere.
QUALITY_SETS = ("xquad-en", "nq_open_oracle")
PLOT = Path(__file__).parent / "build-time.png"
_QA = str(Path(sys.executable).parent / "qa")
_ROOT = Path(__file__).parent.parent

Result = dict[str, Any]


def _plain() -> Any:
    """Load sentence-transformers with its own threads, batches and precision."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(locate(DEFAULT_MODEL).folder), device="cpu")


def _compiled(folder: Path, threads: int) -> dict[str, Encoder]:
    made: dict[str, Encoder] = {}
    for precision in PRECISIONS:
        encoder = choose_encoder(locate(DEFAULT_MODEL), Runtime(folder, precision, threads), lambda message: None)
        if isinstance(encoder, CompiledEncoder):
            encoder.load()
            made[precision] = encoder
        else:
            print(f"{precision} is not used: it does not agree with its reference", flush=True)
    return made


def _interleaved(work: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median seconds of each, one after the other in every round; each is run once before."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    for _ in range(rounds):
        for name, run in work.items():
            seconds[name].append(_seconds(run))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def encoding(folder: Path) -> list[Result]:
    """Compare passages a second and the vectors of each precision with torch's."""
    texts = [document.text for document in load_corpus("nq_open_oracle")[:PASSAGES]]
    plain, encoders = _plain(), _compiled(folder, os.cpu_count() or 1)

    def reference(texts: list[str]) -> Any:
        return plain.encode(texts, normalize_embeddings=True, show_progress_bar=False)

    work: dict[str, Callable[[], object]] = {"torch fp32": lambda: reference(texts)}
    work |= {name: lambda encoder=encoder: encoder.encode_passages(texts) for name, encoder in encoders.items()}  # type: ignore[misc]
    seconds = _interleaved(work)
    sets = {name: _retrieval(name, reference, encoders) for name in QUALITY_SETS}
    rows = []
    for name in seconds:
        row: Result = {"runtime": name, "per_second": len(texts) / seconds[name]}
        row["ratio"] = seconds["torch fp32"] / seconds[name]
        for of, measured in sets.items():
            row[of] = measured[name]
        rows.append(row)
    return rows


def _retrieval(
    name: str, reference: Callable[[list[str]], Any], encoders: Mapping[str, Encoder]
) -> Mapping[str, Result]:
    """Compute nDCG@10 by cosine alone over whole documents, and how many of the reference's first ten are found."""
    documents, questions = load_corpus(name), load_questions(name, "tune")
    texts, asked = [document.text for document in documents], [question.text for question in questions]
    tops, cosines = {}, {}
    base = reference(texts)
    tops["torch fp32"] = _top(reference(asked), base)
    cosines["torch fp32"] = np.ones(len(texts))
    for precision, encoder in encoders.items():
        rows = encoder.encode_passages(texts)
        tops[precision] = _top(encoder.encode_questions(asked), rows)
        cosines[precision] = np.sum(rows * base, axis=1)

    def run(top: list[list[int]]) -> dict[str, list[str]]:
        return {q.id: [documents[at].id for at in row] for q, row in zip(questions, top, strict=True)}

    return {
        runtime: {
            "ndcg10": mean(measure(questions, run(top), ["nDCG@10"])["nDCG@10"])[0],
            "overlap10": statistics.fmean(
                len({*row} & {*of}) / 10 for row, of in zip(top, tops["torch fp32"], strict=True)
            ),
            "cosine": float(cosines[runtime].mean()),
            "least_cosine": float(cosines[runtime].min()),
        }
        for runtime, top in tops.items()
    }


def _top(questions: Any, passages: Any) -> list[list[int]]:
    top: list[list[int]] = np.argsort(-(questions @ passages.T), axis=1, kind="stable")[:, :10].tolist()
    return top


def query(folder: Path) -> list[Result]:
    """Return the median milliseconds of one short question, interleaved question by question."""
    asked = [question.text for question in load_questions("nq_open_oracle", "tune")[:QUERIES]]
    plain, encoders = _plain(), _compiled(folder, threads=1)
    work: dict[str, Callable[[str], object]] = {
        "torch fp32": lambda text: plain.encode(text, show_progress_bar=False),
        **{name: lambda text, encoder=encoder: encoder.encode_questions([text]) for name, encoder in encoders.items()},  # type: ignore[misc]
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for text in asked:
        for name, run in work.items():
            times[name].append(1000 * _seconds(lambda: run(text)))  # noqa: B023
    medians = {name: statistics.median(values[3:]) for name, values in times.items()}
    return [{"runtime": name, "p50_ms": ms, "share": ms / medians["torch fp32"]} for name, ms in medians.items()]


def loading(folder: Path) -> list[Result]:
    """Load encoder and answer reader twice, each time in a process of its own: the first compiles what is not kept."""
    return [_run_apart("loaded", folder, []) for _ in range(2)]


def loaded(folder: Path) -> Result:
    """Load both models here; read processor seconds, and the megabytes that no other process shares, by stage."""
    from qa.models.answer_reader import OpenVinoReader

    started = time.process_time()
    found: Result = {}

    def note(stage: str) -> None:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
        megabytes = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Private_Dirty"))
        found[stage] = {"cpu_s": round(time.process_time() - started, 2), "private_mb": round(megabytes, 1)}

    note("imports")
    encoder = choose_encoder(locate(DEFAULT_MODEL), Runtime(folder / "models", "bf16", 1), lambda message: None)
    note("sums checked")
    encoder.load()
    note("encoder")
    reader = OpenVinoReader(threads=1, models=folder / "models")
    reader.load()
    note("reader")
    chance = np.random.default_rng(0)
    for _ in range(20):
        encoder.encode_questions(["word " * int(chance.integers(3, 20)) for _ in range(int(chance.integers(1, 17)))])
        reader.read(
            [("which word", "word " * int(chance.integers(20, 200))) for _ in range(int(chance.integers(1, 5)))]
        )
    note("used")
    # What was written just now counts as nobody else's until it is on the disk.
    os.sync()
    return found


def starting(folder: Path) -> Result:
    """Time `qa serve` until it is ready and `qa ask` until it ends, and read the server's memory in MB."""
    environment = {**os.environ, "QA_INDEXES": str(folder / "indexes")}
    subprocess.run(
        [_QA, "index", "seeds", "--name", "seeds"], cwd=_ROOT, env=environment, check=True, capture_output=True
    )
    ready, memory, asked, processor = [], [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        before = os.times()
        subprocess.run(
            [_QA, "ask", "How far is the army from Mosul?"], cwd=_ROOT, env=environment, check=True, capture_output=True
        )
        asked.append(time.perf_counter() - started)
        after = os.times()
        processor.append(after.children_user + after.children_system - before.children_user - before.children_system)
        seconds, megabytes = _serve(environment)
        ready.append(seconds)
        memory.append(megabytes)
    return {
        "serve_ready_s": statistics.median(ready),
        "serve_mb": max(memory),
        "ask_s": statistics.median(asked),
        "ask_cpu_s": statistics.median(processor),
    }


def _serve(environment: Mapping[str, str]) -> tuple[float, float]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [_QA, "serve", "--port", "0"],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("Ready"):
            assert line, "qa serve ended before it was ready"
        seconds = time.perf_counter() - started
        address = process.stdout.readline().strip()
        for number in range(20):
            urllib.request.urlopen(f"{address}/v1/ask?q=question+{number}", timeout=30).read()
        return seconds, _megabytes(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _megabytes(pid: int | str = "self", field: str = "VmRSS") -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


class _Listening:
    """An encoder that keeps the texts it was given during a build."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.texts: list[str] = []
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dimension, self.window, self.languages = encoder.dimension, encoder.window, encoder.languages
        self.spread, self.load, self.count_tokens = encoder.spread, encoder.load, encoder.count_tokens
        self.count_question_tokens, self.encode_questions = encoder.count_question_tokens, encoder.encode_questions

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return self._encoder.encode_passages(texts)


def building(folder: Path, sizes: list[int]) -> list[Result]:
    """Time an index build, and the encoding of the same texts alone right after it; read the peak of memory.

    ``of_raw_cpu`` compares processor seconds, which other work on the machine changes less. A size of 0 stands for the
    documents of xquad-en as they are; the other sizes are numbers of short sections.
    """
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            documents = Path(place) / "documents"
            _write_documents(documents, size)
            settings = Settings(indexes=folder / "indexes", name=f"bench-{size}")
            encoder = _Listening(make_encoder(settings, threads=os.cpu_count() or 1))
            encoder.load()
            processor = time.process_time()
            made = update(settings, [documents], SilentListener(), make=lambda settings, *, threads: encoder)  # noqa: B023
            build_cpu = time.process_time() - processor
        texts = list(encoder.texts)
        started, processor = time.perf_counter(), time.process_time()
        for at in range(0, len(texts), LARGE):
            encoder.encode_passages(texts[at : at + LARGE])
        raw, raw_cpu = time.perf_counter() - started, time.process_time() - processor
        row = {
            "size": size,
            "passages": made.counts.passages,
            "encoded": made.counts.encoded,
            "build_s": made.seconds,
            "raw_s": raw,
            "of_raw": raw / made.seconds,
            "of_raw_cpu": raw_cpu / build_cpu,
            "peak_mb": _megabytes(field="VmHWM"),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


class _Free(_Listening):
    """An encoder that counts tokens, and whose rows are not those of any text and cost nothing."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.load = lambda: None

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        rows = np.random.default_rng(len(texts)).standard_normal((len(texts), self.dimension), np.float32)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def beside(folder: Path, sizes: list[int]) -> list[Result]:
    """Read the processor seconds of a build beside encoding, the median of three; the process that reads is left out.

    Other work on the machine changes it less than it changes the share that encoding has of a build.
    """
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            documents = Path(place) / "documents"
            _write_documents(documents, size)
            seconds = []
            for number in range(ROUNDS + 1):
                settings = Settings(indexes=folder / "indexes", name=f"beside-{size}-{number}")
                encoder = _Free(make_encoder(settings, threads=1))
                processor = time.process_time()
                made = update(settings, [documents], SilentListener(), make=lambda settings, *, threads: encoder)  # noqa: B023
                seconds.append(time.process_time() - processor)
        # The first imports libraries.
        cpu = statistics.median(seconds[1:])
        rows.append(
            {"size": size, "texts": made.counts.encoded, "cpu_s": cpu, "us_a_text": 1e6 * cpu / made.counts.encoded}
        )
        print(rows[-1], flush=True)
    return rows


def _write_documents(folder: Path, size: int) -> None:
    """Write ``size`` numbered sections of one short sentence, no two alike, each of which makes one passage."""
    folder.mkdir()
    if not size:
        for document in load_corpus("xquad-en"):
            (folder / f"{document.id}.txt").write_text(document.text, encoding="utf-8")
        return
    texts = [document.text for document in load_corpus("nq_open_oracle")]
    sentences = [sentence for text in texts for sentence in text.split(". ") if 40 < len(sentence) < 120]
    for at in range(0, size, 500):
        parts = (f"# {n}\n\n{n}. {sentences[n % len(sentences)]}.\n\n" for n in range(at, min(at + 500, size)))
        (folder / f"{at:06}.md").write_text("".join(parts), encoding="utf-8")


def memory(folder: Path) -> list[Result]:
    """Read the memory of the process in MB after more and more texts of every length, with all cores."""
    encoder = choose_encoder(locate(DEFAULT_MODEL), Runtime(folder, "bf16", os.cpu_count() or 1), lambda message: None)
    chance = np.random.default_rng(7)
    rows, done = [], 0
    for _ in range(6):
        for _ in range(4):
            lengths = chance.integers(1, 250, size=64)
            encoder.encode_passages([" ".join(["word"] * int(length)) for length in lengths])
            done += len(lengths)
        rows.append({"texts": done, "mb": _megabytes()})
    return rows


def plot(rows: list[Result]) -> None:
    """Draw the seconds of builds over the number of texts encoded."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    rows = [row for row in rows if row["size"]]
    axes.loglog([row["encoded"] for row in rows], [row["build_s"] for row in rows], "o-", label="qa index")
    axes.loglog([row["encoded"] for row in rows], [row["raw_s"] for row in rows], "s--", label="encoding alone")
    axes.set_xlabel("texts encoded")
    axes.set_ylabel("seconds")
    axes.legend()
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(PLOT, dpi=120, bbox_inches="tight")


def _run_apart(part: str, folder: Path, arguments: list[str]) -> Any:
    """Run one part in a process of its own, so that its memory and caches are not another part's."""
    command = [sys.executable, "-m", "benchmarks.speed", part, "--folder", str(folder), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="", flush=True)
    return json.loads(done.stdout.splitlines()[-1])[part]


def main() -> None:
    """Run the parts that are named, or all of them."""
    parts = ("encoding", "query", "loading", "starting", "memory", "building", "beside")
    parser = argparse.ArgumentParser()
    # "loaded" is what each process of "loading" runs.
    parser.add_argument("parts", nargs="*", choices=(*parts, "loaded"), default=[])
    parser.add_argument("--sizes", nargs="*", type=int, default=[0, 1000, 10_000])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    if len(given.parts) == 1 and given.folder is not None:
        part = given.parts[0]
        run: dict[str, Callable[[Path], Any]] = {
            "encoding": encoding,
            "query": query,
            "loading": loading,
            "loaded": loaded,
            "starting": starting,
            "memory": memory,
            "building": lambda folder: building(folder, given.sizes),
            "beside": lambda folder: beside(folder, given.sizes),
        }
        results[part] = run[part](given.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for part in given.parts or parts:
                sizes = ["--sizes", *map(str, given.sizes)]
                results[part] = _run_apart(part, Path(folder), sizes)
        if "building" in results:
            plot(results["building"])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
