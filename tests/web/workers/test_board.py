"""What workers know of each other, also of one that has ended or has said nothing yet."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from qa.types import State
from qa.web.workers.board import Board, ParentRow, Place, Publisher, Row
from tests.support.waiting import wait_for


def state(snapshot: str | None, *troubles: str) -> State:
    return State(snapshot is not None, "ready" if snapshot else "loading", "", "test", snapshot, troubles=troubles)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(tmp_path, 3)
    board.open_all()
    return board


def test_who_has_more_connections_than_another_has_most(board: Board) -> None:
    assert not board.others_accept(1)
    assert not board.has_most(1)
    board.set_connections(1, 2)
    board.set_connections(2, 1)
    assert [board.has_most(number) for number in board.numbers()] == [True, False, False]
    assert [board.others_accept(number) for number in board.numbers()] == [True, True, True]
    # Another process sees the same.
    assert Board(board.folder, 3).connections(1) == 2
    board.remove(2)
    assert board.connections(2) is None
    assert not board.has_most(1)


def test_a_row_is_read_as_it_was_published(board: Board) -> None:
    row = Row(2, 17, (state("s", "the disk is full"),), {"qa_queue_questions": 3.0})
    assert board.row(2) is None
    board.publish(row)
    assert board.row(2) == row
    assert board.rows() == [row]
    board.remove(2)
    assert board.rows() == []


def test_the_parent_says_what_it_replaced(board: Board) -> None:
    assert board.parent() is None
    board.publish_parent(ParentRow(5, 2, 1.5))
    assert board.parent() == ParentRow(5, 2, 1.5)


def test_a_switch_waits_for_the_workers_that_accept(board: Board) -> None:
    for number in (1, 2):
        board.set_connections(number, 0)
    # The third is loading, and will load what is current then.
    board.publish(Row(1, 1, (state("new"),), {}))
    board.publish(Row(2, 2, (state("old"),), {}))
    board.publish(Row(3, 3, (state(None),), {}))
    waiting = threading.Thread(target=board.wait_for_snapshot, args=("test", "new"))
    waiting.start()
    assert waiting.is_alive()
    board.publish(Row(2, 2, (state("new"),), {}))
    wait_for(lambda: not waiting.is_alive())


def test_a_switch_waits_for_one_that_does_not_accept_yet_and_has_loaded_what_was_before(board: Board) -> None:
    board.set_connections(1, 0)
    board.publish(Row(1, 1, (state("new"),), {}))
    board.publish(Row(2, 2, (state("old"),), {}))
    waiting = threading.Thread(target=board.wait_for_snapshot, args=("test", "new"))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    board.publish(Row(2, 2, (state("new"),), {}))
    wait_for(lambda: not waiting.is_alive())


def test_a_switch_does_not_wait_for_ever(board: Board) -> None:
    board.set_connections(1, 0)
    board.publish(Row(1, 1, (state("old"),), {}))
    board.wait_for_snapshot("test", "new", seconds=0.05)
    assert board.row(1) == Row(1, 1, (state("old"),), {})


def test_a_worker_publishes_what_changes_and_hears_the_first(board: Board) -> None:
    board.publish(Row(1, 1, (state("s", "evaluations cannot run"),), {}))
    now = [state(None)]
    heard: list[Row] = []
    publisher = Publisher(Place(2, board), 2, lambda: now, heard.append)
    publisher.start()
    try:
        assert board.row(2) == Row(2, 2, (state(None),), {})
        now[0] = state("s")
        wait_for(lambda: board.row(2) == Row(2, 2, (state("s"),), {}))
        publisher.measure(lambda: {"qa_queue_questions": 2.0})
        assert board.row(2) == Row(2, 2, (state("s"),), {"qa_queue_questions": 2.0})
    finally:
        publisher.stop()
    assert heard[0].states[0].troubles == ("evaluations cannot run",)


def test_what_a_worker_is_about_to_serve_is_published_at_once(board: Board, tmp_path: Path) -> None:
    now = [state("s")]
    publisher = Publisher(Place(1, board), 1, lambda: now, print)
    publisher.publish()
    assert board.row(1) == Row(1, 1, (state("s"),), {})
    now[0] = state("t")
    shutil.rmtree(tmp_path)
    publisher.publish()
    tmp_path.mkdir()
    publisher.publish()
    assert board.row(1) == Row(1, 1, (state("t"),), {})
