"""A worker of evaluations that has the tests' encoder, and asks only as many questions as a test allows."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from qa.evaluation.jobs.worker import JobListener, main
from qa.protocols import Encoder
from qa.settings import Settings
from tests.support.hashing import HashingEncoder

MODULE = "tests.support.gated_worker"


class Gate:
    """How many questions may be asked and how many were, as files that a test and its workers share."""

    def __init__(self, indexes: Path) -> None:
        self._folder = indexes / ".gate"
        self._folder.mkdir(parents=True, exist_ok=True)

    def release(self, count: int) -> None:
        self._add("allowed", count)

    def fill_disk(self) -> None:
        """Make the next question fail as it does on a full disk."""
        (self._folder / "full").touch()

    def empty_disk(self) -> None:
        (self._folder / "full").unlink()

    @property
    def asked(self) -> int:
        return self._count("asked")

    def wait(self) -> None:
        while self._count("taken") >= self._count("allowed"):
            time.sleep(0.01)
            if os.getppid() == 1:
                raise SystemExit("the test has ended")
        self._add("taken", 1)

    def note_asked(self) -> None:
        if (self._folder / "full").exists():
            raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret")
        self._add("asked", 1)

    def _count(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def _add(self, name: str, count: int) -> None:
        with (self._folder / name).open("ab") as file:
            file.write(b"." * count)


class GatedListener(JobListener):
    """A listener that lets the next question be asked once the test allows it."""

    keep_every = 0.0

    def __init__(self, folder: Path) -> None:
        self._gate = Gate(folder.parents[2])
        self._pending = 0
        super().__init__(folder)

    def started(self, questions: int, done: int) -> None:
        super().started(questions, done)
        self._pending = questions - done
        self._wait()

    def asked(self) -> None:
        self._gate.note_asked()
        super().asked()
        self._pending -= 1
        self._wait()

    def _wait(self) -> None:
        if self._pending:
            self._gate.wait()


def make_hashing_encoder(settings: Settings, *, threads: int) -> Encoder:
    return HashingEncoder()


if __name__ == "__main__":
    main(make_hashing_encoder, GatedListener)
