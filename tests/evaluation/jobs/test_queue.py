"""Evaluations behind a server: one at a time, bounded, cancelled, and continued after a crash."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qa.errors import EvaluationNotFound, NotReady, QueueFull, StorageError
from qa.evaluation.jobs.jobs import Compared, Job, Jobs, Request
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.evaluation.runs import load_run
from qa.files import limit_access
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State
from tests.conftest import Build
from tests.evaluation.test_evaluate import QUOTES
from tests.support.gated_worker import MODULE, Gate
from tests.support.waiting import AT_MOST, wait_for

OPTIONS = {"mode": "dense", "top_k": 5, "rerank": False}
DATA = "\n".join(
    json.dumps({"question": f"{quote}?", "evidence": [{"document": document, "quote": quote}]})
    for document, quote in QUOTES.items()
).encode()


class Gated(Gate):
    """The state of a service, and a gate before every question of the workers."""

    def __init__(self, service: Service, indexes: Path) -> None:
        super().__init__(indexes)
        self._service = service
        self.current: State | None = None
        self.looks = 0

    def state(self) -> State:
        self.looks += 1
        return self.current or self._service.state()


@pytest.fixture
def gated(service: Service, settings: Settings) -> Gated:
    return Gated(service, settings.indexes)


Start = Callable[..., EvaluationQueue]


@pytest.fixture
def start(gated: Gated, settings: Settings) -> Iterator[Start]:
    """Make a queue and let it run, as a server's start does."""
    running: list[tuple[EvaluationQueue, threading.Thread]] = []

    def begin(
        seconds: float = 300.0,
        trouble: Callable[[str], None] = lambda clause: None,
        turn: threading.Lock | None = None,
    ) -> EvaluationQueue:
        queue = EvaluationQueue(
            settings.indexes / settings.name,
            gated.state,
            settings.model_dump(mode="json"),
            most_waiting=2,
            most_kept=2,
            seconds=seconds,
            module=MODULE,
            trouble=trouble,
            turn=turn,
        )
        thread = threading.Thread(target=queue.run)
        thread.start()
        running.append((queue, thread))
        return queue

    yield begin
    gated.release(100)
    for queue, thread in running:
        queue.stop()
        thread.join(AT_MOST)
        assert not thread.is_alive()


def until(queue: EvaluationQueue, job: Job, reached: Callable[[Job], bool]) -> Job:
    found: list[Job] = []

    def is_reached() -> bool:
        found.append(queue.get(job.id))
        return reached(found[-1])

    wait_for(is_reached)
    return found[-1]


def report_of(queue: EvaluationQueue, job: Job) -> str:
    with queue.report(job.id) as file:
        return file.read().decode()


def submit(queue: EvaluationQueue, data: bytes = DATA) -> Job:
    return queue.submit("q.jsonl", data, "jsonl", OPTIONS, keep_going=False)


def test_an_evaluation_from_upload_to_report(start: Start, gated: Gated) -> None:
    queue = start()
    job = submit(queue)
    gated.release(1)
    half = until(queue, job, lambda found: found.asked == 1)
    assert (half.status, half.questions) == ("asking", 3)
    with pytest.raises(EvaluationNotFound, match="is not done"):
        queue.report(job.id)
    gated.release(2)
    assert until(queue, job, lambda found: found.is_over).status == "done"
    assert queue.summary(job.id)["measures"]["passages.R@5"]["value"] == 1.0
    assert report_of(queue, job).startswith("<!doctype html>")


def test_one_runs_and_the_rest_wait_and_there_is_an_end_to_waiting(start: Start, gated: Gated) -> None:
    queue = start()
    jobs = [submit(queue) for _ in range(3)]
    until(queue, jobs[0], lambda found: found.status == "asking")
    assert [queue.get(job.id).status for job in jobs[1:]] == ["queued", "queued"]
    with pytest.raises(QueueFull, match="2 evaluations are waiting"):
        submit(queue)
    gated.release(9)
    for job in jobs[1:]:
        assert until(queue, job, lambda found: found.is_over).status == "done"
    # Two are kept, and the oldest was the first.
    wait_for(lambda: jobs[0].id not in {job.id for job in queue.listing()})
    with pytest.raises(EvaluationNotFound):
        queue.get(jobs[0].id)


def test_the_listing_has_all_newest_first_and_none_that_was_cancelled(start: Start, gated: Gated) -> None:
    queue = start()
    jobs = [submit(queue) for _ in range(3)]
    assert [job.id for job in queue.listing()] == [job.id for job in reversed(jobs)]
    queue.cancel(jobs[1].id)
    assert [job.id for job in queue.listing()] == [jobs[2].id, jobs[0].id]


@pytest.mark.parametrize("is_running", [True, False])
def test_what_is_cancelled_is_gone(start: Start, gated: Gated, settings: Settings, is_running: bool) -> None:
    queue = start()
    first = submit(queue)
    until(queue, first, lambda found: found.status == "asking")
    job = first if is_running else submit(queue)
    queue.cancel(job.id)
    with pytest.raises(EvaluationNotFound):
        queue.get(job.id)
    gated.release(3)
    last = submit(queue)
    gated.release(3)
    assert until(queue, last, lambda found: found.is_over).status == "done"
    assert not (folder_of(settings) / job.id).exists()
    with pytest.raises(EvaluationNotFound):
        queue.cancel("../../CURRENT")


def folder_of(settings: Settings) -> Path:
    return settings.indexes / settings.name / "evaluations"


def test_what_a_stop_interrupts_goes_on_at_the_next_start(start: Start, gated: Gated) -> None:
    queue = start()
    job = submit(queue)
    gated.release(1)
    until(queue, job, lambda found: found.asked == 1)
    queue.stop()
    second = start()
    gated.release(10)
    assert until(second, job, lambda found: found.is_over).status == "done"
    assert gated.asked == 3
    assert start().get(job.id).status == "done"


KILLED = """
import json, sys
from pathlib import Path
from qa.evaluation.jobs import worker
process = worker.start("evaluate", Path(sys.argv[1]), module=sys.argv[2])
process.stdin.write(sys.argv[3])
process.stdin.close()
"""


def test_a_process_whose_server_was_killed_leaves_the_rest_to_the_next(
    start: Start, gated: Gated, settings: Settings
) -> None:
    # Its thread is not started: the process of the killed server is not its own.
    queue = EvaluationQueue(settings.indexes / settings.name, gated.state, {})
    job = submit(queue)
    folder = folder_of(settings) / job.id
    subprocess.run([sys.executable, "-c", KILLED, folder, MODULE, settings.model_dump_json()], check=True)
    until(queue, job, lambda found: found.status == "asking")
    gated.release(10)
    assert until(start(), job, lambda found: found.is_over).status == "done"
    assert gated.asked == 3
    assert len(load_run(folder / "run").outcomes) == 3


def test_what_an_evaluation_writes_is_for_its_owner(start: Start, gated: Gated, settings: Settings) -> None:
    limit_access("owner")
    gated.release(100)
    queue = start()
    job = submit(queue)
    until(queue, job, lambda job: job.is_over)
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in (folder_of(settings) / job.id).rglob("*")}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_quote_that_is_not_there_fails_with_its_line(start: Start) -> None:
    queue = start()
    job = submit(queue, DATA.replace(b"autumn", b"winter"))
    failed = until(queue, job, lambda found: found.is_over)
    assert (failed.status, failed.faults[0].line, failed.faults[0].field) == ("failed", 2, "evidence[0]")
    assert "the nearest is" in failed.detail
    assert start().get(job.id) == failed


def test_an_evaluation_stays_with_its_snapshot_whichever_becomes_current(
    start: Start, gated: Gated, service: Service, folder: Path, build: Build
) -> None:
    queue = start()
    running, waiting = submit(queue), submit(queue)
    gated.release(1)
    until(queue, running, lambda found: found.asked == 1)
    # In the new snapshot one quote is not to be found.
    (folder / "apples.txt").write_text("Quinces are hard.\n")
    assert build().manifest.id != running.snapshot
    assert service.reload()
    gated.release(5)
    for job in (running, waiting):
        assert until(queue, job, lambda found: found.is_over).status == "done"
        assert queue.summary(job.id)["measures"]["passages.R@5"]["value"] == 1.0
    assert service.state().ready


@pytest.mark.parametrize("is_prepared", [True, False])
def test_an_evaluation_whose_snapshot_was_removed_says_so(
    start: Start, gated: Gated, service: Service, settings: Settings, build: Build, is_prepared: bool
) -> None:
    queue = start()
    running, waiting = submit(queue), submit(queue)
    until(queue, running, lambda found: found.status == "asking")
    if is_prepared:
        queue.stop()
        gated.release(1)
    build()
    service.reload()
    with Snapshots(settings.indexes, settings.name).writing() as writer:
        assert writer.prune(1) == [running.snapshot]
    gated.release(3)
    queue = start() if is_prepared else queue
    failed = until(queue, running if is_prepared else waiting, lambda found: found.is_over)
    assert failed.detail == "the snapshot that it was submitted for has been removed since; submit it again"


def test_two_servers_of_one_index_run_one_evaluation_at_a_time_and_each_once(start: Start, gated: Gated) -> None:
    one = start()
    jobs = [submit(one)]
    until(one, jobs[0], lambda found: found.status == "asking")
    # Only now, or it might be the one that runs the first, and be ahead of what it writes down for others.
    other = start()
    jobs += [submit(other), submit(one)]
    # Another server's is seen, and counts.
    assert other.get(jobs[2].id).status == "queued"
    with pytest.raises(QueueFull):
        submit(other)
    gated.release(1)
    until(one, jobs[0], lambda found: found.asked == 1)
    time.sleep(1.2)  # Longer than the other takes to look again.
    assert other.get(jobs[1].id).status == "queued"
    gated.release(50)
    for job in jobs[1:]:
        assert until(one, job, lambda found: found.is_over).status == "done"
        assert until(other, job, lambda found: found.is_over).status == "done"
        assert report_of(other, job) == report_of(one, job)
    assert gated.asked == 9


def test_a_queue_whose_turn_another_has_waits_for_it(start: Start, gated: Gated) -> None:
    turn = threading.Lock()
    with turn:
        queue = start(turn=turn)
        job = submit(queue)
        before = gated.looks
        wait_for(lambda: gated.looks > before + 2)
        assert queue.get(job.id).status == "queued"
    gated.release(100)
    until(queue, job, lambda job: job.status == "done")


def test_what_another_server_runs_can_be_cancelled(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    until(queue, job, lambda found: found.status == "asking")
    # It runs nothing: its thread is not started.
    other = EvaluationQueue(settings.indexes / settings.name, gated.state, {})
    other.cancel(job.id)
    for one in (queue, other):
        with pytest.raises(EvaluationNotFound):
            one.get(job.id)
    wait_for(lambda: not (folder_of(settings) / job.id).exists())
    assert gated.asked == 0


def test_settings_are_never_written_down(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    gated.release(3)
    until(queue, job, lambda found: found.is_over)
    written = "".join(path.read_text() for path in folder_of(settings).rglob("*") if path.is_file())
    assert "question" in written
    assert "reader_memory_mb" not in written
    assert str(settings.indexes) not in written


def test_what_computes_for_too_long_is_ended_and_says_so(start: Start) -> None:
    queue = start(seconds=0.01)
    failed = until(queue, submit(queue), lambda found: found.is_over)
    assert "more than 0.01 s" in failed.detail
    assert "QA_MAX_EVALUATION_SECONDS" in failed.detail


def test_why_it_failed_tells_no_path_of_the_server(
    start: Start, gated: Gated, service: Service, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = start()
    first, job = submit(queue), submit(queue)
    until(queue, first, lambda found: found.status == "asking")
    (folder_of(settings) / job.id / "run").mkdir()
    (folder_of(settings) / job.id / "run" / "progress.jsonl").write_text("[]\n")
    gated.release(3)
    failed = until(queue, job, lambda found: found.is_over)
    assert failed.detail == "it could not be computed; the server's log says why"
    assert "holds half a run of other questions" in "".join(capfd.readouterr())


def test_a_full_disk_refuses_the_file_and_keeps_nothing_of_it(
    start: Start, gated: Gated, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = start()
    job = submit(queue)
    until(queue, job, lambda found: found.status == "asking")

    def full(self: Request, folder: Path) -> None:
        raise StorageError(f"cannot write {folder}: no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Request, "write", full)
        with pytest.raises(StorageError, match="cannot keep the question file"):
            submit(queue)
    assert {path.name for path in folder_of(settings).iterdir()} == {"LOCK", "WORKING", job.id}
    gated.release(3)
    assert until(queue, job, lambda found: found.is_over).status == "done"


def test_a_disk_that_fills_up_meanwhile_fails_it_and_others_go_on(
    start: Start, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = start()
    job = submit(queue)
    until(queue, job, lambda found: found.status == "asking")

    def unkept(self: object, job: Job) -> None:
        raise StorageError("cannot write /srv/secret: no space left")

    with monkeypatch.context() as patched:
        gated.fill_disk()
        patched.setattr(Jobs, "keep", unkept)
        gated.release(1)
        failed = until(queue, job, lambda found: found.is_over)
        assert failed.detail == "the server's disk is full, or cannot be read or written; the server's log says more"
    gated.empty_disk()
    after = submit(queue)
    gated.release(3)
    assert until(queue, after, lambda found: found.is_over).status == "done"
    assert queue.get(job.id) == failed
    # There is space now, and the next process takes it up again.
    queue.stop()
    gated.release(3)
    assert until(start(), job, lambda found: found.is_over).status == "done"


def test_what_is_removed_while_it_is_read_is_not_there(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    gated.release(3)
    until(queue, job, lambda found: found.is_over)
    with queue.report(job.id) as opened:
        # As the instant between two looks of a reader is, while another removes it.
        for name in ("report.html", "summary.json"):
            (folder_of(settings) / job.id / "run" / name).unlink()
        (folder_of(settings) / job.id / "request.json").unlink()
        for read in (queue.report, queue.summary, queue.get):
            with pytest.raises(EvaluationNotFound):
                read(job.id)
        assert opened.read().endswith(b"</html>")


def test_nothing_is_taken_while_nothing_is_served(start: Start, gated: Gated) -> None:
    gated.current = State(False, "loading", "the snapshot is being loaded", "test")
    with pytest.raises(NotReady):
        submit(start())


def test_what_a_crash_left_of_an_upload_is_cleared_away(start: Start, settings: Settings) -> None:
    left, fresh, cancelled = (folder_of(settings) / name for name in (f"{'0' * 32}.partial", "1.partial", "2" * 32))
    other = folder_of(settings) / "notes"
    for path in (left, fresh, cancelled, other):
        path.mkdir(parents=True)
        (path / "questions").write_bytes(DATA)
    os.utime(left, (0, 0))
    start()
    wait_for(lambda: not left.exists() and not cancelled.exists())
    # Another server may be writing it.
    assert fresh.exists()
    assert other.exists()


TOO_MANY = OSError(errno.EMFILE, "Too many open files", "/srv/secret")


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        ("qa.evaluation.jobs.jobs.Jobs.all", TOO_MANY, "too many open files"),
        ("qa.evaluation.jobs.jobs.Jobs.lock", TOO_MANY, "too many open files"),
        ("qa.evaluation.jobs.queue._Runner.run", TypeError("'<' not supported"), "the server's log says why"),
        ("qa.evaluation.jobs.worker.start", TOO_MANY, "too many open files"),
    ],
)
def test_after_an_error_the_queue_says_so_goes_on_and_loses_nothing(
    start: Start, gated: Gated, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, said: str
) -> None:
    def fails(*_: object, **__: object) -> object:
        raise error

    troubles: list[str] = []
    queue = start(trouble=troubles.append)
    wait_for(lambda: "" in troubles)
    if broken.endswith("all"):
        with monkeypatch.context() as patched:
            patched.setattr(broken, fails)
            queue._woken.set()
            wait_for(lambda: bool(troubles[-1]))
        job = submit(queue)
    else:
        with monkeypatch.context() as patched:
            patched.setattr(broken, fails)
            job = submit(queue)
            wait_for(lambda: bool(troubles[-1]))
            assert not queue.get(job.id).is_over
        queue._woken.set()
    assert troubles[-1] == f"evaluations cannot run ({said}); it is tried again"
    gated.release(100)
    assert until(queue, job, lambda job: job.is_over).status == "done"
    wait_for(lambda: troubles[-1] == "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"name": 5}',
        json.dumps({"name": "a", "format": "", "options": 7, "keep_going": False, "snapshot": "", "created": ""}),
        json.dumps({"name": "a", "format": "", "options": {}, "keep_going": False, "snapshot": "", "created": 5}),
    ],
)
def test_a_damaged_request_is_set_aside_by_name_and_the_next_is_run(
    start: Start, gated: Gated, settings: Settings, content: str
) -> None:
    damaged = folder_of(settings) / ("3" * 32)
    damaged.mkdir(parents=True)
    (damaged / "request.json").write_text(content)
    gated.release(100)
    queue = start()
    job = submit(queue)
    assert until(queue, job, lambda job: job.is_over).status == "done"
    wait_for(lambda: not damaged.exists())
    assert (folder_of(settings) / f"{damaged.name}.damaged" / "request.json").read_text() == content
    assert [job.id for job in queue.listing()] == [job.id]


def test_a_request_of_another_version_is_left_to_that(start: Start, gated: Gated, settings: Settings) -> None:
    newer = folder_of(settings) / ("3" * 32)
    newer.mkdir(parents=True)
    values = {"name": "a", "format": "", "options": {}, "keep_going": False, "snapshot": "", "created": ""}
    (newer / "request.json").write_text(json.dumps({**values, "colour": "green"}))
    gated.release(100)
    queue = start()
    job = submit(queue)
    assert until(queue, job, lambda job: job.is_over).status == "done"
    assert newer.exists()


@pytest.mark.parametrize("state", ["[", '{"status": 5}'])
def test_an_evaluation_whose_state_is_damaged_is_run_again(
    start: Start, gated: Gated, settings: Settings, state: str
) -> None:
    gated.release(100)
    queue = start()
    job = submit(queue)
    until(queue, job, lambda job: job.is_over)
    done = queue.summary(job.id)
    (folder_of(settings) / job.id / "state.json").write_text(state)
    queue._woken.set()
    assert until(queue, job, lambda job: job.is_over).status == "done"
    assert queue.summary(job.id) == done


def test_the_run_is_one_that_can_be_compared(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    gated.release(3)
    until(queue, job, lambda found: found.is_over)
    run = load_run(folder_of(settings) / job.id / "run")
    assert run.inputs.snapshot == job.snapshot
    assert len(run.outcomes) == 3


def evaluated(queue: EvaluationQueue, gated: Gated, data: bytes = DATA, **options: object) -> Job:
    job = queue.submit("q.jsonl", data, "jsonl", {**OPTIONS, **options}, keep_going=False)
    gated.release(3)
    return until(queue, job, lambda found: found.is_over)


def compared(queue: EvaluationQueue, baseline: Job, candidate: Job) -> Compared:
    """Wait for the end of a comparison, and return it."""
    found: list[Compared] = []

    def is_over() -> bool:
        found.append(queue.compare(baseline.id, candidate.id))
        return found[-1].status != "computing"

    wait_for(is_over)
    return found[-1]


def test_two_are_compared_once_and_gone_with_the_later(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    one, two = evaluated(queue, gated), evaluated(queue, gated, mode="lexical")
    assert queue.compare(one.id, two.id).status == "computing"
    done = compared(queue, one, two)
    assert done.status == "done"
    values = done.values
    assert values is not None
    assert values["verdict"] == "too few questions to tell"
    assert values["measures"][0]["n"] == 3
    assert "They differ in mode: dense and lexical." in values["notes"]
    with queue.comparison_report(one.id, two.id) as file:
        assert file.read().startswith(b"<!doctype html>")
    files = set((folder_of(settings) / two.id).glob("compared-*"))
    assert len(files) == 2
    queue.cancel(one.id)
    for ask in (queue.compare, queue.comparison_report):
        with pytest.raises(EvaluationNotFound):
            ask(one.id, two.id)


def test_two_without_a_question_in_common_say_so_and_are_tried_again(start: Start, gated: Gated) -> None:
    queue = start()
    others = DATA.replace(b"?", b" or not?")
    one, two = evaluated(queue, gated), evaluated(queue, gated, others)
    with pytest.raises(EvaluationNotFound):
        queue.comparison_report(one.id, two.id)
    for _ in range(2):
        failed = compared(queue, one, two)
        assert failed.status == "failed"
        assert "no question in common" in failed.detail


def test_what_is_not_done_is_not_compared(start: Start, gated: Gated) -> None:
    queue = start()
    one = evaluated(queue, gated)
    waiting = submit(queue)
    with pytest.raises(EvaluationNotFound, match="not done"):
        queue.compare(one.id, waiting.id)


def test_comparing_for_too_long_is_ended_and_says_so(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    one, two = evaluated(queue, gated), evaluated(queue, gated)
    hurried = EvaluationQueue(
        settings.indexes / settings.name, gated.state, settings.model_dump(mode="json"), seconds=0.01
    )
    ended = compared(hurried, one, two)
    assert (ended.status, ended.values) == ("failed", None)
    assert ended.detail.startswith("it took more than 0.01 s to compute; send fewer questions")


@pytest.mark.parametrize("is_over", [False, True])
def test_what_cannot_be_removed_is_said_and_goes_on(
    start: Start, gated: Gated, monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    queue = start()
    job = submit(queue)
    if is_over:
        gated.release(3)
    until(queue, job, lambda found: found.is_over if is_over else found.status == "asking")

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", read_only)
        with pytest.raises(StorageError, match="cannot remove the evaluation"):
            queue.cancel(job.id)
    gated.release(3)
    assert until(queue, job, lambda found: found.is_over).status == "done"
    queue.cancel(job.id)
    with pytest.raises(EvaluationNotFound):
        queue.get(job.id)
