"""SIGKILL while a folder is watched and edited, twenty times: no file is lost, no text stands under a wrong id."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from qa.build.update import update
from qa.build.watch import watch
from qa.index.snapshots import Snapshots
from qa.settings import Settings
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.hashing import HashingEncoder
from tests.support.waiting import AT_MOST

pytestmark = pytest.mark.server

FILES = 30
KILLS = 20


def watch_for_ever(settings: Settings, started: Event) -> None:
    started.set()
    watch(settings, HashingEncoder, threading.Event())


def write(folder: Path, name: str, version: int) -> str:
    text = f"This is {name}, version {version}. Its number is {version * 7919}.\n"
    replacement = folder / f".{name}.new"
    replacement.write_text(text)
    replacement.rename(folder / name)
    return text


def indexed(settings: Settings) -> dict[str, str]:
    """Verify every byte of the active snapshot, and return its texts."""
    snapshots = Snapshots(settings.indexes, settings.name)
    snapshots.verify()
    index = snapshots.open()
    try:
        return {id: index.store.document(id).text for id in index.store.document_ids}
    finally:
        index.close()


def test_killed_twenty_times_under_steady_edits(settings: Settings, tmp_path: Path, build: Build) -> None:
    folder = tmp_path / "edited"
    folder.mkdir()
    chance = random.Random(1)
    names = [f"{number:02}.txt" for number in range(FILES)]
    written: dict[str, set[str]] = {name: {write(folder, name, 0)} for name in names}
    build(folder)
    seen = set()
    context = multiprocessing.get_context("spawn")
    for kill in range(KILLS):
        started = context.Event()
        process = context.Process(target=watch_for_ever, args=(settings, started))
        process.start()
        # However long a busy machine takes to import what is needed.
        assert started.wait(AT_MOST)
        before = Snapshots(settings.indexes, settings.name).current()
        until, at_last = time.monotonic() + chance.uniform(2.0, 4.0), time.monotonic() + AT_MOST
        version = 1000 * (kill + 1)
        # Some live until they have published, however busy the machine is; the others are killed wherever they are.
        while time.monotonic() < until or (
            kill % 3 == 0 and Snapshots(settings.indexes, settings.name).current() == before
        ):
            assert time.monotonic() < at_last
            version += 1
            name = chance.choice(names)
            written[name].add(write(folder, name, version))
            time.sleep(0.02)
        process.kill()
        process.join()
        texts = indexed(settings)
        assert set(texts) == set(names)
        assert all(text in written[name] for name, text in texts.items())
        seen.add(Snapshots(settings.indexes, settings.name).current())
    assert len(seen) >= KILLS // 3, "hardly an update was published between the kills"
    update(settings, [folder], Recorder(), make=hashing_encoder)
    assert indexed(settings) == {name: (folder / name).read_text() for name in names}
