"""How long a question takes over HTTP while an evaluation runs behind the server, and while none does.

Windows with and without an evaluation alternate, over one server and one client that asks one question after the
other. `measuring` is the time in which the numbers and the report are made. Prints a table, and one JSON line last.

    .venv/bin/python -m benchmarks.evaluation_sets nq_open_oracle /tmp/sets
    .venv/bin/qa index /tmp/sets/nq_open_oracle/documents --name nq
    .venv/bin/python -m benchmarks.evaluation_http --name nq --questions /tmp/sets/nq_open_oracle/questions
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx2

from qa.questions.formats import load_questions

ROUNDS = 4
WINDOW = 5.0  # seconds
NDJSON = {"Content-Type": "application/x-ndjson"}


@contextmanager
def serving(name: str) -> Iterator[httpx2.Client]:
    """Serve an index until the block ends, and give a client of it once it is ready."""
    command = [str(Path(sys.executable).parent / "qa"), "serve", "--name", name, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("Listening on ").partition(";")[0]
    try:
        with httpx2.Client(base_url=address, timeout=60) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.2)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def window(client: httpx2.Client, questions: Iterator[str], seconds: float) -> list[float]:
    """Ask for some seconds, and return the milliseconds of each question."""
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        client.post("/v1/ask", json={"question": next(questions)}).raise_for_status()
        times.append(1000 * (time.perf_counter() - started))
    return times


def wait(client: httpx2.Client, address: str, *statuses: str) -> None:
    """Return when the evaluation has one of these statuses."""
    while (found := client.get(address).json())["status"] not in statuses:
        if found["status"] == "failed":
            raise SystemExit(found["detail"])
        time.sleep(0.05)


def during(client: httpx2.Client, address: str, status: str, questions: Iterator[str]) -> list[float]:
    """Ask while the evaluation is at this step, and return the milliseconds of each question."""
    times = []
    while client.get(address).json()["status"] == status:
        times += window(client, questions, 0.3)
    return times


def main() -> None:
    """Measure each step of an evaluation against an idle server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="nq")
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument(
        "--bare", action="store_true", help="send no judgments, as where the index is of other documents"
    )
    arguments = parser.parse_args()
    loaded = load_questions(arguments.questions).questions
    records = [
        {"id": q.id, "question": q.text, "documents": [] if arguments.bare else list(q.documents)} for q in loaded
    ]
    body = "\n".join(map(json.dumps, records)).encode()
    short = "\n".join(map(json.dumps, records[:300])).encode()
    asked = cycle(q.text for q in loaded)
    times: dict[str, list[list[float]]] = {"idle": [], "asking": [], "preparing": [], "measuring": []}
    with serving(arguments.name) as client:
        window(client, asked, 3)
        for _ in range(ROUNDS):
            times["idle"].append(window(client, asked, WINDOW))
            address = client.post("/v1/evaluations?mode=dense", content=body, headers=NDJSON).headers["location"]
            wait(client, address, "asking")
            times["asking"].append(window(client, asked, WINDOW))
            client.delete(address).raise_for_status()
            pair = [statistics.median(times[name][-1]) for name in ("idle", "asking")]
            print(f"idle {pair[0]:.1f} ms, asking {pair[1]:.1f} ms", file=sys.stderr, flush=True)
        for _ in range(ROUNDS):
            address = client.post("/v1/evaluations?mode=dense", content=short, headers=NDJSON).headers["location"]
            wait(client, address, "preparing")
            times["preparing"].append(during(client, address, "preparing", asked))
            wait(client, address, "measuring")
            times["measuring"].append(during(client, address, "measuring", asked))
    idle = [statistics.median(each) for each in times["idle"]]
    print("| | questions | p50, ms | p95, ms | p50, ratio to idle |\n|---|---|---|---|---|")
    result: dict[str, dict[str, float]] = {}
    for name, windows in times.items():
        pooled = sorted(value for each in windows for value in each)
        ratio = statistics.median(
            statistics.median(each) / base for each, base in zip(windows, idle, strict=True) if each
        )
        p95 = pooled[int(0.95 * len(pooled))]
        print(f"| {name} | {len(pooled):,} | {statistics.median(pooled):.1f} | {p95:.1f} | {ratio:.2f} |")
        result[name] = {"p50": statistics.median(pooled), "p95": p95, "ratio": ratio}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
