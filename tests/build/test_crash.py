"""SIGKILL at every step of a build: the old snapshot serves on, and the next build is clean.

A process builds for real and is killed at the n-th step below the index's folder, for every n until it gets through.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from qa.build.update import update
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.dying import dying

pytestmark = pytest.mark.slow

QUESTION = Query("Where do apples grow?")


def build_once(indexes: str, folder: str) -> None:
    update(Settings(indexes=Path(indexes), name="test"), [Path(folder)], Recorder(), make=hashing_encoder)


def test_a_kill_at_any_step_leaves_the_old_snapshot_or_the_new_one_whole(
    settings: Settings, folder: Path, build: Build
) -> None:
    snapshots = Snapshots(settings.indexes, settings.name)
    published = {build().manifest.id}
    indexes = str(settings.indexes)
    with dying(settings.indexes, "tests.build.test_crash:build_once", indexes, str(folder)) as build_until:
        for step in range(1, 1000):
            (folder / "apples.txt").write_text(f"Apples grow on trees, in the year {step}.\n")
            outcome = build_until(step)
            # Whatever stands among the snapshots is whole, and one of them is active.
            assert snapshots.current() in snapshots.ids()
            for id in set(snapshots.ids()) - published:
                snapshots.verify(id)
            published = set(snapshots.ids())
            service = Service(settings, make=hashing_encoder)
            assert service.reload()
            assert service.ask(QUESTION).snapshot == snapshots.current()
            if outcome is None:
                break
            assert outcome == signal.SIGKILL
    assert step > 20, "the hook saw too little for this test to mean anything"
    assert build().manifest.id == snapshots.current()
    assert [path.name for path in snapshots.folder.glob("snapshots/.*")] == []


def test_a_kill_while_removing_leaves_no_broken_snapshot_in_the_listing(settings: Settings, build: Build) -> None:
    snapshots = Snapshots(settings.indexes, settings.name)
    oldest, newest = build().manifest.id, build().manifest.id
    aside = snapshots.folder / "snapshots" / f".aside-{oldest}"
    snapshots.path(oldest).rename(aside)
    (aside / "vectors.faiss").unlink()
    assert snapshots.ids() == [newest]
    build()
    assert not aside.exists()


def test_an_interrupted_build_publishes_nothing_and_is_resumed(settings: Settings, folder: Path, build: Build) -> None:
    """Ctrl-C half way: what was encoded by then is not encoded again."""

    class Interrupting(Recorder):
        def advanced(self, size: float, encoded: float | None = None) -> None:
            super().advanced(size)
            if self.done > 10_000:
                raise KeyboardInterrupt

    first = build().manifest.id
    for number in range(600):
        (folder / f"{number}.txt").write_text(f"Document {number} is about the number {number * 7}.\n")
    with pytest.raises(KeyboardInterrupt):
        build(listener=Interrupting())
    snapshots = Snapshots(settings.indexes, settings.name)
    assert snapshots.ids() == [first]
    assert list(snapshots.folder.glob("snapshots/.*")) == []
    assert 0 < build().counts.encoded < 600
