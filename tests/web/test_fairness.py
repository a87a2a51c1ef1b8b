"""Clients that wait take turns, and one of them does not take all the places."""

from __future__ import annotations

import pytest

from qa.web.fairness import FairQueue, share_of


def queue_of(*items: str) -> FairQueue[str]:
    """Return a queue of items, whose first letter names the client."""
    queue: FairQueue[str] = FairQueue()
    for item in items:
        queue.put(item[0], item)
    return queue


def test_clients_take_turns_and_each_keeps_its_order() -> None:
    queue = queue_of("a1", "a2", "a3", "a4", "b1", "c1", "c2")
    assert queue.take(5) == ["a1", "b1", "c1", "a2", "c2"]
    assert queue.take(5) == ["a3", "a4"]
    assert len(queue) == 0


def test_who_comes_late_waits_for_one_item_of_each_client() -> None:
    queue = queue_of(*(f"a{n}" for n in range(60)))
    assert queue.take(4) == ["a0", "a1", "a2", "a3"]
    queue.put("b", "b0")
    assert queue.take(2) == ["a4", "b0"]
    assert len(queue) == 55


def test_only_what_is_wanted_is_taken() -> None:
    queue = queue_of("a1", "a2", "b1", "b2")
    assert queue.take(9, lambda item: item.endswith("2")) == ["a2", "b2"]
    assert queue.first() == "a1"
    assert queue.take(9) == ["a1", "b1"]


def test_what_is_discarded_is_not_taken() -> None:
    queue = queue_of("a1", "a2", "b1")
    queue.discard("a", "a1")
    queue.discard("a", "a1")
    queue.discard("z", "a2")
    assert (len(queue), queue.count("a"), queue.count("z")) == (2, 1, 0)
    assert queue.take(9) == ["a2", "b1"]


@pytest.mark.parametrize(("places", "share"), [(128, 96), (4, 3), (1, 1)])
def test_one_client_leaves_places_to_others(places: int, share: int) -> None:
    assert share_of(places) == share
