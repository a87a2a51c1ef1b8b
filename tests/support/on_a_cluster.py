"""Encoders for workers of a Ray cluster, which are made there by the name of their function."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qa.protocols import Encoder
from qa.settings import Settings
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.types import Vectors

# The driver is the process that makes the first encoder of an index; it notes itself here, in the folder of indexes.
DRIVER = "driver"
KILLED = "killed"


class NotHere(HashingEncoder):
    """Encodes on workers alone, where it writes down which process did; what the driver would encode is an error."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        assert (self._folder / DRIVER).read_text() != str(os.getpid()), "the driver has something to encode"
        (self._folder / f"worker-{os.getpid()}").touch()
        return super().encode_passages(texts)


class DyingOnce(NotHere):
    """Kills its process with the first text that speaks of a deadly nightshade; the next process lives."""

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        rows = super().encode_passages(texts)
        if any("nightshade" in text for text in texts):
            try:
                (self._folder / KILLED).touch(exist_ok=False)
            except FileExistsError:
                return rows
            os.kill(os.getpid(), signal.SIGKILL)
        return rows


class OtherOnWorkers(HashingEncoder):
    """Has another fingerprint in every process but the driver."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._is_driver = (folder / DRIVER).read_text() == str(os.getpid())

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint, "weights": "hashing/1" if self._is_driver else "hashing/2"}


def make_not_here(settings: Settings, *, threads: int) -> Encoder:
    return NotHere(settings.indexes)


def make_dying_once(settings: Settings, *, threads: int) -> Encoder:
    return DyingOnce(settings.indexes)


def make_other_on_workers(settings: Settings, *, threads: int) -> Encoder:
    return OtherOnWorkers(settings.indexes)
