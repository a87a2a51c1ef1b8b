"""An evaluation from a question file and a snapshot to a run in a folder, and the gate of a new snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from qa.answers.calibration import CALIBRATION_FILE, SHIPPED
from qa.errors import Fault, GateNotPassed, IndexNotFound, QuestionFileError, SnapshotIncompatible
from qa.evaluation.comparison import Gate, check_gate
from qa.evaluation.outcomes import (
    AskingOptions,
    AskMany,
    Evaluation,
    EvaluationListener,
    Inputs,
    PassageText,
    QuestionOutcome,
    ask_all,
)
from qa.evaluation.runs import REPORT_FILE, SUMMARY_FILE, RunFolder, dump_summary, dump_tables, load_run
from qa.evaluation.summary import Summary, summarise
from qa.index.schema import DOCUMENTS_FILE
from qa.index.snapshots import Snapshots
from qa.index.store import Store
from qa.models.loading import EncoderFactory, make_encoder
from qa.protocols import Encoder
from qa.questions.anchoring import anchor
from qa.questions.questions import JudgedQuestion, QuestionSet, require_sound
from qa.search.query import max_error_fault, top_k_fault
from qa.service.service import Service
from qa.settings import Settings


@dataclass(frozen=True, slots=True)
class Judged:
    """The questions of a file with their judgments in one snapshot.

    ``faults`` say why the other questions of the file have no judgments there.
    """

    inputs: Inputs
    questions: tuple[JudgedQuestion, ...]
    faults: tuple[Fault, ...]


class StoredSources:
    """The documents of a snapshot, in which quotes are looked up."""

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
    options: AskingOptions,
    snapshot: str | None = None,
    *,
    keep_going: bool = False,
) -> Judged:
    """Look up the judgments of the questions in a snapshot, by default the active one.

    Raises:
        QuestionFileError: a quote or a document is not in the snapshot.
        IndexNotFound, SnapshotNotFound: there is no such index or snapshot.
        QueryError: the questions cannot be asked with these options.
    """
    if fault := top_k_fault(options.top_k, settings.limits) or max_error_fault(options.max_error):
        raise fault
    snapshots = Snapshots.of(settings)
    id = snapshot or snapshots.current()
    store = Store(snapshots.path(id) / DOCUMENTS_FILE)
    try:
        found = anchor(questions, StoredSources(store))
    finally:
        store.close()
    require_sound(found.questions, found.faults, keep_going=keep_going)
    calibration = _hash_calibrations(snapshots.folder) if options.answer else ""
    inputs = Inputs(settings.name, id, questions.name, questions.sha256, options, calibration)
    return Judged(inputs, found.questions, (*questions.left_out, *found.faults))


def _hash_calibrations(folder: Path) -> str:
    """Hash the calibration of an index's folder, where there is one, and the one that ships: they decide confidence."""
    hashed = hashlib.sha256()
    for path in (folder / CALIBRATION_FILE, SHIPPED):
        content = path.read_bytes() if path.exists() else b""
        hashed.update(hashlib.sha256(content).digest())
    return hashed.hexdigest()[:16]


def evaluate_questions(
    settings: Settings,
    judged: Judged,
    folder: Path,
    listener: EvaluationListener,
    *,
    force: bool = False,
    make: EncoderFactory = make_encoder,
) -> tuple[Evaluation, Summary]:
    """Ask every question of the snapshot that it was judged in, and write the run into ``folder``.

    An evaluation that was interrupted continues: what it has asked is not asked again.

    Args:
        force: replace another run in the folder.

    Raises:
        RunError: the folder holds another run, and ``force`` is false.
        EncoderError, SnapshotError: the snapshot cannot be asked.
    """
    run = RunFolder(folder, judged.inputs, force=force)
    if run.is_finished:
        evaluation = load_run(folder)
        return evaluation, summarise(evaluation)
    steps = run.done()
    done = {outcome.question.id for outcome, _ in steps}
    pending = [question for question in judged.questions if question.id not in done]
    listener.stage("Loading the model")
    with _asking(settings, judged.inputs.snapshot, make) as ask_many:
        if pending:
            # The first question of a process is slow for reasons that have nothing to do with the question.
            ask_many([judged.inputs.options.make_query(pending[0])])
        listener.started(len(judged.questions), len(done))
        try:
            for step in ask_all(pending, ask_many, judged.inputs):
                run.append(step)
                steps.append(step)
                listener.asked()
        finally:
            run.close()
    listener.measuring()
    evaluation = assemble(judged, steps)
    summary = summarise(evaluation)
    _write_run(run, evaluation, summary)
    return evaluation, summary


def assemble(judged: Judged, steps: Sequence[tuple[QuestionOutcome, Mapping[str, PassageText]]]) -> Evaluation:
    """Put all steps together, in the order of the questions."""
    by_id = {outcome.question.id: outcome for outcome, _ in steps}
    outcomes = tuple(by_id[question.id] for question in judged.questions)
    return Evaluation(
        inputs=judged.inputs,
        outcomes=outcomes,
        texts={id: text for _, texts in steps for id, text in texts.items()},
        left_out=tuple(map(str, judged.faults)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        # Not of the clock: several processes may have asked, one after the other was interrupted.
        seconds=sum(outcome.timings_ms.get("total", 0.0) for outcome in outcomes) / 1000,
    )


def _write_run(run: RunFolder, evaluation: Evaluation, summary: Summary) -> None:
    """Write every file of a run, ``run.json`` last."""
    from qa.evaluation.report import report_page

    files = {
        **dump_tables(evaluation, summary.values),
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
    """A gate that lets a new snapshot become the active one if it answers the questions no worse than that one.

    If no snapshot is active, the judgments of the questions must only be found in the new one. ``stage`` is called
    with every step that may take seconds; ``margin`` is the largest loss that still passes.
    """

    settings: Settings
    questions: QuestionSet
    options: AskingOptions
    stage: Callable[[str], None]
    margin: float

    def __call__(self, candidate: str, encoder: Encoder) -> None:
        """Compare the new snapshot with the active one.

        Raises:
            GateNotPassed: the new snapshot is worse, or may be; the message says why.
        """

        def same_encoder(settings: Settings, *, threads: int) -> Encoder:
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
            # The documents that the questions are about may be new; then the active snapshot has nothing to compare.
            raise self._refused(candidate, f"the active snapshot holds none of the evidence: {error}") from error
        runs = []
        for name, judged in (("active", before), ("new", after)):
            count = len(judged.questions)
            self.stage(f"Asking the {name} snapshot {count:,} {'question' if count == 1 else 'questions'}")
            try:
                with _asking(self.settings, judged.inputs.snapshot, same_encoder) as ask_many:
                    steps = list(ask_all(judged.questions, ask_many, judged.inputs))
            except SnapshotIncompatible as error:
                raise self._refused(candidate, f"the {name} snapshot cannot be asked: {error}") from error
            runs.append(assemble(judged, steps))
        result = check_gate(*runs, margin=self.margin)
        for check in result.checks:
            self.stage(f"Gate {result.outcome}: {check.name}: {check.reason}")
        if result.outcome != "passed":
            raise self._refused(candidate, _describe_worst(result))

    def _judge(self, snapshot: str | None, *, keep_going: bool) -> Judged:
        return judge(self.settings, self.questions, self.options, snapshot, keep_going=keep_going)

    def _refused(self, candidate: str, reason: str) -> GateNotPassed:
        activate = f"qa snapshots activate {candidate} --name {self.settings.name}"
        return GateNotPassed(f"snapshot {candidate} was built and not activated: {reason}; to activate it: {activate}")


def _describe_worst(result: Gate) -> str:
    worst = next(check for check in result.checks if check.outcome == result.outcome)
    said = "it is worse" if result.outcome == "worse" else "the questions cannot tell whether it is worse"
    return f"{said}: {worst.name}: {worst.reason}"
