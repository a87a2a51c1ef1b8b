"""Evaluations behind a server: one at a time, bounded, cancelled, and continued after a crash."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qa.errors import EvaluationNotFound, QueueFull
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.evaluation.runs import load_run
from qa.files import limit_access
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from tests.conftest import Build
from tests.support.gated_worker import MODULE
from tests.support.queued import DATA, Gated, Start, folder_of, report_of, submit, until
from tests.support.waiting import wait_for


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


def children() -> list[int]:
    """Return the processes that this one has started and that have not ended."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text(encoding="ascii").split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not say who has started a process")
def test_no_process_is_left_when_a_queue_has_stopped(start: Start, gated: Gated) -> None:
    before = children()
    queue = start()
    until(queue, submit(queue), lambda found: found.status == "asking")
    assert len(children()) == len(before) + 1
    queue.stop()
    assert children() == before


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
