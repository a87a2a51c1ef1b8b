"""The pages behind a real uvicorn, each by its name, and what brings each of them about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from qa.answers.citations import Original
from qa.errors import Fault, OriginalUnavailable
from qa.evaluation.jobs.jobs import Compared, Job
from qa.index.schema import text_sha256
from qa.questions.questions import Quote
from qa.service.indexing import FileChange, Indexing
from qa.types import Answer, Collection, Document, DocumentSummary, FileReport, Page, Query, Reply, SnapshotDocument
from qa.web.app import create_app
from qa.web.deps import Options
from tests.support.fake_evaluations import DONE, ID, FakeEvaluations
from tests.support.fake_service import (
    ADDRESS,
    ANSWER,
    EMPTY,
    FACETS,
    FILES,
    LOADING,
    NOON,
    REFUSED,
    SNAPSHOT,
    FakeMaintenance,
    FakeService,
)
from tests.support.pdfs import lines, pdf
from tests.support.uvicorn_server import serving

QUESTION = "When does the ferry leave?"
ASKED = f"/?q={quote(QUESTION)}"
OTHERWISE = f"{ASKED}&mode=lexical&rerank=true&top_k=4&documents=notes/*&documents=*{'long' * 20}*&sections=Cross*"
FILTERED = f"{ASKED}&filter=folder=notes&filter=author=Person+1&filter=title={'long' * 20}&filter=date>=2024"
IN_PLACE = f"{ADDRESS}?start={NOON}&end={NOON + 4}&q={quote(QUESTION)}#span"
OPTIONS = {"mode": "dense", "top_k": 20, "rerank": False}
COMPARED = f"/evaluate/compare?a={ID}&b={ID}"
WIDTHS = (320, 768, 1440)
MANY = tuple(FileReport(f"folder/with/a/long/name/{n:03}.txt", "read", characters=n) for n in range(150))


_PDF = pdf(lines("A ticket costs three crowns.", "Children under six travel free."), lines("Bring a coat."))
_TEXT = "A ticket costs three crowns. Children under six travel free.\n\nBring a coat."
TICKETS = Document(
    "tickets.pdf",
    "Tickets",
    _TEXT,
    hashlib.sha256(_PDF).hexdigest(),
    "application/pdf",
    "pdf/7",
    pages=(Page(1, 0, 60), Page(2, 62, len(_TEXT))),
)
ON_PAPER = "/documents/tickets.pdf?start=15&end=27"


class SiteService(FakeService):
    """A service with the files of a large collection, which a test may replace, and a PDF, in ``tickets``."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: Path | None = None
        self.files: tuple[FileReport, ...] = FILES + MANY

    def document(self, id: str) -> SnapshotDocument:
        return SnapshotDocument(SNAPSHOT, TICKETS) if id == TICKETS.id else super().document(id)

    def original(self, id: str) -> Original:
        if id != TICKETS.id:
            return super().original(id)
        if self.source == "missing" or self.tickets is None:
            raise OriginalUnavailable("the file that this was read from is not where it was indexed")
        with ExitStack() as opened:
            file = opened.enter_context(self.tickets.open("rb"))
            return Original(file, len(_PDF), TICKETS.source_sha256, opened.pop_all(), id)

    def collection(self) -> Collection:
        own = super().collection()
        indexed = [file for file in self.files if file.status in ("read", "partial")]
        summaries = tuple(DocumentSummary(f.id, "", "text/plain", "0" * 64, f.characters, f.pages, 1) for f in indexed)
        return replace(own, documents=own.documents + summaries, report=own.report + self.files)


class Site:
    """What a test sets, and the address where it is served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = SiteService()
        (folder / self.service.state().index).mkdir()
        self.service.tickets = folder / "tickets.pdf"
        self.service.tickets.write_bytes(_PDF)
        self.evaluations = FakeEvaluations(folder)
        self.feedback = folder / "feedback.jsonl"
        options = Options(
            feedback=self.feedback, originals=True, pictures=folder, unanswered=folder, unanswered_days=30
        )
        self.maintenance = FakeMaintenance(folder)
        self.upkeep = self.maintenance.upkeep
        self.documents = folder / "test" / "documents"
        self.app = create_app(self.service, self.evaluations, options, self.maintenance)
        self.address = ""

    def reset(self) -> None:
        vars(self.service).update({**vars(SiteService()), "tickets": self.service.tickets})
        self.evaluations.job = None
        self.evaluations.compared = Compared("computing")
        self.feedback.unlink(missing_ok=True)
        self.maintenance.upkeep, self.maintenance.job.now = self.upkeep, Indexing()
        for path in self.documents.iterdir():
            path.unlink()
        self.app.state.dependencies.unanswered.questions()  # what waits is written
        for left in self.folder.glob("**/unanswered.jsonl"):
            left.unlink()

    def answer(self, **changes: Any) -> None:
        self.service.answer = replace(ANSWER, **changes)

    def job(self, status: str, **changes: Any) -> None:
        created = "2026-04-01T12:00:00+00:00"
        self.evaluations.job = Job(ID, status, created, "mine.jsonl", SNAPSHOT, OPTIONS, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    with serving(site.app) as (host, port):
        site.address = f"http://{host}:{port}"
        yield site


@pytest.fixture
def site(served_site: Site) -> Iterator[Site]:
    yield served_site
    served_site.reset()


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: its address, its status, and what must be there for it."""

    path: str
    prepare: Callable[[Site], object] = lambda site: None
    status: int = 200
    cookie: str = ""


def _failing(site: Site) -> None:
    site.service.failure = RuntimeError("not for anybody to see")


def _without_passages(site: Site) -> None:
    site.service.empty = True


def _with_fields(site: Site) -> None:
    site.service.fields = FACETS


def _without_files(site: Site) -> None:
    site.service.files = ()


def _not_answered(site: Site) -> None:
    kept = site.app.state.dependencies.unanswered
    reply = Reply("", (), SNAPSHOT, answer=_NOT_FOUND)
    # Enough alike for one group, by the encoder of the tests.
    asked = [
        QUESTION,
        QUESTION,
        "When does the ferry leave!",
        "What does a <b>dog</b> pay?",
        f"Is {'long' * 40} known?",
    ]
    for question in asked:
        kept.note(Query(question), reply)
    kept.judge(QUESTION, Quote("a.txt", "at noon", relevant=False))


def _compared(site: Site) -> None:
    site.job("done")
    site.evaluations.compared = DONE


def _not_compared(site: Site) -> None:
    site.job("done")
    site.evaluations.compared = Compared("failed", detail="the two runs have no question in common")


def _is(state: Any) -> Callable[[Site], None]:
    def prepare(site: Site) -> None:
        site.service.current = state

    return prepare


def _kept(site: Site) -> None:
    (site.documents / "a <i>.txt").write_text("The ferry leaves at noon.")


def _fixed(site: Site) -> None:
    site.maintenance.upkeep = FakeMaintenance().upkeep


def _changing(status: str) -> Callable[[Site], None]:
    def prepare(site: Site) -> None:
        changes = (
            FileChange(f"folder/{'long' * 20}/a <i>.txt", "added", "indexed"),
            FileChange("b.pdf", "replaced", "waiting"),
            FileChange("c.pdf", "replaced", "partial", "page 3 has no text"),
            FileChange("d.txt", "removed", "removed"),
            FileChange("e.exe", "refused", "refused", "it is a Windows program"),
            FileChange("f.txt", "added", "failed", "it is kept, and not indexed yet: the update failed"),
        )
        site.maintenance.job.now = Indexing(status, "b.pdf is read", files=9, done=4, share=0.4, changes=changes)  # type: ignore[arg-type]

    return prepare


assert ANSWER.citation is not None
_DRIFTED = replace(ANSWER.citation, status="drifted")
_NOT_FOUND = Answer("not_found", confidence=0.1, unread_files=2)
_LIST = "The ferry carries:\n- forty people\n- twenty bicycles\n- one car"
_FAULTS = tuple(Fault("mine.jsonl", line, "question", "there is none") for line in (1, 2))

PAGES = {
    "ask": Shown("/"),
    "api": Shown("/docs"),
    "answered": Shown(ASKED, lambda site: site.answer()),
    "changed": Shown(ASKED, lambda site: site.answer(citation=_DRIFTED)),
    "unsure": Shown(ASKED, lambda site: site.answer(outcome="unsure", confidence=0.4, promised_error=None)),
    "not-found": Shown(ASKED, lambda site: setattr(site.service, "answer", _NOT_FOUND)),
    "answered-by-a-list": Shown(ASKED, lambda site: site.answer(form="list", text=_LIST)),
    "unanswered": Shown(ASKED),
    "right-to-left": Shown(f"/?q={quote('تفتح المكتبة')}"),
    "thanked": Shown(ASKED, lambda site: site.answer(), cookie="qa-noted=yes-" + text_sha256(QUESTION)[:16]),
    "asked-otherwise": Shown(OTHERWISE, lambda site: site.answer()),
    "filtering": Shown("/", _with_fields),
    "filtered": Shown(FILTERED, _with_fields),
    "nothing-passes": Shown(f"{ASKED}&filter=folder=nowhere", _with_fields),
    "asked-wrongly": Shown(f"{ASKED}&top_k=0&mode=lexical", status=422),
    "blank": Shown("/?q=%20", status=422),
    "too-long": Shown(f"/?q={'x' * 201}", status=422),
    "nothing-found": Shown(ASKED, _without_passages),
    "documents": Shown("/documents"),
    "documents-sorted": Shown("/documents?sort=status&page=2"),
    "documents-failed": Shown("/documents?status=failed"),
    "documents-filtered": Shown("/documents?filter=folder%3Dnotes&filter=type%3Dtxt", _with_fields),
    "documents-none": Shown("/documents?status=partial", _without_files),
    "documents-empty": Shown("/documents", _is(EMPTY)),
    "documents-fixed": Shown("/documents", _fixed),
    "changes-none": Shown("/upkeep/changes"),
    "changes-running": Shown("/upkeep/changes", _changing("running")),
    "changes-failed": Shown("/upkeep/changes", _changing("failed")),
    "replace": Shown(f"/upkeep/replace?document={quote('a <i>.txt')}", _kept),
    "delete": Shown(f"/upkeep/delete?document={quote('a <i>.txt')}", _kept),
    "not-answered-none": Shown("/unanswered"),
    "not-answered": Shown("/unanswered", _not_answered),
    "reading": Shown(IN_PLACE),
    "on-paper": Shown(ON_PAPER),
    "on-paper-large": Shown(f"{ON_PAPER}&large=true"),
    "on-paper-gone": Shown(ON_PAPER, lambda site: setattr(site.service, "source", "missing")),
    "evaluate": Shown("/evaluate"),
    "evaluate-past": Shown("/evaluate", lambda site: site.job("done", questions=5, asked=5)),
    "evaluation-queued": Shown(f"/evaluate/{ID}", lambda site: site.job("queued")),
    "evaluation-asking": Shown(f"/evaluate/{ID}", lambda site: site.job("asking", questions=5, asked=2)),
    "evaluation-done": Shown(f"/evaluate/{ID}", lambda site: site.job("done", questions=5, asked=5)),
    "evaluation-removing": Shown(f"/evaluate/{ID}/cancel", lambda site: site.job("done")),
    "evaluation-failed": Shown(
        f"/evaluate/{ID}", lambda site: site.job("failed", detail="a quote is nowhere", faults=_FAULTS)
    ),
    "report": Shown(f"/v1/evaluations/{ID}/report", lambda site: site.job("done", questions=5, asked=5)),
    "comparing": Shown(COMPARED, lambda site: site.job("done")),
    "compared": Shown(COMPARED, _compared),
    "not-compared": Shown(COMPARED, _not_compared),
    "missing": Shown("/nothing", status=404),
    "failing": Shown(ASKED, _failing, 500),
    "loading": Shown(ASKED, _is(LOADING), 503),
    "not-ready": Shown("/", _is(REFUSED), 503),
    "empty": Shown("/", _is(EMPTY), 503),
}
