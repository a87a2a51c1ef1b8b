"""Which reader takes which file, and reading one file whatever it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from time import perf_counter
from typing import Protocol

from qa.errors import UnreadableDocument
from qa.readers.markdown import MarkdownReader
from qa.readers.text import TextReader
from qa.types import Document, FileReport, FileStatus, Source


class Reader(Protocol):
    """One format. ``suffixes`` are in lower case with their dot, ``""`` for names without one.

    ``version`` changes whenever the same bytes would give another document.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def media_type(self) -> str: ...

    @property
    def suffixes(self) -> frozenset[str]: ...

    def read(self, source: Source) -> Document:
        """The whole document; ``problems`` names what of it could not be read.

        Raises:
            OSError: the file cannot be opened.
            UnreadableDocument: it is not of this format, or broken.
        """


_READERS: tuple[Reader, ...] = (TextReader(), MarkdownReader())
_BY_SUFFIX = {suffix: reader for reader in _READERS for suffix in reader.suffixes}


def reader_versions() -> Mapping[str, str]:
    """The version of every reader by its name, for an index's fingerprint."""
    return {reader.name: reader.version for reader in _READERS}


def reader_for(source: Source) -> Reader | None:
    """The reader that takes this file, ``None`` where none does. Decided by the suffix, in any case."""
    return _BY_SUFFIX.get(_suffix(source))


def read_source(source: Source) -> tuple[Document | None, FileReport]:
    """Read one file; whatever is wrong with it, or with its reader, is in the report and nowhere else.

    The document is ``None`` where the file was skipped or failed. The report's ``passages`` are left to the caller.
    """
    started = perf_counter()
    status: FileStatus
    document: Document | None = None
    try:
        reader = reader_for(source)
        document = reader.read(source) if reader else None
    except OSError as error:
        status, reason = "failed", (error.strerror or type(error).__name__).lower()
    except UnreadableDocument as error:
        status, reason = "failed", str(error).removeprefix(f"{source.id}: ")
    except Exception as error:  # a bug in a reader loses one file, not the run
        status, reason = "failed", f"{type(error).__name__}: {error}".partition("\n")[0]
    else:
        status, reason = _outcome(source, document)
    return _reported(source, document if status in {"read", "partial"} else None, status, reason, started)


def _outcome(source: Source, document: Document | None) -> tuple[FileStatus, str]:
    if document is None:
        return "skipped", f"no reader for {_suffix(source)} files"
    if not document.text or document.text.isspace():
        return "skipped", "no text"
    if document.problems:
        return "partial", "; ".join(document.problems)
    return "read", ""


def _reported(
    source: Source, document: Document | None, status: FileStatus, reason: str, started: float
) -> tuple[Document | None, FileReport]:
    pages = document.pages if document else ()
    report = FileReport(
        id=source.id,
        status=status,
        reason=reason,
        size=source.size,
        characters=len(document.text) if document else 0,
        pages=len(pages),
        empty_pages=sum(not document.text[page.start : page.end].strip() for page in pages) if document else 0,
        seconds=perf_counter() - started,
    )
    return document, report


def _suffix(source: Source) -> str:
    return PurePosixPath(source.id).suffix.lower()
