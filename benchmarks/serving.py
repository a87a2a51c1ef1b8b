"""What serving costs, as ratios of one interleaved run: load by an external process, over loopback, on real uvicorn.

In each round, one after the other: asking without HTTP, one client, encoding batches without HTTP, 32 clients, the
service that a tutorial would build under 32 clients, txtai's own under 32 clients, and ours at ten times its capacity.
Medians over the rounds. Then peak memory, and its growth over many requests with the cache on. Prints a table, and one
JSON line last.

    .venv/bin/python -m benchmarks.evaluation_sets nq_open_oracle /tmp/sets
    .venv/bin/qa index /tmp/sets/nq_open_oracle/documents --name nq
    make bench-serving
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.question_sets import load_questions
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings, load_settings
from qa.types import Query

CLIENTS = 32
# As many of these as may wait in the queue send nothing meanwhile.
OVERLOADED, WAITING = 800, 128


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(command: list[str], ready: str, **environment: str) -> Iterator[int]:
    """Run a server until the block ends, and give its process id once the address ``ready`` answers 200."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while True:
            try:
                if httpx2.get(ready, timeout=30).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command} did not start")
            time.sleep(0.3)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def memory(pid: int, field: str) -> float:
    """Read a process's memory in MB: ``VmRSS`` is that of now, ``VmHWM`` the peak."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def load(address: str, questions: Path, **options: float) -> dict[str, Any]:
    """Put load on an address from another process, and return what came back."""
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.serving_load", address, str(questions), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def bare(service: Service, questions: list[str], seconds: float) -> tuple[float, float]:
    """Measure without HTTP: median milliseconds of a question, and questions encoded a second in batches of 32."""
    times, until = [], time.perf_counter() + seconds
    for question in questions:
        started = time.perf_counter()
        service.ask(Query(question))
        times.append(time.perf_counter() - started)
        if time.perf_counter() > until:
            break
    encoder, encoded, started = service.encoder(), 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        at = encoded % (len(questions) - CLIENTS)
        encoder.encode_questions(questions[at : at + CLIENTS])
        encoded += CLIENTS
    return 1000 * statistics.median(times), encoded / (time.perf_counter() - started)


def median(rounds: list[dict[str, float]], name: str) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(measured[name] for measured in rounds)


def main() -> None:
    """Start the three services, measure them in rounds, and then how memory grows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="nq")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peer", default=".venv-peers/bin/python", help="a Python that has txtai with its API")
    parser.add_argument("--requests", type=int, default=100_000, help="with the cache on, to see whether memory grows")
    arguments = parser.parse_args()
    settings = load_settings(name=arguments.name)
    service = Service(settings)
    service.reload()
    questions = [" ".join(question.text.split()) for question in load_questions("nq_open_oracle", "report")]
    with tempfile.TemporaryDirectory() as folder:
        asked, embeddings = Path(folder) / "questions.txt", Path(folder) / "embeddings.npy"
        asked.write_text("\n".join(questions), encoding="utf-8")
        passages = Path(folder) / "passages.json"
        passages.write_text(json.dumps(load_texts(settings)), encoding="utf-8")
        ours, theirs, peers = free_port(), free_port(), free_port()
        qa = [str(Path(sys.executable).parent / "qa"), "serve", "--name", arguments.name, "--port", str(ours)]
        tutorial = [sys.executable, "-m", "benchmarks.tutorial_service", str(settings.indexes), arguments.name]
        txtai = [arguments.peer, "benchmarks/txtai_service.py", str(passages), f"{folder}/txtai", str(peers)]
        with (
            running(
                [*tutorial, str(embeddings), str(theirs)], f"http://127.0.0.1:{theirs}/ask?q=ready", TQDM_DISABLE="1"
            ),
            running(txtai, f"http://127.0.0.1:{peers}/search?query=ready&limit=5"),
            running(qa, f"http://127.0.0.1:{ours}/readyz", QA_CACHE_MB="0", QA_LOCAL_RATE_LIMIT="") as pid,
        ):
            # What a process does only once belongs to no round.
            load(f"http://127.0.0.1:{ours}/v1/ask?q=", asked, clients=CLIENTS, seconds=arguments.seconds)
            rounds = [
                measure_round(service, questions, asked, (ours, theirs, peers), arguments.seconds)
                for _ in range(arguments.rounds)
            ]
            peak = memory(pid, "VmHWM")
        growth = {}
        if arguments.requests:
            with running(qa, f"http://127.0.0.1:{ours}/readyz") as pid:
                growth = measure_growth(pid, f"http://127.0.0.1:{ours}/v1/ask?q=", asked, arguments.requests)
    report(rounds, peak, growth)


def load_texts(settings: Settings) -> list[str]:
    """Load the texts of the index's passages."""
    index = Snapshots(settings.indexes, settings.name).open()
    try:
        return [passage.text for passage in index.store.all_passages()]
    finally:
        index.close()


def measure_round(
    service: Service, questions: list[str], asked: Path, ports: tuple[int, int, int], seconds: float
) -> dict[str, float]:
    """Measure every system once, one after the other."""
    ours, theirs = f"http://127.0.0.1:{ports[0]}/v1/ask?q=", f"http://127.0.0.1:{ports[1]}/ask?q="
    single_ms, encoded = bare(service, questions, seconds)
    one = load(ours, asked, clients=1, seconds=seconds)
    many = load(ours, asked, clients=CLIENTS, seconds=seconds)
    tutorial = load(theirs, asked, clients=CLIENTS, seconds=seconds)
    peer = f"http://127.0.0.1:{ports[2]}/search?limit=5&query="
    txtai = load(peer, asked, clients=CLIENTS, seconds=seconds)
    rate = 10 * many["per_second"] * OVERLOADED / (OVERLOADED - WAITING)
    beyond = load(ours, asked, clients=OVERLOADED, seconds=seconds, rate=rate)
    return {
        "bare_ms": single_ms,
        "http_ms": one["p50_ms"],
        "encoded": encoded,
        "many": many["per_second"],
        "many_p95_ms": many["p95_ms"],
        "tutorial": tutorial["per_second"],
        "txtai": txtai["per_second"],
        "offered": (beyond["answered"] + beyond["refused"]) / seconds,
        "beyond": beyond["per_second"],
        "beyond_p95_ms": beyond["p95_ms"],
        "failed": float(one["other"] + many["other"] + beyond["other"] + one["lost"] + many["lost"] + beyond["lost"]),
    }


def measure_growth(pid: int, address: str, asked: Path, requests: int) -> dict[str, float]:
    """Read the memory after a tenth of the requests, when caches are full, and after all of them."""
    done, early = 0, 0.0
    while done < requests:
        done += load(address, asked, clients=CLIENTS, seconds=5)["answered"]
        if not early and done >= requests / 10:
            early = memory(pid, "VmRSS")
    return {"requests": done, "early_mb": round(early), "late_mb": round(memory(pid, "VmRSS"))}


def report(rounds: list[dict[str, float]], peak: float, growth: dict[str, float]) -> None:
    """Print the medians and the ratios."""
    result = {
        "added_ms": round(statistics.median(one["http_ms"] - one["bare_ms"] for one in rounds), 2),
        "of_bare_encoding": round(statistics.median(one["many"] / one["encoded"] for one in rounds), 3),
        "of_tutorial": round(statistics.median(one["many"] / one["tutorial"] for one in rounds), 2),
        "of_txtai": round(statistics.median(one["many"] / one["txtai"] for one in rounds), 2),
        "goodput_at_ten_times": round(statistics.median(one["beyond"] / one["many"] for one in rounds), 3),
        "failed": sum(one["failed"] for one in rounds),
        "peak_mb": round(peak),
        **growth,
    }
    print("| | median of the rounds |\n|---|---|")
    for name in rounds[0]:
        print(f"| {name} | {median(rounds, name):.1f} |")
    print(json.dumps({**result, "rounds": len(rounds)}))


if __name__ == "__main__":
    main()
