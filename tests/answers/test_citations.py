"""A citation's status, as its source is edited, moved, deleted and indexed again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qa.answers.citations import Citer, Citers
from qa.errors import DocumentNotFound, QueryError, SnapshotNotFound
from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import CitationClaim, Query
from tests.conftest import Build

PEARS = "# Pears\n\nPears ripen in autumn.\n\n## Storage\n\nKeep them cool.\n"
# What is shown of it, which is what spans are of.
TEXT = "Pears\n\nPears ripen in autumn.\n\nStorage\n\nKeep them cool."
START, END = TEXT.index("Keep"), TEXT.index("cool") + 4


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def claim() -> CitationClaim:
    return CitationClaim("pears.md", START, END, sha256(PEARS), sha256(TEXT))


@pytest.fixture
def citer(build: Build, settings: Settings) -> Citer:
    return Citers(Snapshots(settings.indexes, settings.name)).at(build().manifest.id)


def test_a_citation_says_where_and_of_which_bytes(citer: Citer) -> None:
    citation = citer.cite("pears.md", START, END)
    assert (citation.document, citation.start, citation.end) == ("pears.md", START, END)
    assert (citation.page, citation.section) == (None, "Storage")
    assert (citation.source_sha256, citation.text_sha256) == (sha256(PEARS), sha256(TEXT))
    assert citation.status == "verified"
    assert citer.cite("pears.md", 0, 2).section == "Pears"
    assert citer.cite("apples.txt", 0, 5).section is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda path: path.write_text(PEARS.replace("cool", "warm")), "drifted"),
        (lambda path: path.write_text(PEARS + "\n"), "drifted"),
        (lambda path: path.rename(path.with_name("moved.md")), "missing"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: shutil.rmtree(path.parent), "missing"),
        (lambda path: path.touch(), "verified"),
        (lambda path: path.rename(path.with_name("x")) and path.write_text(PEARS), "verified"),
    ],
)
def test_the_status_follows_the_source(
    citer: Citer, claim: CitationClaim, folder: Path, change: Callable[[Path], object], status: str
) -> None:
    assert citer.check(claim).citation.status == "verified"
    change(folder / "pears.md")
    assert citer.cite("pears.md", START, END).status == status
    checked = citer.check(claim)
    assert (checked.citation.status, checked.text) == (status, "Keep them cool")
    assert {"drifted": "changed since", "missing": "not where it was", "verified": "byte for byte"}[status] in (
        checked.detail
    )


def test_a_source_that_comes_back_is_verified_again(citer: Citer, folder: Path) -> None:
    path = folder / "pears.md"
    path.write_text("something else")
    assert citer.cite("pears.md", START, END).status == "drifted"
    path.write_text(PEARS)
    assert citer.cite("pears.md", START, END).status == "verified"


def test_a_citation_outlives_the_next_snapshot(
    service: Service, build: Build, claim: CitationClaim, folder: Path
) -> None:
    first = service.state().snapshot
    (folder / "pears.md").write_text(PEARS.replace("cool", "warm"))
    build()
    service.reload()
    now = service.check_citation(claim)
    assert (now.citation.status, now.text) == ("drifted", None)
    assert "another version of the document" in now.detail
    then = service.check_citation(claim, first)
    assert (then.snapshot, then.citation.status, then.text) == (first, "drifted", "Keep them cool")


def test_the_same_bytes_read_differently_are_no_verified_citation(citer: Citer, claim: CitationClaim) -> None:
    checked = citer.check(replace(claim, text_sha256="0" * 64))
    assert (checked.citation.status, checked.text) == ("drifted", None)
    assert citer.check(replace(claim, text_sha256=None)).text == "Keep them cool"


def test_every_passage_is_a_verified_citation(service: Service, folder: Path) -> None:
    for question in ("apples", "pears", "plums"):
        for hit in service.ask(Query(question)).hits:
            passage = hit.passage
            source = sha256((folder / passage.document).read_text())
            checked = service.check_citation(CitationClaim(passage.document, passage.start, passage.end, source))
            assert (checked.citation.status, checked.text) == ("verified", passage.text)
            assert (checked.citation.page, checked.citation.section) == (passage.page, passage.section)


@pytest.mark.parametrize(
    ("start", "end", "field", "message"),
    [
        (-1, 3, "start", "must not be negative"),
        (3, 3, "end", "greater than start"),
        (4, 3, "end", "greater than start"),
        (0, len(TEXT) + 1, "end", f"beyond the document, which has {len(TEXT)} characters"),
        (10**30, 10**30 + 1, "end", "beyond the document"),
    ],
)
def test_a_span_that_cannot_be(citer: Citer, start: int, end: int, field: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as raised:
        citer.cite("pears.md", start, end)
    assert raised.value.field == field


def test_what_is_not_indexed_cannot_be_cited(citer: Citer, claim: CitationClaim) -> None:
    with pytest.raises(DocumentNotFound, match=r"\.\./pears\.md"):
        citer.cite("../pears.md", 0, 1)
    with pytest.raises(DocumentNotFound, match=r"photo\.xyz"):
        citer.check(replace(claim, document="photo.xyz"))


def test_snapshots_that_are_gone_or_damaged_are_named(
    service: Service, build: Build, settings: Settings, claim: CitationClaim
) -> None:
    first = service.state().snapshot
    assert first is not None
    service.check_citation(claim, first)
    second = build().manifest.id
    (settings.indexes / "test/snapshots" / second / "documents.sqlite").write_bytes(b"")
    with pytest.raises(SnapshotNotFound, match="damaged, or of another version") as raised:
        service.check_citation(claim, second)
    assert str(settings.indexes) not in str(raised.value)
    shutil.rmtree(settings.indexes / "test/snapshots" / first)
    for id in (first, "../..", "", "x" * 200):
        with pytest.raises(SnapshotNotFound, match="it may have been pruned"):
            service.check_citation(claim, id)


def test_more_snapshots_than_are_kept_open(build: Build, settings: Settings, claim: CitationClaim) -> None:
    citers = Citers(Snapshots(settings.indexes, settings.name))
    ids = [build().manifest.id for _ in range(6)]
    assert [citers.at(id).check(claim).snapshot for id in ids + ids] == ids + ids
