"""A reader of files in this process, for tests of what becomes of files that are read: it starts in no time."""

from __future__ import annotations

from typing import Self

import pytest

from qa.readers.isolation import ReadingLimits, ReadWithOptions, Recognition
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Source


class InProcessReader:
    """What :class:`qa.readers.isolation.IsolatedReader` is for files that harm no one."""

    def __init__(
        self,
        limits: ReadingLimits | None = None,
        read: ReadWithOptions = read_source,
        options: ReadingOptions | None = None,
        recognition: Recognition | None = None,
    ) -> None:
        self._read = read
        self._options = options or ReadingOptions()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass

    def read(self, source: Source) -> tuple[Document | None, FileReport]:
        return self._read(source, self._options)


@pytest.fixture
def reading_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files that are sent, and those of an index, read in this process."""
    monkeypatch.setattr("qa.build.screening.IsolatedReader", InProcessReader)
    monkeypatch.setattr("qa.build.update.IsolatedReader", InProcessReader)
