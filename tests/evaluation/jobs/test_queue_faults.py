"""Evaluations behind a server where a disk is full, or what is kept of them is damaged or cannot be removed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from qa.errors import EvaluationNotFound, NotReady, StorageError
from qa.evaluation.jobs.jobs import Job, Jobs, Request
from qa.settings import Settings
from qa.types import State
from tests.support.queued import DATA, Gated, Start, folder_of, submit, until
from tests.support.waiting import wait_for


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
