"""SIGKILL at every step of a build: the old snapshot serves on, and the next build is clean.

An audit hook (PEP 578) sees every file the process opens, makes, renames or removes. A child process builds for real
and kills itself at the n-th such step below the index's folder, for every n until a build gets through.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from qa.indexing import update
from qa.service import Service
from qa.settings import Settings
from qa.snapshots import Snapshots
from qa.types import Query
from tests.conftest import Build, Recorder, hashing_encoder

pytestmark = pytest.mark.slow

STEPS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"}
QUESTION = Query("Where do apples grow?")


def build_and_die(settings: Settings, folder: Path, at_step: int) -> int | None:
    """Build in a child that is killed at a step; returns the signal, or ``None`` where it got through."""
    child = os.fork()
    if child == 0:
        steps = 0
        watched = str(settings.indexes)

        def kill_at_step(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal steps
            if event in STEPS and watched in str(arguments[0]):
                steps += 1
                if steps == at_step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill_at_step)
        try:
            update(settings, [folder], Recorder(), make=hashing_encoder)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0, "the build failed by itself"
    return None


def test_a_kill_at_any_step_leaves_the_old_snapshot_or_the_new_one_whole(
    settings: Settings, folder: Path, build: Build
) -> None:
    snapshots = Snapshots(settings.indexes, settings.name)
    published = {build().manifest.id}
    for step in range(1, 1000):
        (folder / "apples.txt").write_text(f"Apples grow on trees, in the year {step}.\n")
        outcome = build_and_die(settings, folder, step)
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
        def advanced(self, size: float) -> None:
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
