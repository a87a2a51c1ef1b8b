"""Two evaluations of a server, compared."""

from __future__ import annotations

import pytest

from qa.errors import EvaluationNotFound
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.evaluation.runs import load_run
from qa.settings import Settings
from tests.support.queued import DATA, Gated, Start, compared, evaluated, folder_of, submit, until


def test_the_run_is_one_that_can_be_compared(start: Start, gated: Gated, settings: Settings) -> None:
    queue = start()
    job = submit(queue)
    gated.release(3)
    until(queue, job, lambda found: found.is_over)
    run = load_run(folder_of(settings) / job.id / "run")
    assert run.inputs.snapshot == job.snapshot
    assert len(run.outcomes) == 3


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
