"""A corpus in BEIR's format is documents, one a line, from its file to an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qa.build import contents
from qa.build.update import update
from qa.readers import corpus
from qa.service.service import Service
from qa.settings import Settings
from qa.types import FileReport, Query
from tests.conftest import Build, Recorder, hashing_encoder

TIDES = {
    "_id": "4983",
    "title": "Tides",
    "text": "The tide is read at noon.\n\nThe keeper writes it down.",
    "metadata": {},
}
GULLS = {"_id": "a/b", "title": "", "text": "Gulls nest on the roof.", "metadata": {"url": "x.org", "year": 2019}}


class _Corpus:
    """A folder with one corpus, and the index of it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._folder.mkdir()

    def write(self, *lines: object) -> None:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (self._folder / "corpus.jsonl").write_text("\n".join(texts) + "\n")

    def update(self) -> bool:
        """Build the index, and tell whether anything changed."""
        return update(self._settings, [self._folder], Recorder(), make=hashing_encoder).counts.changed

    def index(self) -> Service:
        self.update()
        service = Service(self._settings, make=hashing_encoder)
        service.reload()
        return service


class _Shares(Recorder):
    """A listener that keeps which share of the bytes was done when each file of a list was finished."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[float] = []

    def finished_file(self, report: FileReport) -> None:
        self.shares.append(self.done / self.total)


@pytest.fixture
def corpus_folder(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Corpus:
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    return _Corpus(settings, tmp_path / "corpus")


def _lines(service: Service) -> dict[str, tuple[str, str]]:
    return {line.id: (line.status, line.reason) for line in service.collection().report}


def test_each_line_is_a_document_under_its_id(corpus_folder: _Corpus) -> None:
    corpus_folder.write(TIDES, GULLS)
    service = corpus_folder.index()
    assert _lines(service) == {
        "corpus.jsonl": ("skipped", "it holds 2 documents"),
        "corpus.jsonl/4983": ("read", ""),
        "corpus.jsonl/a_b": ("read", ""),
    }
    tides, gulls = (service.document(f"corpus.jsonl/{id}").document for id in ("4983", "a_b"))
    assert (tides.title, tides.text) == ("Tides", "Tides\n\nThe tide is read at noon.\n\nThe keeper writes it down.")
    assert gulls.text == "Gulls nest on the roof.\n\nmetadata.url: x.org | metadata.year: 2019"
    assert tides.container == "corpus.jsonl"
    (hit, *_) = service.ask(Query("Where do gulls nest?", mode="lexical")).hits
    assert hit.passage.document == "corpus.jsonl/a_b"


def test_a_changed_line_is_read_again_and_nothing_is_where_none_changed(corpus_folder: _Corpus) -> None:
    corpus_folder.write(TIDES, GULLS)
    assert corpus_folder.update()
    assert not corpus_folder.update()
    corpus_folder.write({**TIDES, "text": "The tide is read at dusk."}, GULLS)
    service = corpus_folder.index()
    assert service.document("corpus.jsonl/4983").document.text == "Tides\n\nThe tide is read at dusk."


def test_lines_that_are_no_documents_are_counted(corpus_folder: _Corpus) -> None:
    corpus_folder.write(TIDES, "{", {"_id": "5", "text": "no title"})
    reason = "it holds a document; 2 lines (2, 3) are no documents with _id, title and text"
    assert _lines(corpus_folder.index())["corpus.jsonl"] == ("skipped", reason)


def test_ids_may_be_numbers(corpus_folder: _Corpus) -> None:
    corpus_folder.write({**TIDES, "_id": 7}, {**TIDES, "_id": True})
    assert _lines(corpus_folder.index()) == {
        "corpus.jsonl": ("skipped", "it holds a document; line 2 is no document with _id, title and text"),
        "corpus.jsonl/7": ("read", ""),
    }


def test_two_lines_of_one_id_are_told_apart_and_none_has_no_name(corpus_folder: _Corpus) -> None:
    corpus_folder.write(TIDES, TIDES, TIDES, {**GULLS, "_id": " "}, {**GULLS, "_id": "x" * 500})
    ids = [id.partition("/")[2] for id in _lines(corpus_folder.index())]
    assert ids == ["", "4983", "4983 (2)", "4983 (3)", "4", "x" * 120]


def test_documents_beyond_the_bound_are_counted_and_others_are_not_bounded_by_what_mails_may_have(
    corpus_folder: _Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_MOST_ATTACHED", 1)
    corpus_folder.write(TIDES, GULLS, TIDES)
    assert len(_lines(corpus_folder.index())) == 4
    monkeypatch.setattr(corpus, "_MOST_DOCUMENTS", 2)
    content = corpus.CorpusReader().read("\n".join(map(json.dumps, (TIDES, GULLS, TIDES))).encode())
    assert content.problems == ("a document beyond the first 2 is not read",)
    assert len(content.attachments) == 2


def test_a_corpus_advances_by_its_documents(build: Build, tmp_path: Path) -> None:
    lines = (json.dumps({"_id": str(at), "title": "", "text": f"Tide {at} is read at noon."}) for at in range(2000))
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    heard, again = _Shares(), _Shares()
    build(tmp_path / "corpus.jsonl", listener=heard)
    assert heard.shares[0] < 0.01
    assert 0.3 < heard.shares[-1] < 0.9  # two batches are done when the last document is read
    assert heard.done == pytest.approx(heard.total)
    assert heard.encoded == pytest.approx(heard.total, rel=0.01)
    build(tmp_path / "corpus.jsonl", listener=again, rebuild=False)
    assert again.encoded == 0
