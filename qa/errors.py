"""Every error that a user can cause, in one tree.

::

    QAError
    ├── SettingsError            an unknown or wrong QA_* variable or flag
    ├── UnsupportedSystem        a command that this operating system cannot run
    ├── ExtraMissing             an optional part of the package that is not installed
    ├── SourceError              the documents to index
    │   ├── SourceNotFound       a path that is not there
    │   ├── NothingToIndex       no file could be read
    │   ├── DuplicateDocument    two files would get one document id
    │   ├── BadIgnoreFile        a .qaignore that cannot be read, or a line of it that is no pattern
    │   ├── ReadingUnavailable   the process that reads files cannot be started
    │   └── UnreadableDocument   one file; the ingestion report has it, the others are unharmed
    ├── EncoderError
    │   ├── ModelNotFound        no model at that path or under that name
    │   ├── ModelCorrupt         the weights are not the published file
    │   ├── ModelDisagrees       a compiled model gives other results on this machine than its reference
    │   └── WindowTooSmall       the passage size leaves no room for text in the encoder's window
    ├── SnapshotError
    │   ├── IndexNotFound        no index of that name
    │   ├── SnapshotNotFound     no snapshot of that id
    │   ├── SnapshotCorrupt      counts, ids, ranges or sums are wrong
    │   ├── SnapshotIncompatible made by another encoder or another format
    │   └── WriterBusy           another process is writing this index
    ├── ClusterError             a Ray cluster that cannot be reached, or runs another version or model
    ├── StorageError             a disk that is full, or cannot be read or written
    │   └── VectorsUnavailable   the server that holds the vectors is away, or answers from a part of them
    ├── VectorIndexError         rows that do not fit a vector index
    ├── LexicalIndexError        a filter that a lexical index cannot apply
    ├── DocumentNotFound         no indexed document of that id
    ├── OriginalUnavailable      the file that a document was read from has changed or gone
    ├── PictureUnavailable       a page that has no picture, or cannot be drawn
    ├── CalibrationError         a calibration that cannot be read, or too few questions for one
    ├── QueryError               one question; names its field
    │   └── QuestionTooLong      more tokens than the encoder's window
    ├── EvaluationError          measuring with question files
    │   ├── QuestionFileError    records of a question file that cannot be used; names file, line and field of each
    │   ├── RunError             a folder that holds no run, another run, or a damaged one
    │   │   └── CalibrationChanged  half a run, asked before the index was calibrated
    │   ├── GateNotPassed        a new snapshot that was not made the active one
    │   ├── EvaluationNotFound   no evaluation of that id, or it has no report yet
    │   └── QueueFull            too many evaluations are waiting already
    ├── UpdateRunning            the index is being brought up to date already
    ├── UpkeepError              documents that are uploaded, replaced or deleted
    │   ├── UploadRefused        a file whose name, size or content is not accepted
    │   ├── CollectionFull       the collection holds as many files or bytes as it may
    │   ├── DocumentExists       there is a document of that name, and it was not to be replaced
    │   ├── DocumentReplaced     the document is not the one that was to be replaced or deleted
    │   └── CollectionFixed      the collection is made of folders that are not changed from outside
    ├── Overloaded               more questions wait than can be answered soon
    ├── ClientError              asking a service over HTTP
    │   ├── RequestRefused       the service answered with a problem
    │   └── ServerUnreachable    nothing answered, or something else
    └── NotReady                 no snapshot and model loaded yet
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class QAError(Exception):
    """Base of all of them. The message is one line for a person and says what to do."""


class SettingsError(QAError):
    pass


class UnsupportedSystem(QAError):
    pass


class ExtraMissing(QAError, ImportError):
    """``what`` needs the extra of the package; an ``ImportError``, too, because modules raise it when imported."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs qa[{extra}]: pip install 'qa[{extra}]'")


class SourceError(QAError):
    pass


class SourceNotFound(SourceError):
    pass


class NothingToIndex(SourceError):
    pass


class DuplicateDocument(SourceError):
    pass


class BadIgnoreFile(SourceError):
    pass


class ReadingUnavailable(SourceError):
    pass


class UnreadableDocument(SourceError):
    pass


class EncoderError(QAError):
    pass


class ModelNotFound(EncoderError):
    pass


class ModelCorrupt(EncoderError):
    pass


class ModelDisagrees(EncoderError):
    pass


class WindowTooSmall(EncoderError):
    pass


class SnapshotError(QAError):
    pass


class IndexNotFound(SnapshotError):
    pass


class SnapshotNotFound(SnapshotError):
    pass


class SnapshotCorrupt(SnapshotError):
    pass


class SnapshotIncompatible(SnapshotError):
    pass


class WriterBusy(SnapshotError):
    pass


class ClusterError(QAError):
    pass


class StorageError(QAError):
    pass


class VectorsUnavailable(StorageError):
    pass


class VectorIndexError(QAError):
    pass


class LexicalIndexError(QAError):
    pass


class DocumentNotFound(QAError):
    pass


class OriginalUnavailable(QAError):
    pass


class PictureUnavailable(QAError):
    pass


class CalibrationError(QAError):
    pass


class QueryError(QAError):
    """A question that cannot be asked; ``field`` is the part of the query that is wrong, ``code`` the kind of fault.

    ``faults`` are all that is wrong with the query, this one first.
    """

    def __init__(self, field: str, message: str, code: str = "invalid-request") -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.faults: tuple[QueryError, ...] = (self,)


class QuestionTooLong(QueryError):
    """More tokens than the encoder reads: answering the part that fits would be a silent truncation."""

    def __init__(self, tokens: int, window: int) -> None:
        message = f"the question has {tokens:,} tokens and the model reads {window:,}; shorten it"
        super().__init__("question", message, "question-too-long")


class EvaluationError(QAError):
    pass


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one record of a file: ``line`` counts from 1, ``field`` may be empty."""

    file: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}, {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class QuestionFileError(EvaluationError):
    """``faults`` has the first of them or all, and ``count`` is how many there are; the message tells the first."""

    def __init__(self, faults: Sequence[Fault], count: int | None = None) -> None:
        self.faults = tuple(faults)
        self.count = len(faults) if count is None else count
        more = self.count - 1
        rest = f" (and {more:,} more; --keep-going scores what is sound)" if more else ""
        super().__init__(f"{faults[0]}{rest}")


class RunError(EvaluationError):
    pass


class CalibrationChanged(RunError):
    pass


class GateNotPassed(EvaluationError):
    pass


class EvaluationNotFound(EvaluationError):
    pass


class QueueFull(EvaluationError):
    pass


class UpdateRunning(QAError):
    pass


class UpkeepError(QAError):
    pass


class UploadRefused(UpkeepError):
    pass


class CollectionFull(UpkeepError):
    pass


class DocumentExists(UpkeepError):
    pass


class DocumentReplaced(UpkeepError):
    pass


class CollectionFixed(UpkeepError):
    pass


class Overloaded(QAError):
    """``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClientError(QAError):
    pass


class RequestRefused(ClientError):
    """A problem detail (RFC 9457): ``type`` says which, ``errors`` has what is wrong by field."""

    def __init__(self, detail: str, status: int, type: str, errors: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type
        self.errors = dict(errors)


class ServerUnreachable(ClientError):
    pass


class NotReady(QAError):
    """``status``: ``loading``, ``refused``, ``damaged``, ``no-index``, ``no-model``, ``storage``, ``vectors``,
    ``failed``.
    """

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status
