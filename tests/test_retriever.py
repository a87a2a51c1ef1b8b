"""Asking: order, filters, bounds, and each error with its message."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.encoders.hashing import HashingEncoder
from qa.errors import QueryError, QuestionTooLong, SnapshotIncompatible
from qa.retriever import Retriever
from qa.service import Service
from qa.settings import Settings
from qa.snapshots import Snapshots
from qa.types import Limits, Query, Reply
from tests.conftest import Build


def test_the_passage_that_shares_the_words_comes_first(service: Service) -> None:
    reply = service.ask(Query("Where do apples grow on trees?"))
    hit = reply.hits[0]
    assert (hit.rank, hit.passage.document, hit.title) == (1, "apples.txt", "apples.txt")
    assert hit.passage.text == "Apples grow on trees. They are red or green."
    assert [h.rank for h in reply.hits] == list(range(1, len(reply.hits) + 1))
    cosines = [h.scores.dense or 0.0 for h in reply.hits]
    assert cosines == sorted(cosines, reverse=True)


def test_every_passage_is_the_span_it_says(service: Service) -> None:
    for hit in service.ask(Query("pears plums apples")).hits:
        passage = hit.passage
        assert service.document(passage.document).document.text[passage.start : passage.end] == passage.text


def test_a_hit_names_its_section(service: Service) -> None:
    hit = service.ask(Query("Keep them cool Storage")).hits[0]
    assert (hit.passage.document, hit.passage.section, hit.title) == ("pears.md", "Storage", "Pears")


def test_top_k_bounds_the_passages(service: Service) -> None:
    assert len(service.ask(Query("fruit", top_k=2)).hits) == 2


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (("below/*",), {"below/plums.txt"}),
        (("*.md", "apples*"), {"pears.md", "apples.txt"}),
        (("*",), {"apples.txt", "pears.md", "below/plums.txt"}),
    ],
)
def test_globs_choose_the_documents(service: Service, globs: tuple[str, ...], expected: set[str]) -> None:
    reply = service.ask(Query("apples", documents=globs))
    assert {hit.passage.document for hit in reply.hits} == expected


def test_timings_are_of_the_stages_and_add_up(service: Service) -> None:
    timings = service.ask(Query("apples")).timings_ms
    assert min(timings.values()) > 0
    assert timings["total"] >= timings["encode"] + timings["search"]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        (Query(""), "question", "the question is blank; write what you want to know"),
        (Query(" \n\t"), "question", "the question is blank; write what you want to know"),
        (Query("x" * 100_000), "question", "the question has 100,000 characters; at most 2,000 are allowed"),
        (Query("a \ud800"), "question", "half of a surrogate pair"),
        (Query("x", top_k=0), "top_k", "top_k must be from 1 to 100"),
        (Query("x", top_k=10_000), "top_k", "top_k must be from 1 to 100"),
        (Query("x", documents=("*.pdf",)), "documents", r"no indexed document matches '\*.pdf'"),
    ],
)
def test_a_wrong_query_says_which_field_and_what_to_do(
    service: Service, query: Query, field: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        service.ask(query)
    assert caught.value.field == field


def test_a_question_is_never_cut_to_the_window_in_silence(service: Service) -> None:
    with pytest.raises(QuestionTooLong, match="the question has 402 tokens and the model reads 256; shorten it"):
        service.ask(Query("why " * 400))


def test_each_question_of_a_batch_succeeds_or_fails_by_itself(service: Service) -> None:
    queries = [Query("apples"), Query(""), Query("plums", top_k=1), Query("why " * 400)]
    replies = service.ask_many(queries)
    assert [type(reply) for reply in replies] == [Reply, QueryError, Reply, QuestionTooLong]
    alone = service.ask(queries[2])
    assert isinstance(replies[2], Reply)
    assert replies[2].hits == alone.hits
    assert service.ask_many([]) == []


def test_equal_passages_are_ordered_by_id(build: Build, folder: Path, settings: Settings) -> None:
    for number in range(60):
        (folder / f"copy{number}.txt").write_text("The same sentence, over and over.\n")
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    retriever = Retriever(index, HashingEncoder(), Limits(100, 100, 1))
    (reply,) = retriever.retrieve([Query("the same sentence", top_k=7)])
    assert isinstance(reply, Reply)
    ids = [hit.passage.id for hit in reply.hits]
    everything = sorted(p.id for p in index.store.all_passages() if p.text.startswith("The same"))
    assert ids == everything[:7]


def test_a_snapshot_of_another_model_is_refused_by_name(build: Build, settings: Settings) -> None:
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    with pytest.raises(
        SnapshotIncompatible,
        match=r"was made with the model hashing, and hashing is in use \(they differ in dimension\)",
    ):
        Retriever(index, HashingEncoder(dimension=64), Limits(100, 100, 1))
