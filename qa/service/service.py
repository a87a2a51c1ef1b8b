"""The service over one index: it holds the current snapshot and its models, and switches them under running requests.

Where the current one cannot be served, it goes on serving the one before (:mod:`qa.service.following`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from qa.answers.answerer import Answerer, Guess
from qa.answers.calibration import CALIBRATION_FILE, Calibrations, load_calibrations, models_key
from qa.answers.citations import Citer, Citers, Original
from qa.answers.notation import compile_patterns
from qa.answers.sentences import DEPTH
from qa.build.uploads import DOCUMENTS
from qa.errors import (
    IndexNotFound,
    NotReady,
    QAError,
    QueryError,
)
from qa.index.fields import MOST_FACET_VALUES, Facets, Fields
from qa.index.snapshots import Snapshots
from qa.models.loading import EncoderFactory, Models, make_encoder
from qa.protocols import Encoder
from qa.search.filters import filter_excess
from qa.search.retriever import Retriever
from qa.service.examples import Examples, example_questions
from qa.service.following import log_failure, poll_current, public_reason
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

log = structlog.get_logger(__name__)

# Seconds between two looks of a caller that waits for the first snapshot.
_WAIT_STEP = 0.05
# How many snapshots are loaded one after the other, at most, where others become current meanwhile. The last one is
# served whatever is current by then, so that a pointer that moves all the time keeps no server from its answers.
_MOST_LOADED = 3
# The state of a collection that keeps its own documents and has none.
_EMPTY = ("empty", "the collection is empty; upload documents, and it answers from them")

AskMany = Callable[[Sequence[Query]], Sequence[Reply | QAError]]


@dataclass(frozen=True, slots=True)
class Held:
    """What is served at one moment. It answers on from its snapshot, whichever becomes current meanwhile."""

    index: str
    snapshot: str
    revision: int
    ask_many: AskMany


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A snapshot that is open, with the calibrations of its answers and the version of their file."""

    retriever: Retriever
    calibrations: Calibrations
    calibrated: tuple[int, ...]


def _with_metadata(retriever: Retriever, reply: Reply) -> Reply:
    """Give the passages that are shown what their files say of them."""
    store = retriever.index.store
    hits = (replace(hit, metadata=store.metadata_at(hit.passage.document, hit.passage.start)) for hit in reply.hits)
    return replace(reply, hits=tuple(hits))


class Service:
    """The service over one index. Thread-safe: a request uses the snapshot that was current when it arrived.

    The constructor loads nothing; :meth:`reload` makes the service ready.

    Args:
        models: those of the process, where other services use them too.
        snapshot: serve this snapshot instead of the current one.
        is_calibrated: whether to read the calibration; without it, answers have no confidence. ``qa calibrate`` leaves
            it out, because the present one may be the file that cannot be read.
        patience: seconds that a call waits while the first snapshot is loading, before it raises NotReady.
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
        self.limits = settings.limits
        self._settings = settings
        self._snapshots = Snapshots.of(settings)
        self._models = models or Models(settings, make)
        self._pinned = snapshot
        self._is_calibrated = is_calibrated
        self._patience = patience
        self._reloading = threading.Lock()
        self._retriever: Retriever | None = None
        self._held: Held | None = None
        self._calibrations = Calibrations((), "")
        self._calibrated: tuple[int, ...] = ()
        self._revision = 0
        self._examples = Examples()
        self._citers = Citers(self._snapshots)
        self._problem: tuple[str, str] | None = ("loading", "the snapshot and its models are being loaded")
        self._logged = ""
        self._noting = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._explain_empty: Callable[[], str] = str
        self._follow: Callable[[str | None], None] = lambda snapshot: None
        self._announce: Callable[[], None] = lambda: None
        self._switching_to: str | None = None

    def note(self, part: str, clause: str) -> None:
        """Say in :meth:`state` what another part of the server cannot do; an empty ``clause`` takes it back."""
        # Two parts that note at once must not lose what one of them says.
        with self._noting:
            self._troubles = {**self._troubles, part: clause}

    def explain_empty(self, explain: Callable[[], str]) -> None:
        """Set what says in a clause why the collection has nothing to answer from; it must not block.

        Where it returns an empty string, the collection is empty, and waits for documents.
        """
        self._explain_empty = explain

    def follow_with(self, follow: Callable[[str | None], None]) -> None:
        """Set what waits until the other processes of this server serve a snapshot, too; ``None`` is none."""
        self._follow = follow

    def announce_with(self, announce: Callable[[], None]) -> None:
        """Set what lets the other processes of this server see :attr:`switching_to` before it is served."""
        self._announce = announce

    @property
    def switching_to(self) -> str | None:
        """The id of a snapshot that is loaded and about to be served; ``None`` while there is none."""
        return self._switching_to

    def reload_everywhere(self) -> None:
        """Load what is current, and return when each process of this server answers from it.

        Raises:
            QAError: as :meth:`reload`.
        """
        self.reload()
        self._follow(self.state().snapshot)

    def reload(self) -> bool:
        """Load the current snapshot and calibration, and return whether the snapshot changed.

        Raises:
            QAError: the snapshot, the calibration or the model cannot be used; the one from before is still served.
        """
        with self._reloading:
            loads = 0
            while True:
                current = self._current()
                calibrated = _read_version(self._snapshots.folder / CALIBRATION_FILE)
                if self._retriever is not None and self._retriever.index.manifest.id == current:
                    self._keep(self._retriever, calibrated)
                    return False
                loaded = self._load(current, calibrated)
                loads += 1
                if self._switch(loaded, is_last=loads == _MOST_LOADED):
                    return True

    def _current(self) -> str:
        """Return the id of what is to be served. Raises SnapshotError."""
        return self._pinned or self._snapshots.current()

    def _keep(self, retriever: Retriever, calibrated: tuple[int, ...]) -> None:
        """Serve on what is served, with the calibration that has this version. Raises QAError."""
        # What is open is answered from, but nothing could be started from what has been removed.
        self._snapshots.manifest(retriever.index.manifest.id)
        if calibrated != self._calibrated:
            self._calibrations = self._read_calibrations(self.encoder())
            self._calibrated = calibrated
            self._hold(retriever, self._calibrations)
            log.info("calibration loaded", index=self._settings.name)
        self._problem = None

    def _load(self, id: str, calibrated: tuple[int, ...]) -> _Loaded:
        """Open a snapshot and load what answers from it. Raises QAError."""
        encoder = self.encoder()
        index = self._snapshots.open(id)
        try:
            # Refuses a snapshot of another model before seconds are spent on loading this one.
            reranker = self._models.reranker()
            retriever = Retriever(index, encoder, self.limits, reranker)
            calibrations = self._read_calibrations(encoder)
            self._load_models(encoder)
        except BaseException:
            index.close()
            raise
        return _Loaded(retriever, calibrations, calibrated)

    def _switch(self, loaded: _Loaded, *, is_last: bool) -> bool:
        """Serve what was loaded, and return whether it is; it is closed where another is current, unless ``is_last``.

        Raises:
            SnapshotError: no snapshot is current any more.
        """
        index = loaded.retriever.index
        try:
            self._switching_to = index.manifest.id
            # The others read what is coming before the pointer is read again: whoever moves the pointer is either seen
            # here, or sees there what is coming, and waits until it is served no more.
            self._announce()
            is_served = self._current() == index.manifest.id or is_last
            if is_served:
                self._hold(loaded.retriever, loaded.calibrations)
                self._retriever, self._problem, self._calibrations = loaded.retriever, None, loaded.calibrations
                self._calibrated = loaded.calibrated
        except BaseException:
            index.close()
            raise
        finally:
            self._switching_to = None
        if not is_served:
            index.close()
        return is_served

    def _hold(self, retriever: Retriever, calibrations: Calibrations) -> None:
        self._revision += 1
        ask_many = partial(self._answer_all, retriever, calibrations)
        self._held = Held(self._settings.name, retriever.index.manifest.id, self._revision, ask_many)

    def _load_models(self, encoder: Encoder) -> None:
        """Load encoder and reader side by side, so that questions can be asked sooner. Raises EncoderError."""
        with ThreadPoolExecutor(1, thread_name_prefix="load-reader") as pool:
            loading = pool.submit(self._models.answer_reader().load)
            encoder.load()
            loading.result()

    def prepare(self) -> None:
        """Load the models before there is anything to serve, so that the first documents need not wait for them.

        Raises:
            EncoderError: a model cannot be used.
        """
        self._load_models(self.encoder())

    def _read_calibrations(self, encoder: Encoder) -> Calibrations:
        if not self._is_calibrated:
            return Calibrations((), "")
        reader = self._models.answer_reader()
        return load_calibrations(self._snapshots.folder, models_key(encoder.fingerprint, reader.fingerprint))

    def encoder(self) -> Encoder:
        """Return the one encoder of this process, which loads its weights at first use.

        Raises:
            EncoderError: there is no usable model.
        """
        return self._models.encoder()

    def close(self) -> None:
        """Release the snapshot. No call may be running, and none may follow."""
        with self._reloading:
            retriever, self._retriever, self._held = self._retriever, None, None
            if retriever is not None:
                retriever.index.close()

    def keep_current(self, stopped: threading.Event, on_ready: Callable[[State], None]) -> None:
        """Load each snapshot that becomes current until ``stopped`` is set; run this in a thread of its own."""

        def load() -> None:
            if self.reload():
                on_ready(self.state())
                # What the first answer would wait for.
                compile_patterns()
                # Now, so that the first page with the numbers of documents does not wait for them.
                self.facets()

        poll_current(self._snapshots, load, self._failed, stopped)

    def clear(self) -> None:
        """Serve nothing any more: the collection keeps its own documents, and none of them is indexed."""
        if self._retriever is not None or (self._problem or ("",))[0] != "empty":
            log.info("the collection is empty", index=self._settings.name)
        self._problem = _EMPTY
        self._retriever = self._held = None

    def clear_everywhere(self) -> None:
        """Do the same, and return when no process of this server answers any more."""
        self.clear()
        self._follow(None)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, IndexNotFound) and (self._snapshots.folder / DOCUMENTS).is_dir():
            self.clear()
            return
        if str(error) != self._logged:
            self._logged = str(error)
            log_failure(self._settings.name, error)
        self._problem = public_reason(error)

    def state(self) -> State:
        """Describe what is served, at once and without blocking."""
        retriever, problem = self._retriever, self._problem
        troubles = tuple(clause for _, clause in sorted(self._troubles.items()) if clause)
        if retriever is None:
            status, detail = problem or ("loading", "")
            if status == "empty":
                detail = "; ".join((self._explain_empty() or detail, *troubles))
                return State(False, status, detail, index=self._settings.name, troubles=troubles)
            return State(False, status, detail, index=self._settings.name)
        manifest = retriever.index.manifest
        detail = f"serving snapshot {manifest.id}"
        if problem:
            detail = f"{detail}; the current one cannot be loaded ({problem[0]}): {problem[1]}"
        return State(
            ready=True,
            status="ready",
            detail="; ".join((detail, *troubles)),
            index=self._settings.name,
            snapshot=manifest.id,
            documents=manifest.documents,
            passages=manifest.passages,
            created=manifest.created,
            revision=self._revision,
            problem=problem[0] if problem else "",
            troubles=troubles,
            calibration=self._calibrations.collection,
        )

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

    def hold(self) -> Held:
        """Return what is served now, to be asked more than once with the same snapshot and calibration.

        Raises:
            NotReady: nothing is served.
        """
        self._ready()
        if (held := self._held) is None:  # the collection has just become empty
            raise NotReady(self.state().detail, _EMPTY[0])
        return held

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

    def _ready(self) -> Retriever:
        """Return what is served, after waiting for it where this service is patient. Raises NotReady."""
        until = time.monotonic() + self._patience
        while (retriever := self._retriever) is None:
            state = self.state()
            if state.status != "loading" or time.monotonic() >= until:
                raise NotReady(state.detail, state.status)
            time.sleep(_WAIT_STEP)
        return retriever


def _read_version(path: Path) -> tuple[int, ...]:
    """Return what changes when another file is put at ``path``; empty where there is none. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
