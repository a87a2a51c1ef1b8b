"""The reader of each kind of file, and reading one file safely."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from time import perf_counter
from typing import Protocol

from qa.errors import UnreadableDocument
from qa.readers.composition import Content, choose_title
from qa.readers.docx.document import DocxReader
from qa.readers.epub import EpubReader
from qa.readers.html.page import HtmlReader
from qa.readers.kinds import detect_kind
from qa.readers.mail import MailReader, OutlookReader
from qa.readers.markdown import MarkdownReader
from qa.readers.odt import OdtReader
from qa.readers.pdf.document import PdfReader
from qa.readers.pptx import PptxReader
from qa.readers.records import NotebookReader, RecordsReader
from qa.readers.sheets import DelimitedReader, SpreadsheetReader
from qa.readers.text import MarkedTextReader, RtfReader, SubtitlesReader, TextReader
from qa.readers.xlsx import XlsxReader
from qa.types import Document, FileReport, FileStatus, Source


class Reader(Protocol):
    """The reader of one format. ``qa.readers.kinds`` says by its ``name`` which files are given to it.

    ``version`` changes whenever the same bytes would give another document.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def media_type(self) -> str: ...

    def read(self, data: bytes) -> Content:
        """Read a whole file; ``problems`` names what of it could not be read.

        Raises:
            UnreadableDocument: it is not of this format, or broken.
        """


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What is read of files beyond what a person sees in them.

    ``hidden`` are sheets, rows and columns that a workbook hides.
    """

    hidden: bool = False


def _readers(options: ReadingOptions) -> tuple[Reader, ...]:
    return (
        TextReader(),
        MarkdownReader(),
        HtmlReader(),
        PdfReader(),
        DocxReader(),
        PptxReader(),
        XlsxReader(hidden=options.hidden),
        OdtReader(),
        EpubReader(),
        DelimitedReader(),
        SpreadsheetReader(hidden=options.hidden),
        RtfReader(),
        MailReader(),
        OutlookReader(),
        NotebookReader(),
        RecordsReader(),
        SubtitlesReader(),
        MarkedTextReader("rst", "text/x-rst"),
        MarkedTextReader("asciidoc", "text/asciidoc"),
        MarkedTextReader("org", "text/org"),
    )


@cache
def readers_by_name(options: ReadingOptions) -> dict[str, Reader]:
    """Return every reader by its name."""
    return {reader.name: reader for reader in _readers(options)}


def reader_versions() -> Mapping[str, str]:
    """Return the version of every reader by its name, for an index's fingerprint."""
    return {name: reader.version for name, reader in readers_by_name(ReadingOptions()).items()}


def read_document(reader: Reader, source: Source) -> Document:
    """Read one file with the reader of its format.

    Raises:
        OSError: the file cannot be opened.
        UnreadableDocument: it is not of this format, or broken.
    """
    data = source.path.read_bytes()
    content = reader.read(data)
    return Document(
        id=source.id,
        title=choose_title(content.titles, otherwise=PurePosixPath(source.id).name),
        text=content.text,
        source_sha256=hashlib.sha256(data).hexdigest(),
        media_type=reader.media_type,
        reader=f"{reader.name}/{reader.version}",
        sections=content.sections,
        pages=content.pages,
        problems=content.problems,
        excluded=content.excluded,
    )


def read_source(
    source: Source,
    options: ReadingOptions = ReadingOptions(),
) -> tuple[Document | None, FileReport]:
    """Read one file. Any fault of it, or of its reader, is in the report and nowhere else.

    The document is ``None`` where the file was skipped or failed. The report's ``passages`` are left to the caller.
    """
    started = perf_counter()
    status: FileStatus
    document: Document | None = None
    try:
        kind = detect_kind(source.path, source.id)
        if kind.reader is not None:
            document = read_document(readers_by_name(options)[kind.reader], source)
    except OSError as error:
        status, reason = "failed", (error.strerror or type(error).__name__).lower()
    except UnreadableDocument as error:
        status, reason = "failed", str(error)
    except MemoryError:
        raise  # for the process that reads: it has a limit of its own, and is replaced
    except Exception as error:  # a bug in a reader loses one file, not the run
        status, reason = "failed", f"{type(error).__name__}: {error}".partition("\n")[0]
    else:
        status, reason = _outcome(document, kind.reason)
    return _reported(source, document if status in {"read", "partial"} else None, status, reason, started)


def _outcome(document: Document | None, unread: str) -> tuple[FileStatus, str]:
    """Return what became of a file; ``unread`` is why it was given to no reader."""
    if document is None:
        return "skipped", unread
    if not document.text or document.text.isspace():
        return "skipped", "; ".join(("no text", *document.problems))
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
