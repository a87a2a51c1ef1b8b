"""Evaluations of a real index: resumed, refused, and as a gate for a new snapshot that is killed at any instant."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from qa.answers.calibration import CALIBRATION_FILE, SHIPPED
from qa.build.update import update
from qa.errors import GateNotPassed, QueryError, QuestionFileError, RunError, SnapshotNotFound
from qa.evaluation.evaluate import Judged, NewSnapshotGate, evaluate_questions, judge
from qa.evaluation.outcomes import AskingOptions, EvaluationListener
from qa.evaluation.runs import load_run
from qa.index.snapshots import Snapshots
from qa.questions.formats import parse_questions
from qa.questions.questions import QuestionSet
from qa.readers.registry import read_source
from qa.settings import Settings
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.dying import dying

SILENT = EvaluationListener()
QUOTES = {
    "apples.txt": "Apples grow on trees",
    "pears.md": "Pears ripen in autumn.",
    "below/plums.txt": "Plums are blue",
}


def questions(copies: int = 4, **more: str) -> QuestionSet:
    """Ask for each quote in its own words, so that words alone find it."""
    records = [
        {"id": f"{document}-{number}", "question": f"{quote}?", "evidence": [{"document": document, "quote": quote}]}
        for document, quote in {**QUOTES, **more}.items()
        for number in range(copies)
    ]
    return parse_questions("q.jsonl", "\n".join(map(json.dumps, records)).encode())


class Counting(EvaluationListener):
    def __init__(self, stop_after: int | None = None) -> None:
        self.count = 0
        self._stop_after = stop_after

    def asked(self) -> None:
        self.count += 1
        if self.count == self._stop_after:
            raise KeyboardInterrupt


def judged(settings: Settings, **options: int) -> Judged:
    return judge(settings, questions(), AskingOptions(mode="dense", **options))  # type: ignore[arg-type]


def test_an_evaluation_writes_its_files(settings: Settings, build: Build, tmp_path: Path) -> None:
    id = build().manifest.id
    evaluation, summary = evaluate_questions(settings, judged(settings), tmp_path / "run", SILENT, make=hashing_encoder)
    assert evaluation.inputs.snapshot == id
    assert summary.measures["passages.R@5"].value == 1.0
    assert load_run(tmp_path / "run") == evaluation
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"run.json", "summary.json", "run.trec", "questions.csv", "report.html"}
    assert not any(name.startswith(("progress", ".")) for name in names)


def test_an_interrupted_evaluation_goes_on(settings: Settings, build: Build, tmp_path: Path) -> None:
    build()
    with pytest.raises(KeyboardInterrupt):
        evaluate_questions(settings, judged(settings), tmp_path, Counting(stop_after=5), make=hashing_encoder)
    rest = Counting()
    evaluation, _ = evaluate_questions(settings, judged(settings), tmp_path, rest, make=hashing_encoder)
    assert rest.count == 12 - 5
    assert [o.question.id for o in evaluation.outcomes] == [q.id for q in judged(settings).questions]


def test_the_seconds_of_a_resumed_evaluation_are_of_all_questions(
    settings: Settings, build: Build, tmp_path: Path
) -> None:
    build()
    with pytest.raises(KeyboardInterrupt):
        evaluate_questions(settings, judged(settings), tmp_path, Counting(stop_after=12), make=hashing_encoder)
    evaluation, _ = evaluate_questions(settings, judged(settings), tmp_path, Counting(), make=hashing_encoder)
    asking = sum(outcome.timings_ms["total"] for outcome in evaluation.outcomes) / 1000
    assert evaluation.seconds == pytest.approx(asking)


def test_the_same_evaluation_again_asks_nothing_and_another_is_refused(
    settings: Settings, build: Build, tmp_path: Path
) -> None:
    build()
    first, _ = evaluate_questions(settings, judged(settings), tmp_path, SILENT, make=hashing_encoder)
    again = Counting()
    assert evaluate_questions(settings, judged(settings), tmp_path, again, make=hashing_encoder)[0] == first
    assert again.count == 0
    other = judged(settings, top_k=5)
    with pytest.raises(RunError, match="--force"):
        evaluate_questions(settings, other, tmp_path, SILENT, make=hashing_encoder)
    assert load_run(tmp_path) == first
    forced, _ = evaluate_questions(settings, other, tmp_path, SILENT, force=True, make=hashing_encoder)
    assert forced.inputs.options.top_k == 5


@pytest.mark.parametrize("stop_after", [None, 5], ids=["finished", "half done"])
def test_a_run_of_another_calibration_is_another_run(
    settings: Settings, build: Build, tmp_path: Path, stop_after: int | None
) -> None:
    build()
    with suppress(KeyboardInterrupt):
        evaluate_questions(settings, judged(settings), tmp_path, Counting(stop_after), make=hashing_encoder)
    calibration = Snapshots(settings.indexes, settings.name).folder / CALIBRATION_FILE
    calibration.write_bytes(SHIPPED.read_bytes())
    again = judged(settings)
    with pytest.raises(RunError, match="another calibration or other options; take another folder"):
        evaluate_questions(settings, again, tmp_path, SILENT, make=hashing_encoder)
    asked = Counting()
    evaluate_questions(settings, again, tmp_path, asked, force=True, make=hashing_encoder)
    assert asked.count == 12


def test_without_answers_no_calibration_matters(settings: Settings, build: Build) -> None:
    build()
    options = AskingOptions(mode="dense", answer=False)
    before = judge(settings, questions(), options)
    calibration = Snapshots(settings.indexes, settings.name).folder / CALIBRATION_FILE
    calibration.write_bytes(SHIPPED.read_bytes())
    assert judge(settings, questions(), options).inputs == before.inputs


def test_another_snapshot_than_the_active_one(settings: Settings, build: Build, tmp_path: Path) -> None:
    old = build().manifest.id
    build()
    found = judge(settings, questions(), AskingOptions(mode="dense"), old)
    evaluation, _ = evaluate_questions(settings, found, tmp_path, SILENT, make=hashing_encoder)
    assert evaluation.inputs.snapshot == old
    with pytest.raises(SnapshotNotFound):
        judge(settings, questions(), AskingOptions(), "nope")


def test_what_cannot_be_asked_is_said_before_anything_is(settings: Settings, build: Build) -> None:
    build()
    with pytest.raises(QueryError, match="top_k must be from 1 to 100"):
        judge(settings, questions(), AskingOptions(top_k=0))
    with pytest.raises(QueryError, match="max_error must be above 0 and below 1"):
        judge(settings, questions(), AskingOptions(max_error=1.5))
    gone = questions(1, **{"apples.txt": "Apples fall from trees"})
    with pytest.raises(QuestionFileError, match=r"the nearest is, at 0 to 21: “Apples grow on trees\."):
        judge(settings, gone, AskingOptions())
    kept = judge(settings, gone, AskingOptions(), keep_going=True)
    assert len(kept.questions) == 2
    assert "line 1" in str(kept.faults[0])


def gated(settings: Settings, folder: Path, asked: QuestionSet, margin: float = 0.02) -> str:
    """Index the folder behind a gate, and return the id of the snapshot that is active afterwards."""
    gate = NewSnapshotGate(settings, asked, AskingOptions(mode="dense"), Recorder().stage, margin)
    return update(settings, [folder], Recorder(), make=hashing_encoder, read=read_source, gate=gate).manifest.id


def test_a_snapshot_that_is_no_worse_becomes_the_active_one(settings: Settings, folder: Path, build: Build) -> None:
    before = build().manifest.id
    (folder / "quinces.txt").write_text("Quinces are hard and sour.\n")
    after = gated(settings, folder, questions())
    assert after != before
    assert Snapshots(settings.indexes, settings.name).current() == after


def test_without_an_active_snapshot_there_is_nothing_to_be_worse_than(settings: Settings, folder: Path) -> None:
    assert gated(settings, folder, questions()) == Snapshots(settings.indexes, settings.name).current()


def crowd(folder: Path) -> None:
    """Add documents that answer every question better than its evidence does."""
    for document, quote in QUOTES.items():
        for number in range(30):
            (folder / f"{Path(document).stem}-{number}.txt").write_text(f"{quote}?\n")


@pytest.mark.parametrize(("copies", "said"), [(4, "it is worse"), (1, "the questions cannot tell whether it is worse")])
def test_a_snapshot_that_is_worse_or_may_be_stays_beside_the_active_one(
    settings: Settings, folder: Path, build: Build, copies: int, said: str
) -> None:
    before = build().manifest.id
    crowd(folder)
    with pytest.raises(GateNotPassed, match=f"was built and not activated: {said}"):
        gated(settings, folder, questions(copies))
    snapshots = Snapshots(settings.indexes, settings.name)
    assert snapshots.current() == before
    (refused,) = set(snapshots.ids()) - {before}
    assert snapshots.verify(refused).parent == before


def test_evidence_that_is_gone_does_not_pass(settings: Settings, folder: Path, build: Build) -> None:
    before = build().manifest.id
    (folder / "apples.txt").unlink()
    with pytest.raises(GateNotPassed, match=r"no indexed document is called “apples\.txt”"):
        gated(settings, folder, questions())
    assert Snapshots(settings.indexes, settings.name).current() == before


def index_gated(indexes: str, folder: str) -> None:
    gated(Settings(indexes=Path(indexes), name="test"), Path(folder), questions())


def test_a_kill_at_any_step_of_a_gated_build_leaves_a_whole_snapshot_active(
    settings: Settings, folder: Path, build: Build
) -> None:
    snapshots = Snapshots(settings.indexes, settings.name)
    active = build().manifest.id
    indexes = str(settings.indexes)
    with dying(settings.indexes, "tests.evaluation.test_evaluate:index_gated", indexes, str(folder)) as index_until:
        for step in range(1, 1000, 3):
            (folder / "apples.txt").write_text(f"Apples grow on trees, in the year {step}.\n")
            outcome = index_until(step)
            assert snapshots.current() in snapshots.ids()
            snapshots.verify()
            if outcome is None:
                break
            active = snapshots.current()
    assert step > 20, "the hook saw too little for this test to mean anything"
    assert snapshots.current() != active
