"""Where a question's processor time goes, by stage, at one client and at 32: milliseconds of processor a question.

A server of one process, as ``qa serve`` sets it up, in which each stage's functions are clocked by the processor time
of the thread that runs them, without what other stages inside them take. What the event loop's thread takes beside
JSON is HTTP; what the threads that answer take beside the stages is "batch"; what the process takes beside all these
threads is the models' own threads, and the interpreter's.

    .venv/bin/python -m benchmarks.serving_profile --name nq
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.question_sets import load_questions
from benchmarks.servers import free_port, load, running

# Of each stage the functions that it consists of: module, and class and name. One that is not there counts nothing.
STAGES: Mapping[str, tuple[str, ...]] = {
    "encode": (
        "qa.models.compiled:CompiledEncoder.encode_questions",
        "qa.models.compiled:CompiledEncoder.count_question_tokens",
    ),
    "search": ("qa.search.ranking:Ranker.nearest", "qa.search.ranking:Ranker.rank"),
    "words": (
        "qa.index.lexical:LexicalIndex.search",
        "qa.index.lexical:LexicalIndex.scores",
        "qa.index.lexical:LexicalIndex.question_terms",
        "qa.search.ranking:correct_words",
    ),
    "passages": ("qa.search.retriever:PassageCache.find", "qa.search.retriever:Retriever._search"),
    "answer": ("qa.answers.answerer:Answerer.answer_many",),
    "read": (
        "qa.models.answer_reader:OpenVinoReader.read",
        "qa.models.answer_reader:OpenVinoReader.count_tokens",
    ),
    "batch": ("qa.web.batching:Batcher._answer",),
    "JSON": ("qa.web.api.routes:write_reply",),
}
CLIENTS = (1, 32)


class Clocks:
    """Processor seconds of each stage over all threads, of a stage alone: without the stages that it calls."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running = threading.local()
        self._lock = threading.Lock()

    def clock(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``work`` with its time added to a stage."""

        @functools.wraps(work)
        def clocked(*arguments: Any, **named: Any) -> Any:
            inner = self._running.__dict__.setdefault("inner", [])
            inner.append(0.0)
            started = time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                spent = time.thread_time() - started
                own = spent - inner.pop()
                if inner:
                    inner[-1] += spent
                with self._lock:
                    self.seconds[stage] += own

        return clocked

    def install(self) -> None:
        """Clock the functions of every stage."""
        for stage, names in STAGES.items():
            for name in names:
                module, _, path = name.partition(":")
                *outer, last = path.split(".")
                try:
                    owner: Any = functools.reduce(getattr, outer, importlib.import_module(module))
                    setattr(owner, last, self.clock(stage, getattr(owner, last)))
                except (ImportError, AttributeError):
                    print(f"{name} is not there any more", file=sys.stderr)


def serve(name: str, port: int, out: Path) -> None:
    """Serve an index with its stages clocked; on SIGUSR1 write what each has taken so far."""
    import uvicorn

    from qa.service.service import Service
    from qa.settings import load_settings
    from qa.web.app import create_app
    from qa.web.deps import Options
    from qa.web.middleware.overload import BoundedProtocol
    from qa.web.server import _SWITCH_SECONDS

    clocks = Clocks()
    clocks.install()
    sys.setswitchinterval(_SWITCH_SECONDS)
    service = Service(load_settings(name=name))
    service.reload()

    def write(*_: object) -> None:
        # A handler runs in the main thread, which is the event loop's.
        seconds = {**clocks.seconds, "loop": time.thread_time(), "process": time.process_time()}
        part = out.with_suffix(".part")
        part.write_text(json.dumps(seconds))
        part.rename(out)

    signal.signal(signal.SIGUSR1, write)
    listening = socket.create_server(("127.0.0.1", port), backlog=2048)
    config = uvicorn.Config(create_app(service, options=Options()), http=BoundedProtocol, log_config=None)
    config.access_log = False
    uvicorn.Server(config).run(sockets=[listening])


def read_seconds(pid: int, out: Path) -> dict[str, float]:
    """Ask the server for its clocks."""
    import os

    out.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    while not out.exists():
        time.sleep(0.01)
    found: dict[str, float] = json.loads(out.read_text())
    return found


def measure(name: str, seconds: float) -> dict[str, dict[str, float]]:
    """Profile passages alone and with an answer, at each number of clients: milliseconds a question by stage."""
    questions = [" ".join(question.text.split()) for question in load_questions("nq_open_oracle", "report")]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        asked, out, port = Path(folder) / "questions.txt", Path(folder) / "clocks.json", free_port()
        asked.write_text("\n".join(questions), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.serving_profile", "--serve", str(port), str(out), "--name", name]
        with running(command, f"http://127.0.0.1:{port}/readyz") as pid:
            for kind, path in (("passages", "/v1/ask?answer=false&q="), ("answer", "/v1/ask?q=")):
                address = f"http://127.0.0.1:{port}{path}"
                warmed = 0
                # Each question once, so that what is kept of passages is there; reading keeps nothing more.
                while warmed < (len(questions) if kind == "passages" else CLIENTS[-1]):
                    warmed += load(address, asked, clients=CLIENTS[-1], seconds=seconds / 2)["answered"]
                for clients in CLIENTS:
                    before = read_seconds(pid, out)
                    # Reading takes ten times as long, and what is begun at the end counts nowhere.
                    lasts = seconds if kind == "passages" else 2 * seconds
                    done = load(address, asked, clients=clients, seconds=lasts)["answered"]
                    after = read_seconds(pid, out)
                    found[f"{kind}, {clients}"] = per_question(before, after, done)
    return found


def per_question(before: Mapping[str, float], after: Mapping[str, float], done: int) -> dict[str, float]:
    """Compute milliseconds of each stage for each of ``done`` questions."""
    spent = {name: 1000 * (after[name] - before.get(name, 0.0)) / max(done, 1) for name in after}
    loop, process = spent.pop("loop"), spent.pop("process")
    inside = {name: spent.get(name, 0.0) for name in STAGES}
    http = loop - inside["JSON"]
    own = process - loop - sum(value for name, value in inside.items() if name != "JSON")
    return {"HTTP": http, **inside, "other threads": own, "all": process}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Write the profile as a table, a column for each load."""
    lines = [f"| ms of processor a question | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for stage in next(iter(found.values())):
        lines.append(f"| {stage} | {' | '.join(f'{each[stage]:.2f}' for each in found.values())} |")
    return "\n".join(lines)


def main() -> None:
    """Print the profile, and one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="nq")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "OUT"), help="be the server that is profiled")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.name, int(arguments.serve[0]), Path(arguments.serve[1]))
        return
    found = measure(arguments.name, arguments.seconds)
    print(table(found))
    print(json.dumps({load: {stage: round(ms, 3) for stage, ms in each.items()} for load, each in found.items()}))


if __name__ == "__main__":
    main()
