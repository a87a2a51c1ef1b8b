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
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import httpx2

from benchmarks.servers import free_port, running
from qa.questions.formats import load_questions

ROUNDS = 4
WINDOW = 5.0  # seconds
NDJSON = {"Content-Type": "application/x-ndjson"}


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


def measure(client: httpx2.Client, questions: Iterator[str], body: bytes, short: bytes) -> dict[str, list[list[float]]]:
    """Return, for each step and round, the milliseconds of each question.

    Args:
        body: a question file that takes longer to ask than a window.
        short: one that is soon asked, for the steps before and after.
    """
    times: dict[str, list[list[float]]] = {"idle": [], "asking": [], "preparing": [], "measuring": []}
    window(client, questions, 3)
    for _ in range(ROUNDS):
        times["idle"].append(window(client, questions, WINDOW))
        address = client.post("/v1/evaluations?mode=dense", content=body, headers=NDJSON).headers["location"]
        wait(client, address, "asking")
        times["asking"].append(window(client, questions, WINDOW))
        client.delete(address).raise_for_status()
        idle, asking = (statistics.median(times[name][-1]) for name in ("idle", "asking"))
        print(f"idle {idle:.1f} ms, asking {asking:.1f} ms", file=sys.stderr, flush=True)
    for _ in range(ROUNDS):
        address = client.post("/v1/evaluations?mode=dense", content=short, headers=NDJSON).headers["location"]
        wait(client, address, "preparing")
        times["preparing"].append(during(client, address, "preparing", questions))
        wait(client, address, "measuring")
        times["measuring"].append(during(client, address, "measuring", questions))
    return times


def report(times: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Print a row for each step."""
    idle = [statistics.median(each) for each in times["idle"]]
    print("| | questions | p50, ms | p95, ms | p50, ratio to idle |\n|---|---|---|---|---|")
    result: dict[str, dict[str, float]] = {}
    for name, windows in times.items():
        pooled = sorted(value for each in windows for value in each)
        ratios = [statistics.median(each) / base for each, base in zip(windows, idle, strict=True) if each]
        p50, p95, ratio = statistics.median(pooled), pooled[int(0.95 * len(pooled))], statistics.median(ratios)
        print(f"| {name} | {len(pooled):,} | {p50:.1f} | {p95:.1f} | {ratio:.2f} |")
        result[name] = {"p50": p50, "p95": p95, "ratio": ratio}
    print(json.dumps(result))


def main() -> None:
    """Serve the index, measure each step of an evaluation against an idle server, and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="nq")
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--bare", action="store_true", help="send no judgments, as where other documents are indexed")
    arguments = parser.parse_args()
    loaded = load_questions(arguments.questions).questions
    lines = [
        json.dumps({"id": q.id, "question": q.text, "documents": [] if arguments.bare else list(q.documents)})
        for q in loaded
    ]
    body, short = ("\n".join(part).encode() for part in (lines, lines[:100]))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = [str(Path(sys.executable).parent / "qa"), "serve", "--name", arguments.name, "--port", str(port)]
    ready = f"{address}/readyz"
    with running(serve, ready, QA_CACHE_MB="0"), httpx2.Client(base_url=address, timeout=60) as client:
        times = measure(client, cycle(question.text for question in loaded), body, short)
    report(times)


if __name__ == "__main__":
    main()
