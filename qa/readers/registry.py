"""The reader of each kind of file, and reading one file safely.

A reader is imported with the first file that needs it: to read texts, nothing of PDF, Office or OCR is.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import PurePosixPath
from time import perf_counter
from typing import BinaryIO, Protocol

from qa.errors import UnreadableDocument
from qa.files import open_regular
from qa.readers.code import LANGUAGES
from qa.readers.composition import Attachment, Content, choose_title
from qa.readers.kinds import IMAGES, Kind, detect_kind
from qa.readers.metadata import Metadata, add_to_whole
from qa.readers.recognition.recogniser import OFF, NoRecogniser, Recogniser
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

    ``hidden`` are sheets, rows and columns that a workbook hides. ``ocr`` names what recognises images of pages, with
    its version, as :func:`qa.readers.recognition.recogniser.recognition_version` says it.
    """

    hidden: bool = False
    ocr: str = OFF


def _makers(options: ReadingOptions, recogniser: Recogniser) -> dict[str, Callable[[], Reader]]:
    """Return what makes every reader, by its name."""
    hidden = options.hidden
    return {
        "text": partial(_make, "text", "TextReader"),
        "markdown": partial(_make, "markdown", "MarkdownReader"),
        "html": partial(_make, "html.page", "HtmlReader"),
        "pdf": partial(_make, "pdf.document", "PdfReader", recogniser),
        **{name: partial(_make, "images", "ImageReader", name, recogniser) for name in IMAGES.values()},
        "docx": partial(_make, "docx.document", "DocxReader"),
        "pptx": partial(_make, "pptx", "PptxReader"),
        "xlsx": partial(_make, "xlsx", "XlsxReader", hidden=hidden),
        "odt": partial(_make, "odt", "OdtReader"),
        "ods": partial(_make, "ods", "OdsReader", hidden=hidden),
        "epub": partial(_make, "epub", "EpubReader"),
        "delimited": partial(_make, "sheets", "DelimitedReader"),
        "spreadsheet": partial(_make, "sheets", "SpreadsheetReader", hidden=hidden),
        "rtf": partial(_make, "text", "RtfReader"),
        "mail": partial(_make, "mail", "MailReader"),
        "outlook": partial(_make, "mail", "OutlookReader"),
        "notebook": partial(_make, "records", "NotebookReader"),
        "records": partial(_make, "records", "RecordsReader"),
        "corpus": partial(_make, "corpus", "CorpusReader"),
        "corpus-document": partial(_make, "corpus", "CorpusDocumentReader"),
        "subtitles": partial(_make, "text", "SubtitlesReader"),
        "rst": partial(_make, "text", "MarkedTextReader", "rst", "text/x-rst"),
        "asciidoc": partial(_make, "text", "MarkedTextReader", "asciidoc", "text/asciidoc"),
        "org": partial(_make, "text", "MarkedTextReader", "org", "text/org"),
        "xml": partial(_make, "xml_records", "XmlReader"),
        **{name: partial(_make, "code", "CodeReader", name) for name in LANGUAGES},
    }


def _make(module: str, name: str, *arguments: object, **options: object) -> Reader:
    """Import a class of this package, and make the reader."""
    reader: Reader = getattr(import_module(f"qa.readers.{module}"), name)(*arguments, **options)
    return reader


class Readers(dict[str, Reader]):
    """The readers by name, each of which is there once it was asked for."""

    def __init__(self, options: ReadingOptions, recogniser: Recogniser) -> None:
        super().__init__()
        self._makers = _makers(options, recogniser)

    @property
    def names(self) -> Iterable[str]:
        """All names, also of readers that nobody asked for."""
        return self._makers.keys()

    def __missing__(self, name: str) -> Reader:
        reader = self[name] = self._makers[name]()
        return reader


@cache
def readers_by_name(options: ReadingOptions, recogniser: Recogniser | None = None) -> Readers:
    """Return the readers for these options."""
    return Readers(options, recogniser or NoRecogniser(options.ocr))


def reader_versions() -> Mapping[str, str]:
    """Return the version of every reader by its name, for an index's fingerprint."""
    readers = readers_by_name(ReadingOptions())
    return {name: readers[name].version for name in readers.names}


# Mails within mails within a mail.
_DEEPEST = 3
_MOVED = "the file that it is attached to has changed while it was read"


def read_document(reader: Reader, source: Source) -> Document:
    """Read one file with the reader of its format.

    Raises:
        OSError: the file cannot be opened.
        UnreadableDocument: it is not of this format, or broken.
    """
    with open_regular(source.path, source.root) as file:
        data = file.read()
    return _make_document(reader, reader.read(data), source, hashlib.sha256(data).hexdigest())


def _make_document(reader: Reader, content: Content, source: Source, sha256: str, metadata: Metadata = ()) -> Document:
    attachments = content.attachments if len(source.parts) < _DEEPEST else ()
    too_deep = len(content.attachments) - len(attachments)
    return Document(
        id=source.id,
        title=choose_title(content.titles, otherwise=PurePosixPath(source.id).name),
        text=content.text,
        source_sha256=sha256,
        media_type=reader.media_type,
        reader=f"{reader.name}/{reader.version}",
        sections=content.sections,
        pages=content.pages,
        problems=(*content.problems, *(["what is attached to it is nested too deep to be read"] if too_deep else [])),
        excluded=content.excluded,
        language=content.language,
        metadata=add_to_whole(content.metadata, metadata, len(content.text)),
        container=source.container,
        attachments=tuple(f"{source.id}/{attachment.name}" for attachment in attachments),
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is attached to one state of one file, or to what is attached to it; ``sha256`` is of the file."""

    state: tuple[str, int, int, int]
    parts: tuple[int, ...]
    sha256: str
    attachments: tuple[Attachment, ...]


# Of the last file that had attachments, so that it is not taken apart again for each of them; its parts by their place.
_opened: dict[tuple[int, ...], _Opened] = {}


def _open(source: Source, parts: tuple[int, ...], options: ReadingOptions) -> _Opened:
    """Take apart a file, or what is attached to it at ``parts``. Raises OSError, UnreadableDocument."""
    status = source.path.stat()
    state = (str(source.path), status.st_size, status.st_mtime_ns, status.st_ino)
    known = _opened.get(parts)
    if known is not None and known.state == state:
        return known
    if parts:
        attachment, sha256 = _take_out(source, parts, options)
        data, name = attachment.data, attachment.name
    else:
        with open_regular(source.path, source.root) as file:
            data, name = file.read(), source.container
        sha256 = hashlib.sha256(data).hexdigest()
    kind = detect_kind(io.BytesIO(data), name)
    if kind.reader is None:
        raise UnreadableDocument(_MOVED)
    return _remember(_Opened(state, parts, sha256, readers_by_name(options)[kind.reader].read(data).attachments))


def _remember(opened: _Opened) -> _Opened:
    if any(other.state != opened.state for other in _opened.values()):
        _opened.clear()
    _opened[opened.parts] = opened
    return opened


def _take_out(source: Source, parts: tuple[int, ...], options: ReadingOptions) -> tuple[Attachment, str]:
    """Return what is attached to a file at ``parts``, and the SHA-256 of the file."""
    opened = _open(source, parts[:-1], options)
    if parts[-1] >= len(opened.attachments):
        raise UnreadableDocument(_MOVED)
    return opened.attachments[parts[-1]], opened.sha256


def _detect(file: BinaryIO, name: str, options: ReadingOptions, recogniser: Recogniser | None) -> Kind:
    """Detect the kind of an open file; an image has a reader only where it is recognised."""
    kind = detect_kind(file, name)
    if kind.reason in IMAGES and recogniser is None:
        return Kind(None, f"{kind.reason}; {NoRecogniser(options.ocr).advice}")
    return kind


def _read(source: Source, options: ReadingOptions, recogniser: Recogniser | None) -> tuple[Document | None, Kind, int]:
    """Read a file, or what is attached to it; return the kind and the size in bytes of what was read, too."""
    metadata: Metadata = ()
    if source.parts:
        attachment, sha256 = _take_out(source, source.parts, options)
        if not source.id.endswith(f"/{attachment.name}"):
            raise UnreadableDocument(_MOVED)
        data, metadata = attachment.data, attachment.metadata
        named = Kind(attachment.reader) if attachment.reader else None
        kind = named or _detect(io.BytesIO(data), attachment.name, options, recogniser)
    else:
        _opened.clear()
        # Opened once, so that what is read is what was looked at.
        with open_regular(source.path, source.root) as file:
            kind = _detect(file, source.id, options, recogniser)
            file.seek(0)
            data = file.read() if kind.reader is not None else b""
        sha256 = hashlib.sha256(data).hexdigest()
    size = len(data) if source.parts else source.size
    if kind.reader is None:
        return None, kind, size
    reader = readers_by_name(options, recogniser)[kind.reader]
    content = reader.read(data)
    if content.attachments:
        status = source.path.stat()
        state = (str(source.path), status.st_size, status.st_mtime_ns, status.st_ino)
        _remember(_Opened(state, source.parts, sha256, content.attachments))
    return _make_document(reader, content, source, sha256, metadata), kind, size


def read_source(
    source: Source,
    options: ReadingOptions = ReadingOptions(),
    recogniser: Recogniser | None = None,
) -> tuple[Document | None, FileReport]:
    """Read one file. Any fault of it, or of its reader, is in the report and nowhere else.

    The document is ``None`` where the file failed, or was skipped and has no attachments. The report's ``passages`` are
    left to the caller.

    Args:
        options: what of the file is read.
        recogniser: reads the text of pages that are images; by default none is read.
    """
    started = perf_counter()
    status: FileStatus
    document: Document | None = None
    size = 0 if source.parts else source.size
    try:
        document, kind, size = _read(source, options, recogniser)
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
    # A document without text goes on where it has attachments: they are what is read.
    document = document if status in {"read", "partial"} or (document and document.attachments) else None
    return document, replace(_report(source, document, started), status=status, reason=reason, size=size)


def _outcome(document: Document | None, unread: str) -> tuple[FileStatus, str]:
    """Return what became of a file; ``unread`` is why it was given to no reader."""
    if document is None:
        return "skipped", unread
    if not document.text or document.text.isspace():
        held = len(document.attachments)
        what = "it holds a document" if held == 1 else f"it holds {held:,} documents" if held else "no text"
        return "skipped", "; ".join((what, *document.problems))
    if document.problems:
        return "partial", "; ".join(document.problems)
    return "read", ""


def _report(source: Source, document: Document | None, started: float) -> FileReport:
    pages = document.pages if document else ()
    return FileReport(
        id=source.id,
        status="read",
        characters=len(document.text) if document else 0,
        pages=len(pages),
        empty_pages=sum(not document.text[page.start : page.end].strip() for page in pages) if document else 0,
        seconds=perf_counter() - started,
        container=source.container,
        recognised=tuple((page.number, page.recognised) for page in pages if page.recognised is not None),
    )
