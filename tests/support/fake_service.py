"""A small service without an index: true spans of two documents, ranked by the words they share with the question."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from io import BufferedReader, BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any

from qa.answers.citations import Original
from qa.build.uploads import DocumentFolder
from qa.errors import DocumentNotFound, NotReady, OriginalUnavailable, QAError, QueryError
from qa.index.field_writer import KINDS
from qa.index.fields import Facet, Facets, FacetValue
from qa.index.snapshots import SnapshotInfo
from qa.protocols import Encoder
from qa.search.filters import filter_excess, filter_faults
from qa.search.follow_ups import resolve
from qa.search.query import check
from qa.service.indexing import FileChange, Indexing, IndexingJob
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.service.switching import Held
from qa.service.upkeep import Upkeep
from qa.settings import Settings
from qa.types import (
    Alternative,
    Answer,
    CheckedCitation,
    Citation,
    CitationClaim,
    CitationStatus,
    Collection,
    Condition,
    Document,
    DocumentSummary,
    Eq,
    FileChoice,
    FileOrder,
    FileReport,
    FileStatus,
    FileTotals,
    Hit,
    Limits,
    Page,
    Passage,
    Property,
    Query,
    Reply,
    Scores,
    Section,
    SnapshotDocument,
    Span,
    State,
    StreamedDocument,
)
from tests.support.hashing import HashingEncoder
from tests.support.waiting import AT_MOST

_SUMMED = ("characters", "pages", "passages")
_WORST_FIRST = ("failed", "skipped", "partial", "read")
Listed = tuple[FileReport, DocumentSummary | None]


def sort_files(files: Iterable[Listed], order: FileOrder, descending: bool) -> list[Listed]:
    """Sort files as the list of them says, equal ones by their names."""
    by_name = sorted(files, key=lambda each: each[0].id)
    key: Callable[[FileReport], Any] = attrgetter("id" if order == "file" else order)
    if order == "status":
        return sorted(by_name, key=lambda each: _WORST_FIRST.index(each[0].status), reverse=descending)
    return sorted(by_name, key=lambda each: key(each[0]), reverse=descending)


SNAPSHOT = "20260401T120000.000Z-5a7b4a42"

SCRIPT = """Crossing the bay

The ferry leaves at noon, from the <script>alert("pier")</script> & the <b>old</b> quay.
It carries forty people and takes twenty minutes.

Tickets

A ticket costs three crowns. Children under six travel free."""

ARABIC = """المكتبة

تفتح المكتبة أبوابها في التاسعة صباحا، وتغلق في السادسة مساء.

يستطيع كل زائر أن يستعير خمسة كتب لمدة ثلاثة أسابيع."""

READY = State(
    ready=True,
    status="ready",
    detail=f"serving snapshot {SNAPSHOT}",
    index="harbour",
    snapshot=SNAPSHOT,
    documents=2,
    passages=6,
    created="2026-04-01T12:00:00+00:00",
)
LOADING = State(False, "loading", "the snapshot and its model are being loaded", "harbour")
EMPTY = State(False, "empty", "the collection is empty; upload documents, and it answers from them", "harbour")
REFUSED = State(False, "refused", "the snapshot was made by another model; index again", "harbour")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_TICKETS = SCRIPT.index("Tickets")
FERRY = Document(
    id="notes/ferry <i>.txt",
    title="Ferry & <em>tickets</em>",
    text=SCRIPT,
    source_sha256=_sha256(SCRIPT),
    media_type="text/plain",
    reader="text/1",
    sections=(
        Section("Crossing the bay", level=1, start=0, body=17, end=_TICKETS),
        Section("Tickets", level=1, start=_TICKETS, body=_TICKETS + 8, end=len(SCRIPT)),
    ),
    pages=(Page(1, 0, len(SCRIPT)),),
)
LIBRARY = Document("مكتبة.txt", "المكتبة", ARABIC, _sha256(ARABIC), "text/plain", "text/1")
DOCUMENTS = {document.id: document for document in (FERRY, LIBRARY)}

# Fields to filter by, for tests that set them.
FACETS = (
    Facet("folder", "folder", 1, 1, (FacetValue("notes", 1),)),
    Facet("type", "value", 2, 2, (FacetValue("txt", 1), FacetValue("md <b>", 1))),
    Facet("date", "date", 1, 1, (FacetValue("2024", 1),)),
    Facet("author", "value", 20, 20, tuple(FacetValue(f"Person {number}", 1) for number in range(20))),
    Facet("title", "value", 2, 2, (FacetValue("Ferry", 1), FacetValue("المكتبة", 1))),
)

# A mailbox and what is attached to it, for tests that add them.
MAILBOX = Document(
    id="box.mbox",
    title="Berths",
    text="Berths\n\nBerth 14 is free.\n\nRopes\n\nRopes cost nine crowns.",
    source_sha256="0" * 64,
    media_type="message/rfc822",
    reader="mail/2",
    language="en",
    metadata=(
        Property("author", "<b>Ann</b>", 0, 57),
        Property("sender", "Ann <ann@x.org>", 0, 25),
        Property("sent", "2024-05-06T08:00:00Z", 0, 25),
        Property("sender", "Bob <bob@x.org>", 25, 57),
    ),
    attachments=("box.mbox/1/<i>.csv", "box.mbox/2/plan.pdf"),
)
ATTACHMENT = Document(
    "box.mbox/1/<i>.csv", "<i>.csv", "rope: 9", "0" * 64, "text/csv", "delimited/2", container="box.mbox"
)


class FakeService(Service):
    """A service whose state, failures and answer a test sets, and which is never loaded."""

    def __init__(self) -> None:
        self.limits = Limits(question_chars=200, top_k=10, batch=4)
        self.current = READY
        self.failure: Exception | None = None
        self.outcome: QAError | None = None
        self.empty = False
        self.source: CitationStatus = "verified"
        self.answer: Answer | None = None
        self.asked: list[Query] = []
        self.notes: list[str] = []
        self.fields: tuple[Facet, ...] = ()

    def note(self, part: str, clause: str) -> None:
        self.notes.append(clause)

    def encoder(self) -> Encoder:
        return HashingEncoder()

    def ask(self, query: Query) -> Reply:
        (reply,) = self.ask_many([query])
        if isinstance(reply, QAError):
            raise reply
        return reply

    def hold(self) -> Held:
        self._require_ready()
        return Held(self.current.index, self.current.snapshot or "", self.current.revision, self.ask_many)

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        self._require_ready()
        return [self._ask(query) for query in queries]

    def examples(self) -> tuple[str, ...]:
        self._require_ready()
        return ("When does the ferry leave?", "متى تفتح المكتبة أبوابها؟")

    def collection(self) -> Collection:
        self._require_ready()
        summaries = tuple(
            DocumentSummary(
                d.id, d.title, d.media_type, d.source_sha256, len(d.text), len(d.pages), 3, d.language, d.container,
                tuple((each.name, each.value) for each in d.metadata if each.end - each.start == len(d.text)),
            )
            for d in DOCUMENTS.values()
        )  # fmt: skip
        read = tuple(FileReport(d.id, "read", size=len(d.text.encode())) for d in DOCUMENTS.values())
        return Collection(SNAPSHOT, summaries, (*read, FileReport("scan.pdf", "failed", "no text in it")))

    def listing(
        self, offset: int, limit: int, globs: Sequence[str] = (), filter: tuple[Condition, ...] = ()
    ) -> Collection:
        whole = self.collection()
        _check_filter(filter)
        documents, report = whole.documents, () if globs or filter else whole.report
        if filter:
            documents = tuple(each for each in documents if _passes(each.id, filter))
        if globs:
            documents = tuple(each for each in documents if any(fnmatchcase(each.id, glob) for glob in globs))
        end = None if limit < 0 else offset + limit
        return Collection(whole.snapshot, documents[offset:end], report[offset:end], len(documents), len(report))

    def _files(self, filter: tuple[Condition, ...]) -> list[Listed]:
        _check_filter(filter)
        whole = self.collection()
        known = {each.id: each for each in whole.documents}
        files = [(file, known.get(file.id)) for file in whole.report]
        return [each for each in files if not filter or (each[1] is not None and _passes(each[0].id, filter))]

    def file_totals(self, filter: tuple[Condition, ...] = ()) -> dict[FileStatus, FileTotals]:
        totals: dict[FileStatus, FileTotals] = {}
        for file, _ in self._files(filter):
            sum = totals.get(file.status, FileTotals())
            values = (sum.files + 1, *(getattr(sum, name) + getattr(file, name) for name in _SUMMED))
            totals[file.status] = FileTotals(*values)
        return totals

    def list_files(self, files: FileChoice, offset: int, limit: int) -> list[Listed]:
        chosen = [each for each in self._files(files.filter) if files.status in (None, each[0].status)]
        return sort_files(chosen, files.order, files.descending)[offset : offset + limit]

    def facets(self, filter: tuple[Condition, ...] = (), most: int = 20) -> Facets:
        if not self.current.ready:
            raise NotReady(self.current.detail, self.current.status)
        _check_filter(filter)
        documents = sum(_passes(id, filter) for id in DOCUMENTS)
        return Facets(SNAPSHOT, documents, tuple(replace(each, values=each.values[:most]) for each in self.fields))

    def document(self, id: str) -> SnapshotDocument:
        self._require_ready()
        if id not in DOCUMENTS:
            raise DocumentNotFound(f"no indexed document has the id {id!r}")
        return SnapshotDocument(SNAPSHOT, DOCUMENTS[id])

    def stream(self, id: str) -> StreamedDocument:
        stored = self.document(id)
        found = stored.document
        halves = (found.text[: len(found.text) // 2], found.text[len(found.text) // 2 :])
        head = replace(found, text="", sections=(), pages=())
        parts = iter(halves), iter(found.sections), iter(found.pages)
        return StreamedDocument(stored.snapshot, head, len(found.text), *parts)

    def original(self, id: str) -> Original:
        text = self.document(id).document.text.encode()
        if self.source != "verified":
            raise OriginalUnavailable("the file that this was read from has changed since it was indexed")
        sha256 = hashlib.sha256(text).hexdigest()
        return Original(BufferedReader(BytesIO(text)), len(text), sha256, ExitStack(), id.rpartition("/")[2])

    def source_status(self, id: str) -> CitationStatus:
        self.document(id)
        return self.source

    def check_citation(self, claim: CitationClaim, snapshot: str | None = None) -> CheckedCitation:
        document = self.document(claim.document).document
        citation = Citation(
            document.id,
            claim.start,
            claim.end,
            page=1 if document.pages else None,
            section=None,
            source_sha256=document.source_sha256,
            text_sha256=document.source_sha256,
            status="verified",
        )
        return CheckedCitation(SNAPSHOT, citation, document.text[claim.start : claim.end], "nothing has changed")

    def state(self) -> State:
        return self.current

    def _require_ready(self) -> None:
        if self.failure is not None:
            raise self.failure
        if not self.current.ready:
            raise NotReady(self.current.detail, self.current.status)

    def _ask(self, query: Query) -> Reply | QAError:
        try:
            check(query, self.limits)
            _check_filter(query.filter)
        except QueryError as error:
            return error
        self.asked.append(query)
        if self.outcome is not None:
            return self.outcome
        if "impossible" in query.question:
            return QueryError("question", "the question is impossible; ask another")
        words = set(re.findall(r"\w+", query.question.lower()))
        found = [] if self.empty else [(_likeness(words, passage), passage) for passage in _passages(query)]
        found.sort(key=lambda pair: (-pair[0], pair[1].id))
        hits = (
            Hit(rank, passage, DOCUMENTS[passage.document].title, Scores(dense=likeness))
            for rank, (likeness, passage) in enumerate(found[: query.top_k], start=1)
        )
        searched = resolve(query.question, query.previous)
        return Reply(
            query.question,
            tuple(hits),
            SNAPSHOT,
            {"encode": 1.25, "search": 0.5, "total": 1.75},
            self.answer,
            searched="" if searched == query.question else searched,
        )


def _check_filter(filter: tuple[Condition, ...]) -> None:
    if fault := filter_excess(filter):
        raise fault
    if found := filter_faults(filter, KINDS):
        raise found[0]


def _passes(id: str, filter: tuple[Condition, ...]) -> bool:
    """Tell whether a document is in the folder, if one is named; other conditions pass everything."""
    return all(id.startswith(f"{each.value}/") for each in filter if isinstance(each, Eq) and each.column == "folder")


def _passages(query: Query) -> Iterator[Passage]:
    globs = query.documents
    for document in DOCUMENTS.values():
        if not _passes(document.id, query.filter):
            continue
        if globs and not any(fnmatchcase(document.id, glob) for glob in globs):
            continue
        for match in re.finditer(r".+(\n.+)*", document.text):
            sections = [s.title for s in document.sections if s.start <= match.start() < s.end]
            yield Passage(
                id=_sha256(f"{document.id} {match.start()}")[:16],
                document=document.id,
                start=match.start(),
                end=match.end(),
                text=match.group(),
                path=tuple(sections),
                page=1 if document.pages else None,
            )


def _likeness(words: set[str], passage: Passage) -> float:
    theirs = {word for word in re.findall(r"\w+", passage.text.lower()) if word not in ("the", "and", "a")}
    return len(words & theirs) / (len(words) * len(theirs)) ** 0.5 if words else 0.0


class SlowService(FakeService):
    """A service that answers when ``go`` is set; ``begun`` counts the batches that it took."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        self.begun.release()
        assert self.go.wait(AT_MOST)
        return super().ask_many(queries)


class FakeJob(IndexingJob):
    """An update of the index that has come as far as a test sets, and takes note of changes."""

    def __init__(self) -> None:
        self.now = Indexing()

    def note(self, changes: Iterable[FileChange]) -> Indexing:
        self.now = replace(self.now, changes=(*self.now.changes, *changes))
        return self.now

    def state(self) -> Indexing:
        return self.now

    def start(self) -> Indexing:
        return Indexing("running")


class FakeMaintenance(Maintenance):
    """Snapshots and an index that nothing is done to; a test sets what its calls end in.

    Args:
        folder: where documents are kept that can be changed; without it they cannot.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.activated: list[str] = []
        self.failure: Exception | None = None
        self.job = FakeJob()
        settings = Settings(indexes=folder or Path("nowhere"), name="test")
        if folder is not None:
            DocumentFolder(settings.indexes / settings.name, settings.upload_limits).create()
        self.upkeep = Upkeep(settings, self.job)

    def snapshots(self) -> list[SnapshotInfo]:
        return [SnapshotInfo(SNAPSHOT, True, 1000, None, "/srv/indexes/x/manifest.json is no manifest")]

    def activate(self, id: str) -> State:
        if self.failure is not None:
            raise self.failure
        self.activated.append(id)
        return READY

    def index(self) -> Indexing:
        if self.failure is not None:
            raise self.failure
        return self.job.start()

    def indexing(self) -> Indexing:
        return self.job.state()


# An answer from the first document.
NOON = SCRIPT.index("noon")
START = SCRIPT.rindex("The ferry", 0, NOON)
ADDRESS = "/documents/notes/ferry%20%3Ci%3E.txt"


def citation(start: int, end: int) -> Citation:
    return Citation(FERRY.id, start, end, 1, "Crossing the bay", "0" * 64, "0" * 64, "verified")


ANSWER = Answer(
    outcome="answered",
    confidence=0.8,
    text="noon",
    citation=citation(NOON, NOON + 4),
    sentence=Span(START, NOON + 4),
    alternatives=(Alternative("ferry", citation(START + 4, START + 9)),),
    promised_error=0.3,
    basis="of 3,000 questions over other collections, 412 had an answer about as sure as this one, and 8 of 10 of "
    "these were right",
    sentence_text=SCRIPT[START : NOON + 4],
)


FILES = (
    FileReport("b.pdf", "partial", "a font is broken", 9_000, 12_345, pages=7, empty_pages=2, passages=30),
    FileReport("a <i>.txt", "read", size=900, characters=800, passages=3),
    FileReport("scan.pdf", "failed", "no text in it"),
    FileReport("old.txt", "failed", "permission denied", kept_since="2026-03-01T08:30:00+00:00"),
    FileReport("movie.mp4", "skipped", "no reader for video/mp4"),
)
