"""Whether a file that is sent can be read, found out before it becomes a document or replaces one.

It is read by the process that reads files for an index, within the same limits. Pages are not recognised, which would
take seconds for each: a scan is taken where they will be.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from qa.errors import UploadRefused
from qa.files import open_regular
from qa.readers.isolation import IsolatedReader, ReadingLimits
from qa.readers.kinds import HEAD, IMAGES, describe_signature
from qa.readers.pdf.document import NO_PAGE_HAS_TEXT
from qa.readers.recognition.recogniser import MISSING, OFF
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Source


def screen_source(source: Source, options: ReadingOptions) -> tuple[Document | None, FileReport]:
    """Read a file for its report alone, in the process that reads: its text need not be sent."""
    _, report = read_source(source, options)
    return None, report


class Screening:
    """A screening of one file after another; a context manager, used by one thread at a time.

    Args:
        options: what of files will be read, and what recognises their pages.
    """

    def __init__(self, limits: ReadingLimits, options: ReadingOptions) -> None:
        self._recognises = options.ocr not in {OFF, MISSING}
        self._reader = IsolatedReader(limits, screen_source, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    def check(self, path: Path, id: str) -> None:
        """Check the file at ``path``, which would become the document ``id``.

        Raises:
            UploadRefused: no reader takes it, it is damaged, or it exceeds a limit; the message says which.
            ReadingUnavailable: the process that reads files cannot be started.
            OSError: the file is gone.
        """
        _, report = self._reader.read(Source(id, path, path.stat().st_size))
        if report.status in {"read", "partial"}:
            return
        if self._recognises and (report.reason.startswith(NO_PAGE_HAS_TEXT) or _is_image(path)):
            return
        raise UploadRefused(_as_clause(report.reason))


def _is_image(path: Path) -> bool:
    """Return whether a file is an image of a page."""
    with open_regular(path) as file:
        return describe_signature(file.read(HEAD)) in IMAGES


def _as_clause(reason: str) -> str:
    """Say the reason of a report, which continues the file's name, as a clause of its own."""
    first = reason.partition(" ")[0]
    if first in {"a", "an", "data,", "packed", "hidden"}:
        return f"it is {reason}"
    return f"it {reason}" if first in {"is", "holds", "needed", "took"} else reason
