"""Evaluations of which a test says how far they are, and what is sent to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from qa.errors import EvaluationNotFound
from qa.evaluation.jobs.jobs import Compared, Job
from qa.evaluation.jobs.queue import EvaluationQueue
from tests.evaluation.test_report import evaluated, page
from tests.support.fake_service import SNAPSHOT

NDJSON = {"Content-Type": "application/x-ndjson"}


QUESTION = b'{"question": "When does the ferry leave?"}\n'


ID = "5a7b4a42f4a1f1bb0f3dbbcd8d4f4ff4"


SUMMARY = {
    "measures": {"passages.nDCG@10": {"value": 0.8, "low": 0.7, "high": None, "n": 5, "method": "BCa bootstrap"}},
    "failures": {"not retrieved": 1},
    "latency": {"n": 5, "p50": 1.0, "p95": 2.0, "p99": 3.0},
    "reading": {"n": 5, "p50": 0.5, "p95": 1.0, "p99": 1.5},
    "notes": ["With 5 scored questions …"],
}


class FakeEvaluations(EvaluationQueue):
    """A queue of at most one evaluation; a test sets how far it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: Job | None = None
        self.failure: Exception | None = None
        self.compared = Compared("computing")
        self.submitted: list[tuple[str, bytes, str, Mapping[str, Any], bool]] = []

    def submit(self, name: str, data: bytes, format: str, options: Mapping[str, Any], keep_going: bool) -> Job:
        if self.failure is not None:
            raise self.failure
        self.submitted.append((name, data, format, options, keep_going))
        self.job = Job(ID, "queued", "2026-04-01T12:00:00+00:00", name, SNAPSHOT, options)
        return self.job

    def listing(self) -> list[Job]:
        return [] if self.job is None else [self.job]

    def get(self, id: str) -> Job:
        if self.job is None or id != ID:
            raise EvaluationNotFound("no evaluation has this id")
        return self.job

    def summary(self, id: str) -> dict[str, Any]:
        return SUMMARY

    def report(self, id: str) -> IO[bytes]:
        if self.get(id).status != "done":
            raise EvaluationNotFound("the evaluation is not done")
        path = self.folder / "report.html"
        path.write_text(page(evaluated()), encoding="utf-8")
        return path.open("rb")

    def compare(self, baseline: str, candidate: str) -> Compared:
        for id in (baseline, candidate):
            self.get(id)
        return self.compared

    def comparison_report(self, baseline: str, candidate: str) -> IO[bytes]:
        return self.report(candidate)

    def cancel(self, id: str) -> None:
        self.get(id)
        self.job = None


MEASURE = {
    "name": "passages.nDCG@10",
    "baseline": 0.5,
    "candidate": 0.625,
    "difference": 0.125,
    "low": 0.0625,
    "high": 0.1875,
    "n": 1200,
    "p": 0.0003,
    "verdict": "better",
}


DONE = Compared(
    "done",
    {
        "verdict": "better",
        "better": 1100,
        "worse": 20,
        "detectable": 0.01,
        "notes": ["They differ in mode: dense and hybrid."],
        "measures": [MEASURE, {**MEASURE, "name": "passages.<b>", "low": None, "high": None}],
    },
)
