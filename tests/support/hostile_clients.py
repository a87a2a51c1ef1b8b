"""Hostile clients in a process of their own: ``python -m tests.support.hostile_clients PORT``.

They attack after each line ``attack`` on standard input and stop after each line ``rest``, which is answered by a line
once the last request has ended. After the end of the input their statuses are printed as a JSON object. They run at the
lowest priority, because on other machines they would take no processor time from the server.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import httpx2

from tests.support.waiting import AT_MOST

WORDS = "apples pears plums trees autumn storage harvest cellar orchard summer winter ladder basket cider".split()

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
MCP = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2025-06-18",
}

Act = Callable[[httpx2.Client], object]


def _post(address: str, headers: dict[str, str], content: bytes) -> Act:
    return lambda client: client.post(address, content=content, headers=headers)


def _get(address: str) -> Act:
    return lambda client: client.get(address)


def _call(**arguments: object) -> bytes:
    params = {"name": "list_documents", "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def acts(port: int) -> list[Act]:
    """Return what the clients do, each again and again. All bodies are made before."""
    globs = [f"*{a}?{b}*" for a in WORDS[:10] for b in WORDS[:8]]
    batch = {"questions": [{"question": f"apples {n}", "top_k": 100, "answer": False} for n in range(256)]}
    read = {"questions": [{"question": f"Where are the pears {n}?", "top_k": 100} for n in range(256)]}
    evaluations = "/v1/evaluations?top_k=5"

    def read_slowly(client: httpx2.Client) -> None:
        with client.stream("GET", "/v1/documents/long.txt") as response:
            for _, _ in zip(response.iter_raw(1024), range(20), strict=False):
                time.sleep(0.05)

    def hang_up(client: httpx2.Client) -> None:
        head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nX-API-Key: hostile-0\r\nContent-Length: 100\r\n\r\n{"
        for rest in (b"", head, b"\0" * 70_000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=AT_MOST) as connection:
                connection.sendall(rest)

    return [
        _post("/mcp", MCP, _call(pattern="*" * 3_200_000)),
        _post("/mcp", MCP, _call(pattern="*e?" * 300)),
        _post("/v1/ask", JSON, json.dumps({"question": "apples", "documents": globs}).encode()),
        _post("/v1/ask/batch", JSON, json.dumps({f"field {n}": 1 for n in range(150_000)}).encode()),
        _post("/v1/ask/batch", JSON, b'{"questions": [' + b"[]," * 1_000_000 + b"[]]}"),
        _post("/v1/ask/batch", JSON, json.dumps(batch).encode()),
        _post("/v1/ask/batch", JSON, json.dumps(read).encode()),
        _post(evaluations, NDJSON, b"{}\n" * 6_600_000),
        _post(evaluations, NDJSON, b'{"question": "a?"}\n' * 1_000_000),
        _get("/v1/documents"),
        _get("/documents?sort=characters"),
        _get("/documents/long.txt?start=2000000"),
        _get("/v1/ask?q=a" + "&a" * 20_000),
        _get("/v1/ask?q=apples&top_k=100&mode=lexical"),
        read_slowly,
        hang_up,
    ]


class Clients:
    """One thread for each act. They act while ``attacking`` is set."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._attacking = threading.Event()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.statuses: Counter[str] = Counter()
        self._acts = acts(port)
        for number, act in enumerate(self._acts):
            threading.Thread(target=self._repeat, args=(number, act), daemon=True).start()

    def attack(self) -> None:
        """Begin to act."""
        self._attacking.set()

    def rest(self) -> None:
        """Stop acting, and return once nobody does."""
        self._attacking.clear()
        for _ in self._acts:
            self._idle.acquire()

    def _repeat(self, number: int, act: Act) -> None:
        headers = {"X-API-Key": f"hostile-{number}"}
        with httpx2.Client(base_url=self._address, timeout=AT_MOST, headers=headers) as client:
            while True:
                self._attacking.wait()
                while self._attacking.is_set():
                    self._count(act, client)
                self._idle.release()

    def _count(self, act: Act, client: httpx2.Client) -> None:
        try:
            found = act(client)
            status = str(found.status_code) if isinstance(found, httpx2.Response) else "hung up"
        except httpx2.TransportError:
            # A body that is refused unread ends in a closed connection.
            status = "cut off"
        with self._lock:
            self.statuses[status] += 1


def main() -> None:
    """Attack and rest as standard input says."""
    os.nice(19)
    clients = Clients(int(sys.argv[1]))
    for line in sys.stdin:
        if line.strip() == "attack":
            clients.attack()
        else:
            clients.rest()
        print("done", flush=True)  # noqa: T201 - the test waits for it
    print(json.dumps(dict(sorted(clients.statuses.items()))))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
