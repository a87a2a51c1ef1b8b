"""What the web asks of the service, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

from qa.answers.citations import Original
from qa.errors import QAError
from qa.evaluation.jobs.jobs import Job
from qa.evaluation.jobs.worker import Compared
from qa.index.snapshots import SnapshotInfo
from qa.service.operator import Indexing
from qa.types import (
    CheckedCitation,
    CitationClaim,
    CitationStatus,
    Collection,
    Limits,
    Query,
    Reply,
    SnapshotDocument,
    State,
)


class ReadService(Protocol):
    """What is indexed. Thread-safe; every method but ``limits`` and ``state`` may block."""

    @property
    def limits(self) -> Limits: ...

    def state(self) -> State:
        """What the service is doing, at once."""

    def collection(self) -> Collection:
        """What is indexed, and what became of every file.

        Raises:
            NotReady: no snapshot is loaded.
        """

    def document(self, id: str) -> SnapshotDocument:
        """One document with its canonical text.

        Raises:
            DocumentNotFound: no indexed document has this id.
            NotReady: no snapshot is loaded.
        """


class AskService(ReadService, Protocol):
    """Answers questions over one index. Thread-safe; every method may block."""

    def ask(self, query: Query) -> Reply:
        """Answer one question.

        Raises:
            QueryError: the query cannot be asked; ``field`` says which part of it.
            NotReady: no snapshot and model are loaded.
        """

    def ask_many(self, queries: Sequence[Query]) -> Sequence[Reply | QAError]:
        """Answer each question by itself: its reply, or the error that it alone ended in, in the order given.

        Raises:
            NotReady: no snapshot and model are loaded.
        """

    def examples(self) -> Sequence[str]:
        """A few questions that the documents answer, for whoever does not know what to ask.

        Raises:
            NotReady: no snapshot is loaded.
        """

    def original(self, id: str) -> Original:
        """The file that a document was read from, checked against what was indexed.

        Raises:
            DocumentNotFound: no indexed document has this id.
            OriginalUnavailable: they have changed, or are gone.
            NotReady: no snapshot is loaded.
        """

    def source_status(self, id: str) -> CitationStatus:
        """What has become of the file that a document was read from. Raises DocumentNotFound, or NotReady."""

    def check_citation(self, claim: CitationClaim, snapshot: str | None = None) -> CheckedCitation:
        """What has become of a citation, by the snapshot that is served or any other that exists.

        Raises:
            SnapshotNotFound: there is no such snapshot.
            DocumentNotFound: the snapshot holds no such document.
            QueryError: the span is empty or not within the document.
            NotReady: no snapshot was named, and none is loaded.
        """


class Evaluations(Protocol):
    """Evaluations that run behind the server. Thread-safe; every method may block on the disk."""

    def submit(self, name: str, data: bytes, format: str, options: Mapping[str, Any], keep_going: bool) -> Job:
        """Queue an evaluation of the bytes of a question file.

        Raises:
            QueueFull: too many wait already.
            NotReady: nothing is served.
            StorageError: the file cannot be kept.
        """

    def listing(self) -> Sequence[Job]:
        """All that are kept, newest first; bounded."""

    def get(self, id: str) -> Job:
        """Raises EvaluationNotFound."""

    def summary(self, id: str) -> dict[str, Any]:
        """The numbers of one that is done. Raises EvaluationNotFound."""

    def report(self, id: str) -> IO[bytes]:
        """The report of one that is done, open: it can be read to its end. Raises EvaluationNotFound."""

    def compare(self, baseline: str, candidate: str) -> Compared:
        """How far the comparison of two that are done is; begun by the first call. Raises EvaluationNotFound."""

    def comparison_report(self, baseline: str, candidate: str) -> IO[bytes]:
        """Its page, open. Raises EvaluationNotFound where it is not done."""

    def cancel(self, id: str) -> None:
        """Stop it, or give it up, and remove all of it. Raises EvaluationNotFound."""


class Operations(Protocol):
    """What an operator may do. Thread-safe; every method may block."""

    def snapshots(self) -> Sequence[SnapshotInfo]:
        """Newest first. Raises IndexNotFound."""

    def activate(self, id: str) -> State:
        """Check a snapshot and serve it.

        Raises:
            SnapshotError: it is not there or cannot be used, or the index is being written; nothing changed.
        """

    def index(self) -> Indexing:
        """Begin to bring the index up to date. Raises UpdateRunning, or IndexNotFound."""

    def indexing(self) -> Indexing:
        """What came of that."""
