"""The service over one index: questions answered, documents shown and citations checked from what is served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from qa.answers.answerer import Answerer, Guess
from qa.answers.calibration import Calibrations, models_key
from qa.answers.citations import Citer, Citers, Original
from qa.answers.notation import compile_patterns
from qa.answers.sentences import DEPTH
from qa.errors import QAError, QueryError
from qa.index.fields import MOST_FACET_VALUES, Facets, Fields
from qa.models.loading import EncoderFactory, Models, make_encoder
from qa.search.filters import filter_excess
from qa.search.retriever import Retriever
from qa.service.examples import Examples, example_questions
from qa.service.following import poll_current
from qa.service.switching import ServedSnapshot
from qa.settings import Settings
from qa.text.globs import find_excess
from qa.types import (
    CheckedCitation,
    CitationClaim,
    CitationStatus,
    Collection,
    Condition,
    DocumentSummary,
    FileChoice,
    FileReport,
    FileStatus,
    FileTotals,
    Query,
    Reply,
    SnapshotDocument,
    State,
    StreamedDocument,
)


def _with_metadata(retriever: Retriever, reply: Reply) -> Reply:
    """Give the passages that are shown what their files say of them."""
    store = retriever.index.store
    hits = (replace(hit, metadata=store.metadata_at(hit.passage.document, hit.passage.start)) for hit in reply.hits)
    return replace(reply, hits=tuple(hits))


class Service(ServedSnapshot):
    """The service over one index. Thread-safe: a request uses the snapshot that was current when it arrived.

    :meth:`reload` makes it ready; the arguments are those of :class:`ServedSnapshot`.
    """

    def __init__(
        self,
        settings: Settings,
        make: EncoderFactory = make_encoder,
        *,
        models: Models | None = None,
        snapshot: str | None = None,
        is_calibrated: bool = True,
        patience: float = 0.0,
    ) -> None:
        super().__init__(
            settings, make, models=models, snapshot=snapshot, is_calibrated=is_calibrated, patience=patience
        )
        self._examples = Examples()
        self._citers = Citers(self._snapshots)

    def keep_current(self, stopped: threading.Event, on_ready: Callable[[State], None]) -> None:
        """Load each snapshot that becomes current until ``stopped`` is set; run this in a thread of its own."""

        def load() -> None:
            if self.reload():
                on_ready(self.state())
                # What the first answer would wait for.
                compile_patterns()
                # Now, so that the first page with the numbers of documents does not wait for them.
                self.facets()
            self._replaced.look()
            self._citers.forget_removed()

        poll_current(self._snapshots, load, self._failed, stopped)

    def ask(self, query: Query) -> Reply:
        """Answer one question.

        Raises:
            QueryError: the question cannot be asked.
            NotReady: nothing is served.
        """
        (reply,) = self.ask_many([query])
        if isinstance(reply, QAError):
            raise reply
        return reply

    def ask_many(self, queries: Sequence[Query]) -> Sequence[Reply | QAError]:
        """Answer questions together, in the order given; each gets a reply or its own error.

        Raises:
            NotReady: nothing is served.
        """
        return self.hold().ask_many(queries)

    def _answer_all(
        self, retriever: Retriever, calibrations: Calibrations, queries: Sequence[Query]
    ) -> Sequence[Reply | QAError]:
        found = retriever.find(queries, DEPTH)
        sound = [(query, each) for query, each in zip(queries, found, strict=True) if not isinstance(each, QueryError)]
        asked, searched = [query for query, _ in sound], [each for _, each in sound]
        answered = self._answerer(retriever, calibrations).answer_many(asked, searched)
        replies = (
            self._count_unread(retriever, query, _with_metadata(retriever, reply))
            for query, reply in zip(asked, answered, strict=True)
        )
        return [each if isinstance(each, QueryError) else next(replies) for each in found]

    def _count_unread(self, retriever: Retriever, query: Query, reply: Reply) -> Reply:
        """Say beside an answer that was not found how many files could not be read whole: they may hold it.

        Those that what limits the query leaves out do not count.
        """
        answer = reply.answer
        if answer is None or answer.outcome != "not_found":
            return reply
        store = retriever.index.store
        is_limited = query.documents or query.sections or query.filter
        count = len(retriever.files_passing(store.unread_files(), query)) if is_limited else store.unread
        return replace(reply, answer=replace(answer, unread_files=count))

    def guess_many(self, queries: Sequence[Query]) -> list[Guess | QueryError]:
        """Return the best guess at each question, before it is judged; ``qa calibrate`` fits on these.

        Raises:
            NotReady: nothing is served.
        """
        retriever = self._ready()
        found = retriever.find(queries, DEPTH)
        sound = [each for each in found if not isinstance(each, QueryError)]
        guesses = iter(self._answerer(retriever, self._calibrations).guess_many(sound))
        return [each if isinstance(each, QueryError) else next(guesses) for each in found]

    def models_key(self) -> str:
        """Return what decides which calibrations fit: a hash of encoder and reader."""
        return models_key(self.encoder().fingerprint, self._models.answer_reader().fingerprint)

    def _answerer(self, retriever: Retriever, calibrations: Calibrations) -> Answerer:
        return Answerer(
            retriever.index,
            self._make_citer(retriever).cite,
            calibrations,
            self._models.answer_reader(),
            max_error=self._settings.max_error,
            read_tokens=self._settings.read_tokens,
        )

    def examples(self) -> tuple[str, ...]:
        """Return a few questions that are answered; they are looked for once for each snapshot.

        Raises:
            NotReady: nothing is served.
        """
        retriever, revision = self._ready(), self._revision

        def find() -> tuple[str, ...]:
            sources = self._make_citer(retriever).sources
            return example_questions(retriever.index, sources, self.limits, self.ask_many)

        return self._examples.get(revision, find)

    def collection(self) -> Collection:
        """List the documents, and report on every file.

        Raises:
            NotReady: nothing is served.
        """
        return self.listing(0, -1)

    def listing(
        self, offset: int, limit: int, globs: Sequence[str] = (), filter: tuple[Condition, ...] = ()
    ) -> Collection:
        """List ``limit`` documents from ``offset`` on, and report on as many files; a negative limit is none.

        With ``globs`` only documents whose id matches one of them are listed, and with ``filter`` those that pass it;
        no files are reported on then.

        Raises:
            QueryError: the globs or the filter are too many or too long, or the filter is wrong.
            NotReady: nothing is served.
        """
        retriever = self._ready()
        store, manifest = retriever.index.store, retriever.index.manifest
        if not globs and not filter:
            parts = tuple(store.summaries(offset, limit)), tuple(store.report(offset, limit))
            return Collection(manifest.id, *parts, total=manifest.documents, files=store.files)
        if excess := find_excess(globs):
            raise QueryError("pattern", f"pattern: {excess}")
        self._fields(filter)
        found = retriever.documents_passing(globs, filter)
        page = found[offset : offset + limit] if limit >= 0 else found[offset:]
        summaries = store.summaries_at(page.tolist())
        return Collection(manifest.id, tuple(summaries), (), total=len(found))

    def file_totals(self, filter: tuple[Condition, ...] = ()) -> Mapping[FileStatus, FileTotals]:
        """Add up the files of each status: all that were found, or those of the documents that pass a filter.

        Raises:
            QueryError: the filter is wrong.
            NotReady: nothing is served.
        """
        return self._ready().index.store.file_totals(self._passing(filter))

    def list_files(
        self, files: FileChoice, offset: int, limit: int
    ) -> Sequence[tuple[FileReport, DocumentSummary | None]]:
        """List ``limit`` files from ``offset`` on, each with its document where a version of it is indexed.

        Raises:
            QueryError: the filter is wrong.
            NotReady: nothing is served.
        """
        store, within = self._ready().index.store, self._passing(files.filter)
        return store.list_files(files.status, files.order, files.descending, offset, limit, within)

    def _passing(self, filter: tuple[Condition, ...]) -> Sequence[int] | None:
        """Return the numbers of the documents that pass a filter; ``None`` where nothing is filtered."""
        return self._fields(filter).documents(filter).tolist() if filter else None

    def facets(self, filter: tuple[Condition, ...] = (), most: int = MOST_FACET_VALUES) -> Facets:
        """Count the documents by field and value, ``most`` values of each field, beside what a filter lets pass.

        Raises:
            QueryError: the filter is wrong.
            NotReady: nothing is served.
        """
        return self._fields(filter).facets(filter, most)

    def _fields(self, filter: tuple[Condition, ...]) -> Fields:
        """Return the fields of what is served, after a check of a filter on them. Raises QueryError, NotReady."""
        retriever = self._ready()
        if fault := filter_excess(filter):
            raise fault
        retriever.check_filter(filter)
        return retriever.fields

    def document(self, id: str) -> SnapshotDocument:
        """Return one document with its canonical text.

        Raises:
            DocumentNotFound: no indexed document has this id.
            NotReady: nothing is served.
        """
        index = self._ready().index
        return SnapshotDocument(index.manifest.id, index.store.document(id))

    def stream(self, id: str) -> StreamedDocument:
        """Return one document in parts, so that a long one is never held whole.

        Raises:
            DocumentNotFound: no indexed document has this id.
            NotReady: nothing is served.
        """
        index = self._ready().index
        return index.store.stream(id, index.manifest.id)

    def original(self, id: str) -> Original:
        """Open the file that a document was read from, checked against what was indexed.

        Raises:
            DocumentNotFound: no indexed document has this id.
            OriginalUnavailable: the file has changed, or is gone.
            NotReady: nothing is served.
        """
        return self._citer().original(id)

    def source_status(self, id: str) -> CitationStatus:
        """Compare the file that a document was read from with what was indexed.

        Raises:
            DocumentNotFound: no indexed document has this id.
            NotReady: nothing is served.
        """
        return self._citer().status(id)

    def check_citation(self, claim: CitationClaim, snapshot: str | None = None) -> CheckedCitation:
        """Check a citation against the snapshot that is served, or any other that exists.

        Raises:
            SnapshotNotFound: there is no such snapshot.
            DocumentNotFound: the snapshot holds no such document.
            QueryError: the span is empty or not within the document.
            NotReady: no snapshot was named, and none is loaded.
        """
        return (self._citer() if snapshot is None else self._citers.at(snapshot)).check(claim)

    def _citer(self) -> Citer:
        return self._make_citer(self._ready())

    def _make_citer(self, retriever: Retriever) -> Citer:
        return self._citers.of(retriever.index.manifest, retriever.index.store)
