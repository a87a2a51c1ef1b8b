"""What serving costs, as ratios of one interleaved run: load by an external process, over loopback, on ``qa serve``.

In each round, one after the other: the bare work in this process, one client, 32 clients, the service that a tutorial
would build and txtai's own under 32 clients, and ours at ten times its capacity. Medians over the rounds. Before them
starting, and behind them a profile by stage. Prints tables, and one JSON line last.

"Bare" is the model alone, without HTTP, search, choice or JSON, in this process while the servers do nothing:

- of passages, the same questions encoded in batches of 32, by as many threads as there are cores, each with a request
  of its own; and by one thread, which is what was measured before there were workers;
- with reading, the same questions encoded in batches of 32, and then all that the server would read for them read in
  one call: the same pairs of question and excerpt, found out beforehand, parted over as many threads as cores.

    .venv/bin/python -m benchmarks.evaluation_sets nq_open_oracle /tmp/sets
    .venv/bin/qa index /tmp/sets/nq_open_oracle/documents --name nq
    make bench-serving
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serving_profile
from benchmarks.question_sets import load_questions
from benchmarks.servers import free_port, load, running
from qa.index.snapshots import Snapshots
from qa.models.loading import make_answer_reader, make_encoder
from qa.protocols import AnswerReader, Encoder, Reading
from qa.service.service import Service
from qa.settings import Settings, load_settings
from qa.types import Query

CLIENTS = 32
# As many of these as may wait in the queue send nothing meanwhile.
OVERLOADED, WAITING = 800, 128
_LONGER = 3
# Questions that are asked for an answer, each client beginning with another one.
READ = 128
STARTS = 3
CORES = os.cpu_count() or 1
PASSAGES, ANSWER = "/v1/ask?answer=false&q=", "/v1/ask?q="

Pairs = list[tuple[str, str]]


def memory(pid: int, field: str = "Pss") -> float:
    """Read the memory of a process and of all below it, in MB; what they share is counted once."""
    parts = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", parts, re.MULTILINE)
    own = int(found[1]) / 1024 if found else 0.0
    children = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return own + sum(memory(int(child), field) for child in children)


@dataclass(frozen=True, slots=True)
class Bare:
    """The work of the models alone; ``pairs`` are what is read for each of the first questions."""

    service: Service
    questions: Sequence[str]
    pairs: Sequence[Pairs]
    encoder: Encoder
    reader: AnswerReader

    def single_ms(self, seconds: float, *, answer: bool) -> float:
        """Measure the median of one question after the other, in milliseconds."""
        times, until = [], time.perf_counter() + seconds
        for question in self.questions[: READ if answer else None]:
            started = time.perf_counter()
            self.service.ask(Query(question, answer=answer))
            times.append(time.perf_counter() - started)
            if time.perf_counter() > until:
                break
        return 1000 * statistics.median(times)

    def encoded(self, seconds: float, threads: int) -> float:
        """Measure questions encoded a second, in batches of 32, by a number of threads."""

        def encode(number: int) -> int:
            done = 0
            while time.perf_counter() < until:
                at = (number * 7 * CLIENTS + done) % (len(self.questions) - CLIENTS)
                self.encoder.encode_questions(self.questions[at : at + CLIENTS])
                done += CLIENTS
            return done

        started = time.perf_counter()
        until = started + seconds
        with ThreadPoolExecutor(threads) as pool:
            done = sum(pool.map(encode, range(threads)))
        return done / (time.perf_counter() - started)

    def read(self, seconds: float) -> float:
        """Measure questions encoded and read for a second, 32 at a time."""
        done, started = 0, time.perf_counter()
        while time.perf_counter() < started + seconds:
            at = done % READ
            self.encoder.encode_questions(self.questions[at : at + CLIENTS])
            self.reader.read([pair for pairs in self.pairs[at : at + CLIENTS] for pair in pairs])
            done += CLIENTS
        return done / (time.perf_counter() - started)


class _Recorder:
    """A reader that remembers what it was given."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self.pairs: Pairs = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    def read(self, pairs: Pairs) -> list[Reading]:
        """Read, and remember."""
        self.pairs += pairs
        return self._reader.read(pairs)


def prepare(settings: Settings, questions: Sequence[str]) -> Bare:
    """Load the models for both ways of using them, and find out what is read for each question."""
    service = Service(settings)
    service.reload()
    recorder = _Recorder(service._models.answer_reader())
    service._models._answer_reader = recorder  # type: ignore[assignment]
    pairs: list[Pairs] = []
    for question in questions[:READ]:
        recorder.pairs = []
        service.ask(Query(question))
        pairs.append(recorder.pairs)
    encoder, reader = make_encoder(settings, threads=CORES), make_answer_reader(settings, threads=CORES)
    encoder.load()
    reader.load()
    return Bare(service, questions, pairs, encoder, reader)


def load_texts(settings: Settings) -> list[str]:
    """Load the texts of the index's passages."""
    index = Snapshots(settings.indexes, settings.name).open()
    try:
        return [passage.text for passage in index.store.all_passages()]
    finally:
        index.close()


def measure_round(
    bare: Bare, asked: Path, few: Path, addresses: tuple[str, str, str], seconds: float
) -> dict[str, float]:
    """Measure every system once, one after the other."""
    ours, tutorial, peer = addresses
    found = {"bare_ms": bare.single_ms(seconds / 2, answer=False)}
    one = load(ours + PASSAGES, asked, clients=1, seconds=seconds)
    found |= {"one_ms": one["p50_ms"], "bare_read_ms": bare.single_ms(seconds / 2, answer=True)}
    one_read = load(ours + ANSWER, few, clients=1, seconds=seconds)
    found["one_read_ms"] = one_read["p50_ms"]
    found["encoded_one_thread"] = bare.encoded(seconds / 2, 1)
    found["encoded"] = bare.encoded(seconds / 2, CORES)
    many = load(ours + PASSAGES, asked, clients=CLIENTS, seconds=seconds)
    found |= {"many": many["per_second"], "many_p95_ms": many["p95_ms"]}
    found["tutorial"] = load(f"{tutorial}/ask?q=", asked, clients=CLIENTS, seconds=seconds)["per_second"]
    found["txtai"] = load(f"{peer}/search?limit=5&query=", asked, clients=CLIENTS, seconds=seconds)["per_second"]
    found["read"] = bare.read(seconds)
    read = load(ours + ANSWER, few, clients=CLIENTS, seconds=2 * seconds)
    found |= {"many_read": read["per_second"], "many_read_p95_ms": read["p95_ms"]}
    rate = 10 * many["per_second"] * OVERLOADED / (OVERLOADED - WAITING)
    # Longer, since opening so many connections takes most of a second.
    beyond = load(ours + PASSAGES, asked, clients=OVERLOADED, seconds=_LONGER * seconds, rate=rate)
    # Connections that are refused late ask less often than they want to.
    asked_for = (beyond["answered"] + beyond["refused"]) / (_LONGER * seconds)
    found |= {"wanted": rate, "offered": asked_for, "beyond": beyond["per_second"]}
    found["failed"] = float(sum(each["other"] + each["lost"] for each in (one, one_read, many, read, beyond)))
    return found


def measure_starting(serve: Sequence[str], ask: Sequence[str], address: str) -> dict[str, float]:
    """Measure the seconds until a server is ready, and from Enter to the answer of ``qa ask``: medians."""
    ready, asked = [], []
    for _ in range(STARTS):
        started = time.perf_counter()
        with running(list(serve), address):
            ready.append(time.perf_counter() - started)
        started = time.perf_counter()
        subprocess.run(ask, check=True, capture_output=True)
        asked.append(time.perf_counter() - started)
    return {"ready_s": round(statistics.median(ready), 2), "ask_s": round(statistics.median(asked), 2)}


def report(rounds: Sequence[dict[str, float]], others: dict[str, float], profile: dict[str, dict[str, float]]) -> None:
    """Print the medians and the ratios."""

    def of(one: Callable[[dict[str, float]], float], digits: int = 3) -> float:
        return round(statistics.median(map(one, rounds)), digits)

    result = {
        "of_bare_encoding": of(lambda one: one["many"] / one["encoded"]),
        "of_bare_encoding_by_one_thread": of(lambda one: one["many"] / one["encoded_one_thread"]),
        "of_tutorial": of(lambda one: one["many"] / one["tutorial"], 2),
        "of_txtai": of(lambda one: one["many"] / one["txtai"], 2),
        "of_bare_encoding_and_reading": of(lambda one: one["many_read"] / one["read"]),
        "added_ms": of(lambda one: one["one_ms"] - one["bare_ms"], 2),
        "added_read_ms": of(lambda one: one["one_read_ms"] - one["bare_read_ms"], 2),
        "goodput_at_ten_times": of(lambda one: one["beyond"] / one["many"]),
        "failed": sum(one["failed"] for one in rounds),
        **others,
    }
    print("| | median of the rounds |\n|---|---|")
    for name in rounds[0]:
        print(f"| {name} | {statistics.median(one[name] for one in rounds):.1f} |")
    print("\n| | |\n|---|---|")
    for name, value in result.items():
        print(f"| {name} | {value} |")
    if profile:
        print(f"\n{serving_profile.table(profile)}")
    print(json.dumps({**result, "rounds": len(rounds), "profile": profile}))


def main() -> None:
    """Measure starting, start the three services, measure them in rounds, and profile ours."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="nq")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--workers", type=int, help="processes of qa serve; by default its own choice")
    parser.add_argument("--peer", default=".venv-peers/bin/python", help="a Python that has txtai with its API")
    parser.add_argument("--no-profile", action="store_true")
    arguments = parser.parse_args()
    settings = load_settings(name=arguments.name)
    questions = [" ".join(question.text.split()) for question in load_questions("nq_open_oracle", "report")]
    ours, theirs, peers = free_port(), free_port(), free_port()
    addresses = f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{theirs}", f"http://127.0.0.1:{peers}"
    program = str(Path(sys.executable).parent / "qa")
    serve = [program, "serve", "--name", arguments.name, "--port", str(ours)]
    serve += ["--workers", str(arguments.workers)] if arguments.workers else []
    others = measure_starting(serve, [program, "ask", questions[0], "--name", arguments.name], f"{addresses[0]}/readyz")
    bare = prepare(settings, questions)
    with tempfile.TemporaryDirectory() as folder:
        asked, few = Path(folder) / "questions.txt", Path(folder) / "few.txt"
        asked.write_text("\n".join(questions), encoding="utf-8")
        few.write_text("\n".join(questions[:READ]), encoding="utf-8")
        passages = Path(folder) / "passages.json"
        passages.write_text(json.dumps(load_texts(settings)), encoding="utf-8")
        embeddings = f"{folder}/embeddings.npy"
        module = [sys.executable, "-m", "benchmarks.tutorial_service", str(settings.indexes), arguments.name]
        txtai = [arguments.peer, "benchmarks/txtai_service.py", str(passages), f"{folder}/txtai", str(peers)]
        with (
            running([*module, embeddings, str(theirs)], f"{addresses[1]}/ask?q=ready", TQDM_DISABLE="1"),
            running(txtai, f"{addresses[2]}/search?query=ready&limit=5"),
            running(serve, f"{addresses[0]}/readyz", QA_CACHE_MB="0", QA_LOCAL_RATE_LIMIT="") as pid,
        ):
            # What a process does only once belongs to no round.
            load(addresses[0] + PASSAGES, asked, clients=CLIENTS, seconds=arguments.seconds)
            load(addresses[0] + ANSWER, few, clients=CLIENTS, seconds=2 * arguments.seconds)
            rounds = [measure_round(bare, asked, few, addresses, arguments.seconds) for _ in range(arguments.rounds)]
            others["memory_mb"] = round(memory(pid))
    bare.service.close()
    profile = {} if arguments.no_profile else serving_profile.measure(arguments.name, arguments.seconds)
    report(rounds, others, profile)


if __name__ == "__main__":
    main()
