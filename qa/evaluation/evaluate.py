"""The wiring of an evaluation: a question file and a snapshot to a run in a folder; the gate of a new snapshot."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from qa.errors import Fault, GateNotPassed, IndexNotFound, QuestionFileError, SnapshotIncompatible
from qa.evaluation.comparison import MARGIN, Gate, gate
from qa.evaluation.outcomes import AskMany, Evaluation, Inputs, Options, Outcome, Text, ask_all
from qa.evaluation.runs import REPORT_FILE, SUMMARY_FILE, RunFolder, dump_summary, tables
from qa.evaluation.summary import Summary, summarise
from qa.index.snapshots import Snapshots
from qa.index.store import DOCUMENTS_FILE, Store
from qa.models.loading import EncoderFactory, make_encoder
from qa.protocols import Encoder
from qa.questions.anchoring import anchor
from qa.questions.questions import JudgedQuestion, QuestionSet, require_sound
from qa.search import query as queries
from qa.service.service import Service
from qa.settings import Settings


class StageListener(Protocol):
    def stage(self, message: str) -> None:
        """A step that may take seconds begins."""


class Listener(StageListener, Protocol):
    """Hears how far an evaluation is."""

    def started(self, questions: int, done: int) -> None: ...

    def asked(self) -> None:
        """One question more was asked."""


class SilentListener:
    def stage(self, message: str) -> None:
        pass

    def started(self, questions: int, done: int) -> None:
        pass

    def asked(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Judged:
    """The questions of a file with their judgments in one snapshot; ``faults`` are of those that have none there."""

    inputs: Inputs
    questions: tuple[JudgedQuestion, ...]
    faults: tuple[Fault, ...]


class StoredSources:
    """The documents of a snapshot, for quotes to be found in."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def ids(self) -> Sequence[str]:
        return self._store.document_ids

    def text(self, id: str) -> str:
        return self._store.document(id).text

    def passages(self, id: str) -> list[tuple[str, int, int]]:
        return [(passage.id, passage.start, passage.end) for passage in self._store.passages_of(id)]


def judge(
    settings: Settings,
    questions: QuestionSet,
    options: Options,
    snapshot: str | None = None,
    *,
    keep_going: bool = False,
) -> Judged:
    """Look the questions' judgments up in a snapshot, by default the active one.

    Raises:
        QuestionFileError: a quote or a document is not there.
        IndexNotFound, SnapshotNotFound: nothing to look in.
        QueryError: the options cannot be asked for.
    """
    queries.check(options.query(JudgedQuestion("", "?")), Service(settings).limits)
    snapshots = Snapshots(settings.indexes, settings.name)
    id = snapshot or snapshots.current()
    store = Store(snapshots.path(id) / DOCUMENTS_FILE)
    try:
        found = anchor(questions, StoredSources(store))
    finally:
        store.close()
    require_sound(found.questions, found.faults, keep_going=keep_going)
    inputs = Inputs(settings.name, id, questions.name, questions.sha256, options)
    return Judged(inputs, found.questions, (*questions.left_out, *found.faults))


def evaluate(
    settings: Settings,
    judged: Judged,
    folder: Path,
    listener: Listener,
    *,
    force: bool = False,
    make: EncoderFactory = make_encoder,
) -> tuple[Evaluation, Summary]:
    """Ask every question of the snapshot that it was judged in, and write the run into ``folder``.

    What an evaluation that was killed has asked is not asked again.

    Raises:
        RunError: the folder holds another run; with ``force`` that is replaced.
        EncoderError, SnapshotError: the snapshot cannot be asked.
    """
    run = RunFolder(folder, judged.inputs, force=force)
    if run.is_finished:
        from qa.evaluation.runs import load_run

        evaluation = load_run(folder)
        return evaluation, summarise(evaluation)
    steps = run.done()
    done = {outcome.question.id for outcome, _ in steps}
    pending = [question for question in judged.questions if question.id not in done]
    listener.stage("Loading the model")
    with _asking(settings, judged.inputs.snapshot, make) as ask_many:
        if pending:
            # The first question of a process is slow for reasons that are not the question's.
            ask_many([judged.inputs.options.query(pending[0])])
        listener.started(len(judged.questions), len(done))
        started = time.perf_counter()
        try:
            for step in ask_all(pending, ask_many, judged.inputs):
                run.append(step)
                steps.append(step)
                listener.asked()
        finally:
            run.close()
    listener.stage("Measuring")
    evaluation = assemble(judged, steps, time.perf_counter() - started)
    summary = summarise(evaluation)
    write(run, evaluation, summary)
    return evaluation, summary


def assemble(judged: Judged, steps: Sequence[tuple[Outcome, Mapping[str, Text]]], seconds: float) -> Evaluation:
    """The evaluation of all steps, in the order of the questions."""
    by_id = {outcome.question.id: outcome for outcome, _ in steps}
    return Evaluation(
        inputs=judged.inputs,
        outcomes=tuple(by_id[question.id] for question in judged.questions),
        texts={id: text for _, texts in steps for id, text in texts.items()},
        left_out=tuple(map(str, judged.faults)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )


def write(run: RunFolder, evaluation: Evaluation, summary: Summary) -> None:
    """Every file of a run, ``run.json`` last."""
    from qa.evaluation.report import report_page

    files = {
        **tables(evaluation, summary.values),
        SUMMARY_FILE: dump_summary(summary),
        REPORT_FILE: report_page(evaluation, summary),
    }
    run.finish(evaluation, files)


@contextmanager
def _asking(settings: Settings, snapshot: str, make: EncoderFactory) -> Iterator[AskMany]:
    service = Service(settings, make, snapshot=snapshot)
    service.reload()
    try:
        yield service.ask_many
    finally:
        service.close()


@dataclass(frozen=True, slots=True)
class NewSnapshotGate:
    """Lets a new snapshot become the active one if it answers the questions no worse than the active one.

    Where no snapshot is active there is nothing to be worse than, and the questions must only be found in the new one.
    """

    settings: Settings
    questions: QuestionSet
    options: Options
    listener: StageListener
    margin: float = MARGIN

    def __call__(self, candidate: str, encoder: Encoder) -> None:
        """Raises GateNotPassed, saying why."""

        def same(settings: Settings, *, threads: int) -> Encoder:
            return encoder

        try:
            after = self._judge(candidate, keep_going=False)
        except QuestionFileError as error:
            raise self._refused(candidate, str(error)) from error
        try:
            before = self._judge(None, keep_going=True)
        except IndexNotFound:
            return
        except QuestionFileError as error:
            # What is asked about may be new with this snapshot; then the active one has nothing to compare.
            raise self._refused(candidate, f"the active snapshot holds none of the evidence: {error}") from error
        runs = []
        for name, judged in (("active", before), ("new", after)):
            self.listener.stage(f"Asking the {name} snapshot {len(judged.questions):,} questions")
            try:
                with _asking(self.settings, judged.inputs.snapshot, same) as ask_many:
                    steps = list(ask_all(judged.questions, ask_many, judged.inputs))
            except SnapshotIncompatible as error:
                raise self._refused(candidate, f"the {name} snapshot cannot be asked: {error}") from error
            runs.append(assemble(judged, steps, 0.0))
        result = gate(*runs, margin=self.margin)
        for check in result.checks:
            self.listener.stage(f"Gate {result.outcome}: {check.name}: {check.reason}")
        if result.outcome != "passed":
            raise self._refused(candidate, _told(result))

    def _judge(self, snapshot: str | None, *, keep_going: bool) -> Judged:
        return judge(self.settings, self.questions, self.options, snapshot, keep_going=keep_going)

    def _refused(self, candidate: str, reason: str) -> GateNotPassed:
        activate = f"qa snapshots activate {candidate} --name {self.settings.name}"
        return GateNotPassed(f"snapshot {candidate} was built and not activated: {reason}; to activate it: {activate}")


def _told(result: Gate) -> str:
    worst = next(check for check in result.checks if check.outcome == result.outcome)
    said = "it is worse" if result.outcome == "worse" else "whether it is worse cannot be told"
    return f"{said}: {worst.name}: {worst.reason}"
