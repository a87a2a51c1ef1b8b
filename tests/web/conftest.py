"""A small honest service: real spans of two documents, ranked by the words that they share with the question."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from io import BufferedReader, BytesIO

import pytest
from starlette.testclient import TestClient

from qa.answers.citations import Original
from qa.errors import DocumentNotFound, NotReady, OriginalUnavailable, QAError, QueryError
from qa.types import (
    Answer,
    CheckedCitation,
    Citation,
    CitationClaim,
    CitationStatus,
    Collection,
    Document,
    DocumentSummary,
    FileReport,
    Hit,
    Limits,
    Page,
    Passage,
    Query,
    Reply,
    Scores,
    Section,
    SnapshotDocument,
    State,
)
from qa.web.app import create_app
from qa.web.options import Options

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


class FakeService:
    """For tests to set: what it says it is doing, what every call ends in, and what every single question ends in."""

    def __init__(self) -> None:
        self.limits = Limits(question_chars=200, top_k=10, batch=4)
        self.current = READY
        self.failure: Exception | None = None
        self.outcome: QAError | None = None
        self.empty = False
        self.source: CitationStatus = "verified"
        self.answer: Answer | None = None
        self.asked: list[Query] = []

    def ask(self, query: Query) -> Reply:
        (reply,) = self.ask_many([query])
        if isinstance(reply, QAError):
            raise reply
        return reply

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        self._require_ready()
        return [self._ask(query) for query in queries]

    def examples(self) -> Sequence[str]:
        self._require_ready()
        return ("When does the ferry leave?", "متى تفتح المكتبة أبوابها؟")

    def collection(self) -> Collection:
        self._require_ready()
        summaries = tuple(
            DocumentSummary(d.id, d.title, d.media_type, d.source_sha256, len(d.text), len(d.pages), 3)
            for d in DOCUMENTS.values()
        )
        read = tuple(FileReport(d.id, "read", size=len(d.text.encode())) for d in DOCUMENTS.values())
        return Collection(SNAPSHOT, summaries, (*read, FileReport("scan.pdf", "failed", "no text in it")))

    def document(self, id: str) -> SnapshotDocument:
        self._require_ready()
        if id not in DOCUMENTS:
            raise DocumentNotFound(f"no indexed document has the id {id!r}")
        return SnapshotDocument(SNAPSHOT, DOCUMENTS[id])

    def original(self, id: str) -> Original:
        text = self.document(id).document.text.encode()
        if self.source != "verified":
            raise OriginalUnavailable("the file that this was read from has changed since it was indexed")
        sha256 = hashlib.sha256(text).hexdigest()
        return Original(BufferedReader(BytesIO(text)), len(text), sha256, ExitStack())

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
        self.asked.append(query)
        if self.outcome is not None:
            return self.outcome
        if "impossible" in query.question:
            return QueryError("question", "the question is impossible; ask another")
        words = set(re.findall(r"\w+", query.question.lower()))
        found = [] if self.empty else [(_likeness(words, passage), passage) for passage in _passages(query.documents)]
        found.sort(key=lambda pair: (-pair[0], pair[1].id))
        hits = (
            Hit(rank, passage, DOCUMENTS[passage.document].title, Scores(dense=likeness))
            for rank, (likeness, passage) in enumerate(found[: query.top_k], start=1)
        )
        return Reply(query.question, tuple(hits), SNAPSHOT, {"encode": 1.25, "search": 0.5, "total": 1.75}, self.answer)


def _passages(globs: Sequence[str]) -> Iterator[Passage]:
    for document in DOCUMENTS.values():
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


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> TestClient:
    # Without re-raising: what a client sees of a failure is what is tested.
    return TestClient(create_app(service, options=Options(max_body_bytes=20_000)), raise_server_exceptions=False)
