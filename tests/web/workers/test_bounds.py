"""Bounds of several workers: divided, so that together they are those of one server."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.web import deps
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.workers.board import Board, Place
from qa.web.workers.rates import create_rates
from tests.support.fake_service import FakeService


def parts(folder: Path, workers: int) -> list[deps.Dependencies]:
    """Return the parts of each worker's application."""
    board = Board(folder, workers)
    create_rates(Place(1, board).rates)
    places = [Place(number, board) for number in board.numbers()]
    apps = [create_app(FakeService(), options=Options(cache_bytes=1000, place=place)) for place in places]
    return [next(iter(deps.collections_of(app).values())) for app in apps]


def bounds(each: deps.Dependencies) -> list[int]:
    return [each.asking.batcher.most_waiting, each.passages.most, each.asking.cache.most_bytes]


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_bounds_of_all_workers_are_those_of_one_server(tmp_path: Path, workers: int) -> None:
    alone = next(iter(deps.collections_of(create_app(FakeService(), options=Options(cache_bytes=1000))).values()))
    together = [sum(each) for each in zip(*map(bounds, parts(tmp_path, workers)), strict=True)]
    for one, all_ in zip(bounds(alone), together, strict=True):
        assert one - workers < all_ <= one
